//! The pages of this repository, run; and pages that are wrong on purpose, which must fail.

mod pages;
mod red;

use std::path::{Path, PathBuf};

/// A directory that is gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = name.replace('/', "-");
        let dir =
            std::env::temp_dir().join(format!("cloakroom-pages-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
        Self(dir)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it is in the temporary directory, where it belongs.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

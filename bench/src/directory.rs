//! A directory for a journal, in the system's directory for temporary files (`TMPDIR`), which should be on
//! a real disk; and the store in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloakroom_embedded::journal::{Durability, JournalConfig, OsDisk};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};

/// A directory that goes at the end.
pub struct Directory(PathBuf);

impl Directory {
    /// One that nobody else has; it is made when something is put there.
    #[must_use]
    pub fn new(what: &str) -> Self {
        let name = format!("cloakroom-bench-{what}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// As [`store_in`].
    #[must_use]
    pub fn store(&self, durability: Durability) -> EmbeddedStore {
        store_in(&self.0, durability)
    }
}

/// The store whose journal is in a directory, which is not rewritten by itself.
///
/// # Panics
/// If the journal is not whole.
#[must_use]
pub fn store_in(path: &Path, durability: Durability) -> EmbeddedStore {
    let disk = OsDisk::open(path).expect("a directory for the journal");
    let journal = JournalConfig::new(Arc::new(disk)).durability(durability);
    let config = EmbeddedConfig::new().journal(journal.rewrite(0, 0));
    EmbeddedStore::new(config).expect("the journal is whole")
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

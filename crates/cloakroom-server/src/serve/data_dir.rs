//! The data directory: one server's own, and marked with the version of what is in it
//! (`docs/formats/data-dir.md`).

use std::error::Error;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A data directory that no other server uses while this is held.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The file with the API key.
pub(crate) const API_KEY: &str = "api-key";
const FORMAT: &str = "cloakroom data 1\n";

impl DataDir {
    /// Takes the directory at `path`, making it if it is not there.
    pub(crate) fn take(path: &Path) -> Result<Self, Box<dyn Error>> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => not_a_directory(path),
            _ => unusable(path, &error),
        })?;
        refuse_writable_by_others(path)?;
        let lock = private_file(&path.join("lock")).map_err(|error| unusable(path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "another cloakroom server uses the data directory {}; stop it, or give this \
                     one its own with --data DIR",
                    path.display()
                )
                .into());
            }
            Err(TryLockError::Error(error)) => return Err(unusable(path, &error)),
        }
        check_format(&path.join("format"))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes a file that only this user can read, all of it or nothing.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_file(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

/// Whoever can write here can put a key of their own in the place of ours.
fn refuse_writable_by_others(path: &Path) -> Result<(), Box<dyn Error>> {
    let metadata = fs::metadata(path).map_err(|error| unusable(path, &error))?;
    let mode = metadata.permissions().mode();
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(format!(
        "others can write to the data directory {path} (mode {:03o}); close it with \
         `chmod 700 {path}`, or name another directory with --data DIR",
        mode & 0o777,
    )
    .into())
}

fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
}

/// Looks whether this version knows the format that is named there; where none is, it names its own.
pub(crate) fn check_format(path: &Path) -> Result<(), Box<dyn Error>> {
    match fs::read_to_string(path) {
        Ok(text) if text == FORMAT => Ok(()),
        Ok(_) => Err(format!(
            "{} names a format that this version does not know; use the version that wrote it, \
             or another directory with --data DIR",
            path.display()
        )
        .into()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            write_private(path, FORMAT).map_err(|error| unusable(path, &error))
        }
        Err(error) => Err(unusable(path, &error)),
    }
}

fn not_a_directory(path: &Path) -> Box<dyn Error> {
    let path = path.display();
    format!("{path} is no directory: name one for data with --data DIR").into()
}

fn unusable(path: &Path, error: &std::io::Error) -> Box<dyn Error> {
    format!(
        "cannot use {} for data ({error}); make it writable for this user, or name another \
         directory with --data DIR",
        path.display()
    )
    .into()
}

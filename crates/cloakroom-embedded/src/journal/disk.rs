//! The disk, handed in: what the journal asks of a directory of files, and no more, so that a test
//! can hold one that tears writes, loses what was not synced, fills up or fails.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A directory that belongs to one journal. Names are plain file names.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes an empty file, for reading and writing. Its name is durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `AlreadyExists` if there is one of that name; whatever the disk says.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there, for reading, writing and syncing.
    ///
    /// # Errors
    /// `NotFound`; whatever the disk says.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// The names of all files, in any order.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name, in place of the file that had it. Durable after
    /// [`Disk::sync_dir`].
    ///
    /// # Errors
    /// Whatever the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// Whatever the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn sync_dir(&self) -> io::Result<()>;
}

/// A file of a [`Disk`]. Writes name their place, so that one that failed is done again at the same.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Bytes of the file.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn len(&self) -> io::Result<u64>;

    /// Reads bytes from `at` on. Returns how many: fewer than asked for, at least at the end.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `at`. On an error any part of them may be written.
    ///
    /// # Errors
    /// `StorageFull` or `QuotaExceeded` if there is no room; whatever else the disk says.
    fn write_all_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content durable, and the length (`fdatasync`).
    ///
    /// # Errors
    /// Whatever the disk says. What was written before is lost or not; nobody can know.
    fn sync(&self) -> io::Result<()>;

    /// Whether there are no bytes.
    ///
    /// # Errors
    /// As [`DiskFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct OsDisk(PathBuf);

impl OsDisk {
    /// The directory `path`, made if it is not there, for this user alone.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let there = path.is_dir();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        if !there && let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

#[derive(Debug)]
struct OsFile(fs::File);

impl Disk for OsDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Box::new(OsFile(options.open(self.0.join(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        Ok(Box::new(OsFile(options.open(self.0.join(name))?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            // A directory is none of ours, whatever it is called.
            if !entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.0)?.sync_all()
    }
}

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read_at(into, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn write_all_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_no_file_whatever_it_is_called() {
        let name = format!("cloakroom-disk-{}", std::process::id());
        let disk = OsDisk::open(&std::env::temp_dir().join(name)).unwrap();
        drop(disk.create("1.journal").unwrap());
        fs::create_dir(disk.path().join("9.snapshot")).unwrap();
        let names = disk.list().unwrap();
        fs::remove_dir_all(disk.path()).unwrap();
        assert_eq!(names, ["1.journal"]);
    }
}

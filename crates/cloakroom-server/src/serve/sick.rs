//! For tests of what callers see while the disk of the embedded store is full, has failed, or hangs. In here,
//! because no flag of the binary opens a disk that is ill.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use cloakroom_embedded::journal::{Disk, DiskFile, Durability, JournalConfig, OsDisk};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};

pub(super) const WELL: u8 = 0;
pub(super) const FULL: u8 = 1;
pub(super) const FAILING: u8 = 2;
pub(super) const HANGING: u8 = 3;

/// A real directory that falls ill when it is told to.
#[derive(Clone, Debug)]
struct Sick(OsDisk, Arc<AtomicU8>);

#[derive(Debug)]
struct SickFile(Box<dyn DiskFile>, Arc<AtomicU8>);

impl Sick {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(SickFile(file, Arc::clone(&self.1)))
    }
}

impl Disk for Sick {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.0.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.0.open(name)?))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
}

impl DiskFile for SickFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(at, into)
    }
    fn write_all_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match self.1.load(Ordering::SeqCst) {
            FULL => Err(ErrorKind::StorageFull.into()),
            _ => self.0.write_all_at(at, bytes),
        }
    }
    fn sync(&self) -> io::Result<()> {
        match self.1.load(Ordering::SeqCst) {
            FAILING => Err(io::Error::other("the disk is on fire")),
            HANGING => {
                while self.1.load(Ordering::SeqCst) == HANGING {
                    std::thread::yield_now();
                }
                self.0.sync()
            }
            _ => self.0.sync(),
        }
    }
}

/// A store that syncs every write, and what its disk is ill with.
pub(super) fn sick_store(dir: &Path) -> (EmbeddedStore, Arc<AtomicU8>) {
    let illness = Arc::new(AtomicU8::new(WELL));
    let disk = Sick(OsDisk::open(dir).unwrap(), Arc::clone(&illness));
    let journal = JournalConfig::new(Arc::new(disk)).durability(Durability::Always);
    let store = EmbeddedStore::new(EmbeddedConfig::new().journal(journal)).unwrap();
    (store, illness)
}

//! The journal on a disk that the test holds: what a power cut leaves at every moment, what damage
//! does, what a failing or full disk does to those who write.

mod crash;
mod damage;
pub(crate) mod disk;
mod effects;
mod faults;
mod fixtures;
mod repair;
mod rewrite;
mod spares;
mod store;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use cloakroom_embedded::SystemClock;
use cloakroom_embedded::journal::{
    Disk, Durability, Journal, JournalConfig, RecoverError, Recovered, recover,
};

use self::disk::FakeDisk;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future without any runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

/// A journal on `disk` with small segments, and the records that were there.
fn open(
    disk: &FakeDisk,
    durability: Durability,
) -> Result<(Journal, Vec<Vec<u8>>, Recovered), RecoverError> {
    let mut records = Vec::new();
    let config = JournalConfig::new(Arc::new(disk.clone()))
        .durability(durability)
        .segment_bytes(700);
    let (journal, recovered) = Journal::open(&config, Arc::new(SystemClock), &mut |record| {
        records.push(record.to_vec());
        Ok(())
    })?;
    Ok((journal, records, recovered))
}

/// A disk with a journal of so many records, each synced by itself, closed well.
fn journal_of(records: usize) -> FakeDisk {
    let disk = FakeDisk::default();
    let (journal, ..) = open(&disk, Durability::Always).unwrap();
    for number in 0..records {
        block_on(journal.wait(journal.append(&record(number)))).unwrap();
    }
    drop(journal);
    disk
}

/// Says in a segment's header that this version wrote it.
fn later_version(disk: &FakeDisk, name: &str, version: u8) {
    with_header(disk, name, |header| header[8] = version);
}

/// Changes a segment's header, so that it still verifies.
fn with_header(disk: &FakeDisk, name: &str, change: impl FnOnce(&mut [u8])) {
    disk.edit(name, |bytes| {
        change(&mut bytes[..60]);
        let sum = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&sum.to_le_bytes());
    });
}

/// The records on `disk`.
fn read(disk: &dyn Disk) -> Result<(Vec<Vec<u8>>, Recovered), RecoverError> {
    let mut records = Vec::new();
    let recovered = recover(disk, &mut |record| {
        records.push(record.to_vec());
        Ok(())
    })?;
    Ok((records, recovered))
}

/// A record that says its number, of a length that goes with it.
fn record(number: usize) -> Vec<u8> {
    let mut record = format!("record {number} ").into_bytes();
    record.resize(record.len() + number * 37 % 150, number as u8);
    record
}

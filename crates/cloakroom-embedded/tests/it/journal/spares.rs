//! Segments in the files of older ones: what is behind their end is another's, and is neither read, nor
//! told to be torn, nor told to be lost.

use std::sync::Arc;

use cloakroom_core::record::Condition;
use cloakroom_core::store::{Lookup, Store as _};
use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{Error, ErrorKind};
use cloakroom_embedded::journal::{Disk, Durability, Journal, JournalConfig, RecoverError, repair};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore, SystemClock};

use super::disk::FakeDisk;
use super::{block_on, open, read, record};
use crate::kit::{self, key, session, set, tag_of};

/// One segment with a record that is synced and one more, in the file of one with 20 records; its name, and the
/// ends of the two records.
fn reused() -> (FakeDisk, String, [usize; 2]) {
    let disk = FakeDisk::default();
    let open = || {
        let config = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::Always);
        Journal::open(&config, Arc::new(SystemClock), &mut |_| Ok(())).unwrap()
    };
    let (journal, _) = open();
    for number in 0..20 {
        block_on(journal.wait(journal.append(&record(number)))).unwrap();
    }
    drop(journal);
    let name = disk.names().pop().unwrap();
    disk.rename(&name, &(name.clone() + ".spare")).unwrap();
    let (journal, _) = open();
    assert_eq!(disk.names(), [name.as_str()]);
    let mut end = 64;
    let ends = [3, 4].map(|number| {
        block_on(journal.wait(journal.append(&record(number)))).unwrap();
        end += 40 + 8 + record(number).len();
        end
    });
    // As it is when the process is killed: without a word at the end.
    (disk.copy(), name, ends)
}

#[test]
fn what_an_older_segment_left_is_no_torn_end() {
    let (disk, name, [first, second]) = reused();
    let size = disk.edit(&name, |bytes| bytes.len());
    assert!(size > 2 * second, "{size}");
    let (found, recovered) = read(&disk).unwrap();
    assert_eq!((found, recovered.cut), (vec![record(3), record(4)], None));
    // What is torn is told, and how much of it there was.
    let torn = disk.copy();
    torn.edit(&name, |bytes| bytes[second - 1] ^= 1);
    let (found, recovered) = read(&torn).unwrap();
    assert_eq!(found, [record(3)]);
    let cut = recovered.cut.unwrap();
    assert_eq!(
        (cut.at, cut.at + cut.bytes),
        (first as u64 + 40, second as u64)
    );
    // What was said to be synced is damaged.
    let damaged = disk.copy();
    damaged.edit(&name, |bytes| bytes[first - 1] ^= 1);
    let error = read(&damaged).unwrap_err();
    assert!(
        matches!(error, RecoverError::Damaged { at: 104, .. }),
        "{error}"
    );
    let damaged: Arc<dyn Disk> = Arc::new(damaged);
    let repaired = repair(&damaged, 0, &mut |_| Ok(())).unwrap();
    let lost = (name.clone(), 104, first as u64 - 104);
    assert_eq!((repaired.records, repaired.lost), (1, vec![lost]));
}

/// The next segment says where this one ends, so nothing before that is another's.
#[test]
fn what_is_lost_of_a_segment_that_another_follows_is_told() {
    let (disk, name, [first, second]) = reused();
    drop(open(&disk, Durability::Always).unwrap());
    disk.edit(&name, |bytes| bytes[second - 1] ^= 1);
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let repaired = repair(&disk, 0, &mut |_| Ok(())).unwrap();
    let lost = (name, first as u64 + 40, (second - first) as u64 - 40);
    assert_eq!((repaired.records, repaired.lost), (1, vec![lost]));
}

fn store(disk: &FakeDisk) -> EmbeddedStore {
    store_that(disk, true)
}

fn store_that(disk: &FakeDisk, reuses: bool) -> EmbeddedStore {
    let journal = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::Always);
    let journal = journal.segment_bytes(3_000).rewrite(0, 0);
    let journal = journal.reuse(reuses);
    let config = EmbeddedConfig::new().shards(1).journal(journal);
    kit::store(&ManualClock::new(), config)
}

/// Changes a session until there are so many segments of the journal.
fn write(store: &EmbeddedStore, disk: &FakeDisk, segments: usize) {
    drop(block_on(
        store.create(&key(tag_of(None), 1), &session(1, None)),
    ));
    while journals(disk).len() < segments {
        block_on(change(store)).unwrap();
    }
}

fn journals(disk: &FakeDisk) -> Vec<String> {
    let mut names = disk.names();
    names.retain(|name| name.ends_with(".journal"));
    names
}

async fn change(store: &EmbeddedStore) -> Result<(), Error> {
    let changes = set("data", vec![1; 500]);
    let key = key(tag_of(None), 1);
    store
        .apply(&key, &changes, &Condition::Always)
        .await
        .map(drop)
}

fn spares(disk: &FakeDisk) -> usize {
    disk.names().len() - disk.segments().len()
}

/// A store whose journal had so many segments, which a snapshot has replaced.
fn store_with_spares(disk: &FakeDisk, segments: usize) -> EmbeddedStore {
    let held = store(disk);
    write(&held, disk, segments);
    held.rewrite().unwrap().unwrap();
    assert_eq!(spares(disk), segments);
    held
}

#[test]
fn as_many_files_are_kept_as_the_journal_had() {
    let disk = FakeDisk::default();
    let held = store_with_spares(&disk, 6);
    assert_eq!(disk.segments().len(), 2);
    write(&held, &disk, 5);
    assert_eq!(spares(&disk), 2, "four were used");
    held.rewrite().unwrap().unwrap();
    assert_eq!((spares(&disk), disk.segments().len()), (5, 2));
    drop(held);
    // Nothing was replaced since.
    drop(store(&disk));
    assert_eq!(
        spares(&disk),
        1,
        "two are kept, one of them is used at once"
    );
}

#[test]
fn none_is_kept_if_that_is_asked_for() {
    let disk = FakeDisk::default();
    let held = store_with_spares(&disk, 4);
    drop(held);
    let held = store_that(&disk, false);
    assert_eq!(spares(&disk), 0, "those that were there are gone");
    write(&held, &disk, 4);
    held.rewrite().unwrap().unwrap();
    assert_eq!((spares(&disk), disk.segments().len()), (0, 2));
}

#[test]
fn a_full_disk_gets_them_back() {
    let disk = FakeDisk::default();
    let held = store_with_spares(&disk, 4);
    disk.leave_room(Some(0));
    let told = block_on(change(&held)).unwrap_err();
    assert_eq!(*told.kind(), ErrorKind::StoreFull);
    assert_eq!(spares(&disk), 0);
    disk.leave_room(None);
}

/// Only a snapshot that was read or written replaces anything.
#[test]
fn a_file_that_is_called_a_snapshot_replaces_nothing() {
    let disk = FakeDisk::default();
    let held = store(&disk);
    write(&held, &disk, 5);
    let before = journals(&disk);
    for name in [&before[3], &before[4].replace('5', "9")] {
        let name = name.replace(".journal", ".snapshot");
        drop(disk.create(&name).unwrap());
        let full = disk.clone();
        disk.meanwhile(move || full.leave_room(Some(0)));
        held.rewrite().expect_err("there is no room for one");
        disk.leave_room(None);
        assert!(journals(&disk).starts_with(&before));
        disk.remove(&name).unwrap();
    }
    drop(held);
    let again = store(&disk);
    assert!(matches!(
        block_on(again.load(&key(tag_of(None), 1))),
        Ok(Lookup::Found(_))
    ));
}

//! Damage in what was synced is a refusal that names the place; a torn tail is cut and told; a later
//! version is left alone.

use std::sync::Arc;

use cloakroom_embedded::SystemClock;
use cloakroom_embedded::journal::{
    Disk, Durability, Effects, Journal, JournalConfig, RecoverError, Refused, recover, repair,
};

use super::disk::FakeDisk;
use super::{block_on, journal_of, later_version, open, read, record};

/// Every bit of every byte: either the record after it is not read, or nothing depends on it.
#[test]
fn a_flipped_bit_is_never_read_over() {
    let whole = journal_of(12);
    let (all, _) = read(&whole).unwrap();
    assert_eq!(all.len(), 12);
    let (mut refused, mut cut) = (0, 0);
    for name in whole.names() {
        let size = whole.edit(&name, |bytes| bytes.len());
        for place in 0..size {
            let disk = whole.copy();
            disk.edit(&name, |bytes| bytes[place] ^= 1 << (place % 8));
            match read(&disk) {
                Err(RecoverError::Damaged { file, at, .. }) => {
                    assert_eq!(file, name);
                    assert!(
                        at <= place as u64,
                        "byte {place} of {name} is said to be {at}"
                    );
                    refused += 1;
                }
                Err(RecoverError::Newer { .. }) => panic!("a flipped bit is no version"),
                Err(error) => panic!("{error}"),
                Ok((found, recovered)) => {
                    // Only in the note at the very end, which says that all is synced.
                    assert_eq!(found, all, "byte {place} of {name}");
                    assert!(recovered.cut.is_some_and(|cut| cut.bytes == 40));
                    cut += 1;
                }
            }
        }
    }
    println!("{refused} refused, {cut} cut");
    assert_eq!(cut, 40);
}

#[test]
fn a_hole_a_missing_end_and_a_missing_segment_are_refused() {
    let whole = journal_of(30);
    let names = whole.names();
    assert!(names.len() > 4, "{names:?}");
    let hole = whole.copy();
    hole.edit(&names[1], |bytes| bytes[200..320].fill(0));
    let short = whole.copy();
    short.edit(&names[1], |bytes| bytes.truncate(300));
    let empty = whole.copy();
    empty.edit(&names[1], Vec::clear);
    let doubled = whole.copy();
    let one = doubled.edit(&names[1], |bytes| bytes.clone());
    doubled.edit(&names[2], |bytes| *bytes = one);
    for (what, disk) in [
        ("hole", hole),
        ("end", short),
        ("empty", empty),
        ("doubled", doubled),
    ] {
        let error = read(&disk).unwrap_err();
        assert!(error.is_damage(), "{what}: {error}");
    }
    let files = |but: &str| {
        let kept = names.iter().filter(|name| *name != but);
        let files: Vec<_> = kept
            .map(|name| (name.as_str(), whole.edit(name, |bytes| bytes.clone())))
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| (*name, &**bytes))
            .collect();
        FakeDisk::with(&files)
    };
    for missing in &names[..names.len() - 1] {
        match read(&files(missing)).unwrap_err() {
            RecoverError::Missing { file } => assert_eq!(file, *missing),
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_torn_tail_is_cut_and_told_once() {
    // One whose last segment has more than a record.
    let last_of = |disk: &FakeDisk| disk.names().pop().unwrap();
    let size_of = |disk: &FakeDisk| disk.edit(&last_of(disk), |bytes| bytes.len());
    let mut disks = (5..20).rev().map(journal_of);
    let disk = disks.find(|disk| size_of(disk) > 400).unwrap();
    let all = read(&disk).unwrap().0.len();
    let last = last_of(&disk);
    let size = disk.edit(&last, |bytes| {
        // The note that all is synced goes, and a few bytes of the last record.
        bytes.truncate(bytes.len() - 40 - 3);
        bytes.len() as u64
    });
    let (journal, found, recovered) = open(&disk, Durability::Always).unwrap();
    assert_eq!(found.len(), all - 1);
    let cut = recovered.cut.unwrap();
    assert_eq!(
        (cut.file.as_str(), cut.at + cut.bytes),
        (last.as_str(), size)
    );
    let text = cut.to_string();
    assert!(text.contains(&last) && text.contains("cut off"), "{text}");
    block_on(journal.wait(journal.append(b"more"))).unwrap();
    drop(journal);
    let (found, recovered) = read(&disk).unwrap();
    assert_eq!((found.len(), recovered.cut), (all, None));
    assert_eq!(found[all - 1], b"more");
}

#[test]
fn a_later_version_is_left_alone() {
    let disk = journal_of(3);
    let last = disk.names().pop().unwrap();
    later_version(&disk, &last, 3);
    let before = disk.edit(&last, |bytes| bytes.clone());
    let error = open(&disk, Durability::Always).unwrap_err();
    assert!(
        matches!(error, RecoverError::Newer { version: 3, .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.contains(&last) && text.contains("version 3"), "{text}");
    assert_eq!(disk.edit(&last, |bytes| bytes.clone()), before);
}

#[test]
fn an_effect_of_a_later_version_is_refused_by_its_place() {
    let disk = FakeDisk::default();
    let (journal, ..) = open(&disk, Durability::Always).unwrap();
    block_on(journal.wait(journal.append(&[99, 1, 2, 3]))).unwrap();
    drop(journal);
    let mut take = |record: &[u8]| Effects::of(record).try_for_each(|effect| effect.map(drop));
    let error = recover(&disk, &mut take).unwrap_err();
    assert!(
        matches!(error, RecoverError::Newer { version: 99, .. }),
        "{error}"
    );
    let mut damaged = |_: &[u8]| Err(Refused::Damaged);
    let error = recover(&disk, &mut damaged).unwrap_err();
    assert!(
        matches!(error, RecoverError::Damaged { at: 104, .. }),
        "{error}"
    );
}

/// Room that is made behind what is written is no torn end; what was written there and does not verify is.
#[test]
fn zeros_behind_the_last_record_are_no_end_that_was_torn() {
    let disk = FakeDisk::default();
    let config = JournalConfig::new(Arc::new(disk.clone()))
        .durability(Durability::Always)
        .segment_bytes(64 << 10);
    let (journal, _) = Journal::open(&config, Arc::new(SystemClock), &mut |_| Ok(())).unwrap();
    block_on(journal.wait(journal.append(&record(1)))).unwrap();
    let name = disk.names().pop().unwrap();
    let before = disk.copy();
    block_on(journal.wait(journal.append(&record(2)))).unwrap();
    let size = |disk: &FakeDisk| disk.edit(&name, |bytes| bytes.len());
    assert_eq!(
        size(&before),
        size(&disk),
        "the second is written over zeros"
    );
    let (found, recovered) = read(&before).unwrap();
    assert_eq!((found, recovered.cut), (vec![record(1)], None));
    let torn = before.copy();
    torn.edit(&name, |bytes| bytes[size(&before) - 9] = 1);
    let (found, recovered) = read(&torn).unwrap();
    assert_eq!(found, [record(1)]);
    let cut = recovered.cut.unwrap();
    assert_eq!(cut.at + cut.bytes, size(&before) as u64);
    let disk: Arc<dyn Disk> = Arc::new(before);
    let repaired = repair(&disk, 0, &mut |_| Ok(())).unwrap();
    assert_eq!((repaired.records, repaired.lost), (1, vec![]));
}

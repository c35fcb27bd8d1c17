//! A damaged journal, repaired: all that verifies is kept, in order, and the rest is told.

use std::sync::Arc;

use cloakroom_embedded::journal::{Disk, Durability, RecoverError, repair};

use super::disk::FakeDisk;
use super::{block_on, journal_of, later_version, open, read};

fn on(disk: &FakeDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

#[test]
fn one_flipped_bit_costs_one_record() {
    let whole = journal_of(30);
    let all = read(&whole).unwrap().0;
    let names = whole.names();
    let size = whole.edit(&names[1], |bytes| bytes.len());
    for place in (64..size).step_by(5) {
        let disk = whole.copy();
        disk.edit(&names[1], |bytes| bytes[place] ^= 0x10);
        assert!(read(&disk).unwrap_err().is_damage());
        let repaired = repair(&on(&disk), 0, &mut |_| Ok(())).unwrap();
        let (found, recovered) = read(&disk).unwrap();
        assert_eq!(
            (found.len() as u64, recovered.cut),
            (repaired.records, None)
        );
        // In a frame's head it costs none.
        assert!(
            found.len() >= all.len() - 1,
            "byte {place}: {}",
            found.len()
        );
        let mut rest = all.iter();
        for record in &found {
            assert!(
                rest.any(|known| known == record),
                "in order, and nothing else"
            );
        }
        let [(file, at, bytes)] = &repaired.lost[..] else {
            panic!("one place is lost: {:?}", repaired.lost);
        };
        assert!(*file == names[1] && (*at..at + bytes).contains(&(place as u64)));
        assert_eq!(repaired.aside.len(), names.len());
        // It goes on as any other.
        let (journal, ..) = open(&disk, Durability::Always).unwrap();
        block_on(journal.wait(journal.append(b"more"))).unwrap();
        drop(journal);
        assert_eq!(read(&disk).unwrap().0.len(), found.len() + 1);
    }
}

#[test]
fn a_missing_segment_and_a_lost_header_are_told() {
    let disk = journal_of(30);
    let names = disk.names();
    disk.remove(&names[2]).unwrap();
    disk.edit(&names[1], |bytes| bytes[5] ^= 1);
    let repaired = repair(&on(&disk), 0, &mut |_| Ok(())).unwrap();
    assert_eq!(repaired.missing, [names[2].as_str()]);
    assert_eq!(repaired.lost, [(names[1].clone(), 0, 64)]);
    let found = read(&disk).unwrap().0;
    assert!(found.len() > 20 && found.len() < 30, "{}", found.len());
}

#[test]
fn what_is_only_called_a_snapshot_costs_nothing() {
    let whole = journal_of(30);
    let all = read(&whole).unwrap().0;
    let disk = whole.copy();
    // The first time beside the journal alone, the second time beside a snapshot that is one.
    for name in ["0000000099.snapshot", "0000000199.snapshot"] {
        drop(disk.create(name).unwrap());
        assert!(read(&disk).unwrap_err().is_damage());
        let repaired = repair(&on(&disk), 0, &mut |_| Ok(())).unwrap();
        assert!(repaired.aside.contains(&format!("{name}.damaged")));
        assert_eq!(read(&disk).unwrap().0, all);
    }
}

#[test]
fn what_a_later_version_wrote_is_not_repaired() {
    let disk = journal_of(3);
    let name = disk.names().pop().unwrap();
    later_version(&disk, &name, 3);
    let error = repair(&on(&disk), 0, &mut |_| Ok(())).unwrap_err();
    assert!(
        matches!(error, RecoverError::Newer { version: 3, .. }),
        "{error}"
    );
    assert!(disk.names().contains(&name));
}

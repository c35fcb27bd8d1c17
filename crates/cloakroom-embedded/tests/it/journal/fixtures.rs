//! Journals of every version that there was are read; the present one is still written as it was.
//! If the bytes differ, what is written now is put into the target directory, to be compared.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::record::{Changes, Condition, Fields, Label};
use cloakroom_core::store::{Absence, Lookup, Store as _};
use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{Clock, Record, UnixMillis};
use cloakroom_embedded::journal::{
    Disk as _, Durability, Effect, Effects, Journal, JournalConfig, Step,
};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};

use super::block_on;
use super::disk::FakeDisk;
use crate::kit::{self, key, session, set, subject, tag_of};

fn fixtures(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The files of a fixture.
fn fixture(name: &str) -> FakeDisk {
    let dir = fs::read_dir(fixtures(name)).expect("the fixture is in the repository");
    let files: Vec<_> = dir
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), &**bytes))
        .collect();
    FakeDisk::with(&files)
}

/// Whether these are those bytes and no others: room that is made behind them is none of the format.
fn is_followed_by_zeros(bytes: &[u8], those: &[u8]) -> bool {
    let rest = bytes.strip_prefix(those);
    rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}

fn is_as_before(name: &str, disk: &FakeDisk) {
    let there = fixtures(name).is_dir().then(|| fixture(name));
    let same = there.is_some_and(|there| {
        there.names() == disk.segments()
            && there.names().iter().all(|name| {
                let there = there.edit(name, |bytes| bytes.clone());
                disk.edit(name, |bytes| is_followed_by_zeros(bytes, &there))
            })
    });
    if !same {
        let put = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&put).unwrap();
        for name in disk.names() {
            fs::write(put.join(&name), disk.edit(&name, |bytes| bytes.clone())).unwrap();
        }
        panic!(
            "the bytes are not those of the fixture; {} has them",
            put.display()
        );
    }
}

fn clock() -> ManualClock {
    let clock = ManualClock::new();
    clock.set(UnixMillis::new(1_800_000_000_000));
    clock
}

fn open(clock: &ManualClock, disk: &FakeDisk) -> EmbeddedStore {
    let journal = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::Always);
    kit::store(clock, EmbeddedConfig::new().shards(1).journal(journal))
}

/// A snapshot with sessions and ends, and a journal with a little of everything.
fn write_store(clock: &ManualClock) -> FakeDisk {
    let disk = FakeDisk::default();
    let store = open(clock, &disk);
    let owner = subject(1);
    let tag = tag_of(Some(&owner));
    for number in 0..4 {
        let mut new = session(number, Some(owner.clone()));
        new.label = Some(Label::new("Firefox on Linux"));
        new.fields = new.fields.changed(&set("cart", b"tea".to_vec())).unwrap().0;
        block_on(store.create(&key(tag, number), &new)).unwrap();
    }
    block_on(store.destroy(&key(tag, 0))).unwrap();
    assert!(store.rewrite().unwrap().is_some());
    clock.advance(Duration::from_secs(100));
    let mut changes = set("cart", b"coffee".to_vec());
    changes.increment("visits", 2).unwrap();
    block_on(store.apply(&key(tag, 1), &changes, &Condition::Always)).unwrap();
    block_on(store.touch(&[key(tag, 2)])).unwrap();
    block_on(store.destroy(&key(tag, 3))).unwrap();
    let rotation = cloakroom_core::record::Rotation {
        grace: Duration::from_secs(30),
        ..Default::default()
    };
    block_on(store.rotate(&key(tag, 2), &key(tag, 4), &rotation)).unwrap();
    drop(store);
    disk
}

#[test]
fn a_store_of_version_1_is_read() {
    let clock = clock();
    is_as_before("journal-1-store", &write_store(&clock));
    let store = open(&clock, &fixture("journal-1-store"));
    let tag = tag_of(Some(&subject(1)));
    let load = |number| block_on(store.load(&key(tag, number))).unwrap();
    for ended in [0, 3] {
        assert!(matches!(load(ended), Lookup::Absent(Absence::Ended)));
    }
    let Lookup::Found(found) = load(1) else {
        panic!("it is not there");
    };
    assert_eq!(found.record.version, 2);
    assert_eq!(found.record.label, Some(Label::new("Firefox on Linux")));
    assert_eq!(found.record.times.seen_at, clock.now());
    let visits = found.record.fields.get("visits").unwrap();
    assert_eq!(visits.as_integer("visits").unwrap(), 2);
    assert_eq!(found.record.fields.get("cart").unwrap().bytes, b"coffee");
    let Lookup::Found(found) = load(2) else {
        panic!("its key leads nowhere");
    };
    assert!(found.forwarded && found.record.subject == Some(subject(1)));
}

/// A segment in the file of an older one, whose bytes are still behind its own.
#[test]
fn a_segment_in_the_place_of_an_older_one_is_read() {
    let disk = FakeDisk::default();
    let records: Vec<_> = (0..7).map(super::record).collect();
    for (from, to) in [(0, 5), (5, 7)] {
        let config = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::Always);
        let config = config.segment_bytes(700);
        let (journal, _) = Journal::open(&config, Arc::new(clock()), &mut |_| Ok(())).unwrap();
        for record in &records[from..to] {
            block_on(journal.wait(journal.append(record))).unwrap();
        }
        drop(journal);
        if from == 0 {
            for name in disk.names() {
                disk.rename(&name, &(name.clone() + ".spare")).unwrap();
            }
        }
    }
    is_as_before("journal-2-reused", &disk);
    let (found, recovered) = super::read(&fixture("journal-2-reused")).unwrap();
    assert_eq!((&found[..], recovered.cut), (&records[5..], None));
}

/// One of each effect.
fn effects() -> Vec<Effect<'static>> {
    let (db, key, at) = (3, b"name".as_slice(), UnixMillis::new(1_800_000_000_000));
    let stored = kit::key(tag_of(None), 7);
    let record = Record::create(&session(7, None), at);
    let mut changes: Changes = set("set", b"value".to_vec());
    changes.remove("removed").unwrap();
    assert_eq!(record.fields, Fields::default());
    vec![
        Effect::Generation(5),
        Effect::Time(at),
        Effect::SessionPut {
            key: stored,
            generation: 5,
            record: Cow::Owned(record),
        },
        Effect::SessionFields {
            key: stored,
            version: 2,
            seen_at: at,
            changes: Cow::Owned(changes),
        },
        Effect::SessionSeen {
            key: stored,
            seen_at: at,
        },
        Effect::SessionEnd {
            key: stored,
            ended_at: at,
            forward: Some((kit::key(tag_of(None), 8), at)),
        },
        Effect::SessionRemove { key: stored },
        Effect::String {
            db,
            key,
            value: b"value",
            deadline: Some(at),
        },
        Effect::Deadline {
            db,
            key,
            deadline: None,
        },
        Effect::Remove { db, key },
        Effect::HashSet {
            db,
            key,
            field: b"field",
            value: b"value",
            deadline: Some(at),
        },
        Effect::HashRemove {
            db,
            key,
            field: b"field",
        },
        Effect::SetAdd {
            db,
            key: b"set",
            member: b"member",
        },
        Effect::SetRemove {
            db,
            key: b"set",
            member: b"member",
        },
        Effect::SortedAdd {
            db: 4,
            key: b"set",
            member: b"member",
            score: -1.5,
        },
        Effect::SortedRemove {
            db: 4,
            key: b"set",
            member: b"member",
        },
        Effect::Flush { db: Some(4) },
        Effect::Flush { db: None },
        Effect::Keyspaces([7; 16]),
        Effect::Tombstone { db, key, until: at },
    ]
}

/// What came later: programs that do not know it refuse it by its tag.
fn later_effects() -> Vec<Effect<'static>> {
    let (db, key) = (3, b"name".as_slice());
    let marked = |mark| Effect::Mark { db, key, mark };
    vec![
        Effect::String {
            db,
            key,
            value: b"value",
            deadline: None,
        },
        marked(b"\x01\0\x06\x05\x04\x03\x02\x01alice"),
        marked(b""),
    ]
}

/// And what came after that.
fn latest_effects() -> Vec<Effect<'static>> {
    let at = UnixMillis::new(0x0102_0304_0506);
    vec![Effect::Emptied {
        old: 3,
        new: 19,
        at,
    }]
}

#[test]
fn effects_of_version_1_are_read() {
    for (name, effects) in [
        ("journal-1-effects", effects()),
        ("journal-1-marks", later_effects()),
        ("journal-1-emptied", latest_effects()),
    ] {
        let disk = FakeDisk::default();
        let config = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::Always);
        let (journal, _) = Journal::open(&config, Arc::new(clock()), &mut |_| Ok(())).unwrap();
        let mut step = Step::new();
        effects.iter().for_each(|effect| step.push(effect));
        block_on(journal.wait(journal.append(step.as_bytes()))).unwrap();
        drop(journal);
        is_as_before(name, &disk);
        let (records, _) = super::read(&fixture(name)).unwrap();
        let read: Vec<_> = Effects::of(&records[0]).map(Result::unwrap).collect();
        assert_eq!(read, effects);
    }
}

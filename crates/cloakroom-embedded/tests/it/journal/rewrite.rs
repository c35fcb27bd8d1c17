//! Snapshots: taken while writes go on, cut by a crash at every moment, and what they leave behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cloakroom_core::StoredKey;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::Condition;
use cloakroom_core::store::{Lookup, Store as _};
use cloakroom_core::testkit::ManualClock;
use cloakroom_embedded::journal::{Durability, JournalConfig};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};

use super::block_on;
use super::disk::{FakeDisk, Fate, Platter};
use crate::kit::{self, session, set};

fn config(disk: &FakeDisk, durability: Durability) -> EmbeddedConfig {
    let journal = JournalConfig::new(Arc::new(disk.clone())).durability(durability);
    let journal = journal.segment_bytes(3_000).rewrite(0, 0);
    EmbeddedConfig::new().shards(4).journal(journal)
}

/// Keys in all shards.
fn key(number: u64) -> StoredKey {
    kit::key(SlotTag::new(number as u16).unwrap(), number)
}

/// What is in a store: the versions of the sessions, and the value that each carries.
fn content(store: &EmbeddedStore, keys: u64) -> BTreeMap<u64, (u64, usize)> {
    let found = (0..keys).map(|number| (number, block_on(store.load(&key(number))).unwrap()));
    let alive = found.filter_map(|(number, found)| match found {
        Lookup::Found(found) => {
            let value = found.record.fields.get("data");
            let size = value.map_or(0, |value| value.bytes.len());
            Some((number, (found.record.version, size)))
        }
        Lookup::Absent(_) => None,
    });
    alive.collect()
}

/// One step of a script that does a little of everything; the sizes make sessions move.
fn step(store: &EmbeddedStore, number: u64) {
    let key = key(number % 8);
    match number % 5 {
        0 | 1 => drop(block_on(store.create(&key, &session(number, None)))),
        4 if number.is_multiple_of(3) => drop(block_on(store.destroy(&key)).unwrap()),
        _ => {
            let changes = set("data", vec![1; (number as usize * 97) % 1_500]);
            drop(block_on(store.apply(&key, &changes, &Condition::Always)));
        }
    }
}

#[test]
fn a_crash_at_any_moment_of_a_rewrite_leaves_what_was_acknowledged() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = kit::store(&clock, config(&disk, Durability::Always));
    // What may be there from this length of the trace on: before or after the step.
    let mut states = vec![(0, content(&store, 8))];
    for number in 0..60 {
        let began = disk.trace().len();
        if number % 9 == 8 {
            assert!(store.rewrite().unwrap().is_some());
        } else {
            step(&store, number);
        }
        states.push((began, content(&store, 8)));
        states.push((disk.trace().len(), content(&store, 8)));
    }
    let trace = disk.trace();
    let base = FakeDisk::default();
    let mut cuts = 0;
    for crash in 0..=trace.len() {
        let now = states.iter().rposition(|(from, _)| *from <= crash).unwrap();
        let possible = &states[now.saturating_sub(1)..=now];
        let unsynced = Platter::after(&base, &trace[..crash], false).unsynced();
        for kept in 0..=unsynced.min(6) {
            let platter = Platter::after(&base, &trace[..crash], false);
            let left = platter.left(|n| [Fate::Lost, Fate::Kept][usize::from(n % 6 < kept)]);
            let again = kit::store(&clock, config(&left, Durability::Always));
            let found = content(&again, 8);
            let known = possible.iter().any(|(_, state)| *state == found);
            assert!(known, "cut after {crash} of {}: {found:?}", trace.len());
            cuts += 1;
        }
    }
    println!("{cuts} power cuts at {} points", trace.len() + 1);
    assert!(cuts > 500);
}

/// A walk sees a later step and not an earlier one, whose shard it has passed. If a crash loses the
/// unsynced end of the journal, the snapshot must not have the later one alone.
#[test]
fn a_snapshot_never_has_a_later_step_without_an_earlier_one() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = kit::store(&clock, config(&disk, Durability::No));
    // In the first shard, and so large that the walk writes before it goes on to the next.
    for number in [0, 4] {
        let mut new = session(number, None);
        for name in ["a", "b", "c"] {
            new.fields = new.fields.changed(&set(name, vec![1; 60_000])).unwrap().0;
        }
        block_on(store.create(&key(number), &new)).unwrap();
    }
    let (first, second) = (8, 11);
    let writer = store.clone();
    disk.meanwhile(move || {
        for number in [first, second] {
            block_on(writer.create(&key(number), &session(number, None))).unwrap();
        }
    });
    assert!(store.rewrite().unwrap().is_some());
    assert!(content(&store, 12).contains_key(&second), "it happened");
    let trace = disk.trace();
    for crash in 0..=trace.len() {
        let platter = Platter::after(&FakeDisk::default(), &trace[..crash], false);
        let left = platter.left(|_| Fate::Lost);
        let found = content(&kit::store(&clock, config(&left, Durability::No)), 12);
        let gap = found.contains_key(&second) && !found.contains_key(&first);
        assert!(!gap, "after {crash} of {} steps: {found:?}", trace.len());
    }
}

/// Two threads write, one rewrites; what is read back is what was there.
#[test]
fn a_rewrite_under_load_loses_and_invents_nothing() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = kit::store(&clock, config(&disk, Durability::No));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|half| {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..6_000_u64 {
                        let number = (round * 7 + round / 11) % 200 * 2 + half;
                        let changes = set("data", vec![1; (round as usize * 131) % 700]);
                        let key = key(number);
                        match round % 7 {
                            0 => drop(block_on(store.create(&key, &session(number, None)))),
                            6 if round % 5 == 0 => drop(block_on(store.destroy(&key)).unwrap()),
                            _ => drop(block_on(store.apply(&key, &changes, &Condition::Always))),
                        }
                    }
                })
            })
            .collect();
        let rewrites = scope.spawn(|| {
            let mut rewrites = 0;
            while !done.load(Ordering::Relaxed) {
                assert!(store.rewrite().unwrap().is_some());
                rewrites += 1;
            }
            rewrites
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(rewrites.join().unwrap() > 3);
    });
    let before = content(&store, 400);
    assert!(before.len() > 50);
    drop(store);
    let store = kit::store(&clock, config(&disk, Durability::No));
    assert_eq!(content(&store, 400), before);
}

#[test]
fn a_rewrite_leaves_only_what_counts() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = kit::store(&clock, config(&disk, Durability::Everysec));
    for number in 0..300 {
        step(&store, number);
    }
    assert!(disk.names().len() > 5, "{:?}", disk.names());
    let rewritten = store.rewrite().unwrap().unwrap();
    assert!(rewritten.records >= 1 && rewritten.bytes > 64);
    let names = disk.segments();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].ends_with(".journal") && names[1].ends_with(".snapshot"));
    assert_eq!(names[0].split('.').next(), names[1].split('.').next());
    // What a crash left of another is removed at the next start.
    drop(store);
    let unfinished = names[1].clone() + ".new";
    let left = disk.copy();
    cloakroom_embedded::journal::Disk::create(&left, &unfinished).unwrap();
    drop(kit::store(&clock, config(&left, Durability::Everysec)));
    assert!(!left.names().contains(&unfinished));
}

#[test]
fn a_rewrite_that_finds_no_room_leaves_all_as_it_was() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = kit::store(&clock, config(&disk, Durability::Always));
    for number in 0..100 {
        step(&store, number);
    }
    let before = content(&store, 8);
    assert!(!before.is_empty());
    for room in [0, 100, 300] {
        disk.leave_room(Some(room));
        let failed = thread::scope(|scope| {
            let failed = scope.spawn(|| store.rewrite());
            // The new segment waits for room; the snapshot does not.
            thread::sleep(Duration::from_millis(50));
            while !failed.is_finished() && disk.names().iter().all(|it| !it.ends_with(".new")) {
                disk.leave_room(Some(100));
                thread::sleep(Duration::from_millis(150));
            }
            failed.join().unwrap()
        });
        disk.leave_room(None);
        if let Err(error) = failed {
            assert!(error.is_retryable(), "{error}");
        }
        assert!(disk.names().iter().all(|name| !name.ends_with(".new")));
    }
    drop(store);
    let store = kit::store(&clock, config(&disk, Durability::Always));
    assert_eq!(content(&store, 8), before);
}

/// Garbage makes a rewrite by itself.
#[test]
fn a_journal_of_mostly_garbage_is_rewritten() {
    let disk = FakeDisk::default();
    let journal = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::No);
    let journal = journal.segment_bytes(4_000).rewrite(100, 20_000);
    let store = EmbeddedStore::new(EmbeddedConfig::new().shards(4).journal(journal)).unwrap();
    block_on(store.create(&key(1), &session(1, None))).unwrap();
    let mut version = 1;
    while disk.names().iter().all(|name| !name.ends_with(".snapshot")) {
        let changes = set("data", vec![1; 500]);
        block_on(store.apply(&key(1), &changes, &Condition::Always)).unwrap();
        version += 1;
        thread::sleep(Duration::from_millis(1));
    }
    drop(store);
    let journal = JournalConfig::new(Arc::new(disk));
    let store = EmbeddedStore::new(EmbeddedConfig::new().shards(4).journal(journal)).unwrap();
    assert_eq!(content(&store, 2)[&1], (version, 500));
}

/// A start makes tables of keys as large as the first part of a snapshot lets it expect: all is there then, and takes
/// what it took, also where there are sessions beside the keys.
#[test]
fn a_start_from_a_snapshot_brings_all_back_into_as_much_memory() {
    const MANY: u64 = 8_000;
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let open = || kit::store(&clock, config(&disk, Durability::No));
    let name = |number: u64| format!("key:{number}").into_bytes();
    let bytes = |store: &EmbeddedStore| store.engine().stats().bytes;
    for sessions in [0, MANY / 2, 10] {
        let store = open();
        store.engine().with_all(|tx| tx.flush(None));
        for number in 0..MANY {
            let written = store.engine().with_key(0, &name(number), |tx| {
                tx.set_string(0, &name(number), &[b'v'; 40], None)
            });
            written.unwrap();
        }
        for number in 0..sessions {
            let _ = block_on(store.create(&key(number), &session(number, None)));
        }
        store.rewrite().unwrap();
        store.close();
        let (kept, before) = (content(&store, sessions), bytes(&store));
        drop(store);
        let store = open();
        assert_eq!(content(&store, sessions), kept);
        let engine = store.engine();
        assert_eq!(engine.len(0) as u64, MANY);
        assert!((0..MANY).all(|number| {
            engine.with_key(0, &name(number), |tx| {
                tx.string(0, &name(number)).unwrap() == Some(&[b'v'; 40])
            })
        }));
        let after = bytes(&store);
        assert!(
            after < before + before / 10,
            "{after} bytes, {before} before"
        );
    }
}

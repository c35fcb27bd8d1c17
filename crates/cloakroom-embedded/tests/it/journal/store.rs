//! The store on a journal: what is acknowledged when, and what a crash or a sick disk does to it.
//! That a restart brings everything back is in `model`.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::Condition;
use cloakroom_core::store::{Absence, Lookup, Store as _};
use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{ErrorKind, StoredKey};
use cloakroom_embedded::journal::{Durability, JournalConfig, JournalState};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore, Eviction};

use super::block_on;
use super::disk::{FakeDisk, Fate, Platter};
use crate::kit::{self, key, login, session, set, subject, tag_of};

fn open(clock: &ManualClock, disk: &FakeDisk, durability: Durability) -> EmbeddedStore {
    let journal = JournalConfig::new(Arc::new(disk.clone())).durability(durability);
    kit::store(clock, EmbeddedConfig::new().shards(4).journal(journal))
}

fn is_alive(store: &EmbeddedStore, key: &StoredKey) -> bool {
    matches!(block_on(store.load(key)).unwrap(), Lookup::Found(_))
}

/// In the mode that syncs nothing by itself, an end is on the disk when it is acknowledged.
#[test]
fn no_crash_undoes_an_end() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = open(&clock, &disk, Durability::No);
    let owner = subject(1);
    let tag = tag_of(Some(&owner));
    let keys: Vec<_> = (0..6).map(|number| key(tag, number)).collect();
    for (number, key) in (0..).zip(&keys[..4]) {
        let new = session(number, Some(owner.clone()));
        block_on(store.create(key, &new)).unwrap();
    }
    let anonymous = key(tag_of(None), 9);
    block_on(store.create(&anonymous, &session(9, None))).unwrap();
    let mut ended = Vec::new();
    let mut moments = Vec::new();
    let mut ends = |keys: &[StoredKey]| {
        ended.extend_from_slice(keys);
        moments.push((disk.trace().len(), ended.clone()));
    };
    assert!(block_on(store.destroy(&keys[0])).unwrap());
    ends(&keys[..1]);
    assert!(block_on(store.revoke(&owner, &kit::handle(1))).unwrap());
    ends(&keys[1..2]);
    let rotation = login(owner.clone());
    block_on(store.rotate(&anonymous, &keys[4], &rotation)).unwrap();
    ends(&[anonymous]);
    block_on(store.revoke_subject(&owner, Some(&kit::handle(3)))).unwrap();
    ends(&[keys[2], keys[4]]);
    let mut only = session(6, Some(owner.clone()));
    only.max_sessions = Some(MaxSessions {
        limit: 1,
        on_excess: OnExcess::RevokeOldest,
    });
    let the_only = key(tag, 6);
    block_on(store.create(&the_only, &only)).unwrap();
    ends(&keys[3..4]);
    block_on(store.revoke_all()).unwrap();
    ends(&[the_only]);
    block_on(store.create(&keys[5], &session(5, Some(owner.clone())))).unwrap();
    let trace = disk.trace();
    let base = FakeDisk::default();
    for (number, (from, ended)) in moments.iter().enumerate() {
        let to = moments.get(number + 1).map_or(trace.len(), |next| next.0);
        for crash in *from..=to {
            for fate in [Fate::Lost, Fate::Kept] {
                let left = Platter::after(&base, &trace[..crash], false).left(|_| fate);
                let store = open(&clock, &left, Durability::No);
                let back = ended.iter().filter(|key| is_alive(&store, key)).count();
                assert_eq!(back, 0, "after {crash} steps, {fate:?}");
            }
        }
    }
}

#[test]
fn a_sick_disk_refuses_writes_and_reads_go_on() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = open(&clock, &disk, Durability::Everysec);
    let keys: Vec<_> = (0..4).map(|number| key(tag_of(None), number)).collect();
    block_on(store.create(&keys[0], &session(0, None))).unwrap();
    block_on(store.create(&keys[1], &session(1, None))).unwrap();
    disk.fail_syncs(true);
    // It ends here and now, and nobody says that this is safe from a crash.
    let error = block_on(store.destroy(&keys[1])).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::StoreUnavailable);
    assert!(!is_alive(&store, &keys[1]));
    let journal = store.journal().unwrap();
    assert_eq!(journal.state(), JournalState::Broken);
    assert!(is_alive(&store, &keys[0]));
    let error = block_on(store.create(&keys[2], &session(2, None))).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::StoreUnavailable);
    let changes = set("a", vec![1]);
    let applied = block_on(store.apply(&keys[0], &changes, &Condition::Always));
    assert!(applied.is_err());
    assert!(is_alive(&store, &keys[0]) && !is_alive(&store, &keys[2]));
}

#[test]
fn a_full_disk_is_a_full_store_until_there_is_room() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = open(&clock, &disk, Durability::Always);
    let tag = tag_of(None);
    block_on(store.create(&key(tag, 0), &session(0, None))).unwrap();
    disk.leave_room(Some(50));
    let error = block_on(store.create(&key(tag, 1), &session(1, None))).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::StoreFull);
    assert!(error.is_retryable());
    let error = block_on(store.create(&key(tag, 2), &session(2, None))).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::StoreFull);
    assert!(is_alive(&store, &key(tag, 0)));
    disk.leave_room(None);
    let mut again = Err(error);
    while again.is_err() {
        again = block_on(store.create(&key(tag, 3), &session(3, None)));
    }
    drop(store);
    let store = open(&clock, &disk, Durability::Always);
    assert!(is_alive(&store, &key(tag, 0)) && is_alive(&store, &key(tag, 3)));
    assert!(!is_alive(&store, &key(tag, 2)));
}

#[test]
fn what_is_over_stays_over_when_the_clock_is_put_back() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = open(&clock, &disk, Durability::Always);
    let gone = key(tag_of(None), 1);
    block_on(store.create(&gone, &session(1, None))).unwrap();
    clock.advance(Duration::from_secs(601));
    assert!(!is_alive(&store, &gone));
    drop(store);
    clock.set(cloakroom_core::UnixMillis::new(
        cloakroom_core::Clock::now(&clock).as_millis() - 500_000,
    ));
    let store = open(&clock, &disk, Durability::Always);
    assert!(!is_alive(&store, &gone));
}

#[test]
fn activity_is_noted_when_it_moves_the_end_and_not_each_time() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = open(&clock, &disk, Durability::Everysec);
    let visitor = key(tag_of(None), 1);
    block_on(store.create(&visitor, &session(1, None))).unwrap();
    let journal = store.journal().unwrap();
    let before = journal.appended();
    // 600 s of idle limit: noted at most once a minute.
    for _ in 0..300 {
        clock.advance(Duration::from_secs(2));
        assert_eq!(block_on(store.touch(&[visitor])).unwrap(), 1);
    }
    let noted = journal.appended() - before;
    assert!((9..=11).contains(&noted), "{noted} records");
    drop(store);
    // The end is nearer by less than the minute.
    clock.advance(Duration::from_secs(600 - 60));
    let store = open(&clock, &disk, Durability::Everysec);
    assert!(is_alive(&store, &visitor));
}

#[test]
fn what_was_evicted_does_not_come_back() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let config = |disk: &FakeDisk| {
        EmbeddedConfig::new()
            .shards(1)
            .max_memory(Some(1 << 20))
            .eviction(Eviction::AllkeysLru)
            .journal(JournalConfig::new(Arc::new(disk.clone())).durability(Durability::No))
    };
    let store = kit::store(&clock, config(&disk));
    let keys: Vec<_> = (0..4_000).map(|number| key(tag_of(None), number)).collect();
    for (number, key) in (0..).zip(&keys) {
        let mut new = session(number, None);
        new.fields = new.fields.changed(&set("data", vec![7; 400])).unwrap().0;
        block_on(store.create(key, &new)).unwrap();
    }
    let alive = |store: &EmbeddedStore| -> Vec<_> {
        let alive = keys.iter().filter(|key| is_alive(store, key));
        alive.copied().collect()
    };
    let before = alive(&store);
    assert!(before.len() < keys.len() && before.len() > 1_000);
    drop(store);
    let kept = config(&disk).eviction(Eviction::NoEviction);
    let after = alive(&kit::store(&clock, kept));
    assert!(after == before, "{} and {}", after.len(), before.len());
    // The memory may have filled in another way; then a few more go.
    let after = alive(&kit::store(&clock, config(&disk)));
    assert!(after.iter().all(|key| before.contains(key)));
    assert!(after.len() + 100 > before.len(), "{}", after.len());
}

#[test]
fn a_journal_that_is_larger_than_the_memory_is_read_all_the_same() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = open(&clock, &disk, Durability::No);
    let new = |number| {
        let mut new = session(number, None);
        new.fields = new.fields.changed(&set("data", vec![7; 900])).unwrap().0;
        new
    };
    for number in 0..2_000 {
        block_on(store.create(&key(tag_of(None), number), &new(number))).unwrap();
    }
    drop(store);
    let config = |disk: &FakeDisk| {
        let journal = JournalConfig::new(Arc::new(disk.clone()));
        EmbeddedConfig::new()
            .max_memory(Some(1 << 20))
            .journal(journal)
    };
    let next = key(tag_of(None), 5_000);
    // What was acknowledged is there; nothing new is taken until there is room.
    let store = kit::store(&clock, config(&disk.copy()));
    assert_eq!(block_on(store.stats()).unwrap().sessions, 2_000);
    let error = block_on(store.create(&next, &new(5_000))).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::StoreFull);
    // Or some are evicted, and the journal says so.
    let evicting = config(&disk).eviction(Eviction::VolatileLru);
    let store = kit::store(&clock, evicting);
    let stats = block_on(store.stats()).unwrap();
    assert!(stats.bytes <= 1 << 20 && stats.sessions > 400, "{stats:?}");
    drop(store);
    let store = kit::store(&clock, config(&disk));
    assert_eq!(block_on(store.stats()).unwrap().sessions, stats.sessions);
}

/// A forward and the memory of an end are there after a restart, for as long as before.
#[test]
fn late_requests_are_told_the_same_after_a_restart() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let store = open(&clock, &disk, Durability::Everysec);
    let tag = tag_of(None);
    let (ended, moved, there) = (key(tag, 1), key(tag, 2), key(tag, 3));
    block_on(store.create(&ended, &session(1, None))).unwrap();
    block_on(store.create(&moved, &session(2, None))).unwrap();
    block_on(store.destroy(&ended)).unwrap();
    let rotation = cloakroom_core::record::Rotation {
        grace: Duration::from_secs(30),
        ..Default::default()
    };
    block_on(store.rotate(&moved, &there, &rotation)).unwrap();
    drop(store);
    clock.advance(Duration::from_secs(29));
    let store = open(&clock, &disk, Durability::Everysec);
    let absence = |key| match block_on(store.load(key)).unwrap() {
        Lookup::Absent(absence) => Some(absence),
        Lookup::Found(_) => None,
    };
    assert_eq!(
        (absence(&moved), absence(&ended)),
        (None, Some(Absence::Ended))
    );
    clock.advance(Duration::from_secs(2));
    assert_eq!(absence(&moved), Some(Absence::Ended));
    clock.advance(Duration::from_secs(120));
    assert_eq!(absence(&ended), Some(Absence::Unknown));
}

/// What a step writes into a keyspace that it has emptied is there after a restart, and nothing else.
#[test]
fn what_is_written_where_all_was_removed_is_what_comes_back() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let open = || {
        let journal = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::No);
        kit::store(&clock, EmbeddedConfig::new().shards(1).journal(journal)).engine()
    };
    let engine = open();
    engine.with_all(|tx| tx.set_string(0, b"old", b"v", None).unwrap());
    engine.with_all(|tx| {
        tx.flush(Some(0));
        tx.set_string(0, b"new", b"v", None).unwrap();
    });
    engine.with_all(|tx| {
        tx.swap(0, 1);
        tx.set_string(0, b"swapped", b"v", None).unwrap();
    });
    let kinds = |engine: &cloakroom_embedded::Engine| {
        engine.with_all(|tx| {
            [(0, &b"old"[..]), (1, b"old"), (1, b"new"), (0, b"swapped")]
                .map(|(db, key)| tx.kind(db, key).is_some())
        })
    };
    let before = kinds(&engine);
    assert_eq!(before, [false, false, true, true]);
    drop(engine);
    assert_eq!(kinds(&open()), before);
}

/// Several keyspaces are emptied and change places in one step: each has the number of its last one after a restart.
#[test]
fn what_is_written_after_several_were_emptied_is_what_comes_back() {
    for whole in [false, true] {
        let clock = ManualClock::new();
        let disk = FakeDisk::default();
        let engine = open(&clock, &disk, Durability::No).engine();
        let set = |tx: &mut cloakroom_embedded::Tx<'_>, value: &[u8]| {
            for db in 0..4 {
                tx.set_string(db, b"key", value, None).unwrap();
            }
        };
        engine.with_all(|tx| set(tx, b"old"));
        engine.with_all(|tx| match whole {
            true => tx.flush(None),
            false => {
                tx.flush(Some(0));
                set(tx, b"older");
                tx.swap(0, 2);
                tx.flush(Some(2));
                tx.flush(Some(0));
                tx.swap(1, 3);
            }
        });
        engine.with_key(1, b"key", |tx| {
            tx.set_string(1, b"key", b"new", None).unwrap();
        });
        engine.with_key(2, b"key", |tx| {
            tx.set_string(2, b"key", b"new", None).unwrap();
        });
        let held = |engine: &cloakroom_embedded::Engine| {
            [0, 1, 2, 3].map(|db| {
                engine.with_key(db, b"key", |tx| {
                    tx.string(db, b"key").unwrap().map(<[u8]>::to_vec)
                })
            })
        };
        let before = held(&engine);
        drop(engine);
        assert_eq!(
            held(&open(&clock, &disk, Durability::No).engine()),
            before,
            "{whole}"
        );
    }
}

/// A collection that comes after one that expired has nothing of it, also on the way back, where nothing expires.
#[test]
fn what_expired_is_not_in_what_came_after_it() {
    let clock = ManualClock::new();
    let disk = FakeDisk::default();
    let engine = open(&clock, &disk, Durability::No).engine();
    let key = b"key";
    engine.with_key(0, key, |tx| {
        tx.hash_set(0, key, b"old", b"v").unwrap();
        tx.set_deadline(
            0,
            key,
            Some(tx.now().saturating_add(Duration::from_secs(1))),
        );
    });
    clock.advance(Duration::from_secs(2));
    engine.with_key(0, key, |tx| tx.hash_set(0, key, b"new", b"v").unwrap());
    drop(engine);
    let engine = open(&clock, &disk, Durability::No).engine();
    let fields = [&b"old"[..], b"new"];
    let there = engine.with_key(0, key, |tx| {
        fields.map(|field| tx.hash_get(0, key, field).unwrap().is_some())
    });
    assert_eq!(there, [false, true]);
}

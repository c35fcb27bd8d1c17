//! Emptying a keyspace takes no time, and to the sessions in it it is as if all had ended by their deadlines: swept or
//! not, over a restart, over a snapshot, over another emptying.

use cloakroom_embedded::journal::{Durability, JournalConfig};

use super::*;
use crate::journal::disk::FakeDisk;

const EXPIRED: &[u8] = b"sess:IIIIIIIIIIIIIIIIIIIIIIIIIIIIIIII";
const LEFT: &[u8] = b"sess:JJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJ";
const LARAVEL_GUEST: &[u8] = b"s:0:\"\";";

fn on(disk: &FakeDisk, clock: &ManualClock) -> Front {
    let journal = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::No);
    let journal = journal.rewrite(0, 0);
    let front = front_on(
        ForeignConfig::default(),
        EmbeddedConfig::new().journal(journal),
        clock.clone(),
    );
    front.foreign.reindex(&front.engine);
    front
}

/// One that lives, one that has expired and was not looked at, one that was left by its visitor.
fn fill(front: &Front) {
    front
        .set(EXPIRED, ALICE, Some(Duration::from_secs(10)))
        .unwrap();
    front.setex(SID, ALICE);
    front.setex(LARAVEL, LARAVEL_GUEST);
    front.hset(SPRING, b"creationTime", b"x");
    front.setex(LEFT, ALICE);
    front.setex(PHP, b"user_id|i:42;");
    front.set(b"cache:page", b"x", None).unwrap();
    front.del(LEFT);
    front.pass(Duration::from_secs(20));
}

/// Late writes of all of them; only what may come back does.
fn late(front: &Front) {
    for key in [SID, EXPIRED, LEFT] {
        front.setex(key, ALICE);
        assert_eq!(front.get(key), None, "{}", String::from_utf8_lossy(key));
    }
    front.hset(SPRING, b"lastAccessedTime", b"x");
    assert_eq!(front.hget(SPRING, b"lastAccessedTime"), None);
    // Where ids are adopted a guest may come back, as after an expiry.
    front.setex(LARAVEL, LARAVEL_GUEST);
    assert!(front.get(LARAVEL).is_some());
    for key in [PHP, b"cache:page"] {
        front.setex(key, b"user_id|i:7;");
        assert!(front.get(key).is_some());
    }
    assert_eq!((front.of("alice").len(), front.of("42").len()), (0, 0));
}

#[test]
fn nothing_comes_back_whether_it_was_swept_or_not() {
    for (flush, sweeps) in [
        (Some(0), false),
        (Some(0), true),
        (None, false),
        (None, true),
    ] {
        let front = front();
        fill(&front);
        front.flush(flush);
        assert!(front.engine.is_empty(0));
        // What was there, and had no end that was told before.
        let heard = front.heard.0.lock().unwrap().clone();
        assert!(heard.contains(&Event::Revoked(5)), "{heard:?}");
        if sweeps {
            front.engine.store().sweep();
        }
        late(&front);
        front.engine.store().sweep();
        late(&front);
    }
}

#[test]
fn each_is_remembered_for_as_long_as_if_it_had_ended_then() {
    for sweeps in [false, true] {
        let front = front();
        fill(&front);
        front.flush(Some(0));
        if sweeps {
            front.engine.store().sweep();
        }
        // It expired 10 s before, and was left 20 s before.
        front.pass(tombstone() - Duration::from_secs(15));
        front.setex(LEFT, ALICE);
        assert!(front.get(LEFT).is_some());
        front.setex(EXPIRED, ALICE);
        assert_eq!(front.get(EXPIRED), None);
        front.pass(Duration::from_secs(10));
        front.setex(EXPIRED, ALICE);
        assert!(front.get(EXPIRED).is_some());
        front.setex(SID, ALICE);
        assert_eq!(front.get(SID), None);
        front.pass(Duration::from_secs(10));
        front.setex(SID, ALICE);
        assert!(front.get(SID).is_some());
        front.pass(DAY);
        for _ in 0..3 {
            front.engine.store().sweep();
        }
        front.pass(DAY);
        front.engine.store().sweep();
        assert_eq!(
            (front.engine.len(0), front.engine.len(16)),
            (0, 0),
            "and not for longer"
        );
    }
}

#[test]
fn it_holds_over_a_restart_a_snapshot_and_another_emptying() {
    for case in 0..32 {
        let has = |bit: u32| case & 1 << bit != 0;
        let (disk, clock) = (FakeDisk::default(), ManualClock::new());
        let front = on(&disk, &clock);
        fill(&front);
        let rewrite = |front: &Front| assert!(front.engine.store().rewrite().unwrap().is_some());
        if has(0) {
            rewrite(&front);
        }
        front.flush(Some(0));
        if has(1) {
            front.engine.store().sweep();
        }
        if has(2) {
            // What is in the keyspace now goes, too, and it gets a third number.
            front.setex(OTHER, BOB);
            front.flush(None);
            front.setex(OTHER, BOB);
            assert_eq!(front.get(OTHER), None);
        }
        if has(3) {
            rewrite(&front);
        }
        drop(front);
        let front = on(&disk, &clock);
        if has(4) {
            front.engine.store().sweep();
        }
        late(&front);
        drop(front);
        // And what came since is there.
        let front = on(&disk, &clock);
        assert!(front.get(b"cache:page").is_some(), "{case}");
        assert!(front.get(LARAVEL).is_some(), "{case}");
    }
}

#[test]
fn a_keyspace_that_changes_places_takes_along_what_it_remembers() {
    let front = front();
    fill(&front);
    front.flush(Some(0));
    front.engine.with_all(|tx| tx.swap(0, 1));
    let late = |db: Db| {
        front.engine.with_key(db, SID, |tx| {
            let set = |tx: &mut cloakroom_embedded::Tx<'_>| tx.set_string(db, SID, ALICE, None);
            let written = Written::Value(ALICE);
            front.foreign.write(tx, db, SID, written, (), set).unwrap();
            tx.kind(db, SID).is_some()
        })
    };
    assert_eq!((late(1), late(0)), (false, true));
    front.engine.store().sweep();
    assert_eq!((late(1), late(0)), (false, true));
}

//! What is known of a session beside its value stays with it: whatever is written, over a restart, over a
//! snapshot; and what is left when it goes does so, too.

use cloakroom_core::layout::Layouts;
use cloakroom_embedded::journal::{Durability, JournalConfig};
use cloakroom_embedded::{SealKeys, TakenUp};

use super::*;
use crate::journal::disk::FakeDisk;

fn on(disk: &FakeDisk, clock: &ManualClock) -> Front {
    on_with(ForeignConfig::default(), disk, clock)
}

fn on_with(config: ForeignConfig, disk: &FakeDisk, clock: &ManualClock) -> Front {
    let journal = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::No);
    front_on(
        config,
        EmbeddedConfig::new().journal(journal.rewrite(0, 0)),
        clock.clone(),
    )
}

/// A subject's sessions as somebody sees them who asks.
fn seen(front: &Front) -> Vec<(UnixMillis, Duration, Option<String>)> {
    let of = front.of("alice").into_iter();
    let seen = of.map(|info| {
        let subject = info.subject.map(|it| it.as_str().to_owned());
        (info.times.created_at, info.remaining, subject)
    });
    seen.collect()
}

#[test]
fn a_restart_knows_what_was_known() {
    let expired = b"sess:IIIIIIIIIIIIIIIIIIIIIIIIIIIIIIII";
    for rewrites in [false, true] {
        let (disk, clock) = (FakeDisk::default(), ManualClock::new());
        let front = on(&disk, &clock);
        front.setex(SID, GUEST);
        front.set(expired, ALICE, Some(HOUR / 2)).unwrap();
        front.pass(HOUR / 4);
        front.setex(SID, ALICE);
        front.setex(OTHER, ALICE);
        front.hset(SPRING, b"creationTime", b"x");
        front.pass(HOUR / 4);
        assert!(front.del(OTHER));
        assert!(front.rename(SPRING, SPRING_NEW));
        // Longer than any line of the cache, and back.
        front.setex(
            SID,
            &[
                br#"{"passport":{"user":"alice"},"#,
                &[b' '; 3_000][..],
                b"\"x\":1}",
            ]
            .concat(),
        );
        if rewrites {
            assert!(front.engine.store().rewrite().unwrap().is_some());
        }
        front.setex(SID, ALICE);
        let before = seen(&front);
        assert_eq!(before.len(), 1);
        assert_eq!(front.now().since(before[0].0), HOUR / 2);
        drop(front);

        let front = on(&disk, &clock);
        front.foreign.reindex(&front.engine);
        assert_eq!(seen(&front), before);
        assert_eq!(front.with_subject(), 1);
        // What was ended, moved, and what has expired unseen.
        for key in [OTHER, &expired[..]] {
            front.setex(key, ALICE);
            assert_eq!(front.get(key), None);
        }
        front.hset(SPRING, b"lastAccessedTime", b"x");
        assert_eq!(front.hget(SPRING, b"lastAccessedTime"), None);
        front.expire(SPRING_NEW, Some(20 * DAY));
        assert_eq!(front.ttl(SPRING_NEW), Some(14 * DAY - HOUR / 4));
        front.pass(tombstone());
        front.setex(OTHER, ALICE);
        assert_eq!(front.get(OTHER).as_deref(), Some(ALICE));
    }
}

#[test]
fn what_expired_while_nobody_looked_is_remembered_for_as_long() {
    let front = front();
    let (db, store) = (16, front.engine.store());
    for key in [SID, OTHER] {
        front.setex(key, ALICE);
    }
    // By the sweep, and by whoever looks.
    front.pass(HOUR);
    assert_eq!(front.get(SID), None);
    store.sweep();
    assert_eq!(front.engine.len(db), 2);
    front.pass(tombstone() / 2);
    // A logout that comes later is remembered from then on.
    front.del(SID);
    front.pass(tombstone() / 2);
    store.sweep();
    assert_eq!(front.engine.len(db), 1);
    front.setex(OTHER, ALICE);
    assert!(front.get(OTHER).is_some());
    front.setex(SID, ALICE);
    assert_eq!(front.get(SID), None);
    // So is an expiry after one, which says no less.
    front.setex(LARAVEL, b"s:0:\"\";");
    front.pass(HOUR);
    front.setex(LARAVEL, b"s:0:\"\";");
    front
        .set(LARAVEL, b"s:0:\"\";", Some(Duration::from_secs(100)))
        .unwrap();
    front.pass(Duration::from_secs(100));
    assert_eq!(front.get(LARAVEL), None);
    front.pass(tombstone() - Duration::from_secs(1));
    front.hset(LARAVEL, b"x", b"y");
    assert_eq!(front.ttl(LARAVEL), None);
    // Of what is emptied nothing is left.
    front.setex(OTHER, ALICE);
    front.engine.flush(None);
    front.pass(HOUR);
    store.sweep();
    assert_eq!(front.engine.len(db), 0);
}

#[test]
fn a_session_keeps_what_is_known_whatever_is_written() {
    let front = front();
    let mut random = 1_u64;
    let mut below = |most: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % most
    };
    front.setex(SID, ALICE);
    front.hset(SPRING, PRINCIPAL, NAME);
    let first = front.now();
    let mut fields = 0;
    for round in 0..2_000 {
        front.pass(Duration::from_millis(100));
        let pad = "x".repeat(below(2_600) as usize);
        let value = format!(r#"{{"passport":{{"user":"alice"}},"pad":"{pad}"}}"#);
        let life = Duration::from_secs(1_000 + below(1_000_000));
        match below(6) {
            0..3 => front.set(SID, value.as_bytes(), Some(life)).unwrap(),
            3 => assert!(front.expire(SID, Some(life))),
            4 => drop(front.expire(SPRING, Some(life))),
            _ => {
                let name = format!("sessionAttr:{}", below(300));
                front.hset(SPRING, name.as_bytes(), &pad.as_bytes()[..pad.len() / 20]);
                fields += 1;
            }
        }
        let known = front.of("alice");
        assert_eq!(known.len(), 2, "round {round}");
        for info in known {
            assert_eq!(info.times.created_at, first, "round {round}");
        }
    }
    assert!(fields > 200, "the hash has become large");
    assert_eq!(front.with_subject(), 2);
    assert_eq!(front.hget(SPRING, PRINCIPAL).as_deref(), Some(NAME));
    let value = front.get(SID).unwrap();
    assert!(value.starts_with(br#"{"passport""#) && value.ends_with(b"\"}"));
    // Nothing is left over of either.
    assert!(front.del(SID) && front.del(SPRING));
    assert_eq!(front.with_subject(), 0);
}

#[test]
fn what_earlier_versions_kept_is_brought_in() {
    let (disk, clock) = (FakeDisk::default(), ManualClock::new());
    let front = on(&disk, &clock);
    let first = front.now();
    let head = |state: u8, subject: &str| {
        let millis = first.as_millis().to_le_bytes();
        [&[1, state][..], &millis[..6], subject.as_bytes()].concat()
    };
    front.engine.with_key(0, SID, |tx| {
        let deadline = Some(tx.now().saturating_add(HOUR));
        tx.set_string(0, SID, ALICE, deadline).unwrap();
        tx.set_string(16, SID, &head(0, "alice"), deadline).unwrap();
    });
    front.engine.with_key(0, OTHER, |tx| {
        let deadline = Some(tx.now().saturating_add(tombstone()));
        tx.set_string(16, OTHER, &head(1, ""), deadline).unwrap();
    });
    front.pass(HOUR / 60);
    drop(front);
    let front = on(&disk, &clock);
    front.foreign.reindex(&front.engine);
    let listed = front.of("alice");
    assert_eq!((listed.len(), listed[0].times.created_at), (1, first));
    let beside = front.engine.with_key(0, SID, |tx| tx.kind(16, SID));
    assert_eq!(beside, None);
    front.setex(OTHER, ALICE);
    assert_eq!(front.get(OTHER), None, "it ended before the restart");
}

/// A start that hashes names and seals values: all that was known of a session is known by its new name.
#[test]
fn what_is_known_goes_along_to_another_name() {
    let (disk, clock) = (FakeDisk::default(), ManualClock::new());
    let front = on(&disk, &clock);
    front.setex(SID, ALICE);
    front.pass(HOUR / 4);
    front.hset(SPRING, PRINCIPAL, NAME);
    front.setex(OTHER, ALICE);
    front.pass(HOUR / 4);
    assert!(front.del(OTHER));
    let before = seen(&front);
    assert_eq!(before.len(), 2);
    drop(front);

    let layouts = Layouts::standard().at_rest(true, true);
    let kept = layouts.kept_as(OTHER).unwrap();
    let keys = SealKeys::parse(&"07".repeat(32)).unwrap();
    let config = ForeignConfig::default();
    let config = config.layouts(layouts).seal_keys(Some(keys));
    let front = on_with(config, &disk, &clock);
    assert_eq!(front.foreign.reindex(&front.engine).rewritten, 2);
    assert_eq!(seen(&front), before);
    assert_eq!((front.engine.len(0), front.with_subject()), (2, 2));
    // There is nothing to be done a second time.
    let again = front.foreign.reindex(&front.engine);
    assert_eq!(again, TakenUp::default());
    // What was ended stays so, by the name that it would have.
    front.setex(&kept, ALICE);
    assert_eq!(front.get(&kept), None);
    let alice = Subject::new("alice").unwrap();
    let ended = front.foreign.revoke_subject(&front.engine, &alice, None);
    assert_eq!((ended, seen(&front).len()), (2, 0));
}

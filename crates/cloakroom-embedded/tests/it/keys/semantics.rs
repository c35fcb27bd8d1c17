//! What Redis says each kind does, said again as steps.

use std::ops::Bound;
use std::time::Duration;

use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{Clock as _, UnixMillis};
use cloakroom_embedded::{EmbeddedConfig, Engine, KeyError, Kind, LexRange, ScoreRange};

use crate::kit;

fn open(clock: &ManualClock) -> Engine {
    kit::store(clock, EmbeddedConfig::new()).engine()
}

fn secs(clock: &ManualClock, secs: u64) -> Option<UnixMillis> {
    Some(clock.now().saturating_add(Duration::from_secs(secs)))
}

#[test]
fn strings_keep_or_lose_their_deadline_as_they_are_written() {
    let clock = ManualClock::new();
    let engine = open(&clock);
    engine.with_key(3, b"k", |tx| {
        tx.set_string(3, b"k", b"one", secs(&clock, 10)).unwrap();
        assert_eq!(tx.string(0, b"k"), Ok(None), "another keyspace");
        assert_eq!(tx.deadline(3, b"k"), Some(secs(&clock, 10)));
        tx.update_string(3, b"k", b"two").unwrap();
        assert_eq!(tx.deadline(3, b"k"), Some(secs(&clock, 10)));
        assert_eq!(tx.write_string(3, b"k", 5, b"!"), Ok(6));
        assert_eq!(tx.string(3, b"k"), Ok(Some(&b"two\0\0!"[..])));
        tx.set_string(3, b"k", b"three", None).unwrap();
        assert_eq!(tx.deadline(3, b"k"), Some(None));
        assert!(tx.set_deadline(3, b"k", secs(&clock, 1)));
        assert_eq!(tx.hash_get(3, b"k", b"f"), Err(KeyError::WrongType));
    });
    clock.advance(Duration::from_millis(999));
    assert_eq!(
        engine.with_key(3, b"k", |tx| tx.kind(3, b"k")),
        Some(Kind::String)
    );
    clock.advance(Duration::from_millis(1));
    assert_eq!(engine.with_key(3, b"k", |tx| tx.kind(3, b"k")), None);
    assert_eq!(engine.len(3), 0);
}

#[test]
fn a_deadline_that_has_passed_removes() {
    let clock = ManualClock::new();
    let engine = open(&clock);
    engine.with_key(0, b"k", |tx| {
        tx.set_string(0, b"k", b"v", None).unwrap();
        assert!(tx.set_deadline(0, b"k", Some(clock.now())));
        assert_eq!(tx.kind(0, b"k"), None);
        assert!(!tx.set_deadline(0, b"k", None));
        tx.set_string(0, b"k", b"v", Some(clock.now())).unwrap();
        assert_eq!(tx.kind(0, b"k"), None);
    });
}

#[test]
fn fields_have_deadlines_of_their_own() {
    let clock = ManualClock::new();
    let engine = open(&clock);
    let get = |field: &[u8]| {
        engine.with_key(0, b"h", |tx| {
            tx.hash_get(0, b"h", field).map(|it| it.map(<[u8]>::to_vec))
        })
    };
    engine.with_key(0, b"h", |tx| {
        assert_eq!(tx.hash_set(0, b"h", b"a", b"1"), Ok(true));
        assert_eq!(tx.hash_set(0, b"h", b"b", b"2"), Ok(true));
        assert_eq!(tx.hash_set(0, b"h", b"a", b"3"), Ok(false));
        let soon = secs(&clock, 5);
        assert_eq!(tx.hash_set_field_deadline(0, b"h", b"a", soon), Ok(true));
        assert_eq!(tx.hash_set_field_deadline(0, b"h", b"z", soon), Ok(false));
        assert_eq!(tx.hash_update(0, b"h", b"a", b"4"), Ok(false));
        assert_eq!(tx.hash_field_deadline(0, b"h", b"a"), Ok(Some(soon)));
        assert_eq!(tx.hash_field_deadline(0, b"h", b"b"), Ok(Some(None)));
    });
    clock.advance(Duration::from_secs(5));
    assert_eq!(get(b"a"), Ok(None));
    assert_eq!(get(b"b"), Ok(Some(b"2".to_vec())));
    engine.with_key(0, b"h", |tx| {
        let soon = secs(&clock, 5);
        assert_eq!(tx.hash_set_field_deadline(0, b"h", b"b", soon), Ok(true));
        assert_eq!(tx.hash_set(0, b"h", b"b", b"5"), Ok(false), "clears it");
        assert_eq!(tx.hash_field_deadline(0, b"h", b"b"), Ok(Some(None)));
        assert_eq!(tx.hash_set_field_deadline(0, b"h", b"b", soon), Ok(true));
    });
    clock.advance(Duration::from_secs(5));
    assert_eq!(engine.with_key(0, b"h", |tx| tx.kind(0, b"h")), None);
}

#[test]
fn what_becomes_empty_is_gone() {
    let clock = ManualClock::new();
    let engine = open(&clock);
    engine.with_all(|tx| {
        tx.hash_set(0, b"h", b"f", b"v").unwrap();
        tx.set_add(0, b"s", b"m").unwrap();
        tx.sorted_put(0, b"z", b"m", 1.0).unwrap();
        assert_eq!(tx.hash_remove(0, b"h", b"f"), Ok(true));
        assert_eq!(tx.set_remove(0, b"s", b"m"), Ok(true));
        assert_eq!(tx.sorted_remove(0, b"z", b"m"), Ok(true));
        for key in [b"h", b"s", b"z"] {
            assert_eq!(tx.kind(0, key), None);
            assert_eq!(tx.hash_remove(0, key, b"f"), Ok(false));
        }
    });
    assert!(engine.is_empty(0));
}

#[test]
fn sorted_sets_rank_by_score_then_by_bytes() {
    let clock = ManualClock::new();
    let engine = open(&clock);
    let key = b"board";
    engine.with_key(0, key, |tx| {
        for (member, score) in [("b", 2.0), ("a", 2.0), ("c", -1.5), ("d", f64::INFINITY)] {
            assert_eq!(tx.sorted_put(0, key, member.as_bytes(), score), Ok(None));
        }
        assert_eq!(tx.sorted_put(0, key, b"d", 1e3), Ok(Some(f64::INFINITY)));
        let mut list = |ranks: std::ops::Range<usize>, reverse| {
            let mut found = String::new();
            let mut each = |member: &[u8], _| found.push_str(str::from_utf8(member).unwrap());
            tx.sorted_range(0, key, ranks, reverse, &mut each).unwrap();
            found
        };
        assert_eq!(list(0..9, false), "cabd");
        assert_eq!(list(1..3, true), "ba");
        assert_eq!(tx.sorted_rank(0, key, b"b"), Ok(Some(2)));
        let by_score = |min, max| ScoreRange { min, max };
        for (range, ranks) in [
            (by_score(Bound::Included(2.0), Bound::Unbounded), 1..4),
            (by_score(Bound::Excluded(2.0), Bound::Unbounded), 3..4),
            (by_score(Bound::Unbounded, Bound::Excluded(2.0)), 0..1),
            (by_score(Bound::Included(5.0), Bound::Included(1.0)), 3..3),
        ] {
            assert_eq!(tx.sorted_ranks_by_score(0, key, range), Ok(ranks));
        }
        assert_eq!(tx.sorted_remove_range(0, key, 0..1), Ok(1));
        tx.sorted_remove(0, key, b"d").unwrap();
        let range = LexRange {
            min: Bound::Excluded(&b"a"[..]),
            max: Bound::Included(&b"b"[..]),
        };
        assert_eq!(tx.sorted_ranks_by_lex(0, key, range), Ok(1..2));
    });
}

#[test]
fn rename_takes_the_deadline_along_and_replaces() {
    let clock = ManualClock::new();
    let engine = open(&clock);
    let (from, to) = ((1, &b"from"[..]), (2, &b"to"[..]));
    engine.with_keys(&[from, to], |tx| {
        tx.set_string(1, b"from", b"v", secs(&clock, 9)).unwrap();
        tx.set_add(2, b"to", b"m").unwrap();
        assert_eq!(tx.copy(from, to), Ok(true));
        assert_eq!(tx.kind(2, b"to"), Some(Kind::String));
        assert_eq!(tx.rename(from, to), Ok(true));
        assert_eq!(tx.rename(from, to), Ok(false));
        assert_eq!(tx.rename(to, to), Ok(true));
        assert_eq!(tx.string(2, b"to"), Ok(Some(&b"v"[..])));
        assert_eq!(tx.deadline(2, b"to"), Some(secs(&clock, 9)));
    });
}

#[test]
fn a_scan_sees_every_key_and_ends() {
    let clock = ManualClock::new();
    let engine = open(&clock);
    for number in 0..2_000_u32 {
        let key = number.to_le_bytes();
        engine.with_key(5, &key, |tx| tx.set_string(5, &key, b"v", None).unwrap());
    }
    let (mut cursor, mut seen, mut pages) = (0, std::collections::BTreeSet::new(), 0);
    loop {
        cursor = engine.scan(5, cursor, 100, &mut |key, kind| {
            assert_eq!(kind, Kind::String);
            seen.insert(key.to_vec());
        });
        pages += 1;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 2_000);
    assert!((20..=40).contains(&pages), "{pages}");
    assert!(seen.contains(&*engine.random_key(5).unwrap()));
    assert!(engine.random_key(4).is_none());
    engine.with_all(|tx| tx.swap(5, 4));
    assert_eq!((engine.len(5), engine.len(4)), (0, 2_000));
    engine.flush(Some(4));
    assert_eq!(engine.len(4), 0);
}

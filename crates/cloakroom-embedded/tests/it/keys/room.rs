//! Keys at the limit of memory, which they share with the sessions, and what they are counted as.

use std::time::Duration;

use cloakroom_core::record::Condition;
use cloakroom_core::testkit::{ManualClock, SeededEntropy};
use cloakroom_core::{Clock as _, Store as _, UnixMillis};
use cloakroom_embedded::{EmbeddedConfig, Engine, Eviction, KeyError, Tx};

use crate::kit::{self, now};

const LIMIT: u64 = 2 << 20;

fn full(clock: &ManualClock, eviction: Eviction) -> Engine {
    let config = EmbeddedConfig::new()
        .max_memory(Some(LIMIT))
        .eviction(eviction);
    kit::store(clock, config).engine()
}

fn later(clock: &ManualClock, secs: u64) -> Option<UnixMillis> {
    Some(clock.now().saturating_add(Duration::from_secs(secs)))
}

fn set(engine: &Engine, number: u32, deadline: Option<UnixMillis>) -> Result<(), KeyError> {
    let key = number.to_be_bytes();
    let set = engine.with_key(0, &key, |tx| tx.set_string(0, &key, &[7; 400], deadline));
    let stats = engine.stats();
    assert!(stats.bytes <= LIMIT, "{stats:?}");
    set
}

fn is_there(engine: &Engine, number: u32) -> bool {
    let key = number.to_be_bytes();
    engine.with_key(0, &key, |tx| tx.kind(0, &key)).is_some()
}

#[test]
fn without_eviction_what_grows_is_refused_and_all_else_goes_on() {
    let clock = ManualClock::new();
    let engine = full(&clock, Eviction::NoEviction);
    let fit = (0..).find(|number| set(&engine, *number, None).is_err());
    let fit = fit.unwrap();
    assert!(fit > 3_000, "{fit} keys of 400 bytes in 2 MiB");
    let key = 0_u32.to_be_bytes();
    engine.with_key(0, &key, |tx| {
        assert_eq!(
            tx.set_string(0, &key, &[1; 60_000], None),
            Err(KeyError::Full)
        );
        assert_eq!(tx.string(0, &key).unwrap().map(<[u8]>::len), Some(400));
        tx.set_string(0, &key, &[1; 400], None).unwrap();
        tx.set_string(0, &key, &[1; 10], None).unwrap();
        assert!(tx.set_deadline(0, &key, later(&clock, 1)), "never refused");
    });
    let many = b"many";
    let refused = (0..100_000_u32).find(|number| {
        let added = engine.with_key(0, many, |tx| tx.set_add(0, many, &number.to_be_bytes()));
        added == Err(KeyError::Full)
    });
    assert!(refused.is_some(), "a large collection counts");
    assert!((0..fit).all(|number| is_there(&engine, number)));
    assert_eq!(engine.stats().evicted, 0);
    engine.flush(None);
    assert!(set(&engine, 0, None).is_ok(), "what was flushed makes room");
}

#[test]
fn volatile_policies_see_only_what_ends() {
    for eviction in [Eviction::VolatileLru, Eviction::VolatileTtl] {
        let clock = ManualClock::new();
        let engine = full(&clock, eviction);
        for number in 0..1_000 {
            set(&engine, number, None).unwrap();
        }
        for number in 1_000..9_000 {
            set(&engine, number, later(&clock, 100)).unwrap();
        }
        assert!(
            (0..1_000).all(|number| is_there(&engine, number)),
            "{eviction:?}"
        );
        assert!(engine.stats().evicted > 2_000);
        assert!(is_there(&engine, 8_999));
        let refused = (9_000..20_000).find(|number| set(&engine, *number, None).is_err());
        assert!(refused.is_some(), "{eviction:?}");
        assert_eq!(
            engine.keyspace(0).expires,
            0,
            "all that ends has left first"
        );
    }
}

#[test]
fn keys_and_sessions_compete_in_one_budget() {
    let clock = ManualClock::new();
    let engine = full(&clock, Eviction::AllkeysLru);
    let store = engine.store();
    for number in 0..2_000 {
        let tag = cloakroom_core::id::SlotTag::new((number % 4_096) as u16).unwrap();
        let key = kit::key(tag, number);
        now(store.create(&key, &kit::session(number, None))).unwrap();
    }
    for number in 0..10_000 {
        set(&engine, number, None).unwrap();
        assert!(is_there(&engine, number), "the one that is written stays");
    }
    let stats = engine.stats();
    assert!(
        stats.sessions < 2_000 && engine.len(0) < 10_000,
        "{stats:?}"
    );
    let left = stats.sessions + engine.len(0) as u64;
    assert_eq!(left + stats.evicted, 12_000);
}

/// So many bytes at most, and mostly far fewer.
fn bytes<'a>(luck: &SeededEntropy, from: &'a [u8], most: usize) -> &'a [u8] {
    let shift = luck.below(most.ilog2() as usize);
    &from[..luck.below(most >> shift)]
}

fn empty(tx: &mut Tx<'_>, db: u8, other: u8, luck: &SeededEntropy) {
    match luck.below(20) {
        0 => tx.flush((db < 12).then_some(db)),
        1..10 => tx.swap(db, other),
        _ => drop(tx.remove(db, b"kk")),
    }
}

/// Writes something somewhere, or moves, removes, empties.
fn step(engine: &Engine, luck: &SeededEntropy, filler: &[u8]) {
    let (db, other) = (luck.below(16) as u8, luck.below(16) as u8);
    let key = [b'k', luck.below(250) as u8];
    let member = (luck.below(3_000) as u32).to_be_bytes();
    let kind = luck.below(100);
    if kind < 10 {
        let subject = (kind < 6).then(|| kit::subject(luck.below(40) as u64));
        let key = kit::key(kit::tag_of(subject.as_ref()), luck.below(600) as u64);
        let _ = now(engine.store().create(&key, &kit::session(1, subject)));
        let changes = kit::set("field", bytes(luck, filler, 2_000).to_vec());
        let _ = now(engine.store().apply(&key, &changes, &Condition::Always));
    }
    engine.with_all(|tx| {
        let _ = match kind {
            0..40 => tx.set_string(db, &key, bytes(luck, filler, 4_000), None),
            40..60 => tx.set_add(1, &key[..1], &member).map(drop),
            60..70 => tx
                .set_add(db, &key[..2], bytes(luck, filler, 200))
                .map(drop),
            70..85 => tx
                .hash_set(2, &key[..1], &member, bytes(luck, filler, 500))
                .map(drop),
            85..92 => tx
                .sorted_put(3, &key[..1], &member, member[3].into())
                .map(drop),
            92..94 => tx.rename((db, &key), (other, &key[..2])).map(drop),
            94..96 => tx.copy((db, &key), (other, &key[1..])).map(drop),
            96..98 => tx.set_remove(1, &key[..1], &member).map(drop),
            98 => tx.update_string(db, &key, bytes(luck, filler, 4_000)),
            _ => {
                empty(tx, db, other, luck);
                Ok(())
            }
        };
    });
}

#[test]
fn no_write_takes_more_than_there_may_be() {
    let clock = ManualClock::new();
    let filler = vec![9; 4_096];
    for eviction in [Eviction::NoEviction, Eviction::AllkeysLru] {
        for seed in 0..8 {
            let engine = full(&clock, eviction);
            let luck = SeededEntropy::new(seed);
            for number in 0..12_000 {
                step(&engine, &luck, &filler);
                let bytes = engine.stats().bytes;
                assert!(
                    bytes <= LIMIT,
                    "{bytes} at step {number} of seed {seed}, {eviction:?}"
                );
            }
            let bytes = engine.stats().bytes;
            assert!(bytes > LIMIT / 2, "{bytes}: the limit was not in reach");
        }
    }
}

#[test]
fn all_that_is_taken_is_given_back() {
    let clock = ManualClock::new();
    let engine = kit::store(&clock, EmbeddedConfig::new()).engine();
    let empty = engine.stats().bytes;
    for round in 0..2 {
        for number in 0..20_000_u32 {
            let (member, field) = (number.to_be_bytes(), &number.to_le_bytes());
            engine.with_all(|tx| {
                tx.set_string(1, &member, &[1; 100], later(&clock, 5))
                    .unwrap();
                tx.set_add(2, b"set", &member).unwrap();
                tx.sorted_put(3, b"sorted", &member, f64::from(number % 50))
                    .unwrap();
                tx.hash_set(4, b"hash", field, &member).unwrap();
                let soon = later(&clock, u64::from(number % 7) + 1);
                tx.hash_set_field_deadline(4, b"hash", field, soon).unwrap();
            });
        }
        let bytes = engine.with_all(|tx| {
            [(2, &b"set"[..]), (3, b"sorted"), (4, b"hash")]
                .map(|(db, key)| tx.bytes_of(db, key).unwrap())
        });
        assert!(bytes.iter().all(|bytes| *bytes > 20_000 * 12), "{bytes:?}");
        assert!(engine.stats().bytes > empty + bytes.iter().sum::<usize>() as u64);
        clock.advance(Duration::from_secs(9));
        if round == 0 {
            engine.with_all(|tx| {
                assert!(tx.remove(2, b"set"));
                assert_eq!(
                    tx.sorted_remove_range(3, b"sorted", 0..usize::MAX),
                    Ok(20_000)
                );
            });
        } else {
            engine.flush(None);
        }
        engine.store().sweep();
        for db in 0..16 {
            assert_eq!(engine.keyspace(db), Default::default(), "keyspace {db}");
        }
        let left = engine.stats().bytes - empty;
        assert!(left < 200_000, "{left} bytes after round {round}");
    }
}

//! Floods, and observers that fall over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_core::Store;
use cloakroom_core::id::SlotTag;
use cloakroom_core::observe::{Event, Observer};
use cloakroom_core::record::Rotation;
use cloakroom_core::store::{Absence, Lookup, Rotated};
use cloakroom_core::testkit::ManualClock;
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore, Eviction};

use crate::kit::{self, now};

const LIMIT: u64 = 2 << 20;

fn key(number: u64) -> cloakroom_core::StoredKey {
    kit::key(SlotTag::new((number % 4_096) as u16).unwrap(), number)
}

fn bytes(store: &EmbeddedStore) -> u64 {
    now(store.stats()).unwrap().bytes
}

#[test]
fn endings_do_not_take_more_memory_than_there_is() {
    for eviction in [Eviction::NoEviction, Eviction::VolatileLru] {
        let config = EmbeddedConfig::new()
            .max_memory(Some(LIMIT))
            .eviction(eviction);
        let store = kit::store(&ManualClock::new(), config);
        now(store.create(&key(0), &kit::session(0, None))).unwrap();
        let rotation = Rotation {
            grace: Duration::from_secs(60),
            ..Rotation::default()
        };
        for number in 0..40_000 {
            let rotated = now(store.rotate(&key(number), &key(number + 1), &rotation));
            assert!(matches!(rotated, Ok(Rotated::Done(_))), "{rotated:?}");
            assert!(bytes(&store) <= LIMIT, "{} at {number}", bytes(&store));
        }
        let lately = now(store.load(&key(39_999))).unwrap();
        assert!(matches!(lately, Lookup::Found(found) if found.forwarded));
        // A flood of sessions neither takes the room of what ended nor is kept out by it.
        let mut number = 50_000;
        while number < 80_000
            && now(store.create(&key(number), &kit::session(number, None))).is_ok()
        {
            number += 1;
            assert!(bytes(&store) <= LIMIT, "{} at {number}", bytes(&store));
        }
        assert!(number > 56_000, "{} sessions", number - 50_000);
        assert!(now(store.destroy(&key(number - 1))).unwrap());
        let ended = now(store.load(&key(number - 1))).unwrap();
        assert_eq!(ended, Lookup::Absent(Absence::Ended));
        assert!(bytes(&store) <= LIMIT);
    }
}

#[test]
fn one_subject_with_all_the_memory_keeps_nobody_else_out() {
    for eviction in [
        Eviction::VolatileLru,
        Eviction::VolatileTtl,
        Eviction::AllkeysLru,
    ] {
        let config = EmbeddedConfig::new()
            .max_memory(Some(8 << 20))
            .shards(8)
            .eviction(eviction);
        let store = kit::store(&ManualClock::new(), config);
        let robot = kit::subject(1);
        for number in 0..60_000 {
            let key = kit::key(SlotTag::of_subject(&robot), number);
            now(store.create(&key, &kit::session(number, Some(robot.clone())))).unwrap();
        }
        let others = 100_000..104_000;
        for number in others.clone() {
            now(store.create(&key(number), &kit::session(number, None))).unwrap();
            assert!(bytes(&store) <= 8 << 20);
        }
        let alive = others
            .filter(|number| matches!(now(store.load(&key(*number))), Ok(Lookup::Found(_))))
            .count();
        assert!(alive > 3_400, "{alive} with {eviction:?}");
    }
}

/// Falls over the first thing that it hears.
#[derive(Debug, Default)]
struct Fragile(AtomicBool);

impl Observer for Fragile {
    fn observe(&self, _: &Event) {
        assert!(self.0.swap(true, Ordering::SeqCst), "the first");
    }
}

#[test]
fn an_observer_that_panics_does_not_end_the_sweeping() {
    let clock = ManualClock::new();
    let observer = Arc::new(Fragile::default());
    let config = EmbeddedConfig::new()
        .clock(Arc::new(clock.clone()))
        .observer(Arc::clone(&observer) as _);
    let store = EmbeddedStore::new(config).unwrap();
    for number in 0..2 {
        now(store.create(&key(number), &kit::session(number, None))).unwrap();
        clock.advance(Duration::from_secs(3_700));
        // Without a thread that sweeps, this would wait for ever.
        while now(store.stats()).unwrap().sessions > 0 || !observer.0.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }
}

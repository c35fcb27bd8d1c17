//! At the limit of memory: nobody, the unused, or those that end soonest make room.

use std::time::Duration;

use cloakroom_core::record::Condition;
use cloakroom_core::store::{Absence, Applied, Lookup, Rotated};
use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{ErrorKind, Store, StoredKey};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore, Eviction};

use crate::kit::{self, now};

const LIMIT: u64 = 2 << 20;

fn full(clock: &ManualClock, eviction: Eviction) -> EmbeddedStore {
    let config = EmbeddedConfig::new()
        .max_memory(Some(LIMIT))
        .eviction(eviction);
    kit::store(clock, config)
}

fn key(number: u64) -> StoredKey {
    let tag = cloakroom_core::id::SlotTag::new((number % 4_096) as u16).unwrap();
    kit::key(tag, number)
}

fn create(store: &EmbeddedStore, number: u64) -> Result<(), ErrorKind> {
    let mut new = kit::session(number, None);
    let changes = kit::set("data", vec![7; 300]);
    new.fields = new.fields.changed(&changes).unwrap().0;
    let created = now(store.create(&key(number), &new));
    let stats = now(store.stats()).unwrap();
    assert!(stats.bytes <= LIMIT, "{stats:?}");
    created.map(drop).map_err(|error| error.kind().clone())
}

fn is_there(store: &EmbeddedStore, number: u64) -> bool {
    matches!(now(store.load(&key(number))), Ok(Lookup::Found(_)))
}

#[test]
fn without_eviction_a_full_store_refuses_what_grows_and_keeps_the_rest() {
    let store = full(&ManualClock::new(), Eviction::NoEviction);
    let fit = (0..)
        .find(|number| create(&store, *number).is_err())
        .unwrap();
    assert!(fit > 3_000, "{fit} sessions of 400 bytes in 2 MiB");
    assert_eq!(create(&store, fit), Err(ErrorKind::StoreFull));
    let grow = now(store.apply(
        &key(0),
        &kit::set("more", vec![1; 9_000]),
        &Condition::Always,
    ));
    assert_eq!(*grow.unwrap_err().kind(), ErrorKind::StoreFull);
    let same = now(store.apply(&key(0), &kit::set("data", vec![8; 300]), &Condition::Always));
    assert!(matches!(same, Ok(Applied::Done { version: 2, .. })));
    let shrink = now(store.apply(&key(0), &kit::set("data", vec![8; 3]), &Condition::Always));
    assert!(matches!(shrink, Ok(Applied::Done { version: 3, .. })));
    assert!((0..fit).all(|number| is_there(&store, number)));
    assert!(now(store.destroy(&key(1))).unwrap());
    assert_eq!(now(store.stats()).unwrap().evicted, 0);
}

#[test]
fn who_was_used_stays_and_who_was_not_leaves() {
    let store = full(&ManualClock::new(), Eviction::VolatileLru);
    for number in 0..20_000 {
        create(&store, number).unwrap();
        for used in 0..50 {
            assert!(
                is_there(&store, used.min(number)),
                "{used} was evicted at {number}"
            );
        }
    }
    let stats = now(store.stats()).unwrap();
    assert_eq!(stats.sessions + stats.evicted, 20_000);
    assert!(stats.sessions > 3_000, "{stats:?}");
}

#[test]
fn those_that_end_soonest_leave_first() {
    let clock = ManualClock::new();
    let store = full(&clock, Eviction::VolatileTtl);
    for number in 0..2_000 {
        create(&store, number).unwrap();
    }
    clock.advance(Duration::from_secs(300));
    let touched: Vec<_> = (0..100).map(key).collect();
    assert_eq!(now(store.touch(&touched)).unwrap(), 100);
    let mut number = 2_000;
    while now(store.stats()).unwrap().evicted < 500 {
        create(&store, number).unwrap();
        number += 1;
    }
    assert!((0..100).all(|touched| is_there(&store, touched)));
    assert!((2_000..number).all(|young| is_there(&store, young)));
}

#[test]
fn what_is_being_written_and_what_has_ended_is_never_evicted() {
    let clock = ManualClock::new();
    let store = full(&clock, Eviction::AllkeysLru);
    create(&store, 0).unwrap();
    create(&store, 4_096).unwrap();
    assert!(now(store.destroy(&key(4_096))).unwrap());
    for number in 1..4_000 {
        create(&store, number).unwrap();
    }
    let present = (0..4_000).find(|number| is_there(&store, *number)).unwrap();
    let changes = kit::set("large", vec![1; 60_000]);
    let applied = now(store.apply(&key(present), &changes, &Condition::Always));
    assert!(matches!(applied, Ok(Applied::Done { .. })), "{applied:?}");
    let new = key(present + 4_096 * 2);
    let rotation = cloakroom_core::record::Rotation {
        changes: kit::set("larger", vec![1; 64_000]),
        ..Default::default()
    };
    let rotated = now(store.rotate(&key(present), &new, &rotation));
    assert!(matches!(rotated, Ok(Rotated::Done(_))), "{rotated:?}");
    for ended in [4_096, present] {
        let found = now(store.load(&key(ended))).unwrap();
        assert_eq!(found, Lookup::Absent(Absence::Ended));
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    for (config, setting) in [
        (EmbeddedConfig::new().shards(3), "shards"),
        (EmbeddedConfig::new().shards(8_192), "shards"),
        (EmbeddedConfig::new().max_memory(Some(1_000)), "max_memory"),
    ] {
        let error = EmbeddedStore::new(config).unwrap_err();
        let ErrorKind::InvalidSetting { setting: named, .. } = error.kind() else {
            panic!("{error}");
        };
        assert_eq!(*named, setting);
    }
}

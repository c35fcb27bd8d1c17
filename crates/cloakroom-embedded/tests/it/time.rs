//! What time does: expiry is told once and for good, memory goes back, the sweeping thread ends
//! with its store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloakroom_core::store::{Absence, Lookup};
use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{Clock, ErrorKind, Event, Observer, Store, UnixMillis, limits};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore, SystemClock, Tx};

use crate::kit::{self, now};

#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Observer for Counter {
    fn observe(&self, event: &Event) {
        if matches!(event, Event::Expired(_)) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn an_expiry_that_was_seen_is_final_whatever_the_clock_does() {
    let (clock, counter) = (ManualClock::new(), Arc::new(Counter::default()));
    let observer = Arc::clone(&counter) as Arc<dyn Observer>;
    let store = kit::store(&clock, EmbeddedConfig::new().observer(observer));
    let key = kit::key(kit::tag_of(None), 1);
    now(store.create(&key, &kit::session(1, None))).unwrap();
    clock.set(ManualClock::START.saturating_add(Duration::from_millis(599_999)));
    assert!(matches!(now(store.load(&key)), Ok(Lookup::Found(_))));
    clock.set(ManualClock::START.saturating_add(Duration::from_millis(600_000)));
    let gone = Lookup::Absent(Absence::Unknown);
    assert_eq!(now(store.load(&key)).unwrap(), gone);
    clock.set(ManualClock::START);
    assert_eq!(now(store.load(&key)).unwrap(), gone);
    assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    assert_eq!(now(store.stats()).unwrap().expired, 1);
}

#[test]
fn sweeping_gives_back_what_a_million_bytes_of_sessions_took() {
    let clock = ManualClock::new();
    let store = kit::store(&clock, EmbeddedConfig::new());
    let empty = now(store.stats()).unwrap().bytes;
    for round in 0..3 {
        for number in 0..10_000 {
            let who = kit::subject(number % 1_000);
            let key = kit::key(kit::tag_of(Some(&who)), round * 10_000 + number);
            now(store.create(&key, &kit::session(number, Some(who)))).unwrap();
        }
        match round {
            0 => clock.advance(Duration::from_secs(601)),
            1 => now(store.revoke_all()).unwrap(),
            _ => {
                for who in 0..1_000 {
                    assert_eq!(
                        now(store.revoke_subject(&kit::subject(who), None)).unwrap(),
                        10
                    );
                }
                clock.advance(limits::TOMBSTONE);
            }
        }
        store.sweep();
        let stats = now(store.stats()).unwrap();
        assert_eq!(stats.sessions, 0, "round {round}");
        assert!(
            stats.bytes < empty + 600_000,
            "round {round}: {stats:?}, {empty} empty"
        );
    }
}

/// Sessions that come and go for hours, swept as often as the store's thread does: what is over and not yet given back
/// is less than a hundredth of what is held, whether it came as a session or as a key, and was kept alive or not.
#[test]
fn of_what_is_held_in_the_long_run_less_than_a_hundredth_is_over() {
    const HOURS: u64 = 2;
    let clock = ManualClock::new();
    let store = kit::store(&clock, EmbeddedConfig::new());
    let engine = store.engine();
    let deadline = |secs| clock.now().saturating_add(Duration::from_secs(secs));
    let alive = |ends: &[UnixMillis]| ends.iter().filter(|end| **end > clock.now()).count();
    let (mut sessions, mut keys) = (Vec::new(), Vec::<UnixMillis>::new());
    for second in 0..HOURS * 3_600 {
        // Five minutes to an hour, in no order: many that end at once are another test.
        let life = 300 + ((second * 2_654_435_761) >> 11) % 3_300;
        let mut new = kit::session(second, None);
        new.lifetimes = kit::lifetimes(life, 7_200);
        now(store.create(&kit::key(kit::tag_of(None), second), &new)).unwrap();
        sessions.push(deadline(life));
        let key = second.to_be_bytes();
        let set = |tx: &mut Tx<'_>| tx.set_string(0, &key, &[7; 400], Some(deadline(life)));
        engine.with_key(0, &key, set).unwrap();
        keys.push(deadline(life));
        if let Some(used) = second.checked_sub(250) {
            let key = used.to_be_bytes();
            let end = deadline(1_800);
            assert!(engine.with_key(0, &key, |tx| tx.set_deadline(0, &key, Some(end))));
            keys[usize::try_from(used).unwrap()] = end;
        }
        for _ in 0..4 {
            clock.advance(Duration::from_millis(250));
            store.sweep();
        }
        if second >= 3_600 && second % 7 == 0 {
            let held = now(store.stats()).unwrap().sessions;
            let alive_sessions = alive(&sessions) as u64;
            assert!(held >= alive_sessions && alive_sessions > 1_500);
            assert!(
                (held - alive_sessions) * 100 <= held,
                "{held}, {alive_sessions} alive"
            );
            let (held, alive) = (engine.len(0), alive(&keys));
            assert!(held >= alive && alive > 1_500);
            assert!((held - alive) * 100 <= held, "{held} keys, {alive} alive");
        }
    }
}

#[test]
fn a_session_that_is_used_is_not_swept() {
    let clock = ManualClock::new();
    let store = kit::store(&clock, EmbeddedConfig::new());
    let key = kit::key(kit::tag_of(None), 1);
    now(store.create(&key, &kit::session(1, None))).unwrap();
    for _ in 0..7 {
        clock.advance(Duration::from_secs(500));
        store.sweep();
        assert_eq!(now(store.touch(&[key])).unwrap(), 1);
    }
    clock.advance(Duration::from_secs(100)); // the absolute limit
    assert_eq!(now(store.touch(&[key])).unwrap(), 0);
}

#[test]
fn a_touch_of_too_many_names_the_limit() {
    let store = EmbeddedStore::default();
    let keys = vec![kit::key(kit::tag_of(None), 1); limits::TOUCH_BATCH + 1];
    let error = now(store.touch(&keys)).unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Limit {
            limit: limits::TOUCH_BATCH,
            ..
        }
    ));
}

/// A clock that tells when the last who holds it is gone.
#[derive(Debug)]
struct HeldClock(#[expect(dead_code, reason = "held for its drop")] std::sync::mpsc::Sender<()>);

impl Clock for HeldClock {
    fn now(&self) -> UnixMillis {
        SystemClock.now()
    }
}

#[test]
fn the_sweeping_thread_ends_with_the_last_handle() {
    let (held, gone) = std::sync::mpsc::channel();
    let config = EmbeddedConfig::new().clock(Arc::new(HeldClock(held)));
    let store = EmbeddedStore::new(config).unwrap();
    let other = store.clone();
    drop(store);
    assert!(now(other.stats()).is_ok());
    drop(other);
    // Ends when every sender is dropped, the thread's among them; a hang here is the failure.
    assert!(gone.recv().is_err());
}

//! Many threads at once: the promises that only a race can break.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::{Changes, Condition};
use cloakroom_core::store::{Applied, Lookup, Rotated};
use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{ErrorKind, Store};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};

use crate::kit::{self, now};

const THREADS: u64 = 100;

fn together(work: impl Fn(u64) + Sync) {
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(number);
            });
        }
    });
}

fn open() -> EmbeddedStore {
    kit::store(&ManualClock::new(), EmbeddedConfig::new())
}

#[test]
fn a_hundred_parallel_logins_never_exceed_the_cap() {
    for on_excess in [OnExcess::Refuse, OnExcess::RevokeOldest] {
        let (store, who) = (open(), kit::subject(1));
        let tag = kit::tag_of(Some(&who));
        let most = AtomicU64::new(0);
        let admitted = AtomicU64::new(0);
        together(|number| {
            let anonymous = kit::key(
                cloakroom_core::id::SlotTag::new(number as u16).unwrap(),
                number,
            );
            now(store.create(&anonymous, &kit::session(number, None))).unwrap();
            let mut rotation = kit::login(who.clone());
            if let Some(login) = &mut rotation.login {
                login.max_sessions = Some(MaxSessions {
                    limit: 3,
                    on_excess,
                });
            }
            let rotated = now(store.rotate(&anonymous, &kit::key(tag, number), &rotation));
            match (rotated, on_excess) {
                (Ok(Rotated::Done(_)), _) => admitted.fetch_add(1, Ordering::SeqCst),
                (Err(error), OnExcess::Refuse) => {
                    assert_eq!(*error.kind(), ErrorKind::TooManySessions { limit: 3 });
                    0
                }
                (other, _) => panic!("{other:?}"),
            };
            let alive = now(store.of_subject(&who)).unwrap().len() as u64;
            most.fetch_max(alive, Ordering::SeqCst);
        });
        assert_eq!(most.into_inner(), 3);
        assert_eq!(now(store.of_subject(&who)).unwrap().len(), 3);
        let expected = if on_excess == OnExcess::Refuse {
            3
        } else {
            THREADS
        };
        assert_eq!(admitted.into_inner(), expected);
    }
}

#[test]
fn no_update_is_lost() {
    let store = open();
    let key = kit::key(kit::tag_of(None), 1);
    now(store.create(&key, &kit::session(1, None))).unwrap();
    together(|number| {
        for round in 0..20 {
            let mut changes = kit::set(
                &format!("own-{number}"),
                vec![round; usize::from(round) * 9],
            );
            changes.increment("count", 1).unwrap();
            let applied = now(store.apply(&key, &changes, &Condition::Always));
            assert!(matches!(applied, Ok(Applied::Done { .. })));
        }
    });
    let Lookup::Found(found) = now(store.load(&key)).unwrap() else {
        panic!("the session is there");
    };
    assert_eq!(found.record.version, THREADS * 20 + 1);
    let count = found.record.fields.get("count").unwrap();
    assert_eq!(count.as_integer("count").unwrap(), THREADS as i64 * 20);
    for number in 0..THREADS {
        let own = found.record.fields.get(&format!("own-{number}")).unwrap();
        assert_eq!(own.bytes, [19; 19 * 9]);
    }
}

#[test]
fn an_acknowledged_revocation_of_a_subject_covers_every_login_before_it() {
    let (store, who) = (open(), kit::subject(2));
    let tag = kit::tag_of(Some(&who));
    together(|number| {
        let old = kit::key(
            cloakroom_core::id::SlotTag::new(number as u16).unwrap(),
            number,
        );
        now(store.create(&old, &kit::session(number, None))).unwrap();
        let new = kit::key(tag, number);
        now(store.rotate(&old, &new, &kit::login(who.clone()))).unwrap();
        now(store.revoke_subject(&who, None)).unwrap();
        assert!(matches!(now(store.load(&new)), Ok(Lookup::Absent(_))));
        assert!(matches!(now(store.load(&old)), Ok(Lookup::Absent(_))));
    });
    assert!(now(store.of_subject(&who)).unwrap().is_empty());
}

#[test]
fn an_acknowledged_revocation_of_all_covers_every_create_before_it() {
    let store = open();
    together(|number| {
        let key = kit::key(
            cloakroom_core::id::SlotTag::new(number as u16).unwrap(),
            number,
        );
        now(store.create(&key, &kit::session(number, None))).unwrap();
        now(store.revoke_all()).unwrap();
        assert!(matches!(now(store.load(&key)), Ok(Lookup::Absent(_))));
    });
    assert_eq!(now(store.stats()).unwrap().sessions, 0);
    let key = kit::key(kit::tag_of(None), 1);
    now(store.create(&key, &kit::session(1, None))).unwrap();
    assert!(matches!(now(store.load(&key)), Ok(Lookup::Found(_))));
}

#[test]
fn rotations_across_shards_both_ways_do_not_wait_for_each_other() {
    let store = open();
    together(|number| {
        let tag =
            |turn: u64| cloakroom_core::id::SlotTag::new(((number + turn) % 2) as u16).unwrap();
        let place = |turn: u64| kit::key(tag(turn), number * 1_000 + turn);
        now(store.create(&place(0), &kit::session(number, None))).unwrap();
        for turn in 0..50 {
            let mut rotation = cloakroom_core::record::Rotation {
                changes: Changes::new(),
                ..Default::default()
            };
            rotation.changes.increment("turns", 1).unwrap();
            let rotated = now(store.rotate(&place(turn), &place(turn + 1), &rotation));
            assert!(matches!(rotated, Ok(Rotated::Done(_))));
        }
    });
    assert_eq!(now(store.stats()).unwrap().sessions, THREADS);
}

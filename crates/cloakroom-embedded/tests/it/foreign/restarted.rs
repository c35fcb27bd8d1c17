//! What a start makes of a journal is what was there before, whatever was written in whatever order: values, deadlines,
//! whose sessions they are and since when, and what has ended. And what did not pass by the keeper is taken up
//! wherever it lies.

use cloakroom_embedded::SealKeys;
use cloakroom_embedded::journal::{Durability, JournalConfig};

use super::*;
use crate::journal::disk::FakeDisk;

const SUBJECTS: [&str; 4] = ["alice", "bob", "carol", "dora"];
const KEYS: u64 = 150;

fn config(disk: &FakeDisk) -> EmbeddedConfig {
    let journal = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::No);
    EmbeddedConfig::new().journal(journal.rewrite(0, 0))
}

fn on(disk: &FakeDisk, clock: &ManualClock) -> Front {
    front_on(ForeignConfig::default(), config(disk), clock.clone())
}

fn session(number: u64) -> Vec<u8> {
    format!("sess:{number:032}").into_bytes()
}

fn value(subject: Option<&str>, pad: usize) -> Vec<u8> {
    let user = subject.map(|it| format!(r#""passport":{{"user":"{it}"}},"#));
    format!(
        r#"{{{}"x":"{}"}}"#,
        user.unwrap_or_default(),
        "y".repeat(pad)
    )
    .into_bytes()
}

/// A key's value, and its deadline if it is there.
type Key = (Option<Vec<u8>>, Option<Option<UnixMillis>>);

/// All that can be asked of it.
#[derive(Debug, PartialEq)]
struct Picture {
    sizes: Vec<usize>,
    keys: Vec<Key>,
    named: usize,
    subjects: Vec<Vec<(String, UnixMillis, Duration)>>,
}

fn picture(front: &Front) -> Picture {
    let mut keys = Vec::new();
    for (number, db) in (0..KEYS).flat_map(|number| [(number, 0), (number, 3)]) {
        let key = session(number);
        keys.push(front.engine.with_key(db, &key, |tx| {
            let value = tx.string(db, &key).unwrap().map(<[u8]>::to_vec);
            (value, tx.deadline(db, &key))
        }));
    }
    let subjects = SUBJECTS.map(|subject| {
        let of = front.of(subject).into_iter();
        let seen = of.map(|it| (it.handle.to_string(), it.times.created_at, it.remaining));
        let mut seen: Vec<_> = seen.collect();
        seen.sort();
        seen
    });
    Picture {
        sizes: (0..16).map(|db| front.engine.len(db)).collect(),
        keys,
        named: front.with_subject(),
        subjects: subjects.to_vec(),
    }
}

/// Some thousand writes, over and over each other.
fn work(front: &Front, random: &mut impl FnMut(u64) -> u64) {
    for _ in 0..3_000 {
        front.pass(Duration::from_millis(random(2_000)));
        let (db, key) = ([0, 3][random(2) as usize], session(random(KEYS)));
        let life = Duration::from_secs(600 + random(1_000_000));
        let subject = SUBJECTS.get(random(5) as usize).copied();
        let value = value(subject, random(700) as usize);
        let foreign = &front.foreign;
        front.engine.with_key(db, &key, |tx| {
            let deadline = Some(tx.now().saturating_add(life));
            match random(8) {
                0..5 => {
                    let text = Text::plain(&value);
                    foreign.set_string(tx, db, &key, text, deadline).unwrap();
                }
                5 => drop(foreign.set_deadline(tx, db, &key, deadline)),
                6 => drop(foreign.remove(tx, db, &key)),
                _ => {
                    let longer = |tx: &mut cloakroom_embedded::Tx<'_>| {
                        let deadline = tx.deadline(db, &key).flatten();
                        tx.set_string(db, &key, &value, deadline)
                    };
                    foreign
                        .write(tx, db, &key, Written::Value(&value), (), longer)
                        .unwrap();
                }
            }
        });
    }
}

#[test]
fn a_start_finds_what_was_there() {
    for (seed, rewrites) in [(1, false), (2, true), (3, true)] {
        let (disk, clock) = (FakeDisk::default(), ManualClock::new());
        let mut state = seed;
        let mut random = |most: u64| {
            state = u64::wrapping_mul(state, 6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % most
        };
        let mut front = on(&disk, &clock);
        for round in 0..3 {
            work(&front, &mut random);
            if rewrites && round == 1 {
                assert!(front.engine.store().rewrite().unwrap().is_some());
                work(&front, &mut random);
            }
            if round == 2 {
                // Numbers for people and numbers in memory are not the same any more.
                front.engine.with_all(|tx| tx.swap(0, 3));
            }
            let ended: Vec<_> = (0..KEYS).map(session).collect();
            let before = picture(&front);
            assert!(before.named > 50 && before.sizes[0] > 50);
            drop(front);
            front = on(&disk, &clock);
            let taken = front.foreign.reindex(&front.engine);
            assert_eq!(taken, cloakroom_embedded::TakenUp::default());
            assert_eq!(picture(&front), before, "seed {seed}, round {round}");
            // Nothing that ended comes back by a late write.
            let mut late = 0;
            for key in &ended {
                let tombstone = front.engine.with_key(16, key, |tx| tx.kind(16, key));
                if tombstone.is_some() && front.get(key).is_none() {
                    front.setex(key, ALICE);
                    assert_eq!(front.get(key), None);
                    late += 1;
                }
            }
            assert!(late > 0 || round == 2, "seed {seed}, round {round}");
        }
    }
}

/// A mark that is noted behind another key's string is its own key's.
#[test]
fn a_mark_belongs_to_the_key_that_it_names() {
    let (disk, clock) = (FakeDisk::default(), ManualClock::new());
    let front = on(&disk, &clock);
    let pairs: Vec<_> = (0..40)
        .map(|number| (format!("cache:{number}").into_bytes(), session(number)))
        .collect();
    for (page, sid) in &pairs {
        let deadline = Some(front.now().saturating_add(HOUR));
        let plain = |tx: &mut cloakroom_embedded::Tx<'_>| tx.set_string(0, sid, ALICE, deadline);
        front.engine.with_key(0, sid, plain).unwrap();
        let keys = [(0, &**page), (0, &**sid)];
        // One record: the page, and of the session, which has this deadline already, its mark alone.
        front.engine.with_keys(&keys, |tx| {
            tx.set_string(0, page, b"<html>", None).unwrap();
            assert!(front.foreign.set_deadline(tx, 0, sid, deadline));
        });
    }
    assert_eq!((front.of("alice").len(), front.with_subject()), (40, 40));
    drop(front);
    let front = on(&disk, &clock);
    assert_eq!((front.of("alice").len(), front.with_subject()), (40, 40));
    for (page, sid) in &pairs {
        assert_eq!(front.get(page).as_deref(), Some(&b"<html>"[..]));
        assert_eq!(front.get(sid).as_deref(), Some(ALICE));
    }
}

#[test]
fn what_nothing_is_known_of_is_taken_up_wherever_it_lies() {
    let front = front();
    let mut expected = 0;
    for (number, db) in (0..1_000).flat_map(|number| [(number, 0), (number, 15)]) {
        let key = session(number);
        front.engine.with_key(db, &key, |tx| {
            if number % 3 == 0 {
                let deadline = Some(tx.now().saturating_add(HOUR));
                let text = Text::plain(ALICE);
                front
                    .foreign
                    .set_string(tx, db, &key, text, deadline)
                    .unwrap();
            } else {
                tx.set_string(db, &key, ALICE, None).unwrap();
            }
        });
        expected += 1;
    }
    front.engine.with_all(|tx| tx.swap(15, 7));
    for number in 0..50 {
        let key = format!("spring:session:sessions:25352345-18f8-4e05-8fda-{number:012}");
        front.engine.with_key(7, key.as_bytes(), |tx| {
            tx.hash_set(7, key.as_bytes(), PRINCIPAL, NAME).unwrap();
        });
        expected += 1;
    }
    let taken = front.foreign.reindex(&front.engine);
    assert_eq!(taken, cloakroom_embedded::TakenUp::default());
    assert_eq!(front.of("alice").len(), expected);
    let deadline = |number| {
        let key = session(number);
        front
            .engine
            .with_key(7, &key, |tx| tx.deadline(7, &key))
            .flatten()
    };
    assert_eq!(deadline(1).unwrap().since(front.now()), DAY);
}

/// A limit that is shorter from a start on holds for those that are there, too.
#[test]
fn shorter_limits_hold_from_the_start_on() {
    let config = ForeignConfig::default;
    for (settings, left) in [
        (config(), Some(10 * DAY - HOUR)),
        (config().absolute(3 * HOUR), Some(2 * HOUR)),
        (config().idle(Some(HOUR / 2)), Some(HOUR / 2)),
        (config().absolute(HOUR), None),
    ] {
        let front = front();
        front.set(SID, ALICE, Some(10 * DAY)).unwrap();
        front.hset(SPRING, PRINCIPAL, NAME);
        front.expire(SPRING, Some(10 * DAY));
        front.pass(HOUR);
        let taken = Foreign::new(settings).unwrap().reindex(&front.engine);
        assert_eq!(taken, cloakroom_embedded::TakenUp::default());
        for key in [SID, SPRING] {
            assert_eq!(front.ttl(key), left);
        }
        front.setex(SID, ALICE);
        assert_eq!(front.get(SID).is_some(), left.is_some());
    }
}

/// It was written while no layout was told, over a session that had ended.
#[test]
fn what_came_over_an_end_is_there_for_a_while_only() {
    let front = front();
    front.setex(SID, ALICE);
    front.del(SID);
    let plain = |tx: &mut cloakroom_embedded::Tx<'_>| tx.set_string(0, SID, GUEST, None);
    front.engine.with_key(0, SID, plain).unwrap();
    front.foreign.reindex(&front.engine);
    assert_eq!(front.ttl(SID), Some(Duration::from_secs(300)));
}

/// A value that nobody can read is noticed, in a field of a large hash as well.
#[test]
fn a_key_that_is_missing_is_missed() {
    let sealing = |keys: &str| {
        let layouts = cloakroom_core::layout::Layouts::standard().at_rest(false, true);
        let keys = SealKeys::parse(keys).unwrap();
        ForeignConfig::default()
            .layouts(layouts)
            .seal_keys(Some(keys))
    };
    for fields in [1, 500] {
        let front = front_with(sealing(&"07".repeat(32)));
        for number in 0..fields {
            let field = format!("sessionAttr:{number}").into_bytes();
            let mut sealed = Vec::new();
            let value: &[u8] = if number == fields - 1 {
                front.foreign.seal(SPRING, Some(&field), NAME, &mut sealed);
                &sealed
            } else {
                NAME
            };
            front.hset(SPRING, &field, value);
        }
        let other = Foreign::new(sealing(&"08".repeat(32))).unwrap();
        let plain = Foreign::new(ForeignConfig::default()).unwrap();
        for keeper in [other, plain] {
            let taken = keeper.reindex(&front.engine);
            assert!(taken.missing.is_some(), "{fields} fields");
            assert_eq!(taken.rewritten, 0);
        }
    }
}

/// Two of the same value, of which one takes the other's name.
#[test]
fn who_takes_anothers_place_is_as_old_as_before() {
    let (disk, clock) = (FakeDisk::default(), ManualClock::new());
    let front = on(&disk, &clock);
    let first = front.now();
    front.setex(SID, ALICE);
    front.pass(HOUR / 2);
    front.setex(OTHER, ALICE);
    assert!(front.rename(SID, OTHER));
    let created = |front: &Front| {
        let of = front.of("alice").into_iter();
        of.map(|it| it.times.created_at).collect::<Vec<_>>()
    };
    assert_eq!(created(&front), [first]);
    drop(front);
    assert_eq!(created(&on(&disk, &clock)), [first]);
}

//! The short way of a session that is there comes out as the long one, which everything else goes.

use cloakroom_embedded::journal::{Durability, Effect, Effects, JournalConfig, recover};

use super::*;
use crate::journal::disk::FakeDisk;

/// Numbers that look as if they came at random.
fn random(seed: u64) -> impl FnMut(u64) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |end| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from((state >> 33) % end).unwrap()
    }
}

/// All that can be seen of two sessions and of who has some.
fn seen(front: &Front) -> impl PartialEq + std::fmt::Debug {
    let of = |who| {
        let list = front.of(who).into_iter();
        let mut list: Vec<_> = list
            .map(|it| (it.handle, it.times.created_at, it.remaining))
            .collect();
        list.sort_unstable();
        list
    };
    let one = |key| (front.get(key), front.ttl(key));
    (
        one(SID),
        one(OTHER),
        of("alice"),
        of("bob"),
        front.with_subject(),
    )
}

#[test]
fn the_short_way_comes_out_as_the_long_one() {
    const BROKEN: &[u8] = b"{\"passport\":";
    let values = [ALICE, BOB, GUEST, BROKEN];
    let lives = [
        None,
        Some(HOUR),
        Some(30 * DAY),
        Some(Duration::ZERO),
        Some(2 * HOUR),
    ];
    for idle in [None, Some(5 * HOUR)] {
        let [short, long] = [0, 1].map(|_| front_with(ForeignConfig::default().idle(idle)));
        let mut random = random(idle.map_or(7, |idle| idle.as_secs()));
        for step in 0..6_000 {
            let key = [SID, OTHER][random(2)];
            let life = lives[random(5)];
            match random(12) {
                0..6 => {
                    let value = values[random(4)];
                    let set = short.set(key, value, life);
                    assert_eq!(set, long.set_the_long_way(key, value, life), "{step}");
                }
                6..8 => assert_eq!(short.expire(key, life), long.expire(key, life), "{step}"),
                8 => {
                    let life = life.unwrap_or(3 * HOUR);
                    let value = long.get(key);
                    assert_eq!(short.getex(key, life), Ok(value), "{step}");
                    long.expire(key, Some(life));
                }
                9 => assert_eq!(short.del(key), long.del(key), "{step}"),
                _ => {
                    let time = [Duration::from_secs(1), tombstone(), 6 * HOUR, 3 * DAY][random(4)];
                    short.pass(time);
                    long.pass(time);
                }
            }
            assert_eq!(seen(&short), seen(&long), "{step}");
        }
        // What cannot be read is told when it is written first, and not again as long as it stays.
        for name in ["created", "login", "logout", "late_write_dropped"] {
            let name = format!("session_{name}");
            let counts = [&short, &long].map(|front| front.heard.count(&name));
            assert!(
                counts[0] > 0 && counts[0] == counts[1],
                "{name}: {counts:?}"
            );
        }
    }
}

/// What is saved as it was read is no more in a journal than its new deadline; and a restart knows it.
#[test]
fn what_is_saved_unchanged_is_not_written_again() {
    let (disk, clock) = (FakeDisk::default(), ManualClock::new());
    let open = || {
        let journal = JournalConfig::new(Arc::new(disk.clone())).durability(Durability::No);
        let embedded = EmbeddedConfig::new().journal(journal.rewrite(0, 0));
        front_on(ForeignConfig::default(), embedded, clock.clone())
    };
    let front = open();
    front.setex(SID, ALICE);
    for _ in 0..3 {
        front.pass(Duration::from_secs(60));
        front.setex(SID, ALICE);
    }
    front.setex(SID, ALICE);
    // A new one is written with the deadline that it gets, and not with one that is taken back.
    front.set(OTHER, BOB, Some(30 * DAY)).unwrap();
    drop(front);
    let (mut values, mut deadlines) = (0, 0);
    recover(&disk, &mut |record| {
        for effect in Effects::of(record) {
            match effect? {
                Effect::String { value, .. } => values += usize::from(value == ALICE),
                Effect::Deadline { .. } => deadlines += 1,
                _ => {}
            }
        }
        Ok(())
    })
    .unwrap();
    assert_eq!((values, deadlines), (1, 3));
    let front = open();
    assert_eq!(front.get(SID).as_deref(), Some(ALICE));
    assert_eq!(front.ttl(SID), Some(HOUR));
    assert_eq!(front.of("alice").len(), 1);
}

/// What is read with a new deadline and is no string is told, whoever's it is, and stays as it was.
#[test]
fn only_strings_are_read_with_a_new_deadline() {
    let front = front();
    for key in [SID, &b"cache:1"[..]] {
        let add = |tx: &mut cloakroom_embedded::Tx<'_>| tx.set_add(0, key, b"member");
        assert_eq!(front.engine.with_key(0, key, add), Ok(true));
        assert_eq!(front.getex(key, HOUR), Err(KeyError::WrongType));
        let deadline = front.engine.with_key(0, key, |tx| tx.deadline(0, key));
        assert_eq!(deadline, Some(None));
    }
    front.setex(OTHER, ALICE);
    assert_eq!(
        front.getex(OTHER, 2 * HOUR).unwrap().as_deref(),
        Some(ALICE)
    );
    assert_eq!(front.ttl(OTHER), Some(2 * HOUR));
    assert_eq!(front.getex(b"cache:2", HOUR), Ok(None));
}

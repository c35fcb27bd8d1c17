//! Steps on keys from many threads at once: atomic, whole, and not in each other's way.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cloakroom_core::testkit::ManualClock;
use cloakroom_embedded::{EmbeddedConfig, Engine};

use crate::kit;

const THREADS: u8 = 8;
const ROUNDS: u64 = 400;

fn open(shards: usize) -> Engine {
    kit::store(&ManualClock::new(), EmbeddedConfig::new().shards(shards)).engine()
}

fn together(work: impl Fn(u8) + Sync) {
    let start = Barrier::new(usize::from(THREADS));
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

/// Money moves between accounts, in steps over two keys in either order; the sum stays. Renames and
/// whole-engine steps go on meanwhile.
#[test]
fn steps_over_several_keys_are_atomic_and_end() {
    let engine = open(64);
    let account = |number: u64| format!("account {}", number % 10).into_bytes();
    let read = |bytes: Option<&[u8]>| {
        bytes.map_or(100, |bytes| i64::from_le_bytes(bytes.try_into().unwrap()))
    };
    together(|thread| {
        for round in 0..ROUNDS {
            let (from, to) = (account(round * 7 + u64::from(thread)), account(round * 3));
            if from == to {
                continue;
            }
            engine.with_keys(&[(0, &from), (0, &to)], |tx| {
                let less = read(tx.string(0, &from).unwrap()) - 1;
                let more = read(tx.string(0, &to).unwrap()) + 1;
                tx.set_string(0, &from, &less.to_le_bytes(), None).unwrap();
                tx.set_string(0, &to, &more.to_le_bytes(), None).unwrap();
            });
            if round % 16 == 0 {
                let sum: i64 = engine.with_all(|tx| {
                    (0..10)
                        .map(|it| read(tx.string(0, &account(it)).unwrap()))
                        .sum()
                });
                assert_eq!(sum, 1_000);
            }
            let (old, new) = ([b'r', thread], [b'r', (thread + 1) % THREADS]);
            engine.with_keys(&[(0, &old), (0, &new)], |tx| {
                tx.set_add(0, &old, &[thread]).unwrap();
                assert_eq!(tx.rename((0, &old), (0, &new)), Ok(true));
                assert_eq!(tx.kind(0, &old), None);
            });
        }
    });
}

/// A keyspace that is emptied again and again, while the sweep removes what was there: what is
/// written after that stays.
#[test]
fn what_is_written_after_a_flush_stays() {
    for shards in [1, 4] {
        let engine = open(shards);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    engine.store().sweep();
                }
            });
            for round in 0..600_u32 {
                for number in 0..100_u32 {
                    let key = number.to_le_bytes();
                    engine.with_key(1, &key, |tx| tx.set_add(1, &key, b"m").unwrap());
                }
                let lost = (0..100_u32).find(|number| {
                    let key = number.to_le_bytes();
                    engine.with_key(1, &key, |tx| tx.kind(1, &key)).is_none()
                });
                assert_eq!(lost, None, "in round {round}");
                engine.flush(Some(1));
                assert!(engine.is_empty(1));
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}

/// Keys that stay are seen by every scan, whatever comes and goes meanwhile.
#[test]
fn a_scan_passes_nothing_over_while_others_write() {
    let engine = open(4);
    let done = AtomicBool::new(false);
    let key = |number: u32| number.to_le_bytes();
    for number in 0..3_000 {
        let key = key(number);
        engine.with_key(0, &key, |tx| tx.set_string(0, &key, b"", None).unwrap());
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 3_000;
            while !done.load(Ordering::Relaxed) {
                let (new, old) = (key(number), key(3_000 + number / 2));
                engine.with_key(0, &new, |tx| tx.set_string(0, &new, b"", None).unwrap());
                engine.with_key(0, &old, |tx| tx.remove(0, &old));
                // Others grow, so that they get other slots.
                let grown = key(number % 3_000);
                let value = vec![1; number as usize % 700];
                engine.with_key(0, &grown, |tx| {
                    tx.set_string(0, &grown, &value, None).unwrap();
                });
                number += 1;
            }
        });
        for count in [1, 10, 1_000] {
            let mut seen = vec![false; 3_000];
            let mut cursor = 0;
            loop {
                cursor = engine.scan(0, cursor, count, &mut |key, _| {
                    let number = u32::from_le_bytes(key.try_into().unwrap());
                    if let Some(seen) = seen.get_mut(number as usize) {
                        *seen = true;
                    }
                });
                if cursor == 0 {
                    break;
                }
            }
            assert!(seen.iter().all(|seen| *seen), "with a count of {count}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

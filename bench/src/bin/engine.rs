//! Nanoseconds per operation of the embedded store, called as the middleware calls it, at random
//! over a million sessions of 400 bytes in 8 fields, and over as many string keys of 43 and 400 bytes
//! with a deadline, which come into the same engine behind the sessions' rows. `engine [sessions]
//! [operations] [rounds] [dashmap]`; with the last word the map's rows alone in the process.
//!
//! Inside of a figure is all that a caller pays: the future, where there is one, the lock, the store's
//! clock, the record that is made and freed. Outside: making keys and changes, a thousand at a time, which are then
//! read in the order in which they lie.
//!
//! The rows in brackets say what the machine's memory gives: bare reads, and the general map that the
//! goals were set beside (247 ns for its pointer, where 500 ns was made the goal for a load).

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_bench::{
    field, key, mix, ready, session, size_argument, string_key, thread_cpu, value,
};
use cloakroom_core::record::{Changes, Condition, NewSession};
use cloakroom_core::store::{Applied, Lookup};
use cloakroom_core::{Store, StoredKey};
use cloakroom_embedded::{EmbeddedStore, Engine};
use dashmap::DashMap;

fn main() {
    let sessions = size_argument(1_000_000);
    let number = |at, usual: u64| {
        let given = std::env::args().nth(at);
        given.map_or(usual, |text| text.parse().expect("arguments are numbers"))
    };
    let (operations, rounds) = (number(2, 500_000), number(3, 5));
    let map_alone = std::env::args()
        .nth(4)
        .is_some_and(|word| word == "dashmap");
    println!(
        "| {sessions} sessions, least of {rounds} rounds | threads | CPU ns/op | x one read | M/s per core |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    for threads in [1, 2] {
        let store = EmbeddedStore::default();
        let engine = store.engine();
        let run = Run {
            store: &store,
            engine: &engine,
            memory: &memory(sessions),
            map: &map(sessions),
            sessions,
            operations,
            threads,
        };
        let least = if map_alone {
            least_of(rounds, |round| run.map_alone(round))
        } else {
            fill_sessions(&store, sessions, threads);
            let mut least = least_of(rounds, |round| run.round(round));
            fill_strings(&engine, sessions, threads);
            least.extend(least_of(rounds, |round| run.strings(round)));
            least
        };
        let one_read = least[0].1;
        for (name, nanos) in least {
            println!(
                "| {name} | {threads} | {nanos:.0} | {:.1} | {:.2} |",
                nanos / one_read,
                1_000.0 / nanos
            );
        }
    }
}

/// Operations between two looks at the clock, which is a call of the kernel.
const BATCH: u64 = 1_000;

/// What was measured, and its nanoseconds.
type Row = (&'static str, f64);

/// Each row's least of all rounds. In a round everything is done once, one after the other, so that
/// a machine that changes its mind does it to all rows alike.
fn least_of(rounds: u64, round: impl Fn(u64) -> Vec<Row>) -> Vec<Row> {
    let all = (0..rounds).map(round);
    let least = all.reduce(|mut least, rows| {
        for (least, (_, nanos)) in least.iter_mut().zip(rows) {
            least.1 = least.1.min(nanos);
        }
        least
    });
    least.expect("there is a round")
}

fn fill_sessions(store: &EmbeddedStore, sessions: u64, threads: u64) {
    fill(sessions, threads, |number| {
        ready(store.create(&key(number, 0), &session(number, false))).expect("room");
    });
}

fn fill_strings(engine: &Engine, keys: u64, threads: u64) {
    fill(keys, threads, |number| set(engine, &string_key(number)));
}

fn fill(count: u64, threads: u64, put: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        let put = &put;
        for thread in 0..threads {
            scope.spawn(move || {
                (thread..count).step_by(threads as usize).for_each(put);
            });
        }
    });
}

fn set(engine: &Engine, key: &[u8; 43]) {
    engine
        .with_key(0, key, |tx| {
            let deadline = tx.now().saturating_add(Duration::from_secs(86_400));
            tx.set_string(0, key, &[b'v'; 400], Some(deadline))
        })
        .expect("room");
}

struct Run<'a> {
    store: &'a EmbeddedStore,
    engine: &'a Engine,
    /// As many bytes as the sessions take, to be read at random for comparison.
    memory: &'a [u64],
    /// As many values of 400 bytes in the map that the field uses: no limits of time, no journal, no
    /// index of subjects.
    map: &'a Map,
    sessions: u64,
    operations: u64,
    threads: u64,
}

impl Run<'_> {
    /// What is done to sessions of ours.
    fn round(&self, round: u64) -> Vec<Row> {
        let (sessions, life) = (self.sessions, round * 2 + 1);
        let at_random = |at| key(mix(at + round) % sessions, 0);
        let load = |store: &EmbeddedStore, key: StoredKey| {
            let Some(Lookup::Found(found)) = store.load_at_once(&key) else {
                panic!("the session is gone");
            };
            black_box(found.touch_due);
        };
        let apply = |store: &EmbeddedStore, (key, changes): (StoredKey, Changes)| {
            let applied = ready(store.apply(&key, &changes, &Condition::Always));
            assert!(matches!(applied, Ok(Applied::Done { .. })));
        };
        let touch = |store: &EmbeddedStore, key: StoredKey| {
            assert_eq!(ready(store.touch(&[key])).ok(), Some(1));
        };
        let new = |at| (key(sessions + at, life), session(sessions + at, false));
        let create = |store: &EmbeddedStore, (key, session): (StoredKey, NewSession)| {
            ready(store.create(&key, &session)).expect("room");
        };
        let old = |at| key(sessions + at, life);
        let destroy = |store: &EmbeddedStore, key: StoredKey| {
            assert_eq!(ready(store.destroy(&key)).ok(), Some(true));
        };
        let (usual, few) = (self.operations, self.operations / 4);
        let [pointer, copy] = self.map(round);
        vec![
            self.one_read(),
            self.one_copy(),
            self.one_chain(),
            pointer,
            copy,
            self.of("load + due-touch check", usual, at_random, load),
            self.of(
                "apply one field of the same size",
                usual,
                |at| (at_random(at), one_field(at)),
                apply,
            ),
            self.of("touch", usual, at_random, touch),
            self.of("create", few, new, create),
            self.of("destroy", few, old, destroy),
        ]
    }

    /// The map, where no store is beside it.
    fn map_alone(&self, round: u64) -> Vec<Row> {
        let [pointer, copy] = self.map(round);
        vec![self.one_read(), pointer, copy]
    }

    fn map(&self, round: u64) -> [Row; 2] {
        let in_map = |at| map_key(mix(at + round) % self.sessions);
        let there = |key: [u8; 32]| self.map.get(&key).expect("it is there");
        let pointer = |_: &EmbeddedStore, key: [u8; 32]| {
            black_box(Arc::clone(&there(key)));
        };
        let copy = |_: &EmbeddedStore, key: [u8; 32]| {
            black_box(Box::<[u8]>::from(&**there(key)));
        };
        let usual = self.operations;
        [
            self.of("(dashmap: a pointer to 400 bytes)", usual, in_map, pointer),
            self.of("(dashmap: a copy of 400 bytes)", usual, in_map, copy),
        ]
    }

    /// What other frameworks do to sessions that are strings.
    fn strings(&self, round: u64) -> Vec<Row> {
        let (sessions, usual) = (self.sessions, self.operations);
        let string = |at| string_key(mix(at + round) % sessions);
        let engine = self.engine;
        let get = |_: &EmbeddedStore, key: [u8; 43]| {
            let copied = engine.with_key(0, &key, |tx| {
                let value = tx.string(0, &key).expect("it is a string");
                let value: &[u8; 400] = value.expect("it is there").try_into().expect("its size");
                black_box(*value)
            });
            black_box(copied);
        };
        let len = |_: &EmbeddedStore, key: [u8; 43]| {
            let len = engine.with_key(0, &key, |tx| {
                tx.string(0, &key).expect("it is a string").map(<[u8]>::len)
            });
            assert_eq!(len, Some(400));
        };
        let expire = |_: &EmbeddedStore, key: [u8; 43]| {
            let there = engine.with_key(0, &key, |tx| {
                let deadline = tx.now().saturating_add(Duration::from_secs(86_400));
                tx.set_deadline(0, &key, Some(deadline))
            });
            assert!(there);
        };
        vec![
            self.of("string: length of the value", usual, string, len),
            self.of("string: copy of the value", usual, string, get),
            self.of("string: new deadline", usual, string, expire),
            self.of("string: write, with deadline", usual, string, |_, key| {
                set(engine, &key)
            }),
        ]
    }

    /// Measures `operation`; what it is given is made beforehand, a batch at a time.
    fn of<T>(
        &self,
        name: &'static str,
        operations: u64,
        input: impl Fn(u64) -> T + Sync,
        operation: impl Fn(&EmbeddedStore, T) + Sync,
    ) -> Row {
        let nanos = self.on_all_threads(operations, |thread| {
            let mut spent = Duration::ZERO;
            let (mut at, end) = (thread * operations, (thread + 1) * operations);
            while at < end {
                let next = (at + BATCH).min(end);
                let inputs: Vec<_> = (at..next).map(&input).collect();
                let start = thread_cpu();
                for input in inputs {
                    operation(self.store, input);
                }
                spent += thread_cpu() - start;
                at = next;
            }
            spent
        });
        (name, nanos)
    }

    /// What one read of memory at random costs here and now, when the next depends on it: every
    /// operation makes a few of them, one after another.
    fn one_read(&self) -> Row {
        let read = |thread| {
            let mut at = thread;
            for number in 0..self.operations {
                at = self.memory[mix(at + number) as usize % self.memory.len()];
            }
            black_box(at);
        };
        (
            "(one dependent read at random)",
            self.on_all_threads(self.operations, |thread| timed(|| read(thread))),
        )
    }

    /// What a load cannot be cheaper than: a copy of as many bytes as a session has from a place at
    /// random, onto the heap, when the next place depends on it.
    fn one_copy(&self) -> Row {
        const WORDS: usize = 52;
        let copy = |thread| {
            let mut at = thread;
            for number in 0..self.operations {
                let from = mix(at + number) as usize % (self.memory.len() - WORDS);
                let copied: Box<[u64]> = black_box(self.memory[from..from + WORDS].into());
                at = copied[WORDS - 1];
            }
        };
        (
            "(one dependent copy of 416 bytes)",
            self.on_all_threads(self.operations, |thread| timed(|| copy(thread))),
        )
    }

    /// What a load waits for whatever it does itself: a place at random among six bytes for each
    /// session, as in its table, and then such a copy from where that place says.
    fn one_chain(&self) -> Row {
        const WORDS: usize = 52;
        let table = &self.memory[..(self.sessions as usize * 6 / 8).max(1)];
        let rest = &self.memory[table.len()..];
        let chain = |thread| {
            let mut at = thread;
            for number in 0..self.operations {
                let mixed = mix(at + number) as usize;
                let place = table[mixed % table.len()] as usize;
                let from = (mixed / 1024 + place) % (rest.len() - WORDS);
                let copied: Box<[u64]> = black_box(rest[from..from + WORDS].into());
                at = copied[WORDS - 1];
            }
        };
        (
            "(such a copy from where another read says)",
            self.on_all_threads(self.operations, |thread| timed(|| chain(thread))),
        )
    }

    /// CPU nanoseconds per operation, on average over the threads.
    fn on_all_threads(&self, operations: u64, spent: impl Fn(u64) -> Duration + Sync) -> f64 {
        let cpu: Duration = std::thread::scope(|scope| {
            let spent = &spent;
            let threads: Vec<_> = (0..self.threads)
                .map(|thread| scope.spawn(move || spent(thread)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|cpu| cpu.expect("no operation failed")).sum()
        });
        cpu.as_nanos() as f64 / (self.threads * operations) as f64
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = thread_cpu();
    work();
    thread_cpu() - start
}

fn one_field(at: u64) -> Changes {
    let mut changes = Changes::new();
    let name = field((at % 8) as usize);
    changes
        .set(&name, value(at, false))
        .expect("within the limits");
    changes
}

type Map = DashMap<[u8; 32], Arc<[u8]>>;

/// As long as a stored key, and at random as that is.
fn map_key(number: u64) -> [u8; 32] {
    let mut key = [0; 32];
    for (word, at) in key.chunks_exact_mut(8).zip(number * 4..) {
        word.copy_from_slice(&mix(at).to_le_bytes());
    }
    key
}

fn map(sessions: u64) -> Map {
    let value = |number| (map_key(number), [b'v'; 400].as_slice().into());
    (0..sessions).map(value).collect()
}

/// As many bytes as the sessions take, all in use.
fn memory(sessions: u64) -> Vec<u64> {
    vec![1; sessions as usize * 512 / 8]
}

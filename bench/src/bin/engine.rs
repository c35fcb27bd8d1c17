//! Nanoseconds per operation of the embedded store, called as the middleware calls it, at random
//! over a million sessions of 400 bytes in 8 fields. `engine [sessions] [operations per thread]`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cloakroom_bench::{field, key, mix, ready, session, size_argument, thread_cpu, value};
use cloakroom_core::Store;
use cloakroom_core::record::{Changes, Condition};
use cloakroom_core::store::{Applied, Lookup};
use cloakroom_embedded::EmbeddedStore;

fn main() {
    let sessions = size_argument(1_000_000);
    let operations = std::env::args().nth(2).map_or(2_000_000, |text| {
        text.parse().expect("a number of operations")
    });
    println!("| operation, on {sessions} sessions | threads | CPU ns/op | wall ns/op | M/s |");
    println!("| --- | --- | --- | --- | --- |");
    println!(
        "| (one dependent read of memory at random) | 1 | {:.0} | | |",
        one_miss(sessions)
    );
    for threads in [1, 2] {
        let store = EmbeddedStore::default();
        fill(&store, sessions, threads);
        let run = Run {
            store: &store,
            sessions,
            operations,
            threads,
        };
        let just_key = |_, number| {
            black_box(key(number, 0));
        };
        let load = |bench: &EmbeddedStore, number: u64| {
            let found = ready(bench.load(&key(number, 0))).expect("it answers");
            assert!(matches!(found, Lookup::Found(found) if !black_box(found.touch_due)));
        };
        run.measure(
            "load + due-touch check",
            |bench, _, number| load(bench, number),
            just_key,
        );
        let apply = |bench: &EmbeddedStore, at: u64, number: u64| {
            let applied = ready(bench.apply(&key(number, 0), &one_field(at), &Condition::Always));
            assert!(matches!(applied, Ok(Applied::Done { .. })));
        };
        run.measure("apply one field of the same size", apply, |at, number| {
            black_box((key(number, 0), one_field(at)));
        });
        let touch = |bench: &EmbeddedStore, _, number| {
            assert_eq!(ready(bench.touch(&[key(number, 0)])).ok(), Some(1));
        };
        run.measure("touch", touch, just_key);
        let (first, new) = (sessions, (sessions / 10).max(1));
        run.compare("create", new, |bench, at| {
            let (key, session) = (key(first + at, 1), session(first + at, false));
            if let Some(bench) = bench {
                ready(bench.create(&key, &session)).expect("room");
            }
            black_box((key, session));
        });
        run.compare("destroy", new, |bench, at| {
            let key = key(first + at, 1);
            if let Some(bench) = bench {
                assert_eq!(ready(bench.destroy(&key)).ok(), Some(true));
            }
            black_box(key);
        });
    }
}

fn fill(store: &EmbeddedStore, sessions: u64, threads: u64) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for number in (thread..sessions).step_by(threads as usize) {
                    ready(store.create(&key(number, 0), &session(number, false))).expect("room");
                }
            });
        }
    });
}

struct Run<'a> {
    store: &'a EmbeddedStore,
    sessions: u64,
    operations: u64,
    threads: u64,
}

impl Run<'_> {
    /// Measures `operation` on sessions at random.
    fn measure(
        &self,
        name: &str,
        operation: impl Fn(&EmbeddedStore, u64, u64) + Sync,
        nothing: impl Fn(u64, u64) + Sync,
    ) {
        let sessions = self.sessions;
        self.compare(name, self.operations, |store, at| match store {
            Some(store) => operation(store, at, mix(at) % sessions),
            None => nothing(at, mix(at) % sessions),
        });
    }

    /// Runs the operation on all threads, and once more without the store, for what making keys
    /// and values costs; that is taken off.
    fn compare(
        &self,
        name: &str,
        operations: u64,
        work: impl Fn(Option<&EmbeddedStore>, u64) + Sync,
    ) {
        let of_store = self.time(operations, |at| work(Some(self.store), at));
        let of_bench = self.time(operations, |at| work(None, at));
        let each = |of: fn(&Times) -> Duration| {
            let net = of(&of_store).saturating_sub(of(&of_bench));
            net.as_nanos() as f64 / operations as f64
        };
        let (cpu, wall) = (each(|times| times.cpu), each(|times| times.wall));
        println!(
            "| {name} | {} | {cpu:.0} | {wall:.0} | {:.2} |",
            self.threads,
            1_000.0 / wall * self.threads as f64
        );
    }

    /// Time per thread, on average over the threads.
    fn time(&self, operations: u64, work: impl Fn(u64) + Sync) -> Times {
        let start = Instant::now();
        let cpu: Duration = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|thread| {
                    let work = &work;
                    scope.spawn(move || {
                        let start = thread_cpu();
                        for at in 0..operations {
                            work(thread * operations + at);
                        }
                        thread_cpu() - start
                    })
                })
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|cpu| cpu.expect("no operation failed")).sum()
        });
        Times {
            cpu: cpu / self.threads as u32,
            wall: start.elapsed(),
        }
    }
}

struct Times {
    cpu: Duration,
    wall: Duration,
}

fn one_field(at: u64) -> Changes {
    let mut changes = Changes::new();
    let name = field((at % 8) as usize);
    changes
        .set(&name, value(at, false))
        .expect("within the limits");
    changes
}

/// What one read of memory at random costs on this machine now, over as many bytes as the sessions
/// take: every operation makes a few of them, one after another.
fn one_miss(sessions: u64) -> f64 {
    let places = vec![1_u64; (sessions as usize * 512 / 8).next_power_of_two()];
    let (reads, mut at) = (2_000_000_u64, 0);
    let start = thread_cpu();
    for read in 0..reads {
        at = places[mix(at + read) as usize & (places.len() - 1)];
    }
    black_box(at);
    (thread_cpu() - start).as_nanos() as f64 / reads as f64
}

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
    for threads in [1, 2] {
        let store = EmbeddedStore::default();
        fill(&store, sessions, threads);
        let run = Run {
            store: &store,
            sessions,
            operations,
            threads,
        };
        run.measure("load + due-touch check", |bench, at, number| {
            let found = ready(bench.load(&key(number, 0))).expect("it answers");
            assert!(
                matches!(found, Lookup::Found(found) if !black_box(found.touch_due)),
                "{at}"
            );
        });
        run.measure("apply one field of the same size", |bench, at, number| {
            let mut changes = Changes::new();
            let name = field((at % 8) as usize);
            changes
                .set(&name, value(at, false))
                .expect("within the limits");
            let applied = ready(bench.apply(&key(number, 0), &changes, &Condition::Always));
            assert!(matches!(applied, Ok(Applied::Done { .. })));
        });
        run.measure("touch", |bench, _, number| {
            assert_eq!(ready(bench.touch(&[key(number, 0)])).ok(), Some(1));
        });
        run.measure_new("create", |bench, number| {
            ready(bench.create(&key(number, 1), &session(number, false))).expect("room");
        });
        run.measure_new("destroy", |bench, number| {
            assert_eq!(ready(bench.destroy(&key(number, 1))).ok(), Some(true));
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
    fn measure(&self, name: &str, operation: impl Fn(&EmbeddedStore, u64, u64) + Sync) {
        let sessions = self.sessions;
        self.compare(name, self.operations, |store, at| match store {
            Some(store) => operation(store, at, mix(at) % sessions),
            None => ground(at, mix(at) % sessions),
        });
    }

    /// Measures `operation` on sessions that are no part of the million.
    fn measure_new(&self, name: &str, operation: impl Fn(&EmbeddedStore, u64) + Sync) {
        let (sessions, most) = (self.sessions, self.sessions / 10);
        self.compare(
            name,
            most.min(self.operations).max(1),
            |store, at| match store {
                Some(store) => operation(store, sessions + at),
                None => {
                    black_box((key(sessions + at, 1), session(sessions + at, false)));
                }
            },
        );
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

fn ground(at: u64, number: u64) {
    black_box((key(number, 0), at));
}

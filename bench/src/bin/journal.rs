//! What the journal costs: CPU and bytes for each write, a restart with all sessions, waits of
//! writers that are told only after a sync, and what a rewrite costs those who go on meanwhile.
//! `journal [sessions]`. It writes to a directory of its own in the system's directory for
//! temporary files (`TMPDIR`), which should be on a real disk.

use std::time::{Duration, Instant};

use cloakroom_bench::directory::Directory;
use cloakroom_bench::wait::wait;
use cloakroom_bench::waits::Waits;
use cloakroom_bench::{
    field, key, mix, process_cpu, ready, resident, session, size_argument, value,
};
use cloakroom_core::Store;
use cloakroom_core::record::{Changes, Condition};
use cloakroom_embedded::journal::Durability;
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};
use hdrhistogram::Histogram;

/// Callers at a time, where writes wait for the disk.
const CALLERS: usize = 50;

fn main() {
    let sessions = size_argument(1_000_000);
    let dir = Directory::new("journal");
    println!("| {sessions} sessions of 400 bytes | |\n| --- | ---: |");
    cost_of_a_write(&dir, sessions);
    restart(&dir, sessions, "journal");
    rewrite(&dir, sessions);
    restart(&dir, sessions, "snapshot");
    drop(dir);
    always(sessions.min(200_000));
}

fn create_all(store: &EmbeddedStore, sessions: u64) -> (Duration, Duration) {
    let new = session(0, false);
    let (cpu, start) = (process_cpu(), Instant::now());
    for number in 0..sessions {
        let new = cloakroom_core::record::NewSession {
            handle: new.handle,
            subject: Some(cloakroom_bench::subject(number)),
            ..new.clone()
        };
        wait(store.create(&key(number, 0), &new)).expect("room");
    }
    // What was appended is written by then.
    if let Some(journal) = store.journal() {
        while journal.durable_up_to() < journal.appended() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    (process_cpu() - cpu, start.elapsed())
}

fn cost_of_a_write(dir: &Directory, sessions: u64) {
    let config = EmbeddedConfig::new();
    let plain = EmbeddedStore::new(config).expect("the settings are valid");
    let (without, _) = create_all(&plain, sessions);
    drop(plain);
    let store = dir.store(Durability::Everysec);
    let blocks = written_blocks();
    let (with, took) = create_all(&store, sessions);
    let blocks = written_blocks() - blocks;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / sessions as f64;
    let payload: u64 = 8 * (5 + 45) + 11 + 34;
    let written = store.journal().expect("it has one").stats().written;
    println!(
        "| CPU of a create without a journal | {:.2} us |",
        micros(without)
    );
    println!("| with one, `everysec` | {:.2} us |", micros(with));
    println!(
        "| so the journal costs | {:.2} us |",
        micros(with) - micros(without)
    );
    println!(
        "| creates a second | {:.0} |",
        sessions as f64 / took.as_secs_f64()
    );
    println!(
        "| bytes written for a byte of key, subject and fields | {:.2} |",
        written as f64 / (payload * sessions) as f64
    );
    println!(
        "| bytes to the disk for it | {:.2} |",
        blocks as f64 / (payload * sessions) as f64
    );
}

/// Bytes that this process has caused to be sent to a disk.
fn written_blocks() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").expect("Linux tells");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|line| line.parse().ok()).expect("a number")
}

fn restart(dir: &Directory, sessions: u64, what: &str) {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let store = dir.store(Durability::Everysec);
        best = best.min(start.elapsed());
        let stats = ready(store.stats()).expect("it answers");
        assert_eq!(stats.sessions, sessions);
    }
    println!(
        "| restart from a {what}, best of 3 | {:.2} s |",
        best.as_secs_f64()
    );
}

/// Loads and applies until `over` says so.
fn operate(store: &EmbeddedStore, sessions: u64, mut over: impl FnMut() -> bool) -> Waits {
    let mut waits = Waits::default();
    let mut changes = Changes::new();
    changes
        .set(&field(3), value(1, false))
        .expect("within the limits");
    for at in 0_u64.. {
        if at % 256 == 0 && over() {
            break;
        }
        let key = key(mix(at) % sessions, 0);
        waits.time(at, || {
            if at % 4 == 3 {
                wait(store.apply(&key, &changes, &Condition::Always)).expect("it answers");
            } else {
                ready(store.load(&key)).expect("it answers");
            }
        });
    }
    waits
}

fn rewrite(dir: &Directory, sessions: u64) {
    let store = dir.store(Durability::Everysec);
    let start = Instant::now();
    let quiet = operate(&store, sessions, || {
        start.elapsed() > Duration::from_secs(2)
    });
    let before = resident(std::process::id());
    let writer = store.clone();
    let start = Instant::now();
    let rewriting = std::thread::spawn(move || {
        let rewritten = writer.rewrite().expect("the disk has room");
        (rewritten.expect("nobody else rewrites"), start.elapsed())
    });
    let mut most = before;
    let storm = operate(&store, sessions, || {
        most = most.max(resident(std::process::id()));
        rewriting.is_finished()
    });
    let (rewritten, took) = rewriting.join().expect("it does not panic");
    println!(
        "| a rewrite under load: {} MiB | {:.2} s |",
        rewritten.bytes >> 20,
        took.as_secs_f64()
    );
    println!(
        "| peak of resident memory during it | x{:.3} |",
        most as f64 / before as f64
    );
    for (what, waits) in [("before", quiet), ("during", storm)] {
        for (name, quantile) in [
            ("p50", 0.5),
            ("p99", 0.99),
            ("p99.9", 0.999),
            ("longest", 1.0),
        ] {
            let (all, running) = waits.micros(quantile);
            println!(
                "| wait of an operation {what} it, {name} (without waiting for a processor) | {all:.1} us ({running:.1}) |"
            );
        }
    }
}

fn always(sessions: u64) {
    let dir = Directory::new("journal");
    let store = dir.store(Durability::Always);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime");
    let each = sessions / CALLERS as u64;
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS as u64)
        .map(|caller| {
            let store = store.clone();
            runtime.spawn(async move {
                let mut waits = Histogram::<u64>::new(3).expect("three digits");
                for number in 0..each {
                    let number = caller * each + number;
                    let (key, new) = (key(number, 0), session(number, false));
                    let begun = Instant::now();
                    store.create(&key, &new).await.expect("room");
                    let wait = begun.elapsed().as_nanos() as u64;
                    waits.record(wait).expect("any time fits");
                }
                waits
            })
        })
        .collect();
    let mut waits = Histogram::<u64>::new(3).expect("three digits");
    runtime.block_on(async {
        for caller in callers {
            waits
                .add(caller.await.expect("it does not panic"))
                .expect("alike");
        }
    });
    let took = start.elapsed();
    let syncs = store.journal().expect("it has one").stats().syncs;
    let millis = |quantile| waits.value_at_quantile(quantile) as f64 / 1e6;
    println!(
        "| `always`, {CALLERS} callers, creates a second | {:.0} |",
        waits.len() as f64 / took.as_secs_f64()
    );
    println!(
        "| creates to a sync | {:.1} |",
        waits.len() as f64 / syncs.max(1) as f64
    );
    println!(
        "| wait p50 / p99 / p99.9 | {:.2} / {:.2} / {:.2} ms |",
        millis(0.5),
        millis(0.99),
        millis(0.999)
    );
}

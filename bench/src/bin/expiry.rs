//! A million sessions expire in the same second while requests go on: how long does the slowest
//! operation wait? `expiry [sessions]`.
//!
//! The clock is the real one; the sessions are created by a clock that makes all of them expire at
//! one moment. One thread loads, applies and creates at random all the time, the store's own thread
//! sweeps. What is shown is the time of each operation from before the call to behind it and, as other
//! programs take the processors away, the same without that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cloakroom_bench::waits::Waits;
use cloakroom_bench::{field, key, mix, ready, session, size_argument, value};
use cloakroom_core::record::{Changes, Condition};
use cloakroom_core::store::Stats;
use cloakroom_core::{Clock, Store, UnixMillis};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore, SystemClock};

/// Sessions that do not expire, on which the operations go on.
const LIVING: u64 = 100_000;

fn main() {
    let sessions = size_argument(1_000_000);
    let unswept = storm(sessions, false);
    let swept = storm(sessions, true);
    print(
        sessions,
        [&unswept.quiet, &unswept.storm, &swept.quiet, &swept.storm],
    );
    let emptied = swept
        .emptied
        .expect("all sessions were reclaimed within 30 s");
    println!(
        "\nAll {sessions} were reclaimed {:.2} s after they expired. Left: {} sessions, {} MiB counted.",
        emptied.as_secs_f64(),
        swept.left.sessions,
        swept.left.bytes >> 20
    );
}

struct Outcome {
    quiet: Waits,
    storm: Waits,
    emptied: Option<Duration>,
    left: Stats,
}

/// One store, before and while all of `sessions` expire; with its own thread to sweep or, for
/// comparison, with nobody.
fn storm(sessions: u64, sweeps: bool) -> Outcome {
    let living = LIVING.min(sessions);
    let clock = Arc::new(FillClock::default());
    let config = EmbeddedConfig::new()
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .housekeeping(sweeps);
    let store = EmbeddedStore::new(config).expect("the settings are valid");
    let idle = session(0, false)
        .lifetimes
        .idle()
        .expect("sessions have an idle limit");
    let all_expire_at = SystemClock.now().saturating_add(Duration::from_secs(3_600));
    clock.set(all_expire_at.saturating_sub(idle));
    for number in 0..sessions {
        ready(store.create(&key(number, 0), &session(number, false))).expect("room");
    }
    clock.set(all_expire_at.saturating_sub(Duration::from_millis(1)));
    for number in sessions..sessions + living {
        ready(store.create(&key(number, 0), &session(number, false))).expect("room");
    }
    let time = Duration::from_secs(2);
    let quiet = operate(&store, sessions, living, 0, time, || false);
    clock.set(all_expire_at);
    let start = Instant::now();
    let mut emptied = None;
    let most = Duration::from_secs(if sweeps { 30 } else { 2 });
    let storm = operate(&store, sessions, living, 1, most, || {
        let stats = ready(store.stats()).expect("it answers");
        clock.set(all_expire_at.saturating_add(start.elapsed()));
        if stats.expired >= sessions && emptied.is_none() {
            emptied = Some(start.elapsed());
        }
        emptied.is_some_and(|at| start.elapsed() > at + Duration::from_secs(1))
    });
    Outcome {
        quiet,
        storm,
        emptied,
        left: ready(store.stats()).expect("it answers"),
    }
}

/// Loads, applies, creates and destroys until time is up or `over`, asked now and then, says so.
fn operate(
    store: &EmbeddedStore,
    first: u64,
    living: u64,
    first_round: u64,
    most: Duration,
    mut over: impl FnMut() -> bool,
) -> Waits {
    let mut waits = Waits::default();
    let start = Instant::now();
    let mut changes = Changes::new();
    changes
        .set(&field(3), value(1, false))
        .expect("within the limits");
    for at in 0_u64.. {
        if at % 256 == 0 && (start.elapsed() >= most || over()) {
            break;
        }
        let number = first + mix(at) % living;
        let (known, new) = (key(number, 0), key(number, at + 1 + (first_round << 24)));
        let fresh = (at % 16 == 15).then(|| session(number, false));
        waits.time(at, || {
            if let Some(fresh) = fresh {
                ready(store.create(&new, &fresh)).expect("room");
                ready(store.destroy(&new)).expect("it answers");
            } else if at % 4 == 3 {
                ready(store.apply(&known, &changes, &Condition::Always)).expect("it answers");
            } else {
                ready(store.load(&known)).expect("it answers");
            }
        });
    }
    waits
}

fn print(sessions: u64, waits: [&Waits; 4]) {
    println!(
        "| wait of an operation, us (without waiting for a processor) | nobody sweeps: before | while {sessions} expire | swept: before | while {sessions} expire |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    let counts = waits.map(|waits| waits.all.len().to_string());
    println!("| operations | {} |", counts.join(" | "));
    for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0] {
        let cells = waits.map(|waits| {
            let (all, running) = waits.micros(quantile);
            format!("{all:.1} ({running:.1})")
        });
        let name = match quantile {
            1.0 => "longest".to_owned(),
            _ => format!("p{}", (quantile * 1e7_f64).round() / 1e5),
        };
        println!("| {name} | {} |", cells.join(" | "));
    }
}

/// A clock that is set by hand.
#[derive(Debug, Default)]
struct FillClock(AtomicU64);

impl FillClock {
    fn set(&self, now: UnixMillis) {
        self.0.store(now.as_millis(), Ordering::Relaxed);
    }
}

impl Clock for FillClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::Relaxed))
    }
}

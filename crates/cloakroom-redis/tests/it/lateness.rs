//! How late this machine and this process are by themselves, so that a call which outlived its deadline can
//! be judged: a thread that does nothing but sleep shows the machine, a timer of the runtime that the calls
//! run on shows the process. Each knows when it was late, and so what it tells of one call.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long it sleeps each time.
const NAP: Duration = Duration::from_millis(3);
/// Less is noise, and would fill the memory.
const NOTED: Duration = Duration::from_millis(1);

/// When somebody slept who does nothing else, and by how much too long.
#[derive(Debug, Default)]
pub(crate) struct Lateness(Mutex<Slept>);

#[derive(Debug, Default)]
struct Slept {
    /// When it should have woken, and when it did.
    late: Vec<(Instant, Instant)>,
    /// When it should wake next.
    due: Option<Instant>,
}

impl Lateness {
    /// Sleeps on this thread while `goes_on`.
    pub(crate) fn watch_thread(&self, goes_on: impl Fn() -> bool) {
        while goes_on() {
            let due = self.lies_down();
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.wakes(due, Instant::now());
        }
    }

    /// Sleeps on this runtime while `goes_on`.
    pub(crate) async fn watch_timer(&self, goes_on: impl Fn() -> bool) {
        while goes_on() {
            let due = self.lies_down();
            tokio::time::sleep_until(due.into()).await;
            self.wakes(due, Instant::now());
        }
    }

    fn lies_down(&self) -> Instant {
        let due = Instant::now() + NAP;
        self.0.lock().due = Some(due);
        due
    }

    fn wakes(&self, due: Instant, woke: Instant) {
        let mut slept = self.0.lock();
        slept.due = None;
        if woke.saturating_duration_since(due) > NOTED {
            slept.late.push((due, woke));
        }
    }

    /// The most.
    pub(crate) fn worst(&self) -> Duration {
        let slept = self.0.lock();
        let late = slept.late.iter().map(|(due, woke)| *woke - *due);
        late.max().unwrap_or_default()
    }

    /// How much of the time between the two it overslept.
    pub(crate) fn between(&self, from: Instant, until: Instant) -> Duration {
        let slept = self.0.lock();
        // It may be asleep still.
        let present = slept.due.map(|due| (due, Instant::now()));
        let late = slept.late.iter().copied().chain(present);
        let parts = late.map(|(due, woke)| {
            let (first, last) = (due.max(from), woke.min(until));
            last.saturating_duration_since(first)
        });
        parts.sum()
    }
}

/// What it overslept is counted where it lies within, and only that much of it.
#[test]
fn lateness_is_told_of_a_time() {
    let lateness = Lateness::default();
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    lateness.wakes(at(100), at(140));
    lateness.wakes(at(200), at(210));
    let between = |from, until| lateness.between(at(from), at(until)).as_millis();
    assert_eq!(lateness.worst(), Duration::from_millis(40));
    assert_eq!(between(0, 50), 0);
    assert_eq!(between(0, 300), 50);
    assert_eq!(between(120, 130), 10);
    assert_eq!(between(130, 205), 15);
}

//! How long operations take, and how much of it was waiting for a processor that other programs had.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Operations that took longer are asked what of it they waited for a processor.
const SLOW: Duration = Duration::from_micros(100);

/// Times of the operations of one thread.
pub struct Waits {
    /// From before the call to behind it, in nanoseconds.
    pub all: Histogram<u64>,
    /// The same but for what the thread waited for a processor.
    pub running: Histogram<u64>,
    queued: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        let histogram = || Histogram::new(3).expect("three digits");
        Self {
            all: histogram(),
            running: histogram(),
            queued: queued(),
        }
    }
}

impl Waits {
    /// Does the `at`-th operation and notes how long that took.
    ///
    /// # Panics
    /// If the kernel does not tell how long this thread waited for a processor.
    pub fn time<T>(&mut self, at: u64, work: impl FnOnce() -> T) -> T {
        if at.is_multiple_of(16) {
            self.queued = queued();
        }
        let begun = Instant::now();
        let done = work();
        let wait = begun.elapsed();
        let mut own = wait;
        if wait > SLOW {
            let before = std::mem::replace(&mut self.queued, queued());
            own = wait.saturating_sub(self.queued - before);
        }
        for (times, wait) in [(&mut self.all, wait), (&mut self.running, own)] {
            times.record(wait.as_nanos() as u64).expect("any time fits");
        }
        done
    }

    /// What this part of the operations took at most, in microseconds: with waiting for a processor and without.
    #[must_use]
    pub fn micros(&self, quantile: f64) -> (f64, f64) {
        let micros = |times: &Histogram<u64>| times.value_at_quantile(quantile) as f64 / 1e3;
        (micros(&self.all), micros(&self.running))
    }
}

/// How long this thread has waited for a processor, ready to run, says the kernel.
fn queued() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanos = text
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.expect("the second number is the time in the queue"))
}

//! How much goes on at the moment: what a second more has added to what is counted. Looked at once a second,
//! because whoever asks `INFO` twice a minute still wants to know of the last second.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::server::Server;

/// The latest look, and what went on between it and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    seen: Option<(Instant, [u64; 3])>,
    /// Commands each second.
    pub(crate) commands: f64,
    /// Bytes each second, from clients and to them.
    pub(crate) bytes_in: f64,
    pub(crate) bytes_out: f64,
    /// The most bytes that were in use at a look.
    pub(crate) most_bytes: u64,
}

impl Pace {
    /// These are the sums by now.
    fn look(&mut self, now: Instant, sums: [u64; 3]) {
        if let Some((before, old)) = self.seen {
            let seconds = now.duration_since(before).as_secs_f64();
            // Counting may have begun anew meanwhile.
            let more = |at: usize| match seconds > 0.0 {
                true => sums[at].saturating_sub(old[at]) as f64 / seconds,
                false => 0.0,
            };
            (self.commands, self.bytes_in, self.bytes_out) = (more(0), more(1), more(2));
        }
        self.seen = Some((now, sums));
    }
}

impl Server {
    /// A second has passed.
    pub(crate) fn take_pace(&self) {
        let counts = &self.counts;
        let bytes = [&counts.bytes_in, &counts.bytes_out].map(|sum| sum.load(Ordering::Relaxed));
        let sums = [counts.commands(), bytes[0], bytes[1]];
        let used = self.engine.stats().bytes;
        let mut pace = self.pace.lock();
        pace.look(Instant::now(), sums);
        pace.most_bytes = pace.most_bytes.max(used);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Instant, Pace};

    #[test]
    fn it_is_what_was_added_by_the_second() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        pace.look(begun, [100, 1_000, 0]);
        assert_eq!((pace.commands, pace.bytes_in), (0.0, 0.0));
        pace.look(begun + Duration::from_secs(2), [300, 5_000, 10]);
        assert_eq!(
            (pace.commands, pace.bytes_in, pace.bytes_out),
            (100.0, 2_000.0, 5.0)
        );
        // `CONFIG RESETSTAT` came in between.
        pace.look(begun + Duration::from_secs(3), [5, 5, 5]);
        assert_eq!(pace.commands, 0.0);
    }
}

//! A clock that stands still until a test moves it, so that hours pass in no time and a clock that
//! goes wrong can be shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{Clock, UnixMillis};

/// A clock that a test moves. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Where a new clock stands: 2026-01-01T00:00:00Z.
    pub const START: UnixMillis = UnixMillis::new(1_767_225_600_000);

    /// A clock that stands at [`ManualClock::START`].
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(Self::START.as_millis())))
    }

    /// Time passes.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
    }

    /// The clock is put back, as by a wrong time server.
    pub fn rewind(&self, by: Duration) {
        self.set(self.now().saturating_sub(by));
    }

    /// The clock is put to `now`.
    pub fn set(&self, now: UnixMillis) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::SeqCst))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

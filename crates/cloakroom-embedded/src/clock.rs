//! The machine's clock, for production. Tests hand in one that they hold.

use std::time::Duration;

use cloakroom_core::{Clock, UnixMillis};

/// The operating system's wall clock. It may jump, as the [`Clock`] contract allows.
///
/// On Linux it is `CLOCK_REALTIME_COARSE`: up to one tick of the kernel (1 to 10 ms) behind, and a fifth
/// of the cost, which is paid at every load.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn now(&self) -> UnixMillis {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        // Before the epoch is no time of a session.
        let whole = u64::try_from(now.tv_sec).map_or(0, |seconds| seconds.saturating_mul(1_000));
        UnixMillis::new(whole.saturating_add(now.tv_nsec as u64 / 1_000_000))
    }

    #[cfg(not(target_os = "linux"))]
    fn now(&self) -> UnixMillis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // Not `as_millis`: its division of 128 bits costs more than reading the clock.
        UnixMillis::new(since.map_or(0, |since| {
            let whole = since.as_secs().saturating_mul(1_000);
            whole.saturating_add(u64::from(since.subsec_millis()))
        }))
    }
}

/// A moment by which to tell roughly how long ago something was, as often as every write asks: to a tick
/// of the kernel, and for a fifth of what an `Instant` costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick(Moment);

#[cfg(target_os = "linux")]
type Moment = Duration;
#[cfg(not(target_os = "linux"))]
type Moment = std::time::Instant;

impl Tick {
    #[cfg(target_os = "linux")]
    pub(crate) fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        let whole = u64::try_from(now.tv_sec).unwrap_or_default();
        Self(Duration::new(whole, now.tv_nsec as u32))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Self {
        Self(Moment::now())
    }

    /// How long it is since then.
    #[cfg(target_os = "linux")]
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    /// How long it is since then.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

//! The machine's clock, for production. Tests hand in one that they hold.

use std::time::{SystemTime, UNIX_EPOCH};

use cloakroom_core::{Clock, UnixMillis};

/// The operating system's wall clock. It may jump, as the [`Clock`] contract allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // Not `as_millis`: its division of 128 bits costs more than reading the clock.
        UnixMillis::new(since.map_or(0, |since| {
            let whole = since.as_secs().saturating_mul(1_000);
            whole.saturating_add(u64::from(since.subsec_millis()))
        }))
    }
}

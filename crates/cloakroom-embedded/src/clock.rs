//! The machine's clock, for production. Tests hand in one that they hold.

use std::time::{SystemTime, UNIX_EPOCH};

use cloakroom_core::{Clock, UnixMillis};

/// The operating system's wall clock. It may jump, as the [`Clock`] contract allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        UnixMillis::new(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

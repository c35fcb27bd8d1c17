//! Events as `tracing` lines: what security wants to see as warnings, ordinary life for debugging.
//! A session is named by its public handle, never by its id (ASVS 5.0, 16.2.5).
//!
//! What visitors can cause as often as they like (a forged cookie) has a few lines in a while, so that nobody fills
//! an application's disk with its log; the next line says how many had none. An observer hears of each.

use std::time::{Duration, Instant};

use cloakroom_core::observe::{Event, Observer};
use parking_lot::Mutex;

/// Reports every event to `tracing`.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    cookies: Sparing,
    ended: Sparing,
    logins: Sparing,
}

/// Lines of one kind.
#[derive(Debug, Default)]
struct Sparing(Mutex<Option<(Instant, u64)>>);

/// How long they are counted together.
const EVERY: Duration = Duration::from_secs(10);

/// How many have a line meanwhile.
const LINES: u64 = 5;

impl Observer for Traced {
    fn observe(&self, event: &Event) {
        let name = event.name();
        match event {
            Event::CookieRejected(fault) => self.cookies.tell(|left_out| {
                tracing::warn!(name, ?fault, left_out, "session cookie rejected");
            }),
            Event::UseAfterEnd => self
                .ended
                .tell(|left_out| tracing::warn!(name, left_out, "session")),
            Event::LoginRefused => self
                .logins
                .tell(|left_out| tracing::warn!(name, left_out, "session")),
            Event::Undecodable => tracing::warn!(name, "session"),
            Event::LimitExceeded(what) => tracing::warn!(name, what, "session limit exceeded"),
            Event::StoreFailed(operation, kind) => {
                tracing::warn!(
                    name,
                    operation = operation.name(),
                    ?kind,
                    "session store failed"
                );
            }
            Event::TouchesDropped(count) => tracing::warn!(name, count, "session activity lost"),
            Event::Revoked(count) => tracing::info!(name, count, "sessions revoked"),
            Event::LoggedIn(handle) | Event::LoggedOut(Some(handle)) => {
                tracing::info!(name, session = %handle, "session");
            }
            Event::LoggedOut(None) => tracing::info!(name, "session"),
            Event::Created(handle) | Event::Renewed(handle) => {
                tracing::debug!(name, session = %handle, "session");
            }
            Event::Expired(limit) => tracing::debug!(name, ?limit, "session expired"),
            _ => tracing::debug!(name, "session"),
        }
    }
}

impl Sparing {
    /// Has `line` told, with the number of those before it that had none, unless there were enough lately.
    fn tell(&self, line: impl FnOnce(Option<u64>)) {
        if let Some(left_out) = self.count(Instant::now()) {
            line(Some(left_out).filter(|left_out| *left_out > 0));
        }
    }

    fn count(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        match &mut *state {
            Some((began, came)) if now.duration_since(*began) < EVERY => {
                *came += 1;
                (*came <= LINES).then_some(0)
            }
            over => {
                let before = over.replace((now, 1)).map_or(0, |(_, came)| came);
                Some(before.saturating_sub(LINES))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_a_few_lines_and_its_number_in_the_next() {
        let (sparing, began) = (Sparing::default(), Instant::now());
        let told: Vec<_> = (0..100).map(|_| sparing.count(began)).collect();
        assert_eq!(told[..5], [Some(0); 5]);
        assert_eq!(told[5..], [None; 95]);
        let almost = began + EVERY - Duration::from_millis(1);
        assert_eq!(sparing.count(almost), None);
        assert_eq!(sparing.count(began + EVERY), Some(96));
        assert_eq!(sparing.count(began + EVERY), Some(0));
        assert_eq!(sparing.count(began + 3 * EVERY), Some(0));
    }
}

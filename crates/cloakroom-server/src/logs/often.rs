//! Lines that strangers can have as many of as they like: a forged cookie, a wrong password, half a command. The
//! first few of a kind are told one by one, in each [`EVERY`]; of the rest the log has the number. So nobody fills a
//! disk, or holds up those who wait for each warning to be written. What `/metrics` counts of them stays exact.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a kind is summed up.
const EVERY: Duration = Duration::from_secs(10);

/// How many of a kind have a line of their own meanwhile.
const ONE_BY_ONE: u64 = 5;

/// A kind of line.
#[derive(Debug)]
pub(crate) struct Often {
    what: &'static str,
    /// Those since the last sum.
    came: AtomicU64,
}

/// A cookie that is no id, or there twice, or a session that has ended.
pub(crate) static COOKIES: Often = Often::new("session_cookie_rejected, session_use_after_end");
/// A sign-in beyond the sessions that its subject may have.
pub(crate) static LOGINS: Often = Often::new("session_login_refused");
/// A connection that could not be taken.
pub(crate) static NOT_TAKEN: Often = Often::new("cannot accept a connection");
/// A browser, or a page in one, at the port of the Redis protocol.
pub(crate) static SPEAKS_HTTP: Often = Often::new("RESP connection closed: it speaks HTTP");
/// A wrong password of the Redis protocol.
pub(crate) static PASSWORDS: Often = Often::new("RESP: a wrong user name or password");
/// Bytes that are no command.
pub(crate) static PROTOCOL: Often = Often::new("RESP connection closed: it breaks the protocol");
/// Whoever asks for more than they read.
pub(crate) static CUT: Often = Often::new("RESP connection cut off");

/// A key of the store that holds no session.
pub(crate) static FOREIGN: Often = Often::new("a key of the store holds no session");

/// What scripts say.
#[cfg(feature = "lua")]
pub(crate) static SCRIPTS: Often = Often::new("redis.log of a script");

static ALL: &[&Often] = &[
    &COOKIES,
    &LOGINS,
    &NOT_TAKEN,
    &SPEAKS_HTTP,
    &PASSWORDS,
    &PROTOCOL,
    &CUT,
    &FOREIGN,
    #[cfg(feature = "lua")]
    &SCRIPTS,
];

impl Often {
    const fn new(what: &'static str) -> Self {
        Self {
            what,
            came: AtomicU64::new(0),
        }
    }

    /// Counts one more, and says whether it has a line of its own.
    pub(crate) fn has_a_line(&self) -> bool {
        self.came.fetch_add(1, Ordering::Relaxed) < ONE_BY_ONE
    }

    /// How many had none since this was asked last; the next ones have lines again.
    fn without_line(&self) -> u64 {
        let came = self.came.swap(0, Ordering::Relaxed);
        came.saturating_sub(ONE_BY_ONE)
    }
}

/// Tells how many lines of each kind were not written since the last time.
pub(crate) fn sum_up() {
    for often in ALL {
        let more = often.without_line();
        if more > 0 {
            tracing::warn!(
                more,
                of = often.what,
                "the log has no line for each of these"
            );
        }
    }
}

/// Does so again and again, on a task of its own.
pub(crate) fn start_summing_up() {
    tokio::spawn(async {
        let mut due = tokio::time::interval(EVERY);
        loop {
            due.tick().await;
            sum_up();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_have_lines_and_the_rest_a_sum() {
        let often = Often::new("such");
        for round in 0..3 {
            let lines = (0..100).filter(|_| often.has_a_line()).count();
            assert_eq!(lines, 5, "round {round}");
            assert_eq!(often.without_line(), 95, "round {round}");
            assert_eq!(often.without_line(), 0, "round {round}");
        }
        for _ in 0..5 {
            assert!(often.has_a_line());
        }
        assert_eq!(often.without_line(), 0);
    }
}

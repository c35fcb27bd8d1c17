//! When a session is over. One pure function decides it, for every store, on every read.
//!
//! Idle: nothing happened for so long. Absolute: signed in (or begun) so long ago, whatever
//! happened since. Both are kept inside the record, so that a lost TTL, a late sweep or a replica
//! cannot serve a session longer (NIST SP 800-63B-4, 5.2; ASVS 5.0, 7.3.1 and 7.3.2).

use std::time::Duration;

use crate::time::UnixMillis;
use crate::{Error, ErrorKind, limits};

/// How long a session may live: without activity, and at all.
///
/// A session carries its own lifetimes, so a "remember me" that was granted at login survives every
/// later write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetimes {
    idle: Option<Duration>,
    absolute: Duration,
}

impl Lifetimes {
    /// Both limits: `idle` without activity, `absolute` in any case.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`] if a limit is outside [`limits::LIFETIME_MIN`] to
    /// [`limits::LIFETIME`].
    pub fn new(idle: Duration, absolute: Duration) -> Result<Self, Error> {
        Ok(Self {
            idle: Some(checked("idle", idle)?),
            absolute: checked("absolute", absolute)?,
        })
    }

    /// The absolute limit alone: activity changes nothing.
    ///
    /// # Errors
    /// As [`Lifetimes::new`].
    pub fn fixed(absolute: Duration) -> Result<Self, Error> {
        Ok(Self {
            idle: None,
            absolute: checked("absolute", absolute)?,
        })
    }

    /// The idle limit alone; the absolute one is the longest there is ([`limits::LIFETIME`]).
    ///
    /// # Errors
    /// As [`Lifetimes::new`].
    pub fn sliding(idle: Duration) -> Result<Self, Error> {
        Self::new(idle, limits::LIFETIME)
    }

    /// How long the session lives without activity, if that is limited.
    #[must_use]
    pub const fn idle(&self) -> Option<Duration> {
        self.idle
    }

    /// How long the session lives in any case.
    #[must_use]
    pub const fn absolute(&self) -> Duration {
        self.absolute
    }

    /// How old the last recorded activity must be before a read records it anew: 5 % of the idle
    /// limit and at least 60 s, but never more than a quarter of the limit (else a limit of a
    /// minute would never slide). `None` if activity changes nothing.
    #[must_use]
    pub fn touch_interval(&self) -> Option<Duration> {
        let idle = self.idle?;
        Some((idle / 20).max(Duration::from_secs(60)).min(idle / 4))
    }

    pub(crate) const fn constant(idle_secs: Option<u64>, absolute_secs: u64) -> Self {
        let idle = match idle_secs {
            Some(secs) => Some(Duration::from_secs(secs)),
            None => None,
        };
        Self {
            idle,
            absolute: Duration::from_secs(absolute_secs),
        }
    }
}

/// The times of one session: all that expiry is decided from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the session was created. Rotation does not change it.
    pub created_at: UnixMillis,
    /// When the subject last signed in; the absolute limit runs from here. `None`: anonymous.
    pub authenticated_at: Option<UnixMillis>,
    /// The last recorded activity; the idle limit runs from here.
    pub seen_at: UnixMillis,
    /// The session's own limits.
    pub lifetimes: Lifetimes,
}

impl Times {
    /// The times of a session that is created at `now`.
    #[must_use]
    pub const fn new(now: UnixMillis, lifetimes: Lifetimes, authenticated: bool) -> Self {
        let authenticated_at = if authenticated { Some(now) } else { None };
        Self {
            created_at: now,
            authenticated_at,
            seen_at: now,
            lifetimes,
        }
    }

    /// When the absolute limit strikes. No activity and no rotation moves it.
    #[must_use]
    pub fn absolute_deadline(&self) -> UnixMillis {
        let start = self.authenticated_at.unwrap_or(self.created_at);
        start.saturating_add(self.lifetimes.absolute)
    }

    /// When the session is over unless something happens before.
    #[must_use]
    pub fn deadline(&self) -> UnixMillis {
        let absolute = self.absolute_deadline();
        match self.lifetimes.idle {
            Some(idle) => absolute.min(self.seen_at.saturating_add(idle)),
            None => absolute,
        }
    }
}

/// What [`decide`] says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session lives.
    Alive {
        /// What is left if nothing more happens.
        remaining: Duration,
        /// Whether a read should record this activity ([`Lifetimes::touch_interval`]).
        touch_due: bool,
    },
    /// The session is over.
    Expired(Limit),
}

/// Which limit ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Nothing happened for too long.
    Idle,
    /// The session lived as long as it may.
    Absolute,
}

/// Whether a session with these times lives at `now`. A deadline is the first moment at which it
/// does not.
///
/// A clock that went back makes times lie in the future; then what is left never exceeds the
/// limits, and a touch is due so that the record comes back to the present.
#[must_use]
pub fn decide(times: &Times, now: UnixMillis) -> Verdict {
    let absolute = times.absolute_deadline();
    if now >= absolute {
        return Verdict::Expired(Limit::Absolute);
    }
    let absolute_left = absolute.since(now).min(times.lifetimes.absolute);
    let Some(idle) = times.lifetimes.idle else {
        return Verdict::Alive {
            remaining: absolute_left,
            touch_due: false,
        };
    };
    let idle_deadline = times.seen_at.saturating_add(idle);
    if now >= idle_deadline {
        return Verdict::Expired(Limit::Idle);
    }
    let remaining = absolute_left.min(idle_deadline.since(now).min(idle));
    let interval = times.lifetimes.touch_interval().unwrap_or(idle);
    let touch_due = times.seen_at > now || now.since(times.seen_at) >= interval;
    Verdict::Alive {
        remaining,
        touch_due,
    }
}

fn checked(setting: &'static str, value: Duration) -> Result<Duration, Error> {
    if (limits::LIFETIME_MIN..=limits::LIFETIME).contains(&value) {
        return Ok(Duration::from_millis(
            u64::try_from(value.as_millis()).unwrap_or(u64::MAX),
        ));
    }
    Err(Error::new(ErrorKind::InvalidSetting {
        setting,
        value: format!("{value:?}"),
        fix: "give a lifetime from 1 second to 400 days",
    }))
}

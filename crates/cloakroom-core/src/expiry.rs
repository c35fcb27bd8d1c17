//! When a session is over. One pure function decides it, for every store, on every read.
//!
//! Idle: nothing happened for so long. Absolute: signed in (or begun) so long ago, whatever
//! happened since. Both are kept inside the record, so that a lost TTL, a late sweep or a replica
//! cannot serve a session longer (NIST SP 800-63B-4, 5.2; ASVS 5.0, 7.3.1 and 7.3.2).

use std::num::NonZeroU64;
use std::time::Duration;

use crate::time::UnixMillis;
use crate::{Error, ErrorKind, limits};

/// How long a session may live: without activity, and at all.
///
/// A session carries its own lifetimes, so a "remember me" that was granted at login survives every
/// later write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetimes {
    // Counted, not `Duration`s: every read of a session reckons with them, and a `Duration` takes
    // a division for each sum. Whoever asks gets one.
    idle_millis: Option<NonZeroU64>,
    absolute_millis: u64,
}

impl Lifetimes {
    /// Both limits: `idle` without activity, `absolute` in any case.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`] if a limit is outside [`limits::LIFETIME_MIN`] to
    /// [`limits::LIFETIME`].
    pub fn new(idle: Duration, absolute: Duration) -> Result<Self, Error> {
        Ok(Self {
            idle_millis: NonZeroU64::new(checked("idle", idle)?),
            absolute_millis: checked("absolute", absolute)?,
        })
    }

    /// The absolute limit alone: activity changes nothing.
    ///
    /// # Errors
    /// As [`Lifetimes::new`].
    pub fn fixed(absolute: Duration) -> Result<Self, Error> {
        Ok(Self {
            idle_millis: None,
            absolute_millis: checked("absolute", absolute)?,
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
        match self.idle_millis {
            Some(idle) => Some(Duration::from_millis(idle.get())),
            None => None,
        }
    }

    /// How long the session lives in any case.
    #[must_use]
    pub const fn absolute(&self) -> Duration {
        Duration::from_millis(self.absolute_millis)
    }

    /// How old the last recorded activity must be before a read records it anew: 5 % of the idle
    /// limit and at least 60 s, but never more than a quarter of the limit (else a limit of a
    /// minute would never slide). `None` if activity changes nothing.
    #[must_use]
    pub fn touch_interval(&self) -> Option<Duration> {
        let idle = self.idle_millis?.get();
        Some(Duration::from_millis(touch_interval(idle)))
    }

    pub(crate) const fn constant(idle_secs: Option<u64>, absolute_secs: u64) -> Self {
        let idle_millis = match idle_secs {
            Some(secs) => NonZeroU64::new(secs * 1_000),
            None => None,
        };
        Self {
            idle_millis,
            absolute_millis: absolute_secs * 1_000,
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
        start.plus_millis(self.lifetimes.absolute_millis)
    }

    /// When the session is over unless something happens before.
    #[must_use]
    pub fn deadline(&self) -> UnixMillis {
        let absolute = self.absolute_deadline();
        match self.lifetimes.idle_millis {
            Some(idle) => absolute.min(self.seen_at.plus_millis(idle.get())),
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
    let absolute_left = absolute
        .millis_since(now)
        .min(times.lifetimes.absolute_millis);
    let Some(idle) = times.lifetimes.idle_millis.map(NonZeroU64::get) else {
        return Verdict::Alive {
            remaining: Duration::from_millis(absolute_left),
            touch_due: false,
        };
    };
    let idle_deadline = times.seen_at.plus_millis(idle);
    if now >= idle_deadline {
        return Verdict::Expired(Limit::Idle);
    }
    let remaining = absolute_left.min(idle_deadline.millis_since(now).min(idle));
    let quiet = now.millis_since(times.seen_at);
    Verdict::Alive {
        remaining: Duration::from_millis(remaining),
        touch_due: times.seen_at > now || quiet >= touch_interval(idle),
    }
}

/// [`Lifetimes::touch_interval`], all in milliseconds.
fn touch_interval(idle: u64) -> u64 {
    (idle / 20).max(60_000).min(idle / 4)
}

/// The lifetime in whole milliseconds, which are some.
fn checked(setting: &'static str, value: Duration) -> Result<u64, Error> {
    if (limits::LIFETIME_MIN..=limits::LIFETIME).contains(&value) {
        return Ok(u64::try_from(value.as_millis()).unwrap_or(u64::MAX));
    }
    Err(Error::new(ErrorKind::InvalidSetting {
        setting,
        value: format!("{value:?}"),
        fix: "give a lifetime from 1 second to 400 days",
    }))
}

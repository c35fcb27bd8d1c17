//! What an application allows its sessions: lifetimes, "remember me", parallel sessions. Presets
//! name the rule that they follow, so that a choice can be justified (ASVS 5.0, 7.1.1).

use std::fmt::Write as _;
use std::time::Duration;

use crate::expiry::Lifetimes;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What sessions are allowed. The default is [`Policy::OWASP_LOW_VALUE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    name: &'static str,
    lifetimes: Lifetimes,
    remember: Option<Lifetimes>,
    max_sessions: Option<MaxSessions>,
}

/// How many sessions one subject may have at a time (ASVS 5.0, 7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxSessions {
    /// The limit, in sessions; at least one.
    pub limit: usize,
    /// What a login does that would exceed it.
    pub on_excess: OnExcess,
}

/// What happens to a login that would exceed [`MaxSessions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExcess {
    /// The sessions that signed in longest ago are revoked until there is room.
    RevokeOldest,
    /// The login is refused with `ErrorKind::TooManySessions`.
    Refuse,
}

impl Policy {
    /// OWASP Session Management, low-risk application: 30 minutes idle, 8 hours in any case;
    /// remembered: 14 days idle, 30 days in any case.
    pub const OWASP_LOW_VALUE: Self = Self {
        name: "OWASP low value",
        lifetimes: Lifetimes::constant(Some(30 * MINUTE), 8 * HOUR),
        remember: Some(Lifetimes::constant(Some(14 * DAY), 30 * DAY)),
        max_sessions: None,
    };

    /// OWASP Session Management, high-value application: 5 minutes idle, 4 hours in any case.
    pub const OWASP_HIGH_VALUE: Self = Self {
        name: "OWASP high value",
        lifetimes: Lifetimes::constant(Some(5 * MINUTE), 4 * HOUR),
        remember: None,
        max_sessions: None,
    };

    /// NIST SP 800-63B-4, 2.1.3 (AAL1): at most 30 days in any case.
    pub const NIST_AAL1: Self = Self {
        name: "NIST AAL1",
        lifetimes: Lifetimes::constant(None, 30 * DAY),
        remember: None,
        max_sessions: None,
    };

    /// NIST SP 800-63B-4, 2.2.3 (AAL2): 1 hour idle, 24 hours in any case.
    pub const NIST_AAL2: Self = Self {
        name: "NIST AAL2",
        lifetimes: Lifetimes::constant(Some(HOUR), 24 * HOUR),
        remember: None,
        max_sessions: None,
    };

    /// NIST SP 800-63B-4, 2.3.3 (AAL3): 15 minutes idle, 12 hours in any case.
    pub const NIST_AAL3: Self = Self {
        name: "NIST AAL3",
        lifetimes: Lifetimes::constant(Some(15 * MINUTE), 12 * HOUR),
        remember: None,
        max_sessions: None,
    };

    /// All presets.
    pub const PRESETS: [Self; 5] = [
        Self::OWASP_LOW_VALUE,
        Self::OWASP_HIGH_VALUE,
        Self::NIST_AAL1,
        Self::NIST_AAL2,
        Self::NIST_AAL3,
    ];

    /// A policy with these lifetimes, without "remember me" and without a limit on parallel
    /// sessions.
    #[must_use]
    pub const fn new(lifetimes: Lifetimes) -> Self {
        Self {
            name: "custom",
            lifetimes,
            remember: None,
            max_sessions: None,
        }
    }

    /// The same policy, and remembered logins live for `lifetimes`.
    #[must_use]
    pub const fn remember(mut self, lifetimes: Lifetimes) -> Self {
        self.remember = Some(lifetimes);
        self
    }

    /// The same policy with at most `limit` sessions per subject; zero is taken as one.
    #[must_use]
    pub const fn max_sessions(mut self, limit: usize, on_excess: OnExcess) -> Self {
        let limit = if limit == 0 { 1 } else { limit };
        self.max_sessions = Some(MaxSessions { limit, on_excess });
        self
    }

    /// The name of the preset, or `"custom"`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Lifetimes of a session.
    #[must_use]
    pub const fn lifetimes(&self) -> Lifetimes {
        self.lifetimes
    }

    /// Lifetimes of a remembered session, if logins may ask for that.
    #[must_use]
    pub const fn remember_lifetimes(&self) -> Option<Lifetimes> {
        self.remember
    }

    /// The limit on a subject's parallel sessions.
    #[must_use]
    pub const fn session_limit(&self) -> Option<MaxSessions> {
        self.max_sessions
    }

    /// The effective limits as a Markdown table, for the document that ASVS 7.1.1 asks for.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut page = format!("| {} | idle | absolute |\n| --- | --- | --- |\n", self.name);
        let mut row = |name: &str, lifetimes: Lifetimes| {
            let idle = lifetimes.idle().map_or_else(|| "none".to_owned(), words);
            let _ = writeln!(
                page,
                "| {name} | {idle} | {} |",
                words(lifetimes.absolute())
            );
        };
        row("session", self.lifetimes);
        if let Some(lifetimes) = self.remember {
            row("remembered session", lifetimes);
        }
        for (level, preset) in [
            ("AAL1", Self::NIST_AAL1),
            ("AAL2", Self::NIST_AAL2),
            ("AAL3", Self::NIST_AAL3),
        ] {
            let within = self.is_within(preset.lifetimes);
            let verdict = if within { "within" } else { "beyond" };
            let _ = writeln!(page, "\nNIST SP 800-63B-4 {level}: {verdict} its limits.");
        }
        page
    }

    fn is_within(&self, limit: Lifetimes) -> bool {
        let longest = self.remember.unwrap_or(self.lifetimes);
        let idle_within = match (longest.idle(), limit.idle()) {
            (_, None) => true,
            (Some(idle), Some(most)) => idle <= most,
            (None, Some(most)) => longest.absolute() <= most,
        };
        idle_within && longest.absolute() <= limit.absolute()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::OWASP_LOW_VALUE
    }
}

fn words(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        _ if secs.is_multiple_of(DAY) => format!("{} d", secs / DAY),
        _ if secs.is_multiple_of(HOUR) => format!("{} h", secs / HOUR),
        _ if secs.is_multiple_of(MINUTE) => format!("{} min", secs / MINUTE),
        _ => format!("{duration:?}"),
    }
}

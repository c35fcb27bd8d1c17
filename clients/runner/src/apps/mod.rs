//! The applications: how each is built and started, and what it is known to do differently. A table, so
//! that the matrix, its page and the run are made of the same rows.

mod go;
mod java;
mod node;
mod php;
mod python;
mod ruby;

use crate::checks::{Check, Verdict};
use crate::server::Kind;

/// An application: a folder of `clients/`.
#[derive(Debug)]
pub struct App {
    /// The folder.
    pub folder: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The files that say what it needs: if none of them changed, it is not built again.
    pub manifests: &'static [&'static str],
    /// The commands that build it, run in its copy. Their first words are programs.
    pub build: &'static [&'static [&'static str]],
    /// The command that starts it there; `{port}` is its port.
    pub start: &'static [&'static str],
    /// The cookie that holds the id of the session.
    pub cookie: &'static str,
    /// Whether a request waits for the one before it of the same session: then none overlap.
    pub locks: bool,
    /// How a save comes too late.
    pub late: Late,
    /// What Cloakroom's setting `layouts` has to say of it, if anything.
    pub layouts: &'static str,
    /// Its stores.
    pub variants: &'static [Variant],
    /// Where a check does not come out as `held`.
    pub differs: &'static [Difference],
}

/// A store that an application can be started with.
#[derive(Debug)]
pub struct Variant {
    /// What `VARIANT` is.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Its sessions' keys, as a pattern of Redis.
    pub keys: &'static str,
}

/// How the save of a slow request gets behind a logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Its handler takes long, and what it saves is written whatever happened meanwhile.
    InTheHandler,
    /// Its framework looks again before it saves; so the save itself is late, on the wire. The value is the
    /// command, as the framework writes it.
    OnTheWire(&'static str),
    /// Its handler takes long, and its framework looks again before it saves and refuses: the request fails. Its
    /// commands share one connection, so the save itself cannot be late alone.
    Refused,
}

/// A check that does not come out as `held`, with the reason. All that is known is here: a run that finds
/// anything else fails, for better or for worse.
#[derive(Debug)]
pub struct Difference {
    /// The check.
    pub check: Check,
    /// Against which server; `None` is both.
    pub server: Option<Kind>,
    /// For which variants: those whose name has all of these words.
    pub variants: &'static [&'static str],
    /// How it comes out.
    pub verdict: Verdict,
    /// Why.
    pub why: &'static str,
}

/// All applications.
pub const ALL: &[&[App]] = &[
    node::APPS,
    python::APPS,
    java::APPS,
    php::APPS,
    go::APPS,
    ruby::APPS,
];

/// For applications that need no build, because Debian has what they need: whether it is installed.
const PACKAGES: &[&[&str]] = &[&[
    "sh",
    "-c",
    "dpkg --status $(cat packages) >/dev/null || { echo apt-get install $(cat packages); exit 1; }",
]];

impl App {
    /// What a check has to come out as.
    #[must_use]
    pub fn expected(&self, variant: &Variant, check: Check, server: Kind) -> Verdict {
        let known = self.difference(variant, check, server);
        known.map_or(Verdict::Held, |known| known.verdict)
    }

    /// What is known to be different, if anything is.
    #[must_use]
    pub fn difference(
        &self,
        variant: &Variant,
        check: Check,
        server: Kind,
    ) -> Option<&'static Difference> {
        let mut known = self.differs.iter();
        known.find(|known| {
            known.check == check
                && known.server.is_none_or(|only| only == server)
                && known.variants.iter().all(|word| variant.has(word))
        })
    }
}

impl Variant {
    fn has(&self, word: &str) -> bool {
        self.name.split(' ').any(|it| it == word)
    }
}

/// On Redis alone, where nothing holds it.
const fn on_redis(check: Check, verdict: Verdict, why: &'static str) -> Difference {
    Difference {
        check,
        server: Some(Kind::Redis),
        variants: &[],
        verdict,
        why,
    }
}

/// On both, because it is the framework's own affair.
const fn on_both(check: Check, verdict: Verdict, why: &'static str) -> Difference {
    Difference {
        check,
        server: None,
        variants: &[],
        verdict,
        why,
    }
}

/// Redis knows no limit but the one that each save sets anew.
const NO_LIMIT: Difference = on_redis(
    Check::Absolute,
    Verdict::NoLimit,
    "each save sets the deadline anew",
);

/// Redis knows keys, and not whose they are.
const NO_USERS: Difference = on_redis(
    Check::Revoke,
    Verdict::NoCall,
    "Redis does not know whose a session is",
);

/// Redis takes every save for a good one.
const UNDONE: Difference = on_redis(
    Check::Logout,
    Verdict::Undone,
    "the save of the slow request brings the session back",
);

/// Frameworks that save a session as a whole.
const LAST_ONLY: Difference = on_both(
    Check::Cart,
    Verdict::LastOnly,
    "the framework saves the whole session: of requests that overlap the last one wins",
);

/// Frameworks that cannot list what they stored.
const NO_LIST: Difference = on_both(
    Check::Many,
    Verdict::NoCall,
    "the framework neither lists nor clears sessions",
);

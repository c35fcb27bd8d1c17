//! Everything that sessions report, as a closed list. Metrics, logs and audit trails start here;
//! the core knows no library for them. Names follow the OWASP logging vocabulary.

use std::fmt;

use crate::error::ErrorKind;
use crate::expiry::Limit;
use crate::id::Handle;

/// Something happened that operations or security want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A cookie of our name that is no id was ignored.
    CookieRejected(CookieFault),
    /// A well-formed id that no session has was presented: expired, swept, or never ours.
    UnknownId,
    /// An id that was superseded or ended a moment ago was used.
    UseAfterEnd,
    /// A session was created.
    Created(Handle),
    /// A session got a new id.
    Renewed(Handle),
    /// Somebody signed in.
    LoggedIn(Handle),
    /// A session was ended by its own visitor. Without a name if the request had not read it.
    LoggedOut(Option<Handle>),
    /// A subject's sessions were revoked: how many.
    Revoked(usize),
    /// A store found a session past its limit.
    Expired(Limit),
    /// A write came after its session had ended; it was dropped, as it must.
    LateWriteDropped,
    /// A value over a limit was refused.
    LimitExceeded(&'static str),
    /// A field did not decode into the type asked for.
    Undecodable,
    /// A login was refused because the subject has too many sessions.
    LoginRefused,
    /// An operation on the store failed.
    StoreFailed(Operation, ErrorKind),
    /// Recordings of activity were dropped because the queue was full: how many.
    TouchesDropped(usize),
    /// The store works, and somebody should look at how its server is set up.
    StoreConcern(Concern),
}

impl Event {
    /// The event's name in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CookieRejected(_) => "session_cookie_rejected",
            Self::UnknownId => "session_unknown_id",
            Self::UseAfterEnd => "session_use_after_end",
            Self::Created(_) => "session_created",
            Self::Renewed(_) => "session_renewed",
            Self::LoggedIn(_) => "session_login",
            Self::LoggedOut(_) => "session_logout",
            Self::Revoked(_) => "session_revoked",
            Self::Expired(_) => "session_expired",
            Self::LateWriteDropped => "session_late_write_dropped",
            Self::LimitExceeded(_) => "session_limit_exceeded",
            Self::Undecodable => "session_field_undecodable",
            Self::LoginRefused => "session_login_refused",
            Self::StoreFailed(..) => "session_store_failed",
            Self::TouchesDropped(_) => "session_touches_dropped",
            Self::StoreConcern(_) => "session_store_concern",
        }
    }
}

/// What is to be worried about in a store that works. A store tells each once per server that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Concern {
    /// When memory is short the server may drop any key: sessions, and what tells live ones from
    /// revoked ones.
    EvictsEverything,
    /// The server has no limit of memory: it grows until the machine ends it.
    NoMemoryLimit,
    /// The server drops nothing, and is nearly full: it will refuse new sessions.
    NearlyFull,
    /// Ids are kept as they are: who reads the server can log in as anybody.
    PlainIds,
    /// Where a subject's session was is a value of somebody else, which counts as none and stays. Told whenever one
    /// is found.
    ForeignValue,
}

impl Concern {
    /// The concern's name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EvictsEverything => "evicts_everything",
            Self::NoMemoryLimit => "no_memory_limit",
            Self::NearlyFull => "nearly_full",
            Self::PlainIds => "plain_ids",
            Self::ForeignValue => "foreign_value",
        }
    }

    /// What may happen, and what somebody should do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::EvictsEverything => {
                "the server may evict any key when memory is short, and losing one of them signs \
                 everybody out: set maxmemory-policy to volatile-ttl or noeviction"
            }
            Self::NoMemoryLimit => {
                "the server has no maxmemory: it grows until the machine ends it and all sessions; set \
                 maxmemory, and maxmemory-policy volatile-ttl or noeviction"
            }
            Self::NearlyFull => {
                "the server uses over 80 % of its maxmemory and evicts nothing: it will refuse new \
                 sessions; raise maxmemory, or set maxmemory-policy volatile-ttl"
            }
            Self::PlainIds => {
                "ids=plain keeps session ids readable: whoever can read this server, its dumps, \
                 replicas or MONITOR, can log in as anybody; use it only to share sessions with \
                 programs that need it"
            }
            Self::ForeignValue => {
                "another program writes under our prefix: what it wrote is no session any more and is left \
                 as it is; give each its own database"
            }
        }
    }
}

/// Why a cookie of our name was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieFault {
    /// It is no id: truncated, over-long, or other characters.
    Malformed,
    /// It is there twice; somebody planted one of them (OWASP; RFC 6265bis gives no order).
    Duplicate,
    /// Its signature is not ours.
    Forged,
    /// The `Cookie` header is longer than anybody needs.
    TooLong,
}

/// An operation on a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `Store::create`
    Create,
    /// `Store::load`
    Load,
    /// `Store::touch`
    Touch,
    /// `Store::apply`
    Apply,
    /// `Store::rotate`
    Rotate,
    /// `Store::destroy`
    Destroy,
    /// `Store::of_subject`
    OfSubject,
    /// `Store::revoke` and `Store::revoke_subject`
    Revoke,
    /// `Store::revoke_all`
    RevokeAll,
    /// `Store::scan`
    Scan,
    /// `Store::stats`
    Stats,
}

impl Operation {
    /// The operation's name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Load => "load",
            Self::Touch => "touch",
            Self::Apply => "apply",
            Self::Rotate => "rotate",
            Self::Destroy => "destroy",
            Self::OfSubject => "of_subject",
            Self::Revoke => "revoke",
            Self::RevokeAll => "revoke_all",
            Self::Scan => "scan",
            Self::Stats => "stats",
        }
    }
}

/// Gets every event. Called on the request's path: it counts or queues, it does not wait.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Takes notice of `event`.
    fn observe(&self, event: &Event);
}

/// Takes notice of nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: &Event) {}
}

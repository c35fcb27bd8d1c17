//! What Redis answers when it cannot, as classes: each says whether trying again may help, and what
//! somebody has to do. No key and no payload is in a failure, so it may be logged.

use std::fmt;

use cloakroom_core::{Error, ErrorKind};

/// Why Redis did not do what it was asked for. It is the source of the core's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    class: Class,
    detail: String,
}

/// Classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// No connection, or it broke.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// `OOM`: the memory limit is reached, and the policy lets nothing go.
    Full,
    /// `READONLY`: a replica was asked to write.
    ReadOnly,
    /// `LOADING`: the server reads its data from disk.
    Loading,
    /// `MISCONF`: the server refuses writes because it cannot save them.
    CannotSave,
    /// `CLUSTERDOWN` or `MASTERDOWN`: a part of the data has no primary.
    Down,
    /// `TRYAGAIN`, `MOVED`, `ASK`: slots are moving.
    Moving,
    /// `NOREPLICAS`: too few replicas for a write.
    NoReplicas,
    /// `BUSY`: somebody's script blocks the server.
    Busy,
    /// `NOAUTH`, `WRONGPASS`, or a failed `AUTH`.
    Credentials,
    /// The server's TLS certificate is not trusted, or not for this host.
    Untrusted,
    /// `NOPERM`: the user may not run a command or see a key.
    Permission,
    /// `WRONGTYPE`, or a value under our prefix that no Cloakroom wrote.
    Foreign,
    /// The sentinels know no master of this name.
    UnknownMaster,
    /// `CROSSSLOT`: this server is part of a cluster and was opened as a single one.
    CrossSlot,
    /// `NOSCRIPT`: the script must be sent again. Never leaves this crate.
    NoScript,
    /// The answer is not what the protocol says, or the server does not know a command.
    Protocol,
}

/// A class; how the server's errors of it begin; whether trying again may help; what to do.
type Row = (Class, &'static [&'static str], bool, &'static str);

const TABLE: &[Row] = &[
    (
        Class::Unreachable,
        &[],
        true,
        "check that the server runs and that host, port and TLS are right",
    ),
    (
        Class::Timeout,
        &[],
        true,
        "look for a slow command (SLOWLOG GET), a swapping or a hung server",
    ),
    (
        Class::Full,
        &["OOM"],
        true,
        "raise maxmemory, or set maxmemory-policy volatile-ttl if old sessions may go",
    ),
    (
        Class::ReadOnly,
        &["READONLY"],
        true,
        "a failover is under way, or the URL names a replica: give it the primary",
    ),
    (
        Class::Loading,
        &["LOADING"],
        true,
        "the server is starting; it answers when its data is loaded",
    ),
    (
        Class::CannotSave,
        &["MISCONF"],
        true,
        "the server cannot write its snapshot: free its disk, see its log",
    ),
    (
        Class::Down,
        &["CLUSTERDOWN", "MASTERDOWN"],
        true,
        "a primary is missing: a failover is under way or must be made",
    ),
    (
        Class::Moving,
        &["TRYAGAIN", "MOVED", "ASK"],
        true,
        "slots are moving; for a cluster use redis+cluster://",
    ),
    (
        Class::NoReplicas,
        &["NOREPLICAS"],
        true,
        "replicas are missing (min-replicas-to-write): bring them back",
    ),
    (
        Class::Busy,
        &["BUSY"],
        true,
        "a script blocks the server: SCRIPT KILL ends it",
    ),
    (
        Class::Credentials,
        &["NOAUTH", "WRONGPASS"],
        false,
        "put the right user and password into the URL",
    ),
    (
        Class::Untrusted,
        &[],
        false,
        "name the CA with ?ca=FILE, and the host as the certificate does",
    ),
    (
        Class::Permission,
        &["NOPERM"],
        false,
        "give the user the commands and keys that docs/formats/redis-keys.md lists",
    ),
    (
        Class::Foreign,
        &["WRONGTYPE", "FOREIGN"],
        false,
        "another program writes under our prefix: give each its own database",
    ),
    (
        Class::CrossSlot,
        &["CROSSSLOT"],
        false,
        "the server is part of a cluster: use redis+cluster://",
    ),
    (
        Class::UnknownMaster,
        &[],
        false,
        "correct the name after the hosts: SENTINEL MASTERS lists them",
    ),
    (
        Class::NoScript,
        &["NOSCRIPT"],
        true,
        "nothing: the script is sent again",
    ),
    (
        Class::Protocol,
        &[],
        false,
        "check that this is Redis 6.2 or Valkey 7.2, or newer",
    ),
];

impl Class {
    /// Whether the same call may succeed later without anybody doing something.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self.row().2
    }

    /// What somebody should do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.row().3
    }

    fn row(self) -> &'static Row {
        let row = TABLE.iter().find(|row| row.0 == self);
        row.expect("every class has its row")
    }

    /// The class of a server's error by its first word. Errors inside a script carry the word of
    /// the command that failed.
    fn of_code(code: &str, detail: &str) -> Self {
        let of = |fits: &dyn Fn(&&str) -> bool| {
            let row = TABLE.iter().find(|row| row.1.iter().any(fits));
            row.map(|row| row.0)
        };
        let script = code == "ERR" && detail.contains("script");
        of(&|word| *word == code)
            .or_else(|| of(&|word| script && detail.contains(*word)))
            .unwrap_or(Self::Protocol)
    }
}

impl Failure {
    pub(crate) fn new(class: Class, detail: impl Into<String>) -> Self {
        Self {
            class,
            detail: detail.into(),
        }
    }

    /// A value that is not what we wrote.
    pub(crate) fn foreign(what: &str) -> Self {
        Self::new(Class::Foreign, what)
    }

    /// An answer that the protocol does not allow here.
    pub(crate) fn protocol(what: &str) -> Self {
        Self::new(Class::Protocol, what)
    }

    /// What a server's error inside a reply is.
    pub(crate) fn of_server(error: &redis::ServerError) -> Self {
        let class = Class::of_code(error.code(), error.details().unwrap_or_default());
        Self::new(class, format!("the server answered {}", error.code()))
    }

    /// The same failure, naming the server.
    pub(crate) fn at(mut self, address: &str) -> Self {
        if !self.detail.starts_with(address) {
            self.detail = format!("{address}: {}", self.detail);
        }
        self
    }

    /// The same failure of a mass revocation, of which a part may be done.
    pub(crate) fn partly(mut self) -> Self {
        self.detail = format!(
            "some sessions may not be ended, revoke all again: {}",
            self.detail
        );
        self
    }

    /// What a client error or a server error is. The server's text is kept by its first word alone,
    /// because the rest may name keys.
    pub(crate) fn of(error: &redis::RedisError) -> Self {
        if error.is_timeout() {
            return Self::new(Class::Timeout, "no answer in time");
        }
        if let Some(code) = error.code() {
            let class = Class::of_code(code, error.detail().unwrap_or_default());
            return Self::new(class, format!("the server answered {code}"));
        }
        match error.kind() {
            redis::ErrorKind::AuthenticationFailed => {
                Self::new(Class::Credentials, "the server refused the credentials")
            }
            redis::ErrorKind::Io if error.to_string().contains("certificate") => {
                Self::new(Class::Untrusted, error.to_string())
            }
            redis::ErrorKind::Io => Self::new(Class::Unreachable, error.to_string()),
            redis::ErrorKind::Parse => Self::new(
                Class::Protocol,
                "what answers does not speak the Redis protocol",
            ),
            kind => Self::new(Class::Protocol, format!("{kind:?}: {error}")),
        }
    }

    /// The class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.detail, self.class.advice())
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.class {
            Class::Timeout => ErrorKind::DeadlineExceeded,
            Class::Full => ErrorKind::StoreFull,
            class if class.is_retryable() => ErrorKind::StoreUnavailable,
            _ => ErrorKind::StoreRefused,
        };
        Self::new(kind).with_source(failure)
    }
}

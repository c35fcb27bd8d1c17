//! What Redis answers when it cannot, as classes: each says whether trying again may help, and what
//! somebody has to do. No key and no payload is in a failure, so it may be logged.

use std::fmt;

use cloakroom_core::{Error, ErrorKind};

/// Why Redis did not do what it was asked for. It is the source of the core's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    class: Class,
    detail: String,
    redirect: Option<Box<Redirect>>,
    unsent: bool,
    /// The detail names a server.
    named: bool,
}

/// Where a server of a cluster says that a slot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// There now: `MOVED`.
    Moved(String),
    /// There, as far as this key is concerned: `ASK`.
    Ask(String),
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
    /// `READONLY`: a replica was asked to write. `UNBLOCKED`: the server became one meanwhile.
    ReadOnly,
    /// `LOADING`: the server reads its data from disk.
    Loading,
    /// `MISCONF`: the server refuses writes because it cannot save them.
    CannotSave,
    /// `CLUSTERDOWN` or `MASTERDOWN`: a part of the data has no primary.
    Down,
    /// Too few of those who say who is primary answer: the sentinels, or a cluster's primaries.
    NoMajority,
    /// `TRYAGAIN`, `MOVED`, `ASK`: slots are moving.
    Moving,
    /// `NOREPLICAS`: too few replicas for a write.
    NoReplicas,
    /// `BUSY`: somebody's script blocks the server. `UNKILLABLE`: it has written something.
    Busy,
    /// `EXECABORT`: the server refused a part of a transaction, and did nothing of it.
    Aborted,
    /// The server has as many clients as it may (`maxclients`).
    TooManyClients,
    /// `NOAUTH`, `WRONGPASS`, or a failed `AUTH`.
    Credentials,
    /// `DENIED`: protected mode, in which a server without a password talks to its own machine alone.
    Protected,
    /// The server's TLS certificate is not trusted, or not for this host.
    Untrusted,
    /// `NOPERM`: the user may not run a command or see a key.
    Permission,
    /// `WRONGTYPE`, or a value under our prefix that no Cloakroom wrote.
    Foreign,
    /// The sentinels know no master of this name.
    UnknownMaster,
    /// The server is no part of a cluster and was opened as one.
    NoCluster,
    /// The server is no sentinel and was opened as one.
    NoSentinel,
    /// The server is a sentinel and was opened as one that keeps data.
    Sentinel,
    /// The server has no database of this number.
    NoDatabase,
    /// `CROSSSLOT`: this server is part of a cluster and was opened as a single one.
    CrossSlot,
    /// `NOSCRIPT`: the script must be sent again. Never leaves this crate.
    NoScript,
    /// The answer is not what the protocol says, or the server does not know a command.
    Protocol,
}

/// A class; how the server's errors of it begin (their first word, or more of them); whether trying
/// again may help; what to do.
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
        &["READONLY", "UNBLOCKED"],
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
        Class::NoMajority,
        &[],
        true,
        "bring back those that do not answer, and name all sentinels in the URL: without a majority nobody \
         knows who is primary",
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
        &["BUSY", "UNKILLABLE"],
        true,
        "a script blocks the server: SCRIPT KILL ends it, unless it has written; then only waiting, \
         or SHUTDOWN NOSAVE",
    ),
    (
        Class::Aborted,
        &["EXECABORT"],
        true,
        "nothing was written; the server's log or ACL LOG says what it refused",
    ),
    (
        Class::TooManyClients,
        &["ERR max number of clients"],
        true,
        "raise maxclients, or lower ?connections= of the processes that use the server",
    ),
    (
        Class::Credentials,
        &["NOAUTH", "WRONGPASS"],
        false,
        "put the right user and password into the URL; sentinels have sentinel-user and sentinel-password",
    ),
    (
        Class::Protected,
        &["DENIED"],
        false,
        "give the server a password (requirepass, or an ACL user) and put it into the URL",
    ),
    (
        Class::Untrusted,
        &[],
        false,
        "name the CA with ?ca=FILE, and the host as the certificate does; one that has expired must be renewed",
    ),
    (
        Class::Permission,
        &[
            "NOPERM",
            "ERR The user executing the script can't",
            "ERR ACL failure in script",
        ],
        false,
        "give the user the commands and keys that docs/formats/redis-keys.md lists",
    ),
    (
        Class::Foreign,
        &["WRONGTYPE", "FOREIGN"],
        false,
        "another program, or a process with another layout in its URL, writes under our prefix: give each its own \
         database, or share with ids=plain",
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
        Class::NoCluster,
        &[],
        false,
        "the server is on its own: use redis://, or redis+sentinel:// where sentinels watch it",
    ),
    (
        Class::NoSentinel,
        &[],
        false,
        "name the sentinels (port 26379 by default) and not the servers that they watch, or use redis://",
    ),
    (
        Class::Sentinel,
        &[],
        false,
        "use redis+sentinel://host:26379/master, or name the server that the sentinel watches",
    ),
    (
        Class::NoDatabase,
        &["ERR DB index"],
        false,
        "write a lower database into the URL, or raise databases at the server",
    ),
    (
        Class::NoScript,
        &["NOSCRIPT"],
        true,
        "nothing: the script is sent again",
    ),
    (
        Class::Protocol,
        &["NOPROTO"],
        false,
        "check host and port, and that this is Redis 6.2 or Valkey 7.2, or newer",
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

    /// The class of a server's error by how it begins. Errors inside a script or a transaction carry
    /// the word of the command that failed further on.
    fn of_code(code: &str, detail: &str) -> Self {
        let text = format!("{code} {detail}");
        let begins = |word: &&str| *word == code || word.contains(' ') && text.starts_with(*word);
        let inside = code == "EXECABORT" || code == "ERR" && detail.contains("script");
        let mut words = detail.split(|char: char| !char.is_ascii_uppercase());
        let class_of = |fits: &dyn Fn(&&str) -> bool| {
            let row = TABLE.iter().find(|row| row.1.iter().any(fits));
            row.map(|row| row.0)
        };
        if code == "ERR" && detail.contains("cluster support disabled") {
            return Self::NoCluster;
        }
        // The client tells of SELECT by what the server said, without its first word.
        if code == "ERR" && detail.contains("has no permissions to run") {
            return Self::Permission;
        }
        inside
            .then(|| words.find_map(|found| class_of(&|word| *word == found)))
            .flatten()
            .or_else(|| class_of(&begins))
            .unwrap_or(Self::Protocol)
    }
}

impl Failure {
    pub(crate) fn new(class: Class, detail: impl Into<String>) -> Self {
        Self {
            class,
            detail: detail.into(),
            redirect: None,
            unsent: false,
            named: false,
        }
    }

    /// One whose words name the servers that it is about.
    pub(crate) fn naming(class: Class, detail: impl Into<String>) -> Self {
        Self {
            named: true,
            ..Self::new(class, detail)
        }
    }

    /// Whether an error says that a value is not what we wrote.
    pub(crate) fn is_foreign(error: &Error) -> bool {
        Self::class_of(error) == Some(Class::Foreign)
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
        let detail = error.details().unwrap_or_default();
        Self::of_answer(error.code(), detail)
    }

    fn of_answer(code: &str, detail: &str) -> Self {
        let class = Class::of_code(code, detail);
        let mut words = format!("the server answered {code}");
        // What may not be run is told; the rest may name keys.
        if let (Class::Permission, Some(command)) = (class, refused_commands(detail)) {
            let commands: Vec<_> = command
                .split(", ")
                .map(|name| format!("{name:?}"))
                .collect();
            words = format!("{words} to {}", commands.join(", "));
        }
        let mut failure = Self::new(class, words);
        let there = || detail.split(' ').nth(1).unwrap_or_default().to_owned();
        failure.redirect = match code {
            "MOVED" => Some(Box::new(Redirect::Moved(there()))),
            "ASK" => Some(Box::new(Redirect::Ask(there()))),
            _ => None,
        };
        failure
    }

    /// The same failure, if it came before anything was sent.
    pub(crate) fn unsent(mut self) -> Self {
        self.unsent = true;
        self
    }

    /// Where to ask instead.
    pub(crate) fn redirect(&self) -> Option<&Redirect> {
        self.redirect.as_deref()
    }

    /// The class of the failure that an error of the core comes from.
    pub(crate) fn class_of(error: &Error) -> Option<Class> {
        let source = std::error::Error::source(error)?;
        Some(source.downcast_ref::<Self>()?.class())
    }

    /// Whether nothing was done, and another server, or the same in a moment, may do it.
    pub(crate) fn was_refused(&self) -> bool {
        match self.class {
            Class::Moving | Class::Down | Class::NoMajority | Class::Loading | Class::ReadOnly => {
                true
            }
            Class::Unreachable => self.unsent,
            _ => false,
        }
    }

    /// The same failure, naming the server, unless it names one.
    pub(crate) fn at(mut self, address: &str) -> Self {
        if !self.named {
            self.detail = format!("{address}: {}", self.detail);
            self.named = true;
        }
        self
    }

    /// The same failure of somebody who does not know yet whether there is a server: no answer is no server.
    pub(crate) fn of_a_stranger(mut self, tls: bool) -> Self {
        if self.class == Class::Timeout {
            self.class = Class::Unreachable;
            if tls {
                self.detail += "; a port without TLS gives none to TLS";
            }
        }
        self
    }

    /// What happened, without what to do.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
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
            return Self::of_answer(code, error.detail().unwrap_or_default());
        }
        match error.kind() {
            redis::ErrorKind::AuthenticationFailed => {
                Self::new(Class::Credentials, "the server refused the credentials")
            }
            redis::ErrorKind::Io if error.to_string().contains("CaUsedAsEndEntity") => {
                let words = "the server shows the certificate of a CA as its own (openssl makes such ones \
                             unless told basicConstraints=CA:FALSE); sign it one for its host";
                Self::new(Class::Untrusted, words)
            }
            redis::ErrorKind::Io if error.to_string().contains("certificate") => {
                Self::new(Class::Untrusted, error.to_string())
            }
            redis::ErrorKind::Io if error.to_string().contains("corrupt message") => {
                Self::new(Class::Unreachable, "what answers does not speak TLS")
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

/// The commands that a user may not run, as they are named.
fn refused_commands(detail: &str) -> Option<&str> {
    let (_, rest) = detail.split_once("run the '")?;
    let (command, _) = rest.split_once('\'')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"|-_., ".contains(&byte);
    command.bytes().all(is_name).then_some(command)
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

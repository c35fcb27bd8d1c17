//! The one public error of the core: what went wrong, whether trying again may help, and the cause.
//! It never holds an id, a key or a payload, so it may be logged.

use std::error::Error as StdError;
use std::fmt;

/// An error of a session or a store.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something is larger than its limit (`crate::limits`).
    Limit {
        /// What is too large: `"field value"`, `"fields"`, ...
        what: &'static str,
        /// The limit, in the unit of `what` (bytes, or a count).
        limit: usize,
        /// The size that was asked for, in the same unit.
        size: usize,
    },
    /// A field's bytes do not decode into the type asked for. The session and the field stay.
    Undecodable {
        /// The field's name.
        field: String,
    },
    /// A value could not be encoded.
    Unencodable {
        /// The field's name.
        field: String,
    },
    /// An increment of a field that holds no integer, or one that would overflow 64 bits.
    NotAnInteger {
        /// The field's name.
        field: String,
    },
    /// A name, subject or label that is empty or otherwise not acceptable.
    Invalid {
        /// What is not acceptable, and why.
        what: &'static str,
    },
    /// Others kept changing the same field; the bounded retries are used up.
    Conflict,
    /// The session ended (logout, revocation, expiry, rotation elsewhere) before this operation.
    SessionEnded,
    /// The response was already decided; this session handle changes nothing any more.
    Finished,
    /// Asked for something that only a logged-in session has.
    NotLoggedIn,
    /// The subject has as many sessions as the policy allows, and the policy refuses more.
    TooManySessions {
        /// The policy's limit, in sessions.
        limit: usize,
    },
    /// The policy has no second lifetime for "remember me".
    RememberNotAllowed,
    /// The key is taken. Sessions try another id; nobody's session was touched.
    Collision,
    /// A setting is wrong.
    InvalidSetting {
        /// The setting's name.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// The random generator failed.
    EntropyFailed,
    /// The store has no room for this and its policy forbids making any.
    StoreFull,
    /// The store cannot be reached or failed. What it was asked for may or may not have happened.
    StoreUnavailable,
    /// The store refused: its credentials, rights, version or contents are not what they should be.
    /// Trying again does not help; the source says what does.
    StoreRefused,
    /// The store did not answer in time. What it was asked for may or may not have happened.
    DeadlineExceeded,
}

impl Error {
    /// An error of this kind, without a cause.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { kind, source: None }))
    }

    /// The same error with its cause. The cause must hold no id and no payload.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Conflict
                | ErrorKind::StoreFull
                | ErrorKind::StoreUnavailable
                | ErrorKind::DeadlineExceeded
                | ErrorKind::EntropyFailed
        )
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            ErrorKind::Limit { what, limit, size } => {
                write!(f, "{what} of {size} is over the limit of {limit}")
            }
            ErrorKind::Undecodable { field } => {
                write!(f, "field {field:?} does not decode into the type asked for")
            }
            ErrorKind::Unencodable { field } => write!(f, "field {field:?} cannot be encoded"),
            ErrorKind::NotAnInteger { field } => {
                write!(
                    f,
                    "field {field:?} is not an integer that can be incremented"
                )
            }
            ErrorKind::Invalid { what } => f.write_str(what),
            ErrorKind::Conflict => f.write_str("others kept changing the same field"),
            ErrorKind::SessionEnded => f.write_str("the session has ended"),
            ErrorKind::Finished => f.write_str("the response was already decided"),
            ErrorKind::NotLoggedIn => f.write_str("the session has no subject"),
            ErrorKind::TooManySessions { limit } => {
                write!(
                    f,
                    "the subject already has {limit} sessions, and no more are allowed"
                )
            }
            ErrorKind::RememberNotAllowed => {
                f.write_str("the policy has no lifetime for remembered sessions")
            }
            ErrorKind::Collision => f.write_str("the key is taken"),
            ErrorKind::InvalidSetting {
                setting,
                value,
                fix,
            } => {
                write!(f, "setting {setting} = {value:?} is not valid: {fix}")
            }
            ErrorKind::EntropyFailed => f.write_str("the random generator failed"),
            ErrorKind::StoreFull => f.write_str("the store is full"),
            ErrorKind::StoreUnavailable => f.write_str("the session store is unavailable"),
            ErrorKind::StoreRefused => f.write_str("the session store refused"),
            ErrorKind::DeadlineExceeded => f.write_str("the session store did not answer in time"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

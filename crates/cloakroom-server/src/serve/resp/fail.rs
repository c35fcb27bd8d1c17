//! Why a command is refused, in the very words of Redis: clients compare them.

use std::borrow::Cow;
use std::fmt;

use cloakroom_embedded::KeyError;

/// What a command answers with if it does not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fail {
    WrongType,
    Syntax,
    NotInteger,
    NotFloat,
    NoSuchKey,
    /// No room, and nothing may be evicted.
    Full,
    /// More than an engine takes.
    TooLarge,
    /// Sealed with a key that is not at hand.
    Sealed,
    /// The wrong number of words for this command.
    Arity(Cow<'static, str>),
    /// A time that cannot be, for this command.
    Expire(&'static str),
    /// Any other, with its code.
    Text(Cow<'static, str>),
}

impl Fail {
    /// An error with its code: `ERR ...`.
    pub(crate) const fn say(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<KeyError> for Fail {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::WrongType => Self::WrongType,
            KeyError::Full => Self::Full,
            KeyError::TooLarge => Self::TooLarge,
            KeyError::Sealed => Self::Sealed,
        }
    }
}

impl From<String> for Fail {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::Syntax => "ERR syntax error",
            Self::NotInteger => "ERR value is not an integer or out of range",
            Self::NotFloat => "ERR value is not a valid float",
            Self::NoSuchKey => "ERR no such key",
            Self::Full => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::TooLarge => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Self::Sealed => {
                "ERR the session's value does not open: it was changed, or sealed with a key that \
                 is not in layout-seal-key-file"
            }
            Self::Arity(name) => {
                return write!(f, "ERR wrong number of arguments for '{name}' command");
            }
            Self::Expire(name) => return write!(f, "ERR invalid expire time in '{name}' command"),
            Self::Text(text) => text,
        })
    }
}

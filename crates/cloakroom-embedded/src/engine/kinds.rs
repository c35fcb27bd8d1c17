//! The words of the keyspaces: what a key can hold, how a step fails, how ranges are said.

use std::fmt;
use std::ops::Bound;

/// The number of a keyspace, from 0 to [`DATABASES`] less one. A higher one counts on from 0 again.
pub type Db = u8;

/// How many keyspaces there are, as in Redis by default.
pub const DATABASES: Db = 16;

/// Keyspaces in memory: behind those that have a number for people, one beside each for what is
/// known of the sessions of other frameworks in it. A key is in the same shard in all of them.
pub(crate) const SPACES: Db = 2 * DATABASES;

/// In memory the one beside a keyspace has its number with this bit, so that whatever happens to a
/// keyspace (it is emptied, or changes places) happens to both.
pub(crate) const BESIDE: u8 = 1 << 7;

/// Bytes of a key at most. Longer ones are [`KeyError::TooLarge`]: a name of 64 KiB names nothing.
pub const KEY_BYTES: usize = (64 << 10) - 1;

/// Bytes of a string, field or member at most: what Redis takes.
pub const VALUE_BYTES: usize = 512 << 20;

/// Fields or members of one key at most.
pub const MEMBERS: usize = (1 << 26) - 1;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes.
    String,
    /// Values by field, each with a deadline of its own if it has to be.
    Hash,
    /// Members, each once.
    Set,
    /// Members in the order of their scores, then of their bytes.
    SortedSet,
}

/// Why a step on a key was refused. Nothing was changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyError {
    /// The key holds another kind of value.
    WrongType,
    /// There is no room under `max_memory`, and the policy lets nobody leave.
    Full,
    /// A key, value or collection beyond [`KEY_BYTES`], [`VALUE_BYTES`] or [`MEMBERS`].
    TooLarge,
    /// The value is sealed, and no key that is at hand opens it.
    Sealed,
}

impl KeyError {
    /// Whether the same step may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Full)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongType => "the key holds another kind of value",
            Self::Full => "no room: max_memory is reached and nothing may be evicted",
            Self::TooLarge => "the key or value is too large",
            Self::Sealed => "the value is sealed, and no key opens it",
        })
    }
}

impl std::error::Error for KeyError {}

/// How a value lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packing {
    /// All of it is one run of bytes beside its key.
    Packed,
    /// It is large, and has a table (and, if sorted, an order) of its own.
    Spread,
}

/// From where to where by score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The lowest score.
    pub min: Bound<f64>,
    /// The highest score.
    pub max: Bound<f64>,
}

/// From where to where by member, for members of equal score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// The first member.
    pub min: Bound<&'a [u8]>,
    /// The last member.
    pub max: Bound<&'a [u8]>,
}

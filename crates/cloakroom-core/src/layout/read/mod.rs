//! Readers of the formats in which frameworks write their sessions. They look for who a session
//! belongs to and for nothing else: nothing is executed, no class is known, and what they do not
//! understand names nobody. Each is bounded in depth ([`limits::DECODE_DEPTH`]), in values
//! ([`limits::LAYOUT_NODES`]) and in time, which is linear in the bytes.

mod gob;
mod jdk;
mod marshal;
mod php;
mod pickle;
mod plain;
mod structured;
pub(crate) mod tree;

pub(super) use self::plain::Plain;
use super::path::Path;
use crate::limits;
use tree::Tree;

/// How a framework writes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON (RFC 8259).
    Json,
    /// `MessagePack`.
    MessagePack,
    /// Python's pickle, protocols 0 to 5: its data, never its code.
    Pickle,
    /// Java's object serialisation.
    Jdk,
    /// PHP's session format: `name|value` one after another.
    PhpSession,
    /// PHP's `serialize`.
    Php,
    /// Ruby's `Marshal`, 4.8.
    Marshal,
    /// Go's `encoding/gob`.
    Gob,
    /// Enciphered with a key that only the application or the visitor has.
    Sealed,
}

/// Every encoding with its name in settings and documentation.
pub(crate) const NAMES: [(Encoding, &str); 9] = [
    (Encoding::Json, "json"),
    (Encoding::MessagePack, "msgpack"),
    (Encoding::Pickle, "pickle"),
    (Encoding::Jdk, "jdk"),
    (Encoding::PhpSession, "php-session"),
    (Encoding::Php, "php"),
    (Encoding::Marshal, "marshal"),
    (Encoding::Gob, "gob"),
    (Encoding::Sealed, "sealed"),
];

impl Encoding {
    /// Its name in settings and documentation.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(encoding, _)| *encoding == self);
        named.map_or("", |(_, name)| name)
    }

    /// The encoding of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(_, known)| *known == name);
        named.map(|(encoding, _)| *encoding)
    }

    /// Whether a value begins as this encoding's do. A row that allows several takes the first.
    pub(crate) fn begins(self, value: &[u8]) -> bool {
        match self {
            Self::Json => matches!(value.trim_ascii_start().first(), Some(b'{' | b'[' | b'"')),
            Self::MessagePack => matches!(value.first(), Some(0x80..=0x8f | 0xde | 0xdf)),
            // Protocol 2 and later say so; older ones begin with a container or a mark.
            Self::Pickle => match value {
                [0x80, 2..=5, ..] => true,
                [b'(' | b'}' | b']', ..] => value.ends_with(b"."),
                _ => false,
            },
            Self::Jdk => value.starts_with(&[0xac, 0xed, 0, 5]),
            Self::Php => matches!(
                value,
                [b'N', b';', ..]
                    | [
                        b'a' | b's' | b'i' | b'd' | b'b' | b'O' | b'C' | b'E',
                        b':',
                        ..
                    ]
            ),
            Self::PhpSession => value.contains(&b'|'),
            Self::Marshal => value.starts_with(&[4, 8]),
            Self::Gob => !value.is_empty(),
            Self::Sealed => true,
        }
    }

    /// Reads `value` as far as `paths` may lead into it; `None` if it is nothing of this encoding,
    /// or over a limit.
    pub(crate) fn read<'a>(self, value: &'a [u8], paths: &[Path]) -> Option<Tree<'a>> {
        if value.len() > limits::LAYOUT_BYTES {
            return None;
        }
        match self {
            Self::Json => structured::json(value, paths),
            Self::MessagePack => structured::msgpack(value, paths),
            Self::Pickle => pickle::read(value),
            Self::Jdk => jdk::read(value),
            Self::PhpSession => php::session(value),
            Self::Php => php::serialized(value),
            Self::Marshal => marshal::read(value),
            Self::Gob => gob::read(value),
            Self::Sealed => Some(Tree::default()),
        }
    }
}

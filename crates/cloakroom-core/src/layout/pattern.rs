//! The shape of a layout's keys: text, the id, text. Matching looks at fixed places and allocates
//! nothing, because every key of every command passes here.

use std::fmt;
use std::ops::Range;

use super::hidden;
use crate::limits;

/// A shape of keys, written as `sess:{id:16-128:url}`: what is outside of the braces stands for
/// itself, in them are the id's length and its characters. A `*` in front stands for anything, which
/// needs an id of one length.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Whether anything may be in front.
    any: bool,
    before: Box<[u8]>,
    least: usize,
    most: usize,
    alphabet: Alphabet,
    after: Box<[u8]>,
}

/// Characters of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    /// A to Z, a to z, 0 to 9, `-`, `_`: base64url, and what is written by hand.
    Url,
    /// 0 to 9, a to f.
    Hex,
    /// A to Z, 2 to 7.
    Base32,
    /// a to z, 0 to 9.
    Lower,
    /// A to Z, a to z, 0 to 9, and not all of them hexadecimal digits: so that no hash is taken for
    /// an id (Laravel's rate limits are kept under SHA-1 sums beside its sessions).
    Mixed,
    /// PHP's: those and `-`, `,`.
    Php,
    /// Hexadecimal digits and `-`.
    Uuid,
}

const ALPHABETS: [(&str, Alphabet); 7] = [
    ("url", Alphabet::Url),
    ("hex", Alphabet::Hex),
    ("base32", Alphabet::Base32),
    ("lower", Alphabet::Lower),
    ("mixed", Alphabet::Mixed),
    ("php", Alphabet::Php),
    ("uuid", Alphabet::Uuid),
];

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (before, rest) = text
            .split_once("{id")
            .ok_or("a pattern has an {id}: sess:{id}")?;
        let (id, after) = rest
            .split_once('}')
            .ok_or("the brace before id is not closed")?;
        let (any, before) = match before.strip_prefix('*') {
            Some(before) => (true, before),
            None => (false, before),
        };
        if before.is_empty() {
            return Err("a pattern needs text in front of {id}, else every key is a session");
        }
        if before.contains('*') || after.contains(['*', '{']) {
            return Err("a pattern has one {id}, and * at its start only");
        }
        let (least, most, alphabet) = shape(id)?;
        if any && least != most {
            return Err("a pattern that begins with * needs an id of one length: {id:32}");
        }
        if before.len() + most + after.len() > limits::LAYOUT_KEY_BYTES {
            return Err("its keys would be longer than any session's");
        }
        Ok(Self {
            any,
            before: before.as_bytes().into(),
            least,
            most,
            alphabet,
            after: after.as_bytes().into(),
        })
    }

    /// The byte that its keys begin with, if it is always the same.
    pub(super) fn first(&self) -> Option<u8> {
        self.before.first().copied().filter(|_| !self.any)
    }

    /// A byte that its keys have in front of the id, and how far from their end; for a pattern whose ids
    /// have one length, or for those of hashed ids.
    pub(super) fn tail(&self, hashed: bool) -> (u8, usize) {
        let byte = self.before.last().copied().unwrap_or_default();
        let id = if hashed { hidden::BYTES } else { self.most };
        (byte, id + self.after.len() + 1)
    }

    /// The id in `key`, if that has this shape.
    #[must_use]
    pub fn id<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.get(self.place(key)?)
    }

    /// Where the id is in `key`, if that has this shape.
    pub(super) fn place(&self, key: &[u8]) -> Option<Range<usize>> {
        let end = self.end(key)?;
        let from = if self.any {
            let from = end.checked_sub(self.least)?;
            key[..from].ends_with(&self.before).then_some(from)?
        } else {
            self.before.len()
        };
        let begins = self.any || key.starts_with(&self.before);
        let fits = begins && key.get(from..end).is_some_and(|id| self.fits(id));
        (key.len() <= limits::LAYOUT_KEY_BYTES && fits).then_some(from..end)
    }

    /// Where the hash is in `key`, if that has this shape with the hash of an id in the id's place.
    pub(super) fn hashed_place(&self, key: &[u8]) -> Option<Range<usize>> {
        let end = self.end(key)?;
        let from = end.checked_sub(hidden::BYTES)?;
        let head = &key[..from];
        let begins = match self.any {
            true => head.ends_with(&self.before),
            false => *head == *self.before,
        };
        let short = key.len() <= limits::LAYOUT_KEY_BYTES + hidden::BYTES;
        let length = hidden::length(&key[from..end])?;
        let fits = (self.least..=self.most).contains(&length);
        (begins && short && fits).then_some(from..end)
    }

    /// Where the id of a key of this shape ends.
    fn end(&self, key: &[u8]) -> Option<usize> {
        Some(key.strip_suffix(&*self.after)?.len())
    }

    /// Whether this can be an id of such keys.
    #[must_use]
    pub fn fits(&self, id: &[u8]) -> bool {
        // Without a way out in between: then a byte costs one look, and nothing has to be foreseen.
        let common = |all: u8, byte: &u8| all & ALPHABETS_OF[usize::from(*byte)];
        let common = id.iter().fold(u8::MAX, common);
        (self.least..=self.most).contains(&id.len())
            && common & self.alphabet.bit() != 0
            && (self.alphabet != Alphabet::Mixed || common & Alphabet::Hex.bit() == 0)
    }

    /// The key of `id`, with `head` where the pattern has a `*`.
    #[must_use]
    pub fn key(&self, head: &[u8], id: &[u8]) -> Vec<u8> {
        let head = if self.any { head } else { b"" };
        [head, &self.before, id, &self.after].concat()
    }
}

/// Length and characters of an id, as `:16-128:url`, `:32` or nothing.
fn shape(text: &str) -> Result<(usize, usize, Alphabet), &'static str> {
    const WHAT: &str = "an id is {id}, {id:32}, {id:16-128} or {id:32:hex}; characters are url, hex, \
                        base32, lower, mixed, php or uuid";
    let Some(text) = text.strip_prefix(':') else {
        return if text.is_empty() {
            Ok((16, 128, Alphabet::Url))
        } else {
            Err(WHAT)
        };
    };
    let (length, alphabet) = text.split_once(':').unwrap_or((text, "url"));
    let (least, most) = length.split_once('-').unwrap_or((length, length));
    let (Ok(least), Ok(most)) = (least.parse::<usize>(), most.parse::<usize>()) else {
        return Err(WHAT);
    };
    let known = ALPHABETS.iter().find(|(name, _)| *name == alphabet);
    let (_, alphabet) = known.ok_or(WHAT)?;
    if least < 8 || most < least {
        return Err("an id has 8 characters at least: a shorter one can be guessed");
    }
    Ok((least, most, *alphabet))
}

/// The alphabets that have a byte, a bit for each.
static ALPHABETS_OF: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut at = 0;
        while at < ALPHABETS.len() {
            let (_, alphabet) = ALPHABETS[at];
            if alphabet.has(byte as u8) {
                table[byte] |= alphabet.bit();
            }
            at += 1;
        }
        byte += 1;
    }
    table
};

impl Alphabet {
    const fn bit(self) -> u8 {
        1 << self as u8
    }

    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Url => byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_',
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::Base32 => matches!(byte, b'A'..=b'Z' | b'2'..=b'7'),
            Self::Lower => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
            Self::Mixed => byte.is_ascii_alphanumeric(),
            Self::Php => byte.is_ascii_alphanumeric() || byte == b'-' || byte == b',',
            Self::Uuid => byte.is_ascii_hexdigit() || byte == b'-',
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = if self.any { "*" } else { "" };
        let before = String::from_utf8_lossy(&self.before);
        let after = String::from_utf8_lossy(&self.after);
        let named = ALPHABETS.iter().find(|(_, known)| *known == self.alphabet);
        let alphabet = named.map_or("", |(name, _)| name);
        let most = if self.least == self.most {
            String::new()
        } else {
            format!("-{}", self.most)
        };
        let least = self.least;
        write!(
            formatter,
            "{any}{before}{{id:{least}{most}:{alphabet}}}{after}"
        )
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

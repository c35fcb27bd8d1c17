//! The words of a command, and what they mean: numbers, options, times. What means nothing fails with the
//! words that Redis has for it.

use super::decode::Place;
use super::fail::Fail;
use super::number;

/// The words of one command; the first is its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args<'a> {
    bytes: &'a [u8],
    words: &'a [Place],
}

impl<'a> Args<'a> {
    /// The words at these places.
    pub(crate) fn new(bytes: &'a [u8], words: &'a [Place]) -> Self {
        Self { bytes, words }
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// The word at `at`; an empty one beyond the end, which the table's arity keeps from happening.
    pub(crate) fn get(&self, at: usize) -> &'a [u8] {
        let Some((from, to)) = self.words.get(at) else {
            return b"";
        };
        &self.bytes[*from as usize..*to as usize]
    }

    /// The words from `at` on.
    pub(crate) fn from(&self, at: usize) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone + 'a {
        let bytes = self.bytes;
        let words = self.words.get(at..).unwrap_or_default();
        words
            .iter()
            .map(move |(from, to)| &bytes[*from as usize..*to as usize])
    }

    /// The same without the first `count` words.
    pub(crate) fn skip(&self, count: usize) -> Self {
        Self {
            bytes: self.bytes,
            words: self.words.get(count..).unwrap_or_default(),
        }
    }

    /// Whether the word at `at` is this one, in any letter case.
    pub(crate) fn is(&self, at: usize, word: &str) -> bool {
        at < self.len() && self.get(at).eq_ignore_ascii_case(word.as_bytes())
    }

    /// The whole number at `at`.
    pub(crate) fn integer(&self, at: usize) -> Result<i64, Fail> {
        number::integer(self.get(at)).ok_or(Fail::NotInteger)
    }

    /// The number at `at`.
    pub(crate) fn double(&self, at: usize) -> Result<f64, Fail> {
        number::double(self.get(at)).ok_or(Fail::NotFloat)
    }

    /// A copy that outlives the buffer, for a transaction.
    pub(crate) fn to_owned(self) -> Owned {
        self.with(&[])
    }

    /// A copy with other words at these places, which are in order.
    pub(crate) fn with(self, others: &[(usize, Vec<u8>)]) -> Owned {
        let mut others = others.iter().peekable();
        let mut owned = Owned::default();
        for (at, word) in self.from(0).enumerate() {
            let other = others.next_if(|(place, _)| *place == at);
            owned.push(other.map_or(word, |(_, other)| other));
        }
        owned
    }
}

/// The words of a command that waits.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    bytes: Vec<u8>,
    words: Vec<Place>,
}

impl Owned {
    /// Puts a word behind the others.
    pub(crate) fn push(&mut self, word: &[u8]) {
        let at = |bytes: &Vec<u8>| {
            u32::try_from(bytes.len()).expect("a command has at most COMMAND_BYTES")
        };
        let begin = at(&self.bytes);
        self.bytes.extend_from_slice(word);
        self.words.push((begin, at(&self.bytes)));
    }

    pub(crate) fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.words)
    }

    /// Bytes that it holds.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.words.len() * size_of::<Place>()
    }
}

/// When a command's time is: from now or from 1970, in seconds or milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    InSeconds,
    InMillis,
    AtSeconds,
    AtMillis,
}

impl Clock {
    /// The option of this name.
    pub(crate) fn option(word: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], Clock); 4] = [
            (b"ex", Clock::InSeconds),
            (b"px", Clock::InMillis),
            (b"exat", Clock::AtSeconds),
            (b"pxat", Clock::AtMillis),
        ];
        let mut names = NAMES.iter();
        let found = names.find(|(name, _)| word.eq_ignore_ascii_case(name));
        found.map(|(_, clock)| *clock)
    }

    /// The moment in milliseconds since 1970; nothing if it is none that can be told.
    pub(crate) fn moment(self, value: i64, now: i64) -> Option<i64> {
        let millis = match self {
            Self::InSeconds | Self::AtSeconds => value.checked_mul(1_000)?,
            Self::InMillis | Self::AtMillis => value,
        };
        match self {
            Self::InSeconds | Self::InMillis => millis.checked_add(now),
            Self::AtSeconds | Self::AtMillis => Some(millis),
        }
    }
}

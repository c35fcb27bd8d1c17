//! One key of a keyspace as the bytes of its slot. Numbers are little-endian; times are milliseconds.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | odd, as no session's first byte is; kind (2 bits); flags |
//! | 1 | keyspace |
//! | 1 | length of the key |
//! | 1 | bytes of the slot that are not used (7 bits); whether it has a mark |
//! | 8 + 6 | if it is timed: the wheel's links, where sessions have them, and when it is due |
//! | 2 + 4 | if it is wide: length of the key and of the value; then the two numbers above are 0 |
//! | 6 | if fields have deadlines: that of the key, or [`NEVER`] |
//! | | key |
//! | 2 + 8 | if it has a mark ([`super::marks`]): length of the name in it; then the mark: 8 bytes and the name |
//! | | value |
//!
//! So a string costs 4 bytes beside its key and value, and 14 more with a deadline. The value of a
//! collection is a run of records ([`super::record`]) or, if it is large, the number of its
//! [`super::spread`].

use crate::engine::Kind;
use crate::entry::{put, put_bytes, take, take_six};

/// A time that does not come.
pub(crate) const NEVER: u64 = (1 << 48) - 1;

const KEY: u8 = 1;
const KINDS: [Kind; 4] = [Kind::String, Kind::Hash, Kind::Set, Kind::SortedSet];
const KIND: u8 = 3 << 1;
const TIMED: u8 = 1 << 3;
const REFERENCED: u8 = 1 << 4;
const SPREAD: u8 = 1 << 5;
const WIDE: u8 = 1 << 6;
const FIELDS: u8 = 1 << 7;

const DB: usize = 1;
const KEY_LEN: usize = 2;
const UNUSED: usize = 3;
const DUE: usize = 12;
const HEAD: usize = 4;
const TIMES: usize = 14;
const LENGTHS: usize = 6;
const TIME: usize = 6;

/// In the byte that says what is not used.
const MARKED: u8 = 1 << 7;
const UNUSED_MOST: usize = MARKED as usize - 1;

/// Bytes of a mark in front of its name.
pub(crate) const MARK_FACTS: usize = 8;

/// Bytes that a mark may have: a subject has 255 at most, and some more if it is sealed.
pub(crate) const MARK_BYTES: std::ops::RangeInclusive<usize> = MARK_FACTS..=MARK_FACTS + 320;
const MARK_LEN: usize = 2;

/// Values up to here leave less than 128 bytes of a slot of their size unused.
const NARROW: usize = 1_500;

/// What an entry says beside key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) db: u8,
    /// Whether the value is the number of a large one.
    pub(crate) spread: bool,
    /// When the key ends.
    pub(crate) deadline: u64,
    /// When the first of its fields ends.
    pub(crate) fields: u64,
    /// If it has a mark: bytes of the name in it.
    pub(crate) mark: Option<u16>,
}

impl Head {
    /// When the entry has to be looked at.
    pub(crate) fn due(&self) -> u64 {
        self.deadline.min(self.fields)
    }

    fn flags(&self, wide: bool) -> u8 {
        let kind = match self.kind {
            Kind::String => 0,
            Kind::Hash => 1,
            Kind::Set => 2,
            Kind::SortedSet => 3,
        };
        let flag = |on: bool, flag| if on { flag } else { 0 };
        KEY | kind << 1
            | flag(self.due() != NEVER, TIMED)
            | flag(self.spread, SPREAD)
            | flag(wide, WIDE)
            | flag(self.fields != NEVER, FIELDS)
    }

    /// Bytes of an entry with this head in a slot of its size.
    pub(crate) fn len(&self, key: usize, value: usize) -> usize {
        key_at(self.flags(is_wide(key, value))) + key + self.mark_len() + value
    }

    /// Bytes that the mark takes.
    fn mark_len(&self) -> usize {
        self.mark.map_or(0, mark_len)
    }

    /// Writes all but the wheel's links, the mark and the value, for which there is room; returns where
    /// mark and value go.
    pub(crate) fn write(&self, out: &mut [u8], key: &[u8], value: usize) -> (usize, usize) {
        let room = out.len();
        let wide = self.in_room(room, key.len(), value);
        let unused = room - self.len(key.len(), value);
        let flags = self.flags(wide);
        let marked = if self.mark.is_some() { MARKED } else { 0 };
        out[0] = flags;
        out[DB] = self.db;
        let mut rest = HEAD;
        if flags & TIMED != 0 {
            put(out, DUE, self.due(), TIME);
            rest += TIMES;
        }
        if wide {
            (out[KEY_LEN], out[UNUSED]) = (0, marked);
            rest = put(out, rest, key.len() as u64, 2);
            rest = put(out, rest, value as u64, 4);
        } else {
            (out[KEY_LEN], out[UNUSED]) = (key.len() as u8, unused as u8 | marked);
        }
        if flags & FIELDS != 0 {
            put(out, rest, self.deadline, TIME);
        }
        let mut end = put_bytes(out, key_at(flags), key);
        let mark = end + MARK_LEN;
        if let Some(name) = self.mark {
            put(out, end, u64::from(name), MARK_LEN);
            end += self.mark_len();
        }
        (mark, end)
    }

    /// Where the mark goes in a slot of this size.
    pub(crate) fn mark_at(&self, room: usize, key: usize, value: usize) -> usize {
        key_at(self.flags(self.in_room(room, key, value))) + key + MARK_LEN
    }

    /// Whether an entry is wide in a slot of this size.
    fn in_room(&self, room: usize, key: usize, value: usize) -> bool {
        is_wide(key, value) || room - self.len(key, value) > UNUSED_MOST
    }
}

/// Bytes that a mark takes, of whose name this is the length.
const fn mark_len(name: u16) -> usize {
    MARK_LEN + MARK_FACTS + name as usize
}

/// Whether a slot holds a key of a keyspace, not a session.
#[inline]
pub(crate) const fn is_key(entry: &[u8]) -> bool {
    entry[0] & KEY != 0
}

/// Marks a key as used lately.
#[inline]
pub(crate) const fn set_referenced(entry: &mut [u8]) {
    // A line of the cache that is not written need not go back to memory.
    if entry[0] & REFERENCED == 0 {
        entry[0] |= REFERENCED;
    }
}

/// Whether a key was used since this was last asked.
pub(crate) const fn take_referenced(entry: &mut [u8]) -> bool {
    let referenced = entry[0] & REFERENCED != 0;
    entry[0] &= !REFERENCED;
    referenced
}

/// Says when a timed key without deadlines of fields ends.
pub(crate) fn set_due(entry: &mut [u8], due: u64) {
    put(entry, DUE, due, TIME);
}

/// A key's slot, to read.
#[derive(Clone, Copy)]
pub(crate) struct KeyView<'a>(pub(crate) &'a [u8]);

impl<'a> KeyView<'a> {
    pub(crate) const fn db(self) -> u8 {
        self.0[DB]
    }

    pub(crate) const fn kind(self) -> Kind {
        KINDS[(self.0[0] & KIND) as usize >> 1]
    }

    /// Whether it is in the wheel.
    pub(crate) const fn is_timed(self) -> bool {
        self.0[0] & TIMED != 0
    }

    pub(crate) const fn is_spread(self) -> bool {
        self.0[0] & SPREAD != 0
    }

    pub(crate) const fn has_timed_fields(self) -> bool {
        self.0[0] & FIELDS != 0
    }

    /// When it has to be looked at.
    #[inline]
    pub(crate) fn due(self) -> u64 {
        if self.is_timed() {
            take_six(self.0, DUE)
        } else {
            NEVER
        }
    }

    /// When the key ends.
    pub(crate) fn deadline(self) -> u64 {
        if self.has_timed_fields() {
            take(self.0, key_at(self.0[0]) - TIME, TIME)
        } else {
            self.due()
        }
    }

    /// Whether it is this key.
    #[inline]
    pub(crate) fn is(self, db: u8, key: &[u8]) -> bool {
        is_key(self.0) && self.db() == db && self.key() == key
    }

    #[inline]
    pub(crate) fn key(self) -> &'a [u8] {
        let at = key_at(self.0[0]);
        &self.0[at..at + self.key_len()]
    }

    /// The mark, if it has one: [`MARK_FACTS`] bytes, and a name.
    #[inline]
    pub(crate) fn mark(self) -> Option<&'a [u8]> {
        Some(&self.0[self.mark_range()?])
    }

    /// Where in the slot the mark is.
    #[inline]
    pub(crate) fn mark_range(self) -> Option<std::ops::Range<usize>> {
        let name = self.mark_name()?;
        let at = key_at(self.0[0]) + self.key_len() + MARK_LEN;
        Some(at..at + MARK_FACTS + usize::from(name))
    }

    /// The length of the name in the mark, if it has one.
    #[inline]
    fn mark_name(self) -> Option<u16> {
        let marked = self.0[UNUSED] & MARKED != 0;
        marked.then(|| take(self.0, key_at(self.0[0]) + self.key_len(), MARK_LEN) as u16)
    }

    #[inline]
    pub(crate) fn value(self) -> &'a [u8] {
        &self.0[self.value_range()]
    }

    /// Where in the slot the value is.
    #[inline]
    pub(crate) fn value_range(self) -> std::ops::Range<usize> {
        let flags = self.0[0];
        let at = key_at(flags) + self.key_len() + self.mark_name().map_or(0, mark_len);
        if flags & WIDE == 0 {
            at..self.0.len() - usize::from(self.0[UNUSED] & !MARKED)
        } else {
            at..at + take(self.0, lengths_at(flags) + 2, 4) as usize
        }
    }

    pub(crate) fn head(self) -> Head {
        Head {
            kind: self.kind(),
            db: self.db(),
            spread: self.is_spread(),
            deadline: self.deadline(),
            fields: if self.has_timed_fields() {
                self.due()
            } else {
                NEVER
            },
            mark: self.mark_name(),
        }
    }

    #[inline]
    fn key_len(self) -> usize {
        let flags = self.0[0];
        if flags & WIDE == 0 {
            usize::from(self.0[KEY_LEN])
        } else {
            take(self.0, lengths_at(flags), 2) as usize
        }
    }
}

/// Where the lengths of a wide entry are.
const fn lengths_at(flags: u8) -> usize {
    HEAD + if flags & TIMED == 0 { 0 } else { TIMES }
}

/// Where the key begins.
#[inline]
const fn key_at(flags: u8) -> usize {
    let timed = if flags & TIMED == 0 { 0 } else { TIMES };
    let wide = if flags & WIDE == 0 { 0 } else { LENGTHS };
    let fields = if flags & FIELDS == 0 { 0 } else { TIME };
    HEAD + timed + wide + fields
}

const fn is_wide(key: usize, value: usize) -> bool {
    key > u8::MAX as usize || value > NARROW
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            key in prop::collection::vec(any::<u8>(), 0..300),
            value in prop::collection::vec(any::<u8>(), 0..2_000),
            (kind, db, spread) in (0_usize..4, any::<u8>(), any::<bool>()),
            deadline in prop_oneof![Just(NEVER), 0..NEVER],
            fields in prop_oneof![Just(NEVER), 0..NEVER],
            mark in prop::option::of(prop::collection::vec(any::<u8>(), MARK_FACTS..MARK_FACTS + 321)),
            more in 0_usize..900,
        ) {
            let name = mark.as_ref().map(|mark| (mark.len() - MARK_FACTS) as u16);
            let head = Head { kind: KINDS[kind], db, spread, deadline, fields, mark: name };
            let len = head.len(key.len(), value.len());
            let mut slot = vec![0xaa; len + more];
            let (mark_at, at) = head.write(&mut slot, &key, value.len());
            if let Some(mark) = &mark {
                prop_assert_eq!(head.mark_at(len + more, key.len(), value.len()), mark_at);
                slot[mark_at..mark_at + mark.len()].copy_from_slice(mark);
            }
            slot[at..at + value.len()].copy_from_slice(&value);
            set_referenced(&mut slot);
            let view = KeyView(&slot);
            prop_assert!(is_key(&slot) && view.is(db, &key) && !view.is(db, b"other"));
            prop_assert_eq!((view.key(), view.value()), (&*key, &*value));
            prop_assert_eq!(view.mark(), mark.as_deref());
            prop_assert_eq!(view.head().mark, name);
            // The first field cannot end before the key's own end is told apart: if no field has
            // a deadline, the due time is the key's.
            prop_assert_eq!((view.deadline(), view.due()), (deadline, head.due()));
            prop_assert_eq!(view.kind(), head.kind);
            prop_assert_eq!(view.is_spread(), spread);
            prop_assert!(take_referenced(&mut slot) && !take_referenced(&mut slot));
        }
    }
}

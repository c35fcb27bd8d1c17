//! One key of a keyspace as the bytes of its slot. Numbers are little-endian; times are milliseconds.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | odd, as no session's first byte is; kind (2 bits); flags |
//! | 1 | keyspace |
//! | 1 | length of the key |
//! | 1 | bytes of the slot that are not used |
//! | 8 + 6 | if it is timed: the wheel's links, where sessions have them, and when it is due |
//! | 2 + 4 | if it is wide: length of the key and of the value; then the two bytes above are 0 |
//! | 6 | if fields have deadlines: that of the key, or [`NEVER`] |
//! | | key, value |
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

/// Values up to here leave less than 256 bytes of a slot of their size unused.
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
        key_at(self.flags(is_wide(key, value))) + key + value
    }

    /// Writes all but the wheel's links and the value, for which there is room; returns where that
    /// goes.
    pub(crate) fn write(&self, out: &mut [u8], key: &[u8], value: usize) -> usize {
        let room = out.len();
        let unused = room - self.len(key.len(), value);
        let wide = is_wide(key.len(), value) || unused > usize::from(u8::MAX);
        let flags = self.flags(wide);
        out[0] = flags;
        out[DB] = self.db;
        let mut rest = HEAD;
        if flags & TIMED != 0 {
            put(out, DUE, self.due(), TIME);
            rest += TIMES;
        }
        if wide {
            (out[KEY_LEN], out[UNUSED]) = (0, 0);
            rest = put(out, rest, key.len() as u64, 2);
            rest = put(out, rest, value as u64, 4);
        } else {
            (out[KEY_LEN], out[UNUSED]) = (key.len() as u8, unused as u8);
        }
        if flags & FIELDS != 0 {
            put(out, rest, self.deadline, TIME);
        }
        put_bytes(out, key_at(flags), key)
    }
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
        &self.0[at..at + self.lengths().0]
    }

    #[inline]
    pub(crate) fn value(self) -> &'a [u8] {
        &self.0[self.value_range()]
    }

    /// Where in the slot the value is.
    #[inline]
    pub(crate) fn value_range(self) -> std::ops::Range<usize> {
        let (key, value) = self.lengths();
        let at = key_at(self.0[0]) + key;
        at..at + value
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
        }
    }

    #[inline]
    fn lengths(self) -> (usize, usize) {
        let flags = self.0[0];
        if flags & WIDE == 0 {
            let key = usize::from(self.0[KEY_LEN]);
            let unused = usize::from(self.0[UNUSED]);
            (key, self.0.len() - unused - key - key_at(flags))
        } else {
            let at = HEAD + if flags & TIMED == 0 { 0 } else { TIMES };
            (
                take(self.0, at, 2) as usize,
                take(self.0, at + 2, 4) as usize,
            )
        }
    }
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
            more in 0_usize..900,
        ) {
            let head = Head { kind: KINDS[kind], db, spread, deadline, fields };
            let len = head.len(key.len(), value.len());
            let mut slot = vec![0xaa; len + more];
            let at = head.write(&mut slot, &key, value.len());
            slot[at..at + value.len()].copy_from_slice(&value);
            set_referenced(&mut slot);
            let view = KeyView(&slot);
            prop_assert!(is_key(&slot) && view.is(db, &key) && !view.is(db, b"other"));
            prop_assert_eq!((view.key(), view.value()), (&*key, &*value));
            // The first field cannot end before the key's own end is told apart: if no field has
            // a deadline, the due time is the key's.
            prop_assert_eq!((view.deadline(), view.due()), (deadline, head.due()));
            prop_assert_eq!(view.kind(), head.kind);
            prop_assert_eq!(view.is_spread(), spread);
            prop_assert!(take_referenced(&mut slot) && !take_referenced(&mut slot));
        }
    }
}

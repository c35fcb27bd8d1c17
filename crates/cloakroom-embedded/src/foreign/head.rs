//! What is kept beside a session's value: since when it is there, whose it is, whether it ended. The bytes
//! are those of `docs/formats/layout-head.md`. They are the key's mark while there is a key, by which the
//! engine finds a subject's sessions; and a string beside the keyspace, a tombstone, when there is none.

use cloakroom_core::layout::Tombstones;
use cloakroom_core::record::Subject;
use cloakroom_core::{UnixMillis, limits};

use crate::engine::{DATABASES, Db, KeyError, Tx};

/// The version of these bytes.
const VERSION: u8 = 1;
const LIVE: u8 = 0;
const ENDED: u8 = 1;
const FIXED: usize = 8;

/// What is known of a session beside its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) ended: bool,
    /// When the session was written first; when it ended, if it did.
    pub(super) first: UnixMillis,
    pub(super) subject: Option<Subject>,
}

/// What a head says but for the name of whose it is; it costs no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) ended: bool,
    /// As [`Head::first`].
    pub(super) first: UnixMillis,
    /// Whether it is anybody's.
    pub(super) named: bool,
}

impl Facts {
    /// Of a session that is written first now, before it is known whose it is.
    pub(super) const fn new_at(now: UnixMillis) -> Self {
        Self {
            ended: false,
            first: now,
            named: false,
        }
    }

    /// Of a mark.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let (fixed, name) = bytes.split_first_chunk::<FIXED>()?;
        let [VERSION, state, first @ ..] = fixed else {
            return None;
        };
        let mut millis = [0; 8];
        millis[..6].copy_from_slice(first);
        Some(Self {
            ended: *state == ENDED,
            first: UnixMillis::new(u64::from_le_bytes(millis)),
            named: !name.is_empty(),
        })
    }
}

impl Head {
    pub(super) const fn live(first: UnixMillis, subject: Option<Subject>) -> Self {
        Self {
            ended: false,
            first,
            subject,
        }
    }

    pub(super) const fn ended(now: UnixMillis) -> Self {
        Self {
            ended: true,
            first: now,
            subject: None,
        }
    }

    /// What is known of the session under this key, or of the one that was.
    pub(super) fn read(tx: &mut Tx<'_>, db: Db, key: &[u8]) -> Option<Self> {
        if let Some(mark) = tx.mark(db, key) {
            return Self::decode(mark);
        }
        Self::left(tx, db, key)
    }

    /// What is known of the session that was under this key, where there is none.
    pub(super) fn left(tx: &mut Tx<'_>, db: Db, key: &[u8]) -> Option<Self> {
        if let Some(tombstone) = tx.string(beside(db), key).ok()? {
            return Self::decode(tombstone);
        }
        Self::decode(&tx.mark_of_fallen(db, key)?)
    }

    /// Writes the head of a session that is there, if another is known of it.
    pub(super) fn write(&self, tx: &mut Tx<'_>, db: Db, key: &[u8]) -> Result<(), KeyError> {
        if tx.mark(db, key).is_some_and(|mark| self.is(mark)) {
            return Ok(());
        }
        tx.set_mark(db, key, &self.encode())
    }

    /// Has an ended session's head stand as its tombstone.
    pub(super) fn bury(&self, tx: &mut Tx<'_>, db: Db, key: &[u8]) {
        let until = self.first.saturating_add(limits::TOMBSTONE);
        // Where memory is short there is none: a late write is then as new as any.
        let _ = tx.set_string(beside(db), key, &self.encode(), Some(until));
    }

    /// As [`Head::bury`], of a session that can still be read for a while; not where the layout has no tombstones.
    pub(super) fn freeze(&self, tx: &mut Tx<'_>, db: Db, key: &[u8], tombstones: Tombstones) {
        let mark = match tombstones {
            Tombstones::Never => Vec::new(),
            _ => self.encode(),
        };
        // It is no longer than the one that is there, so there is room.
        let _ = tx.set_mark(db, key, &mark);
    }

    /// Takes the head of a session that is alive from where earlier versions kept it.
    pub(super) fn bring_in(&self, tx: &mut Tx<'_>, db: Db, key: &[u8]) {
        if self.write(tx, db, key).is_ok() {
            tx.remove(beside(db), key);
        }
    }

    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        let Some((fixed, subject)) = bytes.split_first_chunk::<FIXED>() else {
            return false;
        };
        *fixed == self.fixed() && subject == self.subject_bytes()
    }

    fn fixed(&self) -> [u8; FIXED] {
        let [a, b, c, d, e, f, ..] = self.first.as_millis().to_le_bytes();
        let state = if self.ended { ENDED } else { LIVE };
        [VERSION, state, a, b, c, d, e, f]
    }

    fn subject_bytes(&self) -> &[u8] {
        self.subject
            .as_ref()
            .map_or(&[], |it| it.as_str().as_bytes())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [&self.fixed(), self.subject_bytes()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let Facts { ended, first, .. } = Facts::of(bytes)?;
        let subject = match &bytes[FIXED..] {
            [] => None,
            text => Some(Subject::stored(std::str::from_utf8(text).ok()?).ok()?),
        };
        Some(Self {
            ended,
            first,
            subject,
        })
    }
}

/// The keyspace of tombstones beside this one.
pub(super) const fn beside(db: Db) -> Db {
    DATABASES + db % DATABASES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bytes_are_those_of_the_page() {
        let first = UnixMillis::new(0x0102_0304_0506);
        let alice = Subject::new("alice").ok();
        for (head, bytes) in [
            (
                Head::live(first, alice),
                &b"\x01\x00\x06\x05\x04\x03\x02\x01alice"[..],
            ),
            (Head::live(first, None), b"\x01\x00\x06\x05\x04\x03\x02\x01"),
            (Head::ended(first), b"\x01\x01\x06\x05\x04\x03\x02\x01"),
        ] {
            assert_eq!(head.encode(), bytes);
            assert!(head.is(bytes) && !head.is(&bytes[..7]) && !head.is(b"\x01\x00\0\0\0\0\0\0"));
            assert_eq!(Head::decode(bytes), Some(head));
        }
        for other in [
            &b""[..],
            b"\x02\x00\x06\x05\x04\x03\x02\x01",
            b"\x01\x00\x06",
            b"\x01\x00\x06\x05\x04\x03\x02\x01\xff",
        ] {
            assert_eq!(Head::decode(other), None);
        }
    }
}

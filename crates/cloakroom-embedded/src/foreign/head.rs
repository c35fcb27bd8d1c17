//! What is kept beside a session's key: since when it is there, whose it is, whether it ended. The
//! bytes are those of `docs/formats/layout-head.md`, for a journal keeps them as it keeps any key.

use std::time::Duration;

use cloakroom_core::layout::Tombstones;
use cloakroom_core::record::Subject;
use cloakroom_core::{UnixMillis, limits};

use super::seal::{self, Of, Sealer};
use crate::engine::{DATABASES, Db, KeyError, Tx};

/// The version of these bytes.
const VERSION: u8 = 1;
const LIVE: u8 = 0;
const ENDED: u8 = 1;
/// Alive, and whom it belongs to is sealed.
const SEALED: u8 = 2;
const FIXED: usize = 8;

/// How much later than it must a head ends, so that a session that slides at every request has its head
/// written once a minute.
const SLACK: Duration = Duration::from_secs(60);

/// What is known of a session beside its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) ended: bool,
    /// When the session was written first; when it ended, if it did.
    pub(super) first: UnixMillis,
    pub(super) subject: Option<Subject>,
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

    /// The head beside this key.
    pub(super) fn read(
        sealer: Option<&Sealer>,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
    ) -> Option<Self> {
        Self::decode(sealer, key, tx.string(beside(db), key).ok()??)
    }

    /// Writes a live session's head, if it says something else than `before` or would end too early:
    /// the session ends at `deadline`, and its head is its tombstone afterwards.
    pub(super) fn write(
        &self,
        sealer: Option<&Sealer>,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        before: Option<&Self>,
        deadline: UnixMillis,
    ) -> Result<(), KeyError> {
        let least = deadline.saturating_add(limits::TOMBSTONE);
        if before == Some(self) {
            let until = tx.deadline(beside(db), key).flatten();
            if until.is_some_and(|until| until >= least && until.since(least) <= 2 * SLACK) {
                return Ok(());
            }
        }
        let until = least.saturating_add(SLACK);
        tx.set_string(beside(db), key, &self.encode(sealer, key), Some(until))
    }

    /// Has an ended session's head stand as its tombstone, where the layout has any.
    pub(super) fn bury(&self, tx: &mut Tx<'_>, db: Db, key: &[u8], tombstones: Tombstones) {
        if tombstones == Tombstones::Never {
            tx.remove(beside(db), key);
            return;
        }
        let until = self.first.saturating_add(limits::TOMBSTONE);
        // Where memory is short the old head stays, which is a tombstone too once the session is gone.
        let _ = tx.set_string(beside(db), key, &self.encode(None, key), Some(until));
    }

    /// Its bytes; whom it belongs to is sealed if there is somebody to do it.
    fn encode(&self, sealer: Option<&Sealer>, key: &[u8]) -> Vec<u8> {
        let subject = self.subject.as_ref().map_or("", |it| it.as_str());
        let sealer = sealer.filter(|_| !subject.is_empty());
        let state = match (self.ended, sealer) {
            (true, _) => ENDED,
            (false, None) => LIVE,
            (false, Some(_)) => SEALED,
        };
        let mut bytes = Vec::with_capacity(FIXED + subject.len());
        bytes.extend([VERSION, state]);
        bytes.extend(&self.first.as_millis().to_le_bytes()[..6]);
        match sealer {
            Some(sealer) => {
                let mut sealed = Vec::new();
                sealer.seal(key, Of::Subject, subject.as_bytes(), &mut sealed);
                bytes.append(&mut sealed);
            }
            None => bytes.extend(subject.as_bytes()),
        }
        bytes
    }

    fn decode(sealer: Option<&Sealer>, key: &[u8], bytes: &[u8]) -> Option<Self> {
        let (fixed, subject) = bytes.split_first_chunk::<FIXED>()?;
        let [VERSION, state, first @ ..] = fixed else {
            return None;
        };
        let mut millis = [0; 8];
        millis[..6].copy_from_slice(first);
        let mut opened = Vec::new();
        let subject = match *state {
            SEALED => {
                seal::open(sealer, key, Of::Subject, subject, &mut opened).ok()?;
                &opened
            }
            _ => subject,
        };
        let subject = match subject {
            [] => None,
            text => Some(Subject::new(std::str::from_utf8(text).ok()?).ok()?),
        };
        Some(Self {
            ended: *state == ENDED,
            first: UnixMillis::new(u64::from_le_bytes(millis)),
            subject,
        })
    }
}

/// The keyspace of heads beside this one.
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
            assert_eq!(head.encode(None, b"k"), bytes);
            assert_eq!(Head::decode(None, b"k", bytes), Some(head));
        }
        for other in [
            &b""[..],
            b"\x02\x00\x06\x05\x04\x03\x02\x01",
            b"\x01\x00\x06",
            b"\x01\x00\x06\x05\x04\x03\x02\x01\xff",
        ] {
            assert_eq!(Head::decode(None, b"k", other), None);
        }
    }
}

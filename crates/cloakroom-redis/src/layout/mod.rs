//! How a session lies in Redis: three layouts of one contract. A layout reads and writes whole
//! sessions in plain commands; what is special to scripts is in their prelude.

mod fields;
#[cfg(test)]
mod fixtures;
pub(crate) mod packed;
mod plain;
mod text;

use std::time::Duration;

use cloakroom_core::expiry::{Verdict, decide};
use cloakroom_core::id::StoredKey;
use cloakroom_core::record::ValueRef;
use cloakroom_core::store::Absence;
use cloakroom_core::{Error, Record, UnixMillis};

use crate::epoch::Epoch;
use crate::failure::Failure;
use crate::head::Marker;
use crate::keys;
use crate::settings::LayoutName;
use crate::wire::{Command, Reply};

/// How long a session that is leaving for another node waits to arrive there. Shorter than a
/// tombstone lives: what ended it there must be remembered longer.
const LEAVING: Duration = Duration::from_secs(60);

/// How far the reckoned time may be ahead of the server's, and far more.
const AHEAD: Duration = Duration::from_secs(5);

/// What is stored under a key, not yet judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    Ended(Marker),
    Record(Box<Record>, Epoch),
}

/// What that means at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Present {
    Alive(Box<Record>),
    Forward(StoredKey),
    Absent(Absence),
}

impl Kept {
    /// Whether it ends by this time, which may be a little ahead of the server's. A marker that was
    /// over long before is over in any case.
    pub(crate) fn may_be_over(&self, now: UnixMillis) -> bool {
        let just = |end: UnixMillis| end <= now && now < end.saturating_add(AHEAD);
        match self {
            Self::Nothing => false,
            Self::Record(record, _) => record.times.deadline() <= now,
            Self::Ended(marker) => {
                let forwards = marker.forward.is_some_and(|(_, until)| just(until));
                forwards || just(marker.forgotten_at)
            }
        }
    }

    /// Judges what is stored. A record of another epoch was revoked with all others; a missing epoch
    /// is nobody's, so that a lost one ends sessions instead of reviving them.
    pub(crate) fn judge(self, epoch: Option<Epoch>, now: UnixMillis) -> Present {
        match self {
            Self::Nothing => Present::Absent(Absence::Unknown),
            Self::Ended(marker) => match marker.forward {
                Some((target, until)) if now < until => Present::Forward(target),
                _ if now < marker.forgotten_at => Present::Absent(Absence::Ended),
                _ => Present::Absent(Absence::Unknown),
            },
            Self::Record(record, of) => match decide(&record.times, now) {
                Verdict::Alive { .. } if epoch == Some(of) => Present::Alive(record),
                Verdict::Alive { .. } | Verdict::Expired(_) => Present::Absent(Absence::Unknown),
            },
        }
    }
}

impl LayoutName {
    /// The layout that keeps its sessions under the same keys.
    pub(crate) fn other(self) -> Option<Self> {
        match self {
            Self::Packed => Some(Self::Fields),
            Self::Fields => Some(Self::Packed),
            Self::Plain => None,
        }
    }

    /// Reads all that is under a key.
    pub(crate) fn read(self, key: &str) -> Command {
        match self {
            Self::Packed => packed::read(key),
            Self::Fields => fields::read(key),
            Self::Plain => plain::read(key),
        }
    }

    /// As [`LayoutName::read`], under the key of a session.
    pub(crate) fn load(self, key: &StoredKey) -> Command {
        match self {
            Self::Packed => packed::load(key),
            Self::Fields => fields::load(key),
            Self::Plain => plain::read(&keys::session(key)),
        }
    }

    /// What [`LayoutName::read`] was answered.
    pub(crate) fn decode(self, reply: Reply) -> Result<Kept, Failure> {
        match self {
            Self::Packed => packed::decode(&reply),
            Self::Fields => fields::decode(&reply),
            Self::Plain => Ok(plain::decode(reply)?.0),
        }
    }

    /// As [`LayoutName::decode`], and the server's time where the answer tells it.
    pub(crate) fn decode_timed(self, reply: Reply) -> Result<(Kept, Option<UnixMillis>), Failure> {
        match self {
            Self::Packed | Self::Fields => Ok((self.decode(reply)?, None)),
            Self::Plain => plain::decode(reply).map(|(kept, now)| (kept, Some(now))),
        }
    }

    /// What the server must be told before it can read, once.
    pub(crate) fn introduce(self) -> Option<Command> {
        match self {
            Self::Packed | Self::Fields => None,
            Self::Plain => Some(plain::introduce()),
        }
    }

    /// A value as its Redis field holds it, where fields are Redis fields.
    pub(crate) fn encode_value(self, value: ValueRef<'_>) -> Vec<u8> {
        match self {
            Self::Packed | Self::Fields => fields::encode_value(value),
            Self::Plain => text::encode(value),
        }
    }

    /// Adds that to a command.
    pub(crate) fn add_value(self, command: &mut Command, value: ValueRef<'_>) {
        match self {
            Self::Packed | Self::Fields => fields::add_value(command, value),
            Self::Plain => {
                command.arg(text::encode(value));
            }
        }
    }

    /// Whether an application may have a field of this name.
    pub(crate) fn check(self, name: &str) -> Result<(), Error> {
        match self {
            Self::Packed | Self::Fields => Ok(()),
            Self::Plain => plain::check(name),
        }
    }

    /// A record as scripts take it: the head, then the parts that the prelude's `put` writes.
    pub(crate) fn parts(self, record: &Record) -> (Vec<u8>, Vec<Vec<u8>>) {
        match self {
            Self::Packed => packed::parts(record),
            Self::Fields => fields::parts(record),
            Self::Plain => plain::parts(record),
        }
    }

    /// Writes a whole record over whatever is under the key, for transactions.
    pub(crate) fn write(self, key: &str, record: &Record, epoch: Epoch) -> Vec<Command> {
        match self {
            Self::Packed => packed::write(key, record, epoch),
            Self::Fields => fields::write(key, record, epoch),
            Self::Plain => plain::write(key, record, epoch),
        }
    }

    /// Writes a marker over whatever is under the key, for transactions.
    pub(crate) fn end(self, key: &str, marker: &Marker) -> Vec<Command> {
        match self {
            Self::Packed => packed::end(key, marker),
            Self::Fields => fields::end(key, marker),
            Self::Plain => plain::end(key, marker),
        }
    }

    /// Puts a marker over a session that leaves for another node and keeps it beneath, for
    /// transactions. `reply` is how it was read.
    pub(crate) fn leave(
        self,
        key: &str,
        reply: Reply,
        marker: &Marker,
    ) -> Result<Vec<Command>, Failure> {
        match self {
            Self::Packed => packed::leave(key, reply, marker),
            Self::Fields => Ok(fields::leave(key, marker)),
            // The settings allow no shards with it.
            Self::Plain => Err(Failure::foreign("a session in text cannot change nodes")),
        }
    }

    /// What is beneath the marker of a session that is leaving; `None` if it is not.
    pub(crate) fn beneath(self, reply: Reply) -> Result<Option<Kept>, Failure> {
        match self {
            Self::Packed => packed::beneath(reply),
            Self::Fields => fields::beneath(&reply),
            Self::Plain => Ok(None),
        }
    }

    /// The record as it reads back: the layout may not keep the order of fields.
    pub(crate) fn normal(self, record: Record) -> Record {
        match self {
            Self::Packed => record,
            Self::Fields | Self::Plain => fields::normal(record),
        }
    }
}

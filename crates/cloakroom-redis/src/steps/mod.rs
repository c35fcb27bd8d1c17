//! The atomic steps that the store is made of. Two ways to take them: by script, in one trip
//! ([`scripted`]), or where scripting is forbidden by WATCH and MULTI ([`watched`]); and above either
//! a cheaper one for saves, compare-and-set, where the server has it ([`compared`]). All read, decide
//! and write in one step that no other client can come between.

mod call;
mod compared;
mod saves;
mod scripted;
mod swap;
mod transaction;
mod watched;

use std::time::Instant;

use async_trait::async_trait;
use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::record::{Changes, Condition};
use cloakroom_core::{Error, Record, UnixMillis};

use crate::epoch::Epoch;
use crate::keys::{self, Entry};
use crate::layout::Present;

pub(crate) use compared::Compared;
pub(crate) use saves::Applying;
pub(crate) use scripted::Scripted;
pub(crate) use swap::probe as probe_compare_and_set;
pub(crate) use transaction::time;
pub(crate) use watched::{Watched, at_time};

/// The steps.
#[async_trait]
pub(crate) trait Steps: Send + Sync + std::fmt::Debug {
    /// Writes a new session, in place of an old one or not.
    async fn place(&self, place: &Place<'_>) -> Result<Placed, Error>;

    /// Ends a session that [`Steps::place`] has copied to another node, if it is what was copied. It
    /// may be repeated.
    async fn leave(&self, new: &StoredKey, old: &Old<'_>) -> Result<Left, Error>;

    /// Takes a session back that [`Steps::place`] has placed and nobody was told of.
    async fn undo(&self, key: &StoredKey, record: &Record) -> Result<(), Error>;

    /// Changes fields of a session. `hint` is what was seen of it last.
    async fn apply(
        &self,
        key: &StoredKey,
        hint: Option<&Record>,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Tried, Error>;

    /// Begins what [`Steps::apply`] does, if that is one call that nothing has to be waited for before.
    fn begin_apply<'a>(
        &'a self,
        _asked: &Asked<'_>,
        _hint: Option<Hint<'_>>,
    ) -> Option<Applying<'a>> {
        None
    }

    /// Ends sessions of one tag. With `besides`, only if the subject's index has at most so many entries that
    /// are not among them; `None` then if it has more.
    async fn end(
        &self,
        tag: SlotTag,
        index: Option<&str>,
        sessions: &[Ending],
        besides: Option<usize>,
    ) -> Result<Option<Vec<Found>>, Error>;

    /// Records activity.
    async fn touch(&self, keys: &[StoredKey]) -> Result<Vec<Found>, Error>;

    /// Tells what was read beside a session: its tag's epoch, and the server's time. Steps that must
    /// know them before they ask remember them.
    fn saw(&self, _tag: SlotTag, _epoch: Option<Epoch>, _now: UnixMillis) {}
}

/// What [`Steps::begin_apply`] is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) key: &'a StoredKey,
    pub(crate) changes: &'a Changes,
    pub(crate) condition: &'a Condition,
    /// When it began.
    pub(crate) since: Instant,
}

/// What was seen of a session last, where it lies, and an empty buffer to work with.
pub(crate) struct Hint<'a> {
    pub(crate) record: &'a Record,
    pub(crate) buffer: &'a mut Vec<u8>,
}

/// What [`Steps::place`] writes.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// Its key.
    pub(crate) key: &'a StoredKey,
    /// The session; its times are replaced by the server's.
    pub(crate) record: &'a Record,
    /// The session that becomes this one.
    pub(crate) old: Option<Old<'a>>,
    /// Somebody signs in: a login, or a session that begins with a subject.
    pub(crate) login: bool,
    /// The limit of the subject's parallel sessions; 0 is none.
    pub(crate) limit: usize,
    /// Sessions of the subject that may be ended for the limit, in this order.
    pub(crate) candidates: Vec<Entry>,
}

impl Place<'_> {
    /// Whether a session moves here from another tag.
    pub(crate) fn comes_from_another_tag(&self) -> bool {
        let old = self.old.as_ref();
        old.is_some_and(|old| old.key.tag() != self.key.tag())
    }
}

/// A session that moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Old<'a> {
    pub(crate) key: &'a StoredKey,
    /// What it was when the new record was made of it.
    pub(crate) record: &'a Record,
    /// For how many ms the old key forwards.
    pub(crate) grace: Option<u64>,
    /// Whether it is where no step can reach both; it is then ended by another step.
    pub(crate) elsewhere: bool,
}

impl Old<'_> {
    /// Its entry in the index of its subject, if it has one.
    pub(crate) fn entry(&self) -> Option<(String, Entry)> {
        let subject = self.record.subject.as_ref()?;
        let entry = Entry {
            handle: self.record.handle,
            key: *self.key,
        };
        Some((keys::index(subject), entry))
    }
}

/// What [`Steps::place`] did.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It is done, at this time.
    Done(UnixMillis),
    /// The new key is taken.
    Taken,
    /// The old session is not what it was; this is what there is.
    Stale(Present),
    /// Everything is being revoked, and the session would move from a tag that may not know yet to
    /// one that does. It is over in a moment.
    Closing,
    /// The subject has too many sessions, and the candidates do not make room.
    Crowded,
}

/// What [`Steps::leave`] did.
#[derive(Debug)]
pub(crate) enum Left {
    /// It is done.
    Done,
    /// The old session is not what it was; this is what there is.
    Stale(Present),
}

/// A change that was made.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) version: u64,
    pub(crate) increments: Vec<i64>,
    pub(crate) there: There,
}

/// What is there after a change, as far as that is known.
#[derive(Debug)]
pub(crate) enum There {
    Unknown,
    /// The hint with the changes in it, since this time.
    Changed(UnixMillis),
    Record(Record),
}

/// What [`Steps::apply`] did.
#[derive(Debug)]
pub(crate) enum Tried {
    Done(Done),
    /// The condition does not hold.
    Conflict {
        version: u64,
    },
    /// The session is not what the hint says; this is what there is.
    Stale(Present),
    /// It cannot be done without a hint.
    NeedsHint,
}

/// A session to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) key: StoredKey,
    /// Only if it is this session, which then leaves the index.
    pub(crate) entry: Option<Entry>,
}

/// What was under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A live session; the step was taken.
    Alive,
    /// None.
    Dead,
    /// The session moved there.
    Moved(StoredKey),
}

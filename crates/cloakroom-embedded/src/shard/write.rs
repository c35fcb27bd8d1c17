//! What a shard does to sessions: create, touch, change, move, end. Everything that can fail is
//! done before anything is changed.

use std::cmp::Reverse;

use cloakroom_core::codec::Codec;
use cloakroom_core::id::SlotTag;
use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::{
    Change, Changes, Condition, Fields, FieldsIter, NewSession, Rotation, Subject, Value,
};
use cloakroom_core::store::Applied;
use cloakroom_core::{Error, ErrorKind, Handle, Record, StoredKey, limits};
use std::hash::BuildHasher as _;

use super::room::Need;
use super::{Alive, At, Shard, spread};
use crate::entry::{self, View};
use crate::slab::SlotRef;

/// Changes that are tried in place; a write of more fields goes the general way.
const IN_PLACE: usize = 8;

impl Shard {
    /// Creates a session.
    pub(crate) fn create(
        &mut self,
        key: &StoredKey,
        new: &NewSession,
        at: At<'_>,
    ) -> Result<Record, Error> {
        if self.is_taken(key, at) {
            return Err(ErrorKind::Collision.into());
        }
        let record = Record::create(new, at.now);
        let cap = record.subject.as_ref().zip(new.max_sessions);
        self.admit(key, &record, cap, None, at)?;
        self.insert(key, &record, at);
        Ok(record)
    }

    /// Records activity.
    pub(crate) fn touch(&mut self, alive: Alive, at: At<'_>) {
        let bytes = self.slab.get_mut(alive.slot);
        let before = View(bytes).seen_at();
        entry::set_seen(bytes, at.now);
        entry::set_referenced(bytes);
        self.note_seen(alive.slot, before, at.now);
    }

    /// Changes fields: in place where values keep their size, else as the core does it.
    pub(crate) fn apply(
        &mut self,
        alive: Alive,
        changes: &Changes,
        condition: &Condition,
        at: At<'_>,
    ) -> Result<Applied, Error> {
        let bytes = self.slab.get_mut(alive.slot);
        if !meets(View(bytes), condition) {
            let version = View(bytes).version();
            return Ok(Applied::Conflict { version });
        }
        entry::set_referenced(bytes);
        if overwrite(bytes, changes) {
            let version = entry::count_write(bytes, at.now);
            self.note_fields(alive.slot, alive.slot, changes, &[], at.now);
            return Ok(Applied::Done {
                version,
                increments: Vec::new(),
            });
        }
        let fields = Fields::from_trusted_bytes(bytes[entry::fields_range(bytes)].into());
        let (fields, increments) = fields.changed(changes)?;
        let slot = self.resize(alive.slot, fields.as_bytes(), at)?;
        let bytes = self.slab.get_mut(slot);
        entry::set_fields(bytes, fields.as_bytes());
        let version = entry::count_write(bytes, at.now);
        self.note_fields(alive.slot, slot, changes, &increments, at.now);
        Ok(Applied::Done {
            version,
            increments,
        })
    }

    /// Ends a session of this shard.
    pub(crate) fn destroy(&mut self, alive: Alive, at: At<'_>) {
        self.end(alive.slot, at.now);
    }

    /// Ends the sessions of `subject` that `chosen` names. Returns how many.
    pub(crate) fn revoke(
        &mut self,
        subject: &Subject,
        chosen: impl Fn(Handle) -> bool,
        at: At<'_>,
    ) -> usize {
        let mut revoked = 0;
        for alive in self.alive_of(subject, at) {
            if chosen(View(self.slab.get(alive.slot)).handle()) {
                self.end(alive.slot, at.now);
                revoked += 1;
            }
        }
        revoked
    }

    /// The session `alive` under `old` as it is after `rotation`.
    pub(crate) fn rotated(
        &self,
        alive: Alive,
        new: &StoredKey,
        rotation: &Rotation,
        at: At<'_>,
    ) -> Result<Record, Error> {
        let mut record = self.record(alive.slot);
        let subject = match &rotation.login {
            Some(login) => Some(&login.subject),
            None => record.subject.as_ref(),
        };
        check_tag(subject, new)?;
        record.rotate(rotation, at.now)?;
        Ok(record)
    }

    /// The first half of a move, in the shard of the new key: makes sure that it can be done, with
    /// `from` the slot of the session if it is in this shard, too.
    pub(crate) fn admit_rotated(
        &mut self,
        new: &StoredKey,
        record: &Record,
        rotation: &Rotation,
        from: Option<Alive>,
        at: At<'_>,
    ) -> Result<(), Error> {
        if self.is_taken(new, at) {
            return Err(ErrorKind::Collision.into());
        }
        let login = rotation.login.as_ref();
        let cap = login.and_then(|login| Some((&login.subject, login.max_sessions?)));
        self.admit(new, record, cap, from.map(|from| from.slot), at)
    }

    /// The second half, in the shard of the old key: the session goes, the key forwards or not.
    pub(crate) fn leave(&mut self, alive: Alive, new: &StoredKey, rotation: &Rotation, at: At<'_>) {
        let old = View(self.slab.get(alive.slot)).key();
        let grace = rotation.grace.min(limits::ROTATION_GRACE);
        let forwards = rotation.login.is_none() && !grace.is_zero();
        self.remove(alive.slot);
        let moved = forwards.then(|| (*new, at.now.saturating_add(grace)));
        self.bury(&old, at.now, moved);
    }

    /// The last step, in the shard of the new key.
    pub(crate) fn arrive(&mut self, new: &StoredKey, record: &Record, at: At<'_>) {
        self.insert(new, record, at);
    }

    /// Makes sure that `record` can be put under `key`: by its limits, by the subject's number of
    /// sessions and by memory; for that, older sessions of the subject and strangers may go.
    fn admit(
        &mut self,
        key: &StoredKey,
        record: &Record,
        cap: Option<(&Subject, MaxSessions)>,
        moved: Option<SlotRef>,
        at: At<'_>,
    ) -> Result<(), Error> {
        check_tag(record.subject.as_ref(), key)?;
        check_limits(&record.fields)?;
        if let Some((subject, max)) = cap
            && max.on_excess == OnExcess::Refuse
            && self.others(subject, moved, at).len() >= max.limit
        {
            return Err(ErrorKind::TooManySessions { limit: max.limit }.into());
        }
        let need = Need {
            len: entry::len(record, &self.known),
            names: Some((key, record.subject.as_ref())),
            name: None,
            extra: 0,
            spared: moved,
            replaces: true,
        };
        self.make_room(&need, at)?;
        if let Some((subject, max)) = cap {
            // Looked up again: making room may have taken some of them.
            let mut others = self.others(subject, moved, at);
            others.sort_by_key(|slot| {
                let view = View(self.slab.get(*slot));
                let times = view.times(&self.known);
                Reverse((times.authenticated_at, times.created_at, view.handle()))
            });
            for slot in others.into_iter().skip(max.limit.max(1) - 1) {
                self.end(slot, at.now);
            }
        }
        Ok(())
    }

    fn others(&mut self, subject: &Subject, but: Option<SlotRef>, at: At<'_>) -> Vec<SlotRef> {
        let alive = self.alive_of(subject, at).into_iter();
        alive
            .map(|alive| alive.slot)
            .filter(|slot| Some(*slot) != but)
            .collect()
    }

    /// A slot for the session with other fields: the present one if they fit and do not leave much
    /// of it empty, else another, to which the session is moved.
    pub(super) fn resize(
        &mut self,
        slot: SlotRef,
        fields: &[u8],
        at: At<'_>,
    ) -> Result<SlotRef, Error> {
        let entry = self.slab.get(slot);
        let head = View(entry).len_without_fields();
        let (len, room) = (head + fields.len(), entry.len());
        let fits = len <= room;
        if fits && len * 4 >= room * 3 {
            return Ok(slot);
        }
        let need = Need {
            len,
            names: None,
            name: None,
            extra: 0,
            spared: Some(slot),
            replaces: false,
        };
        if fits && !self.try_room(&need, at.memory) {
            return Ok(slot);
        }
        if !fits {
            self.make_room(&need, at)?;
        }
        let head = self.slab.get(slot)[..head].to_vec();
        let new = self.slab.alloc(len);
        let deadline = View(self.slab.get(slot)).times(&self.known).deadline();
        self.slab.get_mut(new)[..head.len()].copy_from_slice(&head);
        let view = View(self.slab.get(slot));
        self.keys
            .replace(spread(&self.hasher, view.hash()), slot, new);
        if !view.subject().is_empty() {
            self.subjects
                .replace(self.hasher.hash_one(view.subject()), slot, new);
        }
        self.wheel.remove(&mut self.slab, slot);
        self.slab.free(slot);
        self.wheel.insert(&mut self.slab, new, deadline.as_millis());
        Ok(new)
    }
}

/// As [`Record::meets`], without a copy of the record.
fn meets(view: View<'_>, condition: &Condition) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Version(version) => view.version() == *version,
        Condition::Field { name, expected } => {
            let mut fields = view.fields();
            let value = fields.find(|(known, _)| *known == name.as_str());
            value.map(|(_, value)| value) == expected.as_ref().map(Value::as_ref)
        }
    }
}

/// Sets fields in place, if all changes set fields that are there to values of the same size and
/// codec. Returns whether it did; else nothing is changed.
fn overwrite(entry: &mut [u8], changes: &Changes) -> bool {
    if changes.len() > IN_PLACE {
        return false;
    }
    let range = entry::fields_range(entry);
    let mut places = [0; IN_PLACE];
    for (place, (name, change)) in places.iter_mut().zip(changes.iter()) {
        let Change::Set(value) = change else {
            return false;
        };
        let Some((codec, at)) = value_at(&entry[range.clone()], name.as_str()) else {
            return false;
        };
        let value = value.as_ref();
        if value.codec != codec || value.bytes.len() != at.len() {
            return false;
        }
        *place = range.start + at.start;
    }
    for (place, (_, change)) in places.into_iter().zip(changes.iter()) {
        if let Change::Set(value) = change {
            let bytes = value.as_ref().bytes;
            entry[place..place + bytes.len()].copy_from_slice(bytes);
        }
    }
    true
}

/// Where in packed fields the value of `name` is.
fn value_at(fields: &[u8], name: &str) -> Option<(Codec, std::ops::Range<usize>)> {
    let mut iter = FieldsIter::over_trusted_bytes(fields);
    let (_, value) = iter.find(|(known, _)| *known == name)?;
    let end = fields.len() - iter.remaining_bytes();
    Some((value.codec, end - value.bytes.len()..end))
}

fn check_tag(subject: Option<&Subject>, key: &StoredKey) -> Result<(), Error> {
    match subject {
        Some(subject) if SlotTag::of_subject(subject) != key.tag() => Err(ErrorKind::Invalid {
            what: "the key of a session with a subject must have the subject's tag",
        }
        .into()),
        _ => Ok(()),
    }
}

fn check_limits(fields: &Fields) -> Result<(), Error> {
    let check = |what, size, limit| match size {
        _ if size <= limit => Ok(()),
        _ => Err(Error::from(ErrorKind::Limit { what, limit, size })),
    };
    check("session", fields.as_bytes().len(), limits::RECORD_BYTES)?;
    check("fields", fields.len(), limits::FIELDS)?;
    for (_, value) in fields {
        check("field value", value.bytes.len(), limits::FIELD_VALUE_BYTES)?;
    }
    Ok(())
}

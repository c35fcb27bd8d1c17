//! The way back: effects of a journal put into a shard. Nothing expires on the way, because a later
//! effect may say that there was activity; what is over goes when all is read.

use std::borrow::Cow;

use cloakroom_core::record::{Change, Changes, Value};
use cloakroom_core::{Record, StoredKey, UnixMillis};

use super::marks::hash_of_marked;
use super::name::KeyView;
use super::names::hash_of_entry;
use super::room::Need;
use super::{At, Shard, hash_of_key};
use crate::entry::{self, View};
use crate::journal::{Effect, Refused};
use crate::slab::SlotRef;

impl Shard {
    /// Makes the tables of keys large enough for so many times what they have.
    pub(crate) fn make_ready(&mut self, times: usize) {
        let (slab, hasher) = (&self.slab, &self.hasher);
        let view = |slot: &SlotRef| KeyView(slab.get(*slot));
        let hash_of = |slot: &SlotRef| hash_of_entry(hasher, view(slot));
        self.names.table.make_ready(times, hash_of);
        let hash_of = |slot: &SlotRef| hash_of_marked(hasher, view(slot));
        self.names.marked.make_ready(times, hash_of);
    }

    /// Puts an effect on a session into this shard, which is the one of its key.
    pub(crate) fn replay(&mut self, effect: &Effect<'_>, at: At<'_>) -> Result<(), Refused> {
        match effect {
            Effect::SessionPut {
                key,
                generation,
                record,
            } if *generation == at.generation => self.replay_put(key, record, at),
            Effect::SessionFields {
                key,
                version,
                seen_at,
                changes,
            } => {
                let Some(mut slot) = self.slot_of(key, hash_of_key(&self.hasher, key)) else {
                    return Ok(());
                };
                let view = View(self.slab.get(slot));
                if *version > view.version() {
                    let fields = view.record(&self.known, true).fields.changed(changes);
                    let (fields, _) = fields.map_err(|_| Refused::Damaged)?;
                    let bytes = fields.as_bytes();
                    let room = self.resize(slot, bytes, at);
                    slot = room.map_err(|_| Refused::NoRoom)?;
                    entry::set_fields(self.slab.get_mut(slot), bytes);
                    entry::set_version(self.slab.get_mut(slot), *version);
                }
                entry::set_seen(self.slab.get_mut(slot), *seen_at);
                Ok(())
            }
            Effect::SessionSeen { key, seen_at } => {
                if let Some(slot) = self.slot_of(key, hash_of_key(&self.hasher, key)) {
                    entry::set_seen(self.slab.get_mut(slot), *seen_at);
                }
                Ok(())
            }
            Effect::SessionEnd {
                key,
                ended_at,
                forward,
            } => {
                self.replay_remove(key);
                self.bury(key, *ended_at, *forward);
                Ok(())
            }
            Effect::SessionRemove { key } | Effect::SessionPut { key, .. } => {
                self.replay_remove(key);
                Ok(())
            }
            _ => Err(Refused::Damaged),
        }
    }

    fn replay_put(&mut self, key: &StoredKey, record: &Record, at: At<'_>) -> Result<(), Refused> {
        self.replay_remove(key);
        if record.times.absolute_deadline() <= at.now {
            return Ok(());
        }
        let need = Need {
            len: entry::len(record, &self.known),
            names: Some((key, record.subject.as_ref())),
            name: None,
            extra: 0,
            spared: None,
            replaces: false,
        };
        self.make_room(&need, at).map_err(|_| Refused::NoRoom)?;
        self.insert(key, record, at);
        Ok(())
    }

    fn replay_remove(&mut self, key: &StoredKey) {
        if let Some(slot) = self.slot_of(key, hash_of_key(&self.hasher, key)) {
            self.remove(slot);
        }
    }

    /// Notes activity, if it moves the session's end far enough: by the interval after which
    /// activity is recorded at all. Every such interval that activity falls into is noted once, so
    /// a crash brings the end of a session nearer by less than that.
    pub(super) fn note_seen(&mut self, slot: SlotRef, before: UnixMillis, now: UnixMillis) {
        if !self.notes.on() {
            return;
        }
        let view = View(self.slab.get(slot));
        let interval = view.times(&self.known).lifetimes.touch_interval();
        let Some(millis) = interval
            .map(|it| it.as_millis() as u64)
            .filter(|it| *it > 0)
        else {
            return;
        };
        if before.as_millis() / millis != now.as_millis() / millis {
            let key = view.key();
            self.notes.push(&Effect::SessionSeen { key, seen_at: now });
        }
    }

    /// Notes a write of fields, with what its increments came to; all of the session if it moved
    /// while a snapshot is taken.
    pub(super) fn note_fields(
        &mut self,
        from: SlotRef,
        slot: SlotRef,
        changes: &Changes,
        increments: &[i64],
        now: UnixMillis,
    ) {
        if !self.notes.on() {
            return;
        }
        if from != slot && self.notes.whole() {
            let put = self.session(slot);
            self.notes.push(&put);
            return;
        }
        let view = View(self.slab.get(slot));
        let changes = match increments {
            [] => Cow::Borrowed(changes),
            increments => Cow::Owned(with_sums(changes, increments)),
        };
        let (key, version) = (view.key(), view.version());
        self.notes.push(&Effect::SessionFields {
            key,
            version,
            seen_at: now,
            changes,
        });
    }
}

/// The changes with sets in the place of increments.
fn with_sums(changes: &Changes, increments: &[i64]) -> Changes {
    let mut sums = increments.iter();
    let mut set = Changes::new();
    for (name, change) in changes.iter() {
        let change = match change {
            Change::Increment(_) => {
                let sum = sums.next().expect("each increment has a sum");
                Change::Set(Value::integer(*sum))
            }
            other => other.clone(),
        };
        set.push(name.clone(), change);
    }
    set
}

//! What happened to keys, told to whoever watches and noted for the journal.
//!
//! A key that expires is not noted as removed, the time is: a million removals at once would be
//! much to write for nothing. So whoever creates a collection notes first that nothing is there,
//! because on the way back what expired may still be.

use cloakroom_core::UnixMillis;

use super::name::{KeyView, NEVER};
use super::names::{Name, deadline_of};
use super::record::{Member, Run};
use super::spread::Spread;
use super::{At, Shard};
use crate::engine::{Change, Kind};
use crate::journal::{Effect, Step};
use crate::slab::SlotRef;

/// Bytes after which what a key holds goes on in another record of a snapshot.
const RECORD: usize = 64 << 10;

impl Shard {
    /// A key goes, by a command or by eviction.
    pub(super) fn note_removed(&mut self, slot: SlotRef, change: Change, at: At<'_>) {
        let view = KeyView(self.slab.get(slot));
        at.ears.tell(view.db(), view.key(), change);
        self.notes.push(&Effect::Remove {
            db: view.db(),
            key: view.key(),
        });
    }

    /// Removes a key as a command does.
    pub(crate) fn delete(&mut self, slot: SlotRef, at: At<'_>) {
        self.note_removed(slot, Change::Del, at);
        self.remove_key(slot);
    }

    /// Removes a key that goes on under another name.
    pub(crate) fn leave_name(&mut self, slot: SlotRef, at: At<'_>) {
        self.note_removed(slot, Change::RenameFrom, at);
        self.remove_key(slot);
    }

    /// A string is this.
    #[inline]
    pub(super) fn note_string(&mut self, name: Name<'_>, value: &[u8], deadline: u64) {
        self.notes.push(&Effect::String {
            db: name.db,
            key: name.key,
            value,
            deadline: deadline_of(deadline),
        });
    }

    /// A key ends then.
    #[inline]
    pub(super) fn note_deadline(&mut self, name: Name<'_>, deadline: u64) {
        self.notes.push(&Effect::Deadline {
            db: name.db,
            key: name.key,
            deadline: deadline_of(deadline),
        });
    }

    /// A collection has this member, which is its first if it is `new`.
    pub(super) fn note_member(
        &mut self,
        name: Name<'_>,
        kind: Kind,
        member: &Member<'_>,
        new: bool,
    ) {
        let Name { db, key, .. } = name;
        if new {
            self.notes.push(&Effect::Remove { db, key });
        }
        self.notes.push(&put(kind, db, key, member));
    }

    /// A collection has not this member.
    pub(super) fn note_no_member(&mut self, name: Name<'_>, kind: Kind, member: &[u8]) {
        let Name { db, key, .. } = name;
        self.notes.push(&match kind {
            Kind::Hash | Kind::String => Effect::HashRemove {
                db,
                key,
                field: member,
            },
            Kind::Set => Effect::SetRemove { db, key, member },
            Kind::SortedSet => Effect::SortedRemove { db, key, member },
        });
    }

    /// All of a key.
    pub(crate) fn note_all(&mut self, slot: SlotRef) {
        if !self.notes.on() {
            return;
        }
        let view = KeyView(self.slab.get(slot));
        let spread = view.is_spread().then(|| self.names.spread(view));
        let notes = &mut self.notes;
        all(view, spread, &mut |effect| notes.push(effect));
    }

    /// All of a key, as records.
    pub(super) fn write_all(&self, slot: SlotRef, step: &mut Step, record: &mut dyn FnMut(&Step)) {
        let view = KeyView(self.slab.get(slot));
        let spread = view.is_spread().then(|| self.names.spread(view));
        step.clear();
        all(view, spread, &mut |effect| {
            step.push(effect);
            if step.as_bytes().len() > RECORD {
                record(step);
                step.clear();
            }
        });
        if !step.is_empty() {
            record(step);
        }
    }

    /// Something of a key was over at this time.
    pub(super) fn note_expired(&mut self, now: UnixMillis) {
        self.notes.expired(now);
    }
}

/// All of a key, as effects.
fn all(view: KeyView<'_>, spread: Option<&Spread>, push: &mut dyn FnMut(&Effect<'_>)) {
    let (db, key, kind) = (view.db(), view.key(), view.kind());
    let deadline = deadline_of(view.deadline());
    if kind == Kind::String {
        push(&Effect::String {
            db,
            key,
            value: view.value(),
            deadline,
        });
    } else {
        push(&Effect::Remove { db, key });
        match spread {
            Some(spread) => spread.iter().for_each(|it| push(&put(kind, db, key, &it))),
            None => {
                let members = Run::new(kind, view.value());
                members.for_each(|(it, _)| push(&put(kind, db, key, &it)));
            }
        }
        if view.deadline() != NEVER {
            push(&Effect::Deadline { db, key, deadline });
        }
    }
    if let Some(mark) = view.mark() {
        push(&Effect::Mark { db, key, mark });
    }
}

fn put<'a>(kind: Kind, db: u8, key: &'a [u8], member: &Member<'a>) -> Effect<'a> {
    match kind {
        Kind::Hash | Kind::String => Effect::HashSet {
            db,
            key,
            field: member.name,
            value: member.value,
            deadline: deadline_of(member.deadline),
        },
        Kind::Set => Effect::SetAdd {
            db,
            key,
            member: member.name,
        },
        Kind::SortedSet => Effect::SortedAdd {
            db,
            key,
            member: member.name,
            score: member.score,
        },
    }
}

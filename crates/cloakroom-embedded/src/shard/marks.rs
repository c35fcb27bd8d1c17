//! What is known of a key beside its value: a mark in its entry, eight bytes and a name by which keys can
//! be found. It stays when the value is written anew, and goes with the key.
//!
//! A key that ends by its deadline leaves its mark behind for [`limits::TOMBSTONE`], as a string of that name
//! beside its keyspace, so that whoever is late can be told that it was there. A key whose keyspace is emptied does
//! so, too: that is when it ended, if it had not before. The sweep comes by later; until then its entry is looked at
//! ([`Shard::mark_of_fallen`]). On the way back from a journal the same comes of the same deadline or the same
//! emptying, so nothing is noted of it, but while a snapshot is taken, which may have passed by. A key that is
//! removed or evicted leaves nothing.

use std::hash::BuildHasher as _;

use cloakroom_core::limits;

use super::name::{self, Head, KeyView, MARK_FACTS, NEVER};
use super::names::{Name, hash_in, hash_of_key};
use super::{At, Shard};
use crate::engine::{BESIDE, KeyError, Kind};
use crate::journal::Effect;
use crate::slab::SlotRef;

/// What becomes of a key's mark when its entry is written.
#[derive(Clone, Copy)]
pub(crate) enum Mark<'a> {
    /// It stays, if there is one.
    Kept,
    /// It is this; none if it is empty.
    Set(&'a [u8]),
}

impl Mark<'_> {
    /// The length of the name in the mark that a key then has, if it has one.
    pub(super) fn name_len(self, old: Option<KeyView<'_>>) -> Option<u16> {
        let mark = match self {
            Self::Kept => old?.mark()?,
            Self::Set(mark) => mark,
        };
        let name = mark.len().checked_sub(MARK_FACTS)?;
        Some(u16::try_from(name).expect("a name has 320 bytes at most"))
    }

    /// Whether a key has it already.
    pub(super) fn is_that_of(self, view: KeyView<'_>) -> bool {
        match self {
            Self::Kept => true,
            Self::Set(mark) => view.mark().unwrap_or_default() == mark,
        }
    }
}

/// A mark that its key leaves behind, and until when.
pub(super) struct Left {
    db: u8,
    key: Box<[u8]>,
    mark: Box<[u8]>,
    until: u64,
}

impl Shard {
    /// Gives a key that is there this mark; none if it is empty.
    pub(crate) fn set_mark(
        &mut self,
        slot: SlotRef,
        name: Name<'_>,
        mark: &[u8],
        at: At<'_>,
    ) -> Result<(), KeyError> {
        let mark = Mark::Set(mark);
        self.room_for_mark(Some(slot), mark, at)?;
        let view = self.key(slot);
        let (head, value) = (view.head(), view.value().to_vec());
        self.put_marked(Some(slot), name, head, mark, &value, at)?;
        self.note_mark(name, mark);
        Ok(())
    }

    /// Makes room for the name of a mark in the list of names.
    pub(super) fn room_for_mark(
        &mut self,
        spared: Option<SlotRef>,
        mark: Mark<'_>,
        at: At<'_>,
    ) -> Result<(), KeyError> {
        if let Mark::Set(mark) = mark
            && let Some(hash) = self.hash_of_mark(mark)
        {
            let cost = self.names.marked.cost(hash);
            self.room_for(spared, cost, at)?;
        }
        Ok(())
    }

    /// A key has this mark, if it is a new one.
    pub(super) fn note_mark(&mut self, Name { db, key, .. }: Name<'_>, mark: Mark<'_>) {
        if let Mark::Set(mark) = mark {
            self.notes.push(&Effect::Mark { db, key, mark });
        }
    }

    /// Calls `each` with the keys that have this name in their mark.
    pub(crate) fn each_named(&self, wanted: &[u8], each: &mut dyn FnMut(KeyView<'_>)) {
        for slot in self.names.marked.slots(self.hasher.hash_one(wanted)) {
            let view = self.key(slot);
            if view
                .mark()
                .is_some_and(|mark| mark[MARK_FACTS..] == *wanted)
            {
                each(view);
            }
        }
    }

    /// Keys with a name in their mark.
    pub(crate) fn count_named(&self) -> usize {
        self.names.marked.len()
    }

    /// The hash of the name in a key's mark, if there is one.
    pub(super) fn hash_of_name_in(&self, slot: SlotRef) -> Option<u64> {
        self.hash_of_mark(self.key(slot).mark()?)
    }

    pub(super) fn hash_of_mark(&self, mark: &[u8]) -> Option<u64> {
        let name = mark.get(MARK_FACTS..).filter(|name| !name.is_empty())?;
        Some(self.hasher.hash_one(name))
    }

    /// Has the list of names follow a key's entry, which had a name of one hash and has another.
    pub(super) fn follow_mark(
        &mut self,
        before: Option<(u64, SlotRef)>,
        after: Option<(u64, SlotRef)>,
    ) {
        let marked = &mut self.names.marked;
        match (before, after) {
            (Some((hash, old)), Some((same, new))) if hash == same => {
                marked.replace(hash, old, new);
            }
            (before, after) => {
                if let Some((hash, slot)) = before {
                    marked.remove(hash, slot);
                }
                if let Some((hash, slot)) = after {
                    let (slab, hasher) = (&self.slab, &self.hasher);
                    let hash_of = |slot: &SlotRef| hash_of_marked(hasher, KeyView(slab.get(*slot)));
                    marked.insert(hash, slot, hash_of);
                }
            }
        }
    }

    /// What a key leaves behind that ends by its deadline, or whose keyspace was emptied; nothing if it does not, or
    /// not any more.
    pub(super) fn left_by(&self, slot: SlotRef, at: At<'_>) -> Option<Left> {
        let view = self.key(slot);
        let number = view.db() & !BESIDE;
        let (heir, end) = match at.ears.is_used(number) {
            true => (number, view.deadline()),
            false => {
                let (heir, emptied) = at.ears.heir_of(number)?;
                (heir, view.deadline().min(emptied.as_millis()))
            }
        };
        // What was left before stays for as long as it would have.
        let (mark, until) = match view.db() & BESIDE {
            0 => (
                view.mark()?,
                end.saturating_add(limits::TOMBSTONE.as_millis() as u64),
            ),
            _ if heir == number => return None,
            _ => (view.value(), view.deadline()),
        };
        (until > at.now.as_millis()).then(|| Left {
            db: heir | BESIDE,
            key: view.key().into(),
            mark: mark.into(),
            until,
        })
    }

    /// The mark that the key of this name will leave behind which went when the keyspace was emptied, and is not
    /// swept yet.
    pub(crate) fn mark_of_fallen(&self, name: Name<'_>, at: At<'_>) -> Option<Box<[u8]>> {
        if !self.names.is_any_dying() {
            return None;
        }
        let hash = hash_of_key(&self.hasher, name.key);
        let fallen = at.ears.all_fallen();
        let numbers = fallen.filter(|(_, (heir, _))| *heir == name.db);
        let numbers = numbers.flat_map(|(number, _)| [number, number | BESIDE]);
        numbers
            .filter_map(|number| {
                let is_it = |slot: &SlotRef| self.key(*slot).is(number, name.key);
                let slot = self.names.table.find(hash_in(number, hash), is_it)?;
                Some(self.left_by(slot, at)?.mark)
            })
            .next()
    }

    /// Leaves it. What is there already knows more, and stays for as long. Where memory is short, nothing
    /// is left.
    pub(super) fn leave_mark(&mut self, left: &Left, at: At<'_>) {
        let name = Name {
            db: left.db,
            key: &left.key,
            hash: hash_in(left.db, hash_of_key(&self.hasher, &left.key)),
        };
        if let Some(slot) = self.live(name, at) {
            let until = self.key(slot).due().max(left.until);
            if self.key(slot).is_timed() {
                name::set_due(self.slab.get_mut(slot), until);
            }
            return;
        }
        let head = Head {
            kind: Kind::String,
            db: left.db,
            spread: false,
            deadline: left.until,
            fields: NEVER,
            mark: None,
        };
        let need = self.need(name, head.len(left.key.len(), left.mark.len()), None);
        if self.try_room(&need, at.memory) {
            self.write(None, name, head, Mark::Kept, &left.mark);
            if self.notes.whole() {
                self.note_string(name, &left.mark, left.until);
            }
        }
    }
}

/// The hash of the name in the mark of an entry that has one.
pub(super) fn hash_of_marked(hasher: &hashbrown::DefaultHashBuilder, view: KeyView<'_>) -> u64 {
    let mark = view.mark().expect("the list has marked keys only");
    hasher.hash_one(&mark[MARK_FACTS..])
}

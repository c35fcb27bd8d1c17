//! Giving memory back: what expired unread, what `revoke_all` killed, what is remembered too long.
//! In small portions, so that nobody waits long for the lock.

use super::marks::hash_of_marked;
use super::name::{self, KeyView};
use super::names::hash_of_entry;
use super::{At, Shard, hash_of_key, spread};
use crate::entry::View;
use crate::slab::SlotRef;
use std::hash::BuildHasher as _;

/// How a portion went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swept {
    /// There may be more to do.
    Some,
    /// There is nothing left to do now.
    All,
}

impl Shard {
    /// Looks at no more than `budget` sessions, and as many tombstones.
    pub(crate) fn sweep(&mut self, budget: usize, at: At<'_>) -> Swept {
        self.note_generation(at.generation);
        let hasher = &self.hasher;
        let more_tombs = self
            .tombs
            .forget(at.now, budget, |key| hash_of_key(hasher, key));
        self.wheel.advance(&mut self.slab, at.now.as_millis());
        let mut left = budget;
        while left > 0 {
            let Some(slot) = self.wheel.first_due() else {
                break;
            };
            left -= 1;
            // Who is over is removed, from the wheel as well; else it gets the bucket of its
            // deadline, by now.
            if name::is_key(self.slab.get(slot)) {
                self.sweep_key(slot, at);
            } else if self.living(slot, at).is_some() {
                self.rebucket(slot);
            }
        }
        left = self.purge(left, at);
        if left == 0 || more_tombs {
            return Swept::Some;
        }
        if self.shrink() {
            Swept::Some
        } else {
            Swept::All
        }
    }

    fn rebucket(&mut self, slot: SlotRef) {
        let due = self.due_of(slot);
        self.wheel.remove(&mut self.slab, slot);
        self.wheel.insert(&mut self.slab, slot, due);
    }

    fn sweep_key(&mut self, slot: SlotRef, at: At<'_>) {
        let view = KeyView(self.slab.get(slot));
        if view.due() > at.now.as_millis() {
            return self.rebucket(slot);
        }
        // A key without fields that end later has no more to be looked at then.
        if let Some(slot) = self.settle(slot, at)
            && KeyView(self.slab.get(slot)).is_timed()
        {
            self.rebucket(slot);
        }
    }

    /// All that [`Shard::purge`] has to do.
    pub(crate) fn purge_all(&mut self, at: At<'_>) {
        while self.purged_to.is_some() {
            self.purge(usize::MAX, at);
        }
    }

    /// Removes sessions of older generations and keys of keyspaces that were emptied, of no more
    /// than `budget` slots. Returns what is left of that.
    pub(super) fn purge(&mut self, budget: usize, at: At<'_>) -> usize {
        let mut left = budget;
        while left > 0 {
            let Some(from) = self.purged_to else {
                break;
            };
            left -= 1;
            let Some(slot) = self.slab.used_from(from) else {
                self.purged_to = None;
                self.names.nothing_dies();
                break;
            };
            self.purged_to = Some(slot + 1);
            let entry = self.slab.get(slot);
            if name::is_key(entry) {
                if self.names.is_dying(KeyView(entry).db()) {
                    let left = self.left_by(slot, at);
                    self.remove_key(slot);
                    if let Some(left) = left {
                        self.leave_mark(&left, at);
                    }
                }
            } else if View(entry).generation() != at.generation {
                self.remove(slot);
            }
        }
        left
    }

    /// Makes one table smaller that is too large. Returns whether there was one.
    fn shrink(&mut self) -> bool {
        let (slab, hasher) = (&self.slab, &self.hasher);
        let keys = |slot: &u32| spread(hasher, View(slab.get(*slot)).hash());
        let subjects = |slot: &u32| hasher.hash_one(View(slab.get(*slot)).subject());
        let names = |slot: &u32| hash_of_entry(hasher, KeyView(slab.get(*slot)));
        let marked = |slot: &u32| hash_of_marked(hasher, KeyView(slab.get(*slot)));
        self.keys.shrink(keys)
            || self.names.table.shrink(names)
            || self.names.marked.shrink(marked)
            || self.subjects.shrink(subjects)
            || self.tombs.shrink(|key| hash_of_key(hasher, key))
    }
}

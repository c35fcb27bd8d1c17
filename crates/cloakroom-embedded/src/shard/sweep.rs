//! Giving memory back: what expired unread, what `revoke_all` killed, what is remembered too long.
//! In small portions, so that nobody waits long for the lock.

use super::{At, Shard, hash_of_key, spread};
use crate::entry::View;
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
            // `living` removes it, from the wheel as well, or it gets the bucket of its deadline.
            if self.living(slot, at).is_some() {
                let deadline = View(self.slab.get(slot)).times(&self.known).deadline();
                self.wheel.remove(&mut self.slab, slot);
                self.wheel
                    .insert(&mut self.slab, slot, deadline.as_millis());
            }
        }
        while left > 0 {
            let Some(from) = self.purged_to else {
                break;
            };
            left -= 1;
            let next = self.slab.used_from(from);
            self.purged_to = next.map(|slot| slot + 1);
            if let Some(slot) = next
                && View(self.slab.get(slot)).generation() != at.generation
            {
                self.remove(slot);
            }
        }
        if left == 0 || more_tombs {
            return Swept::Some;
        }
        if self.shrink() {
            Swept::Some
        } else {
            Swept::All
        }
    }

    /// Makes one table smaller that is too large. Returns whether there was one.
    fn shrink(&mut self) -> bool {
        let (slab, hasher) = (&self.slab, &self.hasher);
        let keys = |slot: &u32| spread(hasher, View(slab.get(*slot)).hash());
        let subjects = |slot: &u32| hasher.hash_one(View(slab.get(*slot)).subject());
        self.keys.shrink(keys)
            || self.subjects.shrink(subjects)
            || self.tombs.shrink(|key| hash_of_key(hasher, key))
    }
}

//! The sessions of a subject, in the subject's shard: which slots, for a hash of the subject.
//!
//! Most subjects have a session or two, so the index is one [`Table`] with several entries of equal
//! hash: about 6 bytes per session. A subject with many gets a set of its own for those above
//! [`FEW`], else a robot that signs in a million times would make one long row of equal hashes, and
//! every insert a walk along it.

use std::collections::{HashMap, HashSet};

use crate::table::Table;

/// Sessions of a subject that the shared table takes.
const FEW: usize = 32;

/// Slots by subject.
#[derive(Debug)]
pub(crate) struct SubjectIndex {
    table: Table,
    many: HashMap<u64, HashSet<u32>>,
    in_many: usize,
}

impl SubjectIndex {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(),
            many: HashMap::new(),
            in_many: 0,
        }
    }

    /// Slots whose subject has this hash; the caller compares the subjects.
    pub(crate) fn slots(&self, hash: u64) -> impl Iterator<Item = u32> {
        let many = self.many.get(&hash).into_iter().flatten().copied();
        self.table.all(hash).chain(many)
    }

    /// As [`Table::prefetch`].
    pub(crate) fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// As [`Table::make_ready`].
    pub(crate) fn make_ready(&mut self, times: usize, hash_of: impl Fn(&u32) -> u64) {
        self.table.make_ready(times, hash_of);
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.table.entries() + self.in_many
    }

    pub(crate) fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(&u32) -> u64) {
        if self.table.all(hash).take(FEW).count() == FEW {
            self.in_many += usize::from(self.many.entry(hash).or_default().insert(slot));
        } else {
            self.table.insert(hash, slot, hash_of);
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        if self.table.remove(hash, slot) {
            return;
        }
        if let Some(slots) = self.many.get_mut(&hash) {
            self.in_many -= usize::from(slots.remove(&slot));
            if slots.is_empty() {
                self.many.remove(&hash);
            }
        }
    }

    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        if self.table.replace(hash, old, new) {
            return;
        }
        if let Some(slots) = self.many.get_mut(&hash)
            && slots.remove(&old)
        {
            slots.insert(new);
        }
    }

    /// Bytes that inserting would take at most.
    pub(crate) fn cost(&self, hash: u64) -> usize {
        self.table.cost(hash) + SET_ENTRY
    }

    /// Bytes taken; those of the sets are reckoned from their sizes.
    pub(crate) const fn bytes(&self) -> usize {
        self.table.bytes() + self.in_many * SET_ENTRY
    }

    /// As [`Table::shrink`].
    pub(crate) fn shrink(&mut self, hash_of: impl Fn(&u32) -> u64) -> bool {
        self.table.shrink(hash_of)
    }
}

/// A slot in a set: five bytes in a table that is half full.
const SET_ENTRY: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_kept_alike() {
        let mut index = SubjectIndex::new();
        let hash_of = |slot: &u32| u64::from(slot % 2) << 32;
        for slot in 0..400 {
            index.insert(hash_of(&slot), slot, hash_of);
        }
        for slot in (0..400).step_by(3) {
            index.remove(hash_of(&slot), slot);
        }
        for slot in (1..400).step_by(3) {
            index.replace(hash_of(&slot), slot, slot + 1_000);
        }
        for odd in [0, 1] {
            let mut found: Vec<_> = index
                .slots(odd << 32)
                .filter(|slot| hash_of(slot) == odd << 32)
                .collect();
            found.sort_unstable();
            let mut expected: Vec<_> = (0..400_u32)
                .filter(|slot| slot % 3 != 0 && u64::from(slot % 2) == odd)
                .map(|slot| if slot % 3 == 1 { slot + 1_000 } else { slot })
                .collect();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
        for slot in 0..400 {
            let slot = if slot % 3 == 1 { slot + 1_000 } else { slot };
            index.remove(hash_of(&slot), slot);
        }
        assert!(index.many.is_empty() && index.in_many == 0);
    }
}

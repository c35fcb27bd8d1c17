//! A hash table of slots that grows in small steps, so that growing neither stops a request nor
//! doubles the memory at once.
//!
//! It is sixteen tables, chosen by bits of the hash. Their shares grow by 2^(1/16) from one to the
//! next, so they do not fill up together: at any size about one sixteenth of the doublings is due,
//! and the whole takes about 8 bytes per entry, where one table would take 6 to 11 by luck.
//! Growing moves one of them: a sixteenth of a shard's entries.

use hashbrown::HashTable;

pub(crate) const SEGMENTS: usize = 16;

/// Slots (or other small numbers) by a 64-bit hash.
#[derive(Debug)]
pub(crate) struct Table {
    segments: [HashTable<u32>; SEGMENTS],
    bytes: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            segments: std::array::from_fn(|_| HashTable::new()),
            bytes: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.segments.iter().map(HashTable::len).sum()
    }

    /// Bytes taken from the system.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that inserting would take at most.
    pub(crate) fn cost(&self, hash: u64) -> usize {
        let segment = &self.segments[segment_of(hash)];
        if segment.len() < segment.capacity() {
            0
        } else {
            (segment.allocation_size() * 2).max(64)
        }
    }

    pub(crate) fn find(&self, hash: u64, is: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.segments[segment_of(hash)].find(hash, is).copied()
    }

    /// All with this hash, and perhaps others.
    pub(crate) fn all(&self, hash: u64) -> impl Iterator<Item = u32> {
        self.segments[segment_of(hash)].iter_hash(hash).copied()
    }

    pub(crate) fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(&u32) -> u64) {
        let segment = &mut self.segments[segment_of(hash)];
        let before = segment.allocation_size();
        segment.insert_unique(hash, slot, hash_of);
        self.bytes = self.bytes + segment.allocation_size() - before;
    }

    /// Removes `slot`. Returns whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) -> bool {
        let found = self.segments[segment_of(hash)].find_entry(hash, |known| *known == slot);
        let removed = found.map(hashbrown::hash_table::OccupiedEntry::remove);
        removed.is_ok()
    }

    /// Puts `new` in the place of `old`.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) -> bool {
        let found = self.segments[segment_of(hash)].find_mut(hash, |known| *known == old);
        found.map(|known| *known = new).is_some()
    }

    /// What one of the [`SEGMENTS`] holds.
    pub(crate) fn segment(&self, number: usize) -> impl Iterator<Item = u32> {
        self.segments[number].iter().copied()
    }

    /// Gives memory back where most of it is unused.
    pub(crate) fn shrink(&mut self, hash_of: impl Fn(&u32) -> u64) {
        for segment in &mut self.segments {
            if segment.capacity() > 64 && segment.len() < segment.capacity() / 8 {
                let before = segment.allocation_size();
                segment.shrink_to(segment.len() * 2, &hash_of);
                self.bytes = self.bytes + segment.allocation_size() - before;
            }
        }
    }
}

/// Which segment has a hash: by bits that the tables themselves do not look at first (they take
/// the lowest for the place and the highest seven to compare).
const fn segment_of(hash: u64) -> usize {
    SHARES[(hash >> 40) as usize & 0xff] as usize
}

/// 256 values, shared out so that each segment gets about 2^(1/16) times what the one before it
/// gets: 11 to 21 of them.
const SHARES: [u8; 256] = {
    const COUNTS: [usize; SEGMENTS] = [
        11, 12, 12, 13, 14, 14, 15, 15, 16, 17, 18, 18, 19, 20, 21, 21,
    ];
    let mut shares = [0; 256];
    let (mut at, mut segment) = (0, 0);
    while segment < SEGMENTS {
        let mut left = COUNTS[segment];
        while left > 0 {
            shares[at] = segment as u8;
            at += 1;
            left -= 1;
        }
        segment += 1;
    }
    assert!(at == 256);
    shares
};

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u32) -> u64 {
        u64::from(number)
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn finds_what_is_in_it_and_costs_eight_bytes_an_entry_at_any_size() {
        let mut table = Table::new();
        for number in 0..60_000 {
            let (cost, before) = (table.cost(hash(number)), table.bytes());
            table.insert(hash(number), number, |number| hash(*number));
            assert!(table.bytes() - before <= cost);
            if number > 10_000 {
                let each = table.bytes() as f64 / table.len() as f64;
                assert!((6.0..10.0).contains(&each), "{each} bytes at {number}");
            }
        }
        for number in 0..60_000 {
            assert!(table.find(hash(number), |found| *found == number).is_some());
            assert!(table.remove(hash(number), number));
            assert!(!table.remove(hash(number), number));
        }
        assert_eq!(table.len(), 0);
        table.shrink(|number| hash(*number));
        assert!(table.bytes() < 2_048, "{}", table.bytes());
    }
}

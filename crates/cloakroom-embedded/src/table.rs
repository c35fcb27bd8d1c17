//! A hash table of slots, four bytes to a place: a lookup costs one miss of the cache, and growing
//! neither stops a request nor doubles the memory.
//!
//! A place holds 26 bits of slot and 6 bits of hash, so that nearly every place that does not match
//! is passed over without a look at the session. Places are probed one after the other, mostly
//! within one line of the cache. A general table (hashbrown) reads two lines, takes a byte more per
//! place and doubles when it is full.
//!
//! It is eight tables, chosen by bits of the hash. Each grows by half when it is 7/8 full; their
//! shares grow by 1.5^(1/8) from one to the next, so that they do not grow at the same time.

mod scan;

pub(crate) use scan::END;

use std::sync::Arc;

use crate::pool::{self, PAGE_WORDS, Pool, Words};

pub(crate) const SEGMENTS: usize = 8;

/// Bits of the numbers that a table takes.
pub(crate) const NUMBER_BITS: u32 = 26;

const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
const EMPTY: u32 = 0;
/// A place whose entry was removed; its six bits of hash are zero, as those of no entry are.
const REMOVED: u32 = 1;
const SMALLEST: usize = 16;
/// Entries that are moved at a time when a table grows.
const BATCH: usize = 16;

/// Slots (or other small numbers) by a 64-bit hash.
#[derive(Debug)]
pub(crate) struct Table {
    segments: [Segment; SEGMENTS],
    bytes: usize,
    /// Where large segments lie; if there is none, the allocator has them all.
    pool: Option<Arc<Pool>>,
}

#[derive(Debug, Default)]
struct Segment {
    places: Words,
    entries: usize,
    /// Entries and what was removed.
    filled: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            segments: std::array::from_fn(|_| Segment::default()),
            bytes: 0,
            pool: None,
        }
    }

    /// A table whose segments lie in pages of the pool once they fill one.
    pub(crate) fn in_pool(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Some(Arc::clone(pool)),
            ..Self::new()
        }
    }

    /// Bytes taken from the system.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes each segment as large as it would be with so many times what it has.
    pub(crate) fn make_ready(&mut self, times: usize, hash_of: impl Fn(&u32) -> u64) {
        for number in 0..SEGMENTS {
            let segment = &self.segments[number];
            let (places, entries) = (segment.places.len(), segment.entries * times);
            let mut size = places;
            while entries * 8 > size * 7 {
                size = grown(size);
            }
            if size > places {
                self.resize(number, size, &hash_of);
            }
        }
    }

    /// Bytes that inserting would take at most.
    pub(crate) fn cost(&self, hash: u64) -> usize {
        let segment = &self.segments[segment_of(hash)];
        if segment.has_room() {
            0
        } else {
            let next = self.room_for(segment.next_size(), segment.places.len());
            (next - segment.places.len()) * size_of::<u32>()
        }
    }

    /// Says that [`Table::find`] comes next, so that the miss of the cache has begun by then.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let segment = &self.segments[segment_of(hash)];
        let first = segment.first(hash);
        // A row that goes on behind the end of a line does so within a few places.
        for at in [first, first + 6] {
            if let Some(place) = segment.places.get(at) {
                pool::prefetch(place);
            }
        }
    }

    /// The first of [`Table::all`] that is the one. Every operation asks this once, so it is a
    /// loop: the adapters of `all` cost it as much as the rest.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(&u32) -> bool) -> Option<u32> {
        let segment = &self.segments[segment_of(hash)];
        let mark = mark_of(hash);
        let mut at = segment.first(hash);
        // There is an empty place behind each row, but in a table without places.
        while let Some(&place) = segment.places.get(at)
            && place != EMPTY
        {
            let number = place & NUMBER;
            if place & !NUMBER == mark && is(&number) {
                return Some(number);
            }
            at = if at + 1 == segment.places.len() {
                0
            } else {
                at + 1
            };
        }
        None
    }

    /// All with this hash, and perhaps others.
    pub(crate) fn all(&self, hash: u64) -> impl Iterator<Item = u32> {
        let segment = &self.segments[segment_of(hash)];
        let mark = mark_of(hash);
        segment
            .row(hash)
            .filter(move |(_, place)| *place & !NUMBER == mark)
            .map(|(_, place)| place & NUMBER)
    }

    pub(crate) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(&u32) -> u64) {
        debug_assert!(number <= NUMBER);
        let segment = &self.segments[segment_of(hash)];
        if !segment.has_room() {
            let size = segment.next_size();
            self.resize(segment_of(hash), size, hash_of);
        }
        self.segments[segment_of(hash)].put(hash, number);
    }

    /// Removes `number`. Returns whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) -> bool {
        let segment = &mut self.segments[segment_of(hash)];
        let Some(mut at) = segment.at(hash, number) else {
            return false;
        };
        segment.entries -= 1;
        segment.places.set(at, REMOVED);
        let len = segment.places.len();
        // At the end of a row nothing is looked for behind it, so the places are empty again.
        while segment.place((at + 1) % len) == EMPTY && segment.place(at) == REMOVED {
            segment.places.set(at, EMPTY);
            segment.filled -= 1;
            at = (at + len - 1) % len;
        }
        true
    }

    /// Puts `new` in the place of `old`. Returns whether that was there.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) -> bool {
        let segment = &mut self.segments[segment_of(hash)];
        let at = segment.at(hash, old);
        if let Some(at) = at {
            segment.places.set(at, mark_of(hash) | new);
        }
        at.is_some()
    }

    /// What one of the [`SEGMENTS`] holds.
    pub(crate) fn segment(&self, number: usize) -> impl Iterator<Item = u32> {
        let places = self.segments[number].places.iter();
        places
            .filter(|place| *place > REMOVED)
            .map(|place| place & NUMBER)
    }

    /// Gives memory of one segment back, where most of it is unused. Returns whether there was one:
    /// then there may be another, for which the lock can be let go of first.
    pub(crate) fn shrink(&mut self, hash_of: impl Fn(&u32) -> u64) -> bool {
        let sparse = |segment: &Segment| {
            segment.places.len() > 4 * SMALLEST && segment.entries < segment.places.len() / 8
        };
        let Some(number) = self.segments.iter().position(sparse) else {
            return false;
        };
        let size = (self.segments[number].entries * 2).max(SMALLEST);
        self.resize(number, size, hash_of);
        true
    }

    fn resize(&mut self, segment: usize, size: usize, hash_of: impl Fn(&u32) -> u64) {
        let before = self.segments[segment].places.len();
        let size = self.room_for(size, before);
        let places = match &self.pool {
            Some(pool) => Words::paged(size, pool),
            None => Words::boxed(size),
        };
        self.segments[segment].move_to(places, hash_of);
        self.bytes -= before * size_of::<u32>();
        self.bytes += size * size_of::<u32>();
    }

    /// How many places a segment gets that had `before` and wants so many: those of whole pages, if they
    /// fill one. Rather fewer than more, where it grows all the same.
    fn room_for(&self, wanted: usize, before: usize) -> usize {
        if self.pool.is_none() || wanted < PAGE_WORDS {
            return wanted;
        }
        let fewer = wanted - wanted % PAGE_WORDS;
        if fewer > before {
            fewer
        } else {
            wanted.next_multiple_of(PAGE_WORDS)
        }
    }
}

impl Segment {
    /// The places from the one that the hash names to the next empty one.
    fn row(&self, hash: u64) -> impl Iterator<Item = (usize, u32)> {
        let first = self.first(hash);
        (first..self.places.len())
            .chain(0..first)
            .map(|at| (at, self.place(at)))
            .take_while(|(_, place)| *place != EMPTY)
    }

    /// What is at a place that there is.
    fn place(&self, at: usize) -> u32 {
        *self.places.get(at).expect("a place of the table")
    }

    /// Where a hash belongs: its 32 low bits as a share of the table.
    fn first(&self, hash: u64) -> usize {
        (((hash & u32::MAX as u64) * self.places.len() as u64) >> 32) as usize
    }

    fn at(&self, hash: u64, number: u32) -> Option<usize> {
        let wanted = mark_of(hash) | number;
        let found = self.row(hash).find(|(_, place)| *place == wanted);
        found.map(|(at, _)| at)
    }

    fn put(&mut self, hash: u64, number: u32) {
        let (first, len) = (self.first(hash), self.places.len());
        let mut at = first;
        while self.place(at) > REMOVED {
            at = if at + 1 == len { 0 } else { at + 1 };
        }
        self.filled += usize::from(self.place(at) == EMPTY);
        self.entries += 1;
        self.places.set(at, mark_of(hash) | number);
    }

    /// Whether one more leaves an eighth of the places empty.
    fn has_room(&self) -> bool {
        (self.filled + 1) * 8 <= self.places.len() * 7
    }

    /// The size to go on with: half as much again, or the same if a quarter was removed.
    fn next_size(&self) -> usize {
        let len = self.places.len();
        if self.entries * 4 < self.filled * 3 {
            len
        } else {
            grown(len)
        }
    }

    /// Puts all into these places, which are empty.
    fn move_to(&mut self, places: Words, hash_of: impl Fn(&u32) -> u64) {
        let old = std::mem::replace(&mut self.places, places);
        (self.entries, self.filled) = (0, 0);
        let mut numbers = old.iter().filter(|place| *place > REMOVED);
        loop {
            // Hashes first: each is of something that lies anywhere in memory, and a processor waits for ten misses of
            // the cache as long as for one, if nothing depends on one of them in between.
            let mut batch = [(0, 0); BATCH];
            let mut count = 0;
            for (into, place) in batch.iter_mut().zip(&mut numbers) {
                let number = place & NUMBER;
                *into = (hash_of(&number), number);
                count += 1;
            }
            for (hash, number) in &batch[..count] {
                self.put(*hash, *number);
            }
            if count < BATCH {
                return;
            }
        }
    }
}

/// Half as many places again.
fn grown(places: usize) -> usize {
    (places + places / 2).max(SMALLEST)
}

/// Six bits of the hash, above the number; never zero.
const fn mark_of(hash: u64) -> u32 {
    let bits = (hash >> 58) as u32;
    (if bits == 0 { 1 } else { bits }) << NUMBER_BITS
}

/// Which segment has a hash: by bits that say neither the place nor the mark.
const fn segment_of(hash: u64) -> usize {
    SHARES[(hash >> 40) as usize & 0xff] as usize
}

/// 256 values, shared out so that each segment gets 1.5^(1/8) times what the one before it gets.
const SHARES: [u8; 256] = {
    const COUNTS: [usize; SEGMENTS] = [27, 28, 29, 31, 33, 34, 36, 38];
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
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn hash(number: u32) -> u64 {
        let mut mixed = u64::from(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[test]
    fn costs_six_bytes_an_entry_at_any_size_and_gives_them_back() {
        fills_and_empties(Table::new());
        fills_and_empties(Table::in_pool(&Arc::new(Pool::new())));
    }

    fn fills_and_empties(mut table: Table) {
        for number in 0..60_000 {
            let (cost, before) = (table.cost(hash(number)), table.bytes());
            table.insert(hash(number), number, |number| hash(*number));
            assert!(table.bytes() - before <= cost);
            if number > 10_000 && number.is_multiple_of(1_000) {
                let each = table.bytes() as f64 / f64::from(number);
                assert!((4.8..6.5).contains(&each), "{each} bytes at {number}");
            }
        }
        for number in 0..60_000 {
            let found = table.find(hash(number), |found| *found == number);
            assert_eq!(found, Some(number));
        }
        for number in 0..60_000 {
            assert!(table.remove(hash(number), number));
            assert!(!table.remove(hash(number), number));
        }
        while table.shrink(|number| hash(*number)) {}
        assert!(table.bytes() < 4_096, "{}", table.bytes());
    }

    fn fill(table: &mut Table, numbers: std::ops::Range<u32>) {
        numbers.for_each(|number| table.insert(hash(number), number, |number| hash(*number)));
    }

    #[test]
    fn one_that_was_made_ready_grows_no_more_and_is_as_large_as_one_that_grew() {
        const COUNT: u32 = 60_000;
        let mut grown = Table::new();
        fill(&mut grown, 0..COUNT);
        let mut ready = Table::new();
        fill(&mut ready, 0..COUNT / 16);
        // A sample says a bit too little or too much.
        ready.make_ready(18, |number| hash(*number));
        let bytes = ready.bytes();
        fill(&mut ready, COUNT / 16..COUNT);
        assert_eq!(ready.bytes(), bytes);
        assert!(bytes < grown.bytes() * 5 / 4, "{bytes}, {}", grown.bytes());
        for number in 0..COUNT {
            let found = ready.find(hash(number), |it| *it == number);
            assert_eq!(found, Some(number));
        }
    }

    proptest! {
        #[test]
        fn holds_what_a_set_holds(
            steps in prop::collection::vec((0_u32..400, 0_u8..8), 1..2_000),
            few_hashes in any::<bool>(),
        ) {
            // With few hashes, rows are long and wrap round the end.
            let hash = |number: &u32| if few_hashes { hash(number % 5) } else { hash(*number) };
            let (mut table, mut model) = (Table::new(), BTreeSet::new());
            for (number, step) in steps {
                match step {
                    0..4 if !model.contains(&number) => {
                        let (cost, before) = (table.cost(hash(&number)), table.bytes());
                        table.insert(hash(&number), number, hash);
                        prop_assert!(table.bytes() - before <= cost);
                        model.insert(number);
                    }
                    4..6 => {
                        prop_assert_eq!(table.remove(hash(&number), number), model.remove(&number));
                    }
                    6 => {
                        let new = number + 400 * 5; // of the same hash, when there are few
                        if few_hashes && !model.contains(&new) {
                            let there = model.remove(&number);
                            prop_assert_eq!(table.replace(hash(&number), number, new), there);
                            if there {
                                model.insert(new);
                            }
                        }
                    }
                    _ => while table.shrink(hash) {},
                }
                let found = table.find(hash(&number), |found| *found == number);
                prop_assert_eq!(found.is_some(), model.contains(&number));
            }
            let all = (0..SEGMENTS).flat_map(|segment| table.segment(segment).collect::<Vec<_>>());
            prop_assert_eq!(all.collect::<BTreeSet<_>>(), model);
        }
    }
}

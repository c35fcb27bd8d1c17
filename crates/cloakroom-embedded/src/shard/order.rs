//! The order of a large sorted set: numbers of members by rank, in blocks.
//!
//! A list of sorted blocks of at most [`BLOCK`] members. A place is found by two binary searches; a
//! rank is a sum over the blocks before, 8 bytes each: a million members are some 6,000 blocks. A
//! tree would be faster beyond that, and slower and larger below.

use std::ops::Range;

/// Members of a block at most.
const BLOCK: usize = 256;

/// A member's score and number.
pub(crate) type Ranked = (f64, u32);

/// What a block takes, with glibc's notes.
const BLOCK_BYTES: usize = BLOCK * size_of::<Ranked>() + 16;

/// Members in their order.
#[derive(Debug, Default)]
pub(crate) struct Order {
    blocks: Vec<Vec<Ranked>>,
}

/// Where a member is: its block, and its place in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    block: usize,
    at: usize,
}

impl Order {
    /// Where the first member is that is not `before`, which holds for the first ones only; behind
    /// the last one if it holds for all.
    pub(crate) fn place(&self, mut before: impl FnMut(Ranked) -> bool) -> Place {
        let last = |block: &Vec<Ranked>| *block.last().expect("no block is empty");
        let block = self.blocks.partition_point(|block| before(last(block)));
        let at = self
            .blocks
            .get(block)
            .map_or(0, |block| block.partition_point(|ranked| before(*ranked)));
        Place { block, at }
    }

    /// How many members are before a place.
    pub(crate) fn rank(&self, place: Place) -> usize {
        let before = self.blocks[..place.block].iter().map(Vec::len);
        before.sum::<usize>() + place.at
    }

    pub(crate) fn insert(&mut self, place: Place, ranked: Ranked) {
        let Some(last) = self.blocks.len().checked_sub(1) else {
            let mut block = Vec::with_capacity(BLOCK);
            block.push(ranked);
            self.blocks.push(block);
            return;
        };
        let Place { mut block, mut at } = place;
        if block > last {
            (block, at) = (last, self.blocks[last].len());
        }
        if self.blocks[block].len() == BLOCK {
            // At the end, as of members that come with rising scores, blocks stay full.
            let keep = if at == BLOCK { BLOCK } else { BLOCK / 2 };
            let mut second = Vec::with_capacity(BLOCK);
            second.extend(self.blocks[block].drain(keep..));
            self.blocks.insert(block + 1, second);
            if at > keep || keep == BLOCK {
                (block, at) = (block + 1, at - keep);
            }
        }
        self.blocks[block].insert(at, ranked);
    }

    pub(crate) fn remove(&mut self, place: Place) {
        let Place { block, at } = place;
        self.blocks[block].remove(at);
        let len = self.blocks[block].len();
        let joins =
            |other: Option<&Vec<Ranked>>| other.is_some_and(|other| other.len() + len <= BLOCK / 2);
        if len == 0 {
            self.blocks.remove(block);
        } else if joins(self.blocks.get(block + 1)) {
            let next = self.blocks.remove(block + 1);
            self.blocks[block].extend(next);
        } else if block > 0 && joins(self.blocks.get(block - 1)) {
            let this = self.blocks.remove(block);
            self.blocks[block - 1].extend(this);
        }
    }

    /// Gives a member at a place another number.
    pub(crate) fn renumber(&mut self, place: Place, number: u32) {
        self.blocks[place.block][place.at].1 = number;
    }

    /// Members of these ranks, in order.
    pub(crate) fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = Ranked> {
        let mut chosen = Vec::new();
        let mut first = 0;
        for block in &self.blocks {
            let end = first + block.len();
            if end > ranks.start && first < ranks.end {
                let from = ranks.start.saturating_sub(first);
                let to = (ranks.end - first).min(block.len());
                if from < to {
                    chosen.push(&block[from..to]);
                }
            }
            first = end;
        }
        chosen.into_iter().flatten().copied()
    }

    /// Bytes taken.
    pub(crate) const fn bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Vec<Ranked>>() + self.blocks.len() * BLOCK_BYTES
    }

    /// Bytes that [`Order::insert`] would take at most: those of a block, where it needs another.
    pub(crate) fn cost(&self, place: Place) -> usize {
        let block = self.blocks.get(place.block).or(self.blocks.last());
        if block.is_some_and(|block| block.len() < BLOCK) {
            return 0;
        }
        let list = if self.blocks.len() == self.blocks.capacity() {
            // It doubles, and begins with four.
            self.blocks.capacity().max(4) * size_of::<Vec<Ranked>>()
        } else {
            0
        };
        list + BLOCK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_sorted_list(steps in prop::collection::vec((0_u32..3_000, 0_u8..5), 1..3_000), rising in any::<bool>()) {
            let (mut order, mut model) = (Order::default(), Vec::<Ranked>::new());
            for (next, (number, step)) in steps.into_iter().enumerate() {
                let number = if rising { next as u32 } else { number };
                let ranked = (f64::from(number / 3), number);
                let place = order.place(|known| known < ranked);
                let rank = order.rank(place);
                prop_assert_eq!(rank, model.partition_point(|known| *known < ranked));
                match (model.get(rank) == Some(&ranked), step) {
                    (true, 0 | 1) => {
                        model.remove(rank);
                        order.remove(place);
                    }
                    (true, 2) => order.renumber(place, number),
                    (true, _) => {}
                    (false, _) => {
                        model.insert(rank, ranked);
                        let most = order.bytes() + order.cost(place);
                        order.insert(place, ranked);
                        prop_assert!(order.bytes() <= most);
                    }
                }
            }
            prop_assert!(model.is_sorted_by(|one, other| one < other));
            let from = model.len() / 3;
            for range in [0..usize::MAX, from..2 * from, from..from, usize::MAX..usize::MAX] {
                let to = range.end.min(model.len());
                let expected = &model[range.start.min(to)..to];
                prop_assert_eq!(order.range(range.clone()).collect::<Vec<_>>(), expected);
            }
            prop_assert!(order.blocks.iter().all(|block| (1..=BLOCK).contains(&block.len())));
            prop_assert!(order.blocks.iter().all(|block| block.capacity() == BLOCK));
        }
    }
}

//! Which sessions may be over: a lazy hierarchical timing wheel, pure, over links that lie in the
//! sessions themselves (8 bytes each, nothing else per session).
//!
//! Lazy: activity does not move a session in the wheel. When its bucket comes up, the session is
//! looked at; if it lives on, it goes into the bucket of the deadline that it has by then. Seven
//! levels of 64 buckets, the first of one second each, reach beyond any time there is. Advancing
//! joins the buckets that passed to one list of what is due, in constant time however many sessions
//! they hold and however far the clock jumped; the list is then worked off in small portions.

use crate::slab::SlotRef;

const LEVELS: usize = 7;
const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
const DUE: u32 = (LEVELS * BUCKETS) as u32;
/// Marks a link that leads to a bucket's head, not to another session.
const HEAD: u32 = 1 << 31;
const TICK_MILLIS: u64 = 1_000;
/// A clock that went back by less leaves the wheel as it is; sessions are then swept later by that.
const SMALL_STEP_BACK: u64 = 60;

/// Where the wheel keeps its links.
pub(crate) trait Links {
    /// What comes behind and before a session.
    fn links(&self, slot: SlotRef) -> (u32, u32);
    /// Changes what comes behind it.
    fn set_next(&mut self, slot: SlotRef, next: u32);
    /// Changes what comes before it.
    fn set_prev(&mut self, slot: SlotRef, prev: u32);
}

/// Buckets of sessions by the second in which they may be over.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Box<[u32]>,
    tails: Box<[u32]>,
    occupied: [u64; LEVELS],
    tick: u64,
}

impl Wheel {
    pub(crate) fn new(now_millis: u64) -> Self {
        let ends = vec![HEAD; DUE as usize + 1].into_boxed_slice();
        Self {
            heads: ends.clone(),
            tails: ends,
            occupied: [0; LEVELS],
            tick: now_millis / TICK_MILLIS,
        }
    }

    /// Bytes of the wheel itself.
    pub(crate) const fn bytes() -> usize {
        2 * (DUE as usize + 1) * size_of::<u32>()
    }

    /// Puts a session into the bucket of its deadline; it comes up within a second behind it.
    pub(crate) fn insert(&mut self, links: &mut impl Links, slot: SlotRef, deadline_millis: u64) {
        let tick = (deadline_millis / TICK_MILLIS + 1).max(self.tick + 1);
        let level = (u64::BITS - 1 - (tick ^ self.tick).leading_zeros()) / BITS;
        let level = (level as usize).min(LEVELS - 1);
        let index = (tick >> (level as u32 * BITS)) as usize % BUCKETS;
        self.occupied[level] |= 1 << index;
        self.push((level * BUCKETS + index) as u32, links, slot);
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, links: &mut impl Links, slot: SlotRef) {
        let (next, prev) = links.links(slot);
        match prev & HEAD {
            0 => links.set_next(prev, next),
            _ => self.heads[(prev & !HEAD) as usize] = next,
        }
        match next & HEAD {
            0 => links.set_prev(next, prev),
            _ => self.tails[(next & !HEAD) as usize] = prev,
        }
    }

    /// Goes on to `now`; what passed on the way is due.
    pub(crate) fn advance(&mut self, links: &mut impl Links, now_millis: u64) {
        let (old, new) = (self.tick, now_millis / TICK_MILLIS);
        if new == old || (new < old && old - new < SMALL_STEP_BACK) {
            return;
        }
        self.tick = new;
        for level in 0..LEVELS {
            let shift = level as u32 * BITS;
            let (from, to) = (old >> shift, new >> shift);
            if from == to {
                break;
            }
            let same_round = new > old && from >> BITS == to >> BITS;
            let passed = if same_round {
                let (from, to) = (from as u32 % 64, to as u32 % 64);
                (u64::MAX >> (63 - to)) & !(u64::MAX >> (63 - from))
            } else {
                u64::MAX
            };
            let mut due = self.occupied[level] & passed;
            self.occupied[level] &= !passed;
            while due != 0 {
                let index = due.trailing_zeros() as usize;
                due &= due - 1;
                self.join_due((level * BUCKETS + index) as u32, links);
            }
        }
    }

    /// The next session that may be over. It stays in the wheel until it is removed.
    pub(crate) fn first_due(&self) -> Option<SlotRef> {
        let slot = self.heads[DUE as usize];
        (slot & HEAD == 0).then_some(slot)
    }

    /// A session of the bucket that comes up first; it may live longer by activity since.
    pub(crate) fn soonest(&mut self) -> Option<SlotRef> {
        if let Some(due) = self.first_due() {
            return Some(due);
        }
        for level in 0..LEVELS {
            while self.occupied[level] != 0 {
                let index = self.occupied[level].trailing_zeros() as usize;
                let first = self.heads[level * BUCKETS + index];
                if first & HEAD == 0 {
                    return Some(first);
                }
                self.occupied[level] &= self.occupied[level] - 1;
            }
        }
        None
    }

    fn push(&mut self, bucket: u32, links: &mut impl Links, slot: SlotRef) {
        let first = self.heads[bucket as usize];
        links.set_prev(slot, HEAD | bucket);
        if first & HEAD == 0 {
            links.set_next(slot, first);
            links.set_prev(first, slot);
        } else {
            links.set_next(slot, HEAD | bucket);
            self.tails[bucket as usize] = slot;
        }
        self.heads[bucket as usize] = slot;
    }

    /// Joins a whole bucket to the list of what is due.
    fn join_due(&mut self, bucket: u32, links: &mut impl Links) {
        let (first, last) = (self.heads[bucket as usize], self.tails[bucket as usize]);
        if first & HEAD != 0 {
            return;
        }
        self.heads[bucket as usize] = HEAD;
        let due_last = self.tails[DUE as usize];
        if self.heads[DUE as usize] & HEAD == 0 {
            links.set_next(due_last, first);
            links.set_prev(first, due_last);
        } else {
            self.heads[DUE as usize] = first;
            links.set_prev(first, HEAD | DUE);
        }
        links.set_next(last, HEAD | DUE);
        self.tails[DUE as usize] = last;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Links for Vec<(u32, u32)> {
        fn links(&self, slot: SlotRef) -> (u32, u32) {
            self[slot as usize]
        }
        fn set_next(&mut self, slot: SlotRef, next: u32) {
            self[slot as usize].0 = next;
        }
        fn set_prev(&mut self, slot: SlotRef, prev: u32) {
            self[slot as usize].1 = prev;
        }
    }

    const START: u64 = 1_700_000_000_000;

    /// Works off what is due as a sweep does: what is over goes, what lives goes in again.
    fn sweep(
        wheel: &mut Wheel,
        links: &mut Vec<(u32, u32)>,
        deadlines: &mut BTreeMap<u32, u64>,
        now: u64,
    ) {
        wheel.advance(links, now);
        while let Some(slot) = wheel.first_due() {
            wheel.remove(links, slot);
            let deadline = deadlines[&slot];
            if deadline <= now {
                deadlines.remove(&slot);
            } else {
                wheel.insert(links, slot, deadline);
            }
        }
    }

    proptest! {
        #[test]
        fn all_that_is_over_comes_up_and_nothing_is_lost(
            steps in prop::collection::vec(
                (0_u8..4, 0_u32..64, prop_oneof![0_u64..5_000, 0_u64..500_000, 0_u64..40_000_000_000]), 1..200)
        ) {
            let (mut wheel, mut links) = (Wheel::new(START), vec![(0, 0); 64]);
            let (mut deadlines, mut now) = (BTreeMap::new(), START);
            for (step, slot, millis) in steps {
                match step {
                    0 => {
                        if deadlines.remove(&slot).is_some() {
                            wheel.remove(&mut links, slot);
                        }
                        deadlines.insert(slot, now + millis);
                        wheel.insert(&mut links, slot, now + millis);
                    }
                    1 => {
                        if deadlines.remove(&slot).is_some() {
                            wheel.remove(&mut links, slot);
                        }
                    }
                    2 => {
                        if let Some(deadline) = deadlines.get_mut(&slot) {
                            *deadline += millis; // activity, of which the wheel hears nothing
                        }
                    }
                    _ => {
                        now = if slot == 0 { now.saturating_sub(millis) } else { now + millis };
                        sweep(&mut wheel, &mut links, &mut deadlines, now);
                        let stepped_back = SMALL_STEP_BACK * TICK_MILLIS;
                        prop_assert!(deadlines.values().all(|at| at + TICK_MILLIS + stepped_back > now));
                    }
                }
                prop_assert_eq!(wheel.soonest().is_some(), !deadlines.is_empty());
            }
            sweep(&mut wheel, &mut links, &mut deadlines, u64::MAX >> 20);
            prop_assert!(deadlines.is_empty());
        }
    }

    #[test]
    fn a_bucket_fires_within_its_second() {
        for after in [
            1,
            999,
            1_000,
            63_000,
            64_000,
            4_095_000,
            4_096_001,
            86_400_000 * 400,
        ] {
            let (mut wheel, mut links) = (Wheel::new(START), vec![(0, 0)]);
            let mut deadlines = BTreeMap::from([(0, START + after)]);
            wheel.insert(&mut links, 0, START + after);
            sweep(&mut wheel, &mut links, &mut deadlines, START + after - 1);
            assert_eq!(deadlines.len(), 1, "{after}: too early");
            sweep(
                &mut wheel,
                &mut links,
                &mut deadlines,
                START + after + 1_000,
            );
            assert!(deadlines.is_empty(), "{after}: too late");
        }
    }
}

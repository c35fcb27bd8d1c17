//! Going over a table in portions while it changes.
//!
//! A portion is a range of hashes, not of places: an entry's hash stays what it is while tables
//! grow, and says near which place the entry is. So whoever is there all the time is seen, and a
//! portion costs its places and no more.

use std::ops::ControlFlow;

use super::{EMPTY, NUMBER, REMOVED, Table};

/// The end of the positions in a segment, which are the 32 low bits of hashes.
pub(crate) const END: u64 = 1 << 32;

/// Places from one that is looked at to one that is asked for.
const AHEAD: usize = 8;

/// Parts of a portion, which ends with one of them. A part goes on to the next empty place, which may be
/// a dozen places behind it, and the next part looks at those again: so parts are not small.
const PARTS: usize = 32;

impl Table {
    /// Calls `each` with the entries of a segment whose positions begin at `from`, until it breaks
    /// at the end of a portion or `places` were looked at. Returns the position to go on from,
    /// [`END`] if there is none. The portion in which it breaks is said to its end. Some places before
    /// an entry is looked at it is asked for.
    pub(crate) fn walk(
        &self,
        segment: usize,
        from: u64,
        places: usize,
        ask_for: impl Fn(&u32),
        hash_of: impl Fn(&u32) -> u64,
        mut each: impl FnMut(u32) -> ControlFlow<()>,
    ) -> u64 {
        let segment = &self.segments[segment];
        let len = segment.places.len();
        if segment.entries == 0 {
            return END;
        }
        // Two places at least; more would make a very small table one portion.
        let width = (END / len as u64)
            .max(1)
            .saturating_mul((places / PARTS).max(2) as u64);
        let (mut from, mut looked) = (from, 0);
        while from < END {
            let to = from.saturating_add(width).min(END);
            let (mut at, last) = (segment.first(from), segment.first(to - 1));
            let mut stop = ControlFlow::Continue(());
            let mut passed_last = false;
            // No place twice: a part that is all of a small table would go on behind its end to where it began.
            for _ in 0..len {
                passed_last |= at == last;
                let place = segment.place(at);
                if let Some(next) = segment.places.get(at + AHEAD).filter(|it| **it > REMOVED) {
                    ask_for(&(next & NUMBER));
                }
                looked += 1;
                if place > REMOVED {
                    let number = place & NUMBER;
                    if (from..to).contains(&(hash_of(&number) & (END - 1)))
                        && each(number).is_break()
                    {
                        stop = ControlFlow::Break(());
                    }
                }
                if place == EMPTY && passed_last {
                    break;
                }
                at = if at + 1 == len { 0 } else { at + 1 };
            }
            from = to;
            if stop.is_break() || looked >= places {
                break;
            }
        }
        from
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> usize {
        self.segments.iter().map(|segment| segment.entries).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::table::SEGMENTS;

    fn hash(number: &u32) -> u64 {
        u64::from(*number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(*number) << 7)
    }

    fn of(entries: u32) -> Table {
        let mut table = Table::new();
        (0..entries).for_each(|number| table.insert(hash(&number), number, hash));
        table
    }

    /// What a walk tells of a whole table, in portions of so many places.
    fn told(table: &Table, places: usize, hash_of: impl Fn(&u32) -> u64) -> Vec<u32> {
        let mut told = Vec::new();
        for segment in 0..SEGMENTS {
            let mut from = 0;
            while from < END {
                let mut each = |number| {
                    told.push(number);
                    ControlFlow::Continue(())
                };
                from = table.walk(segment, from, places, |_| {}, &hash_of, &mut each);
            }
        }
        told
    }

    #[test]
    fn long_portions_look_at_an_entry_about_once() {
        let looked = Cell::new(0);
        let counted = |number: &u32| {
            looked.set(looked.get() + 1);
            hash(number)
        };
        told(&of(20_000), 512, counted);
        assert!(looked.get() < 40_000, "{} looks", looked.get());
    }

    #[test]
    fn a_walk_tells_each_once_however_wide_its_parts_are() {
        for entries in 1..300 {
            for places in [16, 512, usize::MAX / 8] {
                let mut told = told(&of(entries), places, hash);
                told.sort_unstable();
                let all: Vec<u32> = (0..entries).collect();
                assert_eq!(told, all, "{entries} entries, {places} places");
            }
        }
    }

    proptest! {
        #[test]
        fn who_is_there_all_the_time_is_seen(
            stay in 1_u32..600, come in 0_u32..600, portion in 1_usize..40, crowd in any::<bool>(),
        ) {
            let hash = |number: &u32| if crowd { hash(&(number % 7)) } else { hash(number) };
            let mut table = Table::new();
            for number in 0..stay {
                table.insert(hash(&number), number, hash);
            }
            let (mut seen, mut others) = (BTreeSet::new(), 0);
            for segment in 0..SEGMENTS {
                let mut from = 0;
                while from < END {
                    let mut left = portion;
                    from = table.walk(segment, from, 8 * portion, |_| {}, hash, |number| {
                        seen.insert(number);
                        left = left.saturating_sub(1);
                        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    });
                    // Others come, so that the tables grow, and go.
                    if others < come {
                        let number = stay + others;
                        table.insert(hash(&number), number, hash);
                        if others % 3 == 0 {
                            table.remove(hash(&number), number);
                        }
                        others += 1;
                    }
                }
            }
            for number in 0..stay {
                prop_assert!(seen.contains(&number), "{} was passed over", number);
            }
        }
    }
}

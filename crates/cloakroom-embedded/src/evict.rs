//! Who leaves when there is no room: second chance (CLOCK), pure.
//!
//! A hand goes over the sessions in the order of their slots. One that was used since the hand last
//! passed loses its mark and stays; the next without one leaves. The order matters: neighbours
//! share a page, so evictions soon free whole pages, and those are what memory is counted in.

use crate::slab::SlotRef;

/// The sessions that the hand goes over.
pub(crate) trait Candidates {
    /// The first session at this slot or behind it.
    fn first_from(&self, slot: SlotRef) -> Option<SlotRef>;
    /// Whether the session was used since this was last asked.
    fn take_referenced(&mut self, slot: SlotRef) -> bool;
}

/// Where the hand is.
#[derive(Debug, Default)]
pub(crate) struct Hand(SlotRef);

impl Hand {
    /// The session that leaves, never `spared`; `None` if there is no other.
    pub(crate) fn choose(
        &mut self,
        sessions: &mut impl Candidates,
        spared: Option<SlotRef>,
    ) -> Option<SlotRef> {
        // Twice round: the first time all may have been marked, the second time none is.
        let mut rounds = 0;
        loop {
            let Some(slot) = sessions.first_from(self.0) else {
                rounds += 1;
                if rounds > 2 {
                    return None;
                }
                self.0 = 0;
                continue;
            };
            self.0 = slot + 1;
            if Some(slot) != spared && !sessions.take_referenced(slot) {
                return Some(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    impl Candidates for BTreeMap<SlotRef, bool> {
        fn first_from(&self, slot: SlotRef) -> Option<SlotRef> {
            self.range(slot..).next().map(|(slot, _)| *slot)
        }
        fn take_referenced(&mut self, slot: SlotRef) -> bool {
            std::mem::take(self.get_mut(&slot).unwrap())
        }
    }

    #[test]
    fn who_was_used_gets_a_second_chance() {
        let mut sessions = BTreeMap::from([(0, true), (5, false), (9, true), (70, false)]);
        let mut hand = Hand::default();
        let mut left = Vec::new();
        while let Some(slot) = hand.choose(&mut sessions, Some(70)) {
            sessions.remove(&slot);
            left.push(slot);
            if slot == 5 {
                sessions.insert(0, true); // used again
            }
        }
        assert_eq!(left, [5, 9, 0]);
        assert_eq!(sessions, BTreeMap::from([(70, false)]));
    }
}

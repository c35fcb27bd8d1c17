//! A walk over a shard for a snapshot: what is there, as records, in portions under short locks.
//!
//! It goes by slots, which is in the order of memory and needs no list. A session that gets another
//! slot meanwhile may be passed over; so while a shard is walked, whoever moves a session notes all
//! of it ([`Shard::note_fields`]), and the journal has what the snapshot misses.

use std::borrow::Cow;

use super::{At, Shard, name};
use crate::entry::View;
use crate::journal::{Effect, Portion, Step};
use crate::slab::SlotRef;

/// How far the walk over a shard is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Walk {
    /// Nothing is done yet.
    #[default]
    Start,
    /// The ends that are remembered, from this one on.
    Tombs(u32),
    /// The sessions, from this slot on.
    Slots(SlotRef),
}

impl Shard {
    /// Takes up to `budget` sessions or ends into `portion`. Returns where to go on, if there are
    /// more. What expired is passed over.
    pub(crate) fn walk(
        &mut self,
        walk: Walk,
        budget: usize,
        at: At<'_>,
        portion: &mut Portion,
    ) -> Option<Walk> {
        let next = match walk {
            Walk::Start => {
                self.notes.note_whole(true);
                self.walk_tombs(None, budget, portion)
            }
            Walk::Tombs(place) => self.walk_tombs(Some(place), budget, portion),
            Walk::Slots(slot) => self.walk_slots(slot, budget, at, portion),
        };
        if next.is_none() {
            self.notes.note_whole(false);
        }
        next
    }

    /// Ends a walk that is not finished.
    pub(crate) const fn stop_walk(&mut self) {
        self.notes.note_whole(false);
    }

    fn walk_tombs(&self, place: Option<u32>, budget: usize, portion: &mut Portion) -> Option<Walk> {
        let mut step = Step::new();
        let next = self
            .tombs
            .walk(place, budget, &mut |key, ended_at, forward| {
                step.clear();
                step.push(&Effect::SessionEnd {
                    key,
                    ended_at,
                    forward,
                });
                portion.push(&step);
            });
        Some(next.map_or(Walk::Slots(0), Walk::Tombs))
    }

    fn walk_slots(
        &mut self,
        mut from: SlotRef,
        budget: usize,
        at: At<'_>,
        portion: &mut Portion,
    ) -> Option<Walk> {
        let mut step = Step::new();
        for _ in 0..budget {
            let slot = self.slab.used_from(from)?;
            from = slot + 1;
            let entry = self.slab.get(slot);
            if name::is_key(entry) {
                continue;
            }
            let view = View(entry);
            if view.generation() == at.generation && view.times(&self.known).deadline() > at.now {
                step.clear();
                step.push(&self.whole(slot));
                portion.push(&step);
            }
        }
        Some(Walk::Slots(from))
    }

    /// All of a session, as an effect.
    pub(super) fn whole(&self, slot: SlotRef) -> Effect<'static> {
        let view = View(self.slab.get(slot));
        Effect::SessionPut {
            key: view.key(),
            generation: view.generation(),
            record: Cow::Owned(view.record(&self.known, true)),
        }
    }
}

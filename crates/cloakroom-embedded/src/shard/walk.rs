//! A walk over a shard for a snapshot: what is there, as records, in portions under short locks.
//!
//! It goes by slots, which is in the order of memory and needs no list. A session that gets another
//! slot meanwhile may be passed over; so while a shard is walked, whoever moves a session notes all
//! of it ([`Shard::note_fields`]), and the journal has what the snapshot misses.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::{At, Shard, name};
use crate::engine::Reach;
use crate::entry::View;
use crate::journal::{Effect, Portion, Step};
use crate::slab::SlotRef;
use crate::table::{END, SEGMENTS};

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
    /// The keys, from this segment of their table and this position in it on.
    Names(usize, u64),
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
            Walk::Names(segment, from) => self.walk_keys((segment, from), budget, at, portion),
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
        if self.keys.entries() == 0 {
            // Who comes from now on is in the journal.
            return Some(Walk::Names(0, 0));
        }
        let mut step = Step::new();
        for _ in 0..budget {
            let Some(slot) = self.slab.used_from(from) else {
                return Some(Walk::Names(0, 0));
            };
            from = slot + 1;
            if name::is_key(self.slab.get(slot)) {
                continue;
            }
            let view = View(self.slab.get(slot));
            if view.generation() == at.generation && view.times(&self.known).deadline() > at.now {
                step.clear();
                step.push(&self.session(slot));
                portion.push(&step);
            }
        }
        Some(Walk::Slots(from))
    }

    /// By the positions of their hashes, which keys keep whatever slot they get: so a key is not
    /// passed over, and need not be noted when it moves.
    fn walk_keys(
        &self,
        (segment, from): (usize, u64),
        budget: usize,
        at: At<'_>,
        portion: &mut Portion,
    ) -> Option<Walk> {
        if segment == SEGMENTS {
            return None;
        }
        let (mut step, mut left) = (Step::new(), budget);
        let next =
            self.walk_slots_of_names((segment, from), 8 * budget, Reach::Value, &mut |slot| {
                let view = self.key(slot);
                let lives = self.lives(view, at) && at.ears.is_used(view.db());
                // What is over and leaves something behind does so after a restart.
                if !lives && self.left_by(slot, at).is_none() {
                    return ControlFlow::Continue(());
                }
                self.write_all(slot, &mut step, &mut |step| portion.push(step));
                left = left.saturating_sub(1);
                if left == 0 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        Some(if next == END {
            Walk::Names(segment + 1, 0)
        } else {
            Walk::Names(segment, next)
        })
    }

    /// All of a session, as an effect.
    pub(super) fn session(&self, slot: SlotRef) -> Effect<'static> {
        let view = View(self.slab.get(slot));
        Effect::SessionPut {
            key: view.key(),
            generation: view.generation(),
            record: Cow::Owned(view.record(&self.known, true)),
        }
    }
}

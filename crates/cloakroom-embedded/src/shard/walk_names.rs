//! Going over the keys of a shard.

use std::ops::ControlFlow;

use super::ahead::ask_for;
use super::name::{self, KeyView};
use super::names::hash_of_entry;
use super::record::Run;
use super::{At, Shard};
use crate::engine::Reach;
use crate::slab::SlotRef;

/// Entries that are asked for at a time where all are looked at.
const BATCH: usize = 16;

impl Shard {
    /// Calls `each` with the keys of a keyspace that live, in one of the table's segments from a
    /// position on, until it breaks or so many places were looked at; see `Table::walk`. Returns
    /// the position to go on from.
    pub(crate) fn walk_names(
        &self,
        db: u8,
        (segment, from): (usize, u64),
        places: usize,
        at: At<'_>,
        each: &mut dyn FnMut(KeyView<'_>) -> ControlFlow<()>,
    ) -> u64 {
        self.walk_slots_of_names((segment, from), places, Reach::Head, &mut |slot| {
            let view = KeyView(self.slab.get(slot));
            if view.db() == db && self.lives(view, at) {
                each(view)
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// As [`Shard::walk_names`], over the slots of all keyspaces and what does not live any more; of which so much is
    /// read.
    pub(super) fn walk_slots_of_names(
        &self,
        (segment, from): (usize, u64),
        places: usize,
        reach: Reach,
        each: &mut dyn FnMut(SlotRef) -> ControlFlow<()>,
    ) -> u64 {
        let (slab, hasher) = (&self.slab, &self.hasher);
        let hash_of = |slot: &SlotRef| hash_of_entry(hasher, KeyView(slab.get(*slot)));
        let table = &self.names.table;
        let ask_for = |slot: &SlotRef| ask_for(slab.get(*slot), reach);
        table.walk(segment, from, places, ask_for, hash_of, each)
    }

    /// Calls `each` with the keys of all keyspaces that live, in so many slots from one on, in the order of memory,
    /// which is the fastest there is. Returns the slot to go on from. A key that is written meanwhile may be passed over.
    pub(crate) fn walk_memory(
        &self,
        mut from: SlotRef,
        slots: usize,
        at: At<'_>,
        each: &mut dyn FnMut(SlotRef, KeyView<'_>),
    ) -> Option<SlotRef> {
        let mut left = slots;
        while left > 0 {
            let mut batch = [0; BATCH];
            let mut count = 0;
            for into in batch.iter_mut().take(left) {
                let Some(slot) = self.slab.used_from(from) else {
                    break;
                };
                ask_for(self.slab.get(slot), Reach::Head);
                *into = slot;
                from = slot + 1;
                count += 1;
            }
            for &slot in &batch[..count] {
                let entry = self.slab.get(slot);
                if name::is_key(entry) && self.lives(KeyView(entry), at) {
                    each(slot, KeyView(entry));
                }
            }
            if count < left.min(BATCH) {
                return None;
            }
            left -= count;
        }
        Some(from)
    }

    /// Whether a key is there for those who read.
    pub(super) fn lives(&self, view: KeyView<'_>, at: At<'_>) -> bool {
        let now = at.now.as_millis();
        if view.due() > now {
            return true;
        }
        if view.deadline() <= now {
            return false;
        }
        if view.is_spread() {
            return self.names.spread(view).lives_at(now);
        }
        Run::new(view.kind(), view.value()).any(|(member, _)| member.deadline > now)
    }
}

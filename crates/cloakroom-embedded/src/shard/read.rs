//! What a shard tells: a session, a subject's sessions, a page of all.

use cloakroom_core::expiry::{Times, Verdict, decide};
use cloakroom_core::record::Subject;
use cloakroom_core::store::Loaded;
use cloakroom_core::{SessionInfo, StoredKey};

use super::{Alive, At, Shard, spread};
use crate::entry::{self, View};
use crate::table::SEGMENTS;

impl Shard {
    /// The session under `key`, whose hash this is, as `load` answers it: if it lives and did not
    /// move, which [`Shard::find`] tells of the others.
    ///
    /// Nearly every request asks this, so it goes to the session once and reads its times once.
    #[inline(always)]
    pub(crate) fn load(&mut self, key: &StoredKey, hash: u64, at: At<'_>) -> Option<Loaded> {
        let slot = self.slot_of(key, hash)?;
        let entry = self.slab.get_mut(slot);
        let times = View(entry).times(&self.known);
        let verdict = decide(&times, at.now);
        let Verdict::Alive {
            remaining,
            touch_due,
        } = verdict
        else {
            return None;
        };
        if View(entry).generation() != at.generation {
            return None;
        }
        let alive = Alive {
            slot,
            remaining,
            touch_due,
        };
        Some(answer(entry, times, alive, false))
    }

    /// A session as `load` answers it behind a hop.
    pub(crate) fn loaded(&mut self, alive: Alive, forwarded: bool) -> Loaded {
        let entry = self.slab.get_mut(alive.slot);
        let times = View(entry).times(&self.known);
        answer(entry, times, alive, forwarded)
    }

    /// The sessions of `subject`, the last signed in first.
    pub(crate) fn of_subject(&mut self, subject: &Subject, at: At<'_>) -> Vec<SessionInfo> {
        let alive = self.alive_of(subject, at);
        let mut list: Vec<_> = alive
            .into_iter()
            .map(|alive| self.info(alive, at))
            .collect();
        list.sort_by_key(|info| std::cmp::Reverse((info.times.authenticated_at, info.handle)));
        list
    }

    /// Up to `room` sessions of one of the key table's segments whose position is `from` or behind
    /// it, and the position to go on from, if there are more.
    ///
    /// The order is that of the keys' hashes, because a session keeps its key while its slot may
    /// change: no session that is there all the time is passed over.
    pub(crate) fn scan(
        &mut self,
        segment: usize,
        from: u64,
        room: usize,
        at: At<'_>,
        into: &mut Vec<SessionInfo>,
    ) -> Option<u64> {
        debug_assert!(segment < SEGMENTS);
        let (slab, hasher) = (&self.slab, &self.hasher);
        let position = |slot: u32| spread(hasher, View(slab.get(slot)).hash()) & POSITION_MASK;
        let mut slots: Vec<_> = self
            .keys
            .segment(segment)
            .map(|slot| (position(slot), slot))
            .filter(|(position, _)| *position >= from)
            .collect();
        slots.sort_unstable();
        let mut listed = 0;
        for (position, slot) in slots {
            if listed == room {
                return Some(position);
            }
            if let Some(alive) = self.living(slot, at) {
                into.push(self.info(alive, at));
                listed += 1;
            }
        }
        None
    }

    /// How many sessions there are; expired ones that are not swept may be among them.
    pub(crate) fn sessions(&mut self, at: At<'_>) -> usize {
        self.note_generation(at.generation);
        self.fresh
    }

    /// Whether `key` names a session that lives or is remembered as ended.
    pub(crate) fn is_taken(&mut self, key: &StoredKey, at: At<'_>) -> bool {
        !matches!(self.find(key, at), super::Found::Unknown)
    }

    fn info(&self, alive: Alive, at: At<'_>) -> SessionInfo {
        let mut info = View(self.slab.get(alive.slot))
            .record(&self.known, false)
            .info(at.now);
        info.remaining = alive.remaining;
        info
    }
}

/// What a load answers of a session that lives, with these times, which is used now.
#[inline(always)]
fn answer(entry: &mut [u8], times: Times, alive: Alive, forwarded: bool) -> Loaded {
    entry::set_referenced(entry);
    Loaded {
        record: View(entry).record_of(times, true),
        remaining: alive.remaining,
        touch_due: alive.touch_due,
        forwarded,
    }
}

/// Bits of a position: what a cursor has room for beside shard and segment.
pub(crate) const POSITION_BITS: u32 = 40;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

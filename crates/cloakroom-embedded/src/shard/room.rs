//! Room for a session: the memory that all shards share, and who leaves when it is full.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cloakroom_core::record::Subject;
use cloakroom_core::{Error, ErrorKind, StoredKey};
use std::hash::BuildHasher as _;

use super::name::{self, KeyView, NEVER};
use super::{At, Shard, hash_of_key};
use crate::config::Eviction;
use crate::engine::Change;
use crate::entry::{self, View};
use crate::evict::Candidates;
use crate::journal::Effect;
use crate::slab::{Slab, SlotRef};
use crate::wheel::Wheel;

/// Evictions by deadline without gaining room, after which the hand goes on page by page: sessions
/// that end together lie anywhere, and only whole pages are room for another size.
const FRUITLESS: usize = 128;

/// Sessions that are looked at to find one that really ends soonest.
const LOOKS: usize = 16;

/// The bytes that all shards take together, and their limit.
#[derive(Debug)]
pub(crate) struct Memory {
    used: AtomicU64,
    limit: Option<u64>,
    /// What each shard would have if all had the same.
    part: Option<u64>,
    eviction: Eviction,
    /// While a journal is read back there is no limit: what it holds was acknowledged.
    unlimited: AtomicBool,
}

impl Memory {
    pub(crate) const fn new(limit: Option<u64>, part: Option<u64>, eviction: Eviction) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit,
            part,
            eviction,
            unlimited: AtomicBool::new(false),
        }
    }

    pub(crate) fn set_unlimited(&self, unlimited: bool) {
        self.unlimited.store(unlimited, Ordering::Relaxed);
    }

    /// Whether more is taken than there may be.
    pub(crate) fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.used() > limit)
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) const fn limit(&self) -> Option<u64> {
        self.limit
    }

    pub(crate) fn evicts(&self) -> bool {
        self.limit.is_some() && self.eviction != Eviction::NoEviction
    }

    /// Whether a shard with so many bytes has less than its part by a quarter. When all is taken,
    /// another one has more than its own.
    fn is_little(&self, bytes: usize) -> bool {
        self.part
            .is_some_and(|part| (bytes as u64) < part - part / 4)
    }

    /// Counts `bytes` if they are within the limit.
    fn reserve(&self, bytes: u64) -> bool {
        let limit = self.limit;
        let Some(limit) = limit.filter(|_| !self.unlimited.load(Ordering::Relaxed)) else {
            self.used.fetch_add(bytes, Ordering::Relaxed);
            return true;
        };
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }
}

/// What a new session needs room for.
pub(crate) struct Need<'a> {
    /// Bytes of its entry; 0 if it needs no slot.
    pub(crate) len: usize,
    /// Its key and subject, unless it is only a larger slot for one that is there.
    pub(crate) names: Option<(&'a StoredKey, Option<&'a Subject>)>,
    /// The keyspace of a key that is new there, and the key's hash.
    pub(crate) name: Option<(u8, u64)>,
    /// Bytes elsewhere than in a slot.
    pub(crate) extra: usize,
    /// The session that is being written; it is not evicted.
    pub(crate) spared: Option<SlotRef>,
    /// Whether that session's slot is freed for the new one.
    pub(crate) replaces: bool,
}

impl Shard {
    /// Makes sure that there is room, by evicting if the policy has it so.
    pub(super) fn make_room(&mut self, need: &Need<'_>, at: At<'_>) -> Result<(), Error> {
        let mut evictions = 0;
        loop {
            if self.try_room(need, at.memory) {
                return Ok(());
            }
            if self.names.is_any_dying() {
                self.purge(FRUITLESS, at);
                self.count_memory(at.memory);
                continue;
            }
            // Whoever has less than others does not pay for them: the store evicts there.
            if at.memory.is_little(self.counted) || !self.evict(evictions, need.spared, at) {
                return Err(ErrorKind::StoreFull.into());
            }
            evictions += 1;
        }
    }

    /// Evicts until memory comes free, for another shard. Returns whether it did.
    pub(crate) fn give_room(&mut self, at: At<'_>) -> bool {
        let before = self.counted;
        let enough = (0..2 * FRUITLESS)
            .find(|evictions| !self.evict(*evictions, None, at) || self.counted < before);
        enough.is_some() && self.counted < before
    }

    /// Evicts one session by the policy, never `spared`. Returns whether there was one.
    fn evict(&mut self, evictions: usize, spared: Option<SlotRef>, at: At<'_>) -> bool {
        let victim = match at.memory.eviction {
            Eviction::NoEviction => None,
            Eviction::VolatileTtl if evictions < FRUITLESS => self
                .soonest()
                .filter(|slot| Some(*slot) != spared && self.slab.ends(*slot))
                .or_else(|| self.choose(spared, false)),
            Eviction::VolatileTtl | Eviction::VolatileLru => self.choose(spared, false),
            Eviction::AllkeysLru => self.choose(spared, true),
        };
        if let Some(victim) = victim {
            self.reaped.evicted += 1;
            let entry = self.slab.get(victim);
            if name::is_key(entry) {
                self.note_removed(victim, Change::Evicted, at);
                self.remove_key(victim);
            } else {
                if self.notes.on() {
                    let key = View(entry).key();
                    self.notes.push(&Effect::SessionRemove { key });
                }
                self.remove(victim);
            }
            self.count_memory(at.memory);
        }
        victim.is_some()
    }

    /// Who leaves by second chance: among all, or among those that end.
    fn choose(&mut self, spared: Option<SlotRef>, all: bool) -> Option<SlotRef> {
        // Else the hand would go over all of them in vain, at every write.
        if !all && self.keys.entries() == 0 && self.names.none_expires() {
            return None;
        }
        let slab = &mut self.slab;
        self.hand.choose(&mut Leaving { slab, all }, spared)
    }

    /// When the session or the key in a slot has to be looked at.
    pub(super) fn due_of(&self, slot: SlotRef) -> u64 {
        let entry = self.slab.get(slot);
        if name::is_key(entry) {
            KeyView(entry).due()
        } else {
            View(entry).times(&self.known).deadline().as_millis()
        }
    }

    /// Bytes that count for this shard.
    pub(crate) const fn counted(&self) -> usize {
        self.counted
    }

    /// The session that ends soonest, to the exactness of the wheel's buckets.
    fn soonest(&mut self) -> Option<SlotRef> {
        let mut soonest = self.wheel.soonest()?;
        for _ in 0..LOOKS {
            // By activity it may end later than its bucket; then it goes to the right one.
            let deadline = self.due_of(soonest);
            self.wheel.remove(&mut self.slab, soonest);
            self.wheel.insert(&mut self.slab, soonest, deadline);
            let next = self.wheel.soonest()?;
            if next == soonest {
                break;
            }
            soonest = next;
        }
        Some(soonest)
    }

    /// Whether there is room as it is; if so it is reserved.
    pub(super) fn try_room(&mut self, need: &Need<'_>, memory: &Memory) -> bool {
        let reused = need.replaces
            && need
                .spared
                .is_some_and(|slot| self.slab.fits_exactly(slot, need.len));
        let mut bytes = match self.slab.cost(need.len) {
            _ if reused || need.len == 0 => 0,
            Some(bytes) => bytes,
            None => return false,
        };
        bytes += need.extra;
        if let Some((db, hash)) = need.name {
            bytes += self.names.cost(db, hash);
        }
        if let Some((key, subject)) = need.names {
            bytes += self.keys.cost(hash_of_key(&self.hasher, key));
            if let Some(subject) = subject {
                let hash = self.hasher.hash_one(subject.as_str().as_bytes());
                bytes += self.subjects.cost(hash);
            }
        }
        let there = memory.reserve(bytes as u64);
        self.counted += if there { bytes } else { 0 };
        there
    }

    /// Tells `memory` what this shard takes by now.
    pub(crate) fn count_memory(&mut self, memory: &Memory) {
        let bytes = self.bytes();
        match bytes.checked_sub(self.counted) {
            Some(0) => {}
            Some(more) if memory.reserve(more as u64) => self.counted = bytes,
            // No room was made for this: what can be had again at any time is given back.
            Some(_) => {
                let less = bytes - self.names.drop_scratch();
                self.recount(less, memory);
            }
            None => self.recount(bytes, memory),
        }
    }

    /// Counts `bytes` for this shard, whether they are within the limit or not.
    fn recount(&mut self, bytes: usize, memory: &Memory) {
        match bytes.checked_sub(self.counted) {
            Some(more) => memory.used.fetch_add(more as u64, Ordering::Relaxed),
            None => memory
                .used
                .fetch_sub((self.counted - bytes) as u64, Ordering::Relaxed),
        };
        self.counted = bytes;
    }

    const fn bytes_of_parts(&self) -> usize {
        size_of::<Self>() + Wheel::bytes() + self.slab.bytes() + self.keys.bytes()
    }

    fn bytes(&self) -> usize {
        self.bytes_of_parts() + self.subjects.bytes() + self.tombs.bytes() + self.names.bytes()
    }
}

/// Who may leave: all, or those that end.
struct Leaving<'a> {
    slab: &'a mut Slab,
    all: bool,
}

impl Candidates for Leaving<'_> {
    fn first_from(&self, slot: SlotRef) -> Option<SlotRef> {
        let mut slot = self.slab.used_from(slot)?;
        while !self.all && !self.slab.ends(slot) {
            slot = self.slab.used_from(slot + 1)?;
        }
        Some(slot)
    }

    fn take_referenced(&mut self, slot: SlotRef) -> bool {
        entry::take_referenced(self.slab.get_mut(slot))
    }
}

impl Slab {
    /// Whether what is in a slot has a deadline, as all sessions have, and not only its fields.
    fn ends(&self, slot: SlotRef) -> bool {
        let entry = self.get(slot);
        !name::is_key(entry) || KeyView(entry).deadline() != NEVER
    }
}

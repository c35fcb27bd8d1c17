//! One shard: sessions, their index, their wheel and their tombstones, behind one lock. This file
//! has the steps that everything else is made of; each leaves the shard whole.

mod ahead;
mod marks;
mod members;
pub(crate) mod name;
mod names;
mod notes;
mod notes_names;
mod order;
mod put;
mod read;
mod record;
mod replay;
mod room;
mod spread;
mod strings;
mod sweep;
mod walk;
mod walk_names;
mod write;

use cloakroom_core::expiry::{Limit, Verdict, decide};
use cloakroom_core::record::Subject;
use cloakroom_core::{Record, StoredKey, UnixMillis};
use hashbrown::DefaultHashBuilder;
use std::borrow::Cow;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use self::ahead::ask_for;
pub(crate) use self::marks::Mark;
pub(crate) use self::name::{Head, KeyView, MARK_BYTES};
use self::names::Names;
pub(crate) use self::names::{Name, deadline_of, hash_in, hash_of_key as hash_of_name, time_of};
use self::notes::Notes;
pub(crate) use self::read::POSITION_BITS;
pub(crate) use self::record::Member;
pub(crate) use self::room::Memory;
pub(crate) use self::spread::Spread;
pub(crate) use self::sweep::Swept;
pub(crate) use self::walk::Walk;
use crate::engine::{Ears, Reach};
use crate::entry::{self, KnownLifetimes, View};
use crate::evict::Hand;
use crate::index::SubjectIndex;
use crate::journal::Effect;
use crate::pool::Pool;
use crate::slab::{FreedPages, Slab, SlotRef};
use crate::table::Table;
use crate::tombs::{Remembered, Tombs};
use crate::wheel::Wheel;

/// What holds while a shard is locked: the time, read under the lock, and how many `revoke_all`
/// there were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub(crate) now: UnixMillis,
    pub(crate) generation: u32,
    pub(crate) memory: &'a Memory,
    pub(crate) ears: &'a Ears,
}

/// Part of the sessions.
#[derive(Debug)]
pub(crate) struct Shard {
    slab: Slab,
    keys: Table,
    subjects: SubjectIndex,
    wheel: Wheel,
    tombs: Tombs,
    known: KnownLifetimes,
    hand: Hand,
    hasher: DefaultHashBuilder,
    /// The last generation that this shard has seen, how many of its sessions are of it, and how
    /// far the sessions of older ones are swept.
    generation: u32,
    fresh: usize,
    purged_to: Option<SlotRef>,
    /// Bytes that `Memory` counts for this shard.
    counted: usize,
    reaped: Reaped,
    names: Names,
    pub(crate) notes: Notes,
}

/// Sessions that were removed since anybody asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reaped {
    pub(crate) idle: u32,
    pub(crate) absolute: u32,
    /// Keys of keyspaces.
    pub(crate) keys: u32,
    pub(crate) evicted: u32,
}

impl Reaped {
    pub(crate) const fn add(&mut self, other: Self) {
        self.idle += other.idle;
        self.absolute += other.absolute;
        self.keys += other.keys;
        self.evicted += other.evicted;
    }
}

/// What is under a key.
pub(crate) enum Found {
    Alive(Alive),
    /// Nothing; requests may follow to this key.
    Moved(StoredKey),
    Ended,
    Unknown,
}

/// A session that lives.
#[derive(Clone, Copy)]
pub(crate) struct Alive {
    slot: SlotRef,
    remaining: std::time::Duration,
    touch_due: bool,
}

impl Shard {
    /// An empty shard, whose part of the memory limit this is, if there is one.
    pub(crate) fn new(
        now: UnixMillis,
        hasher: DefaultHashBuilder,
        limit: Option<u64>,
        pool: Arc<Pool>,
    ) -> Self {
        Self {
            keys: Table::in_pool(&pool),
            names: Names::new(&pool),
            slab: Slab::new(pool, limit),
            subjects: SubjectIndex::new(),
            wheel: Wheel::new(now.as_millis()),
            tombs: Tombs::new(limit),
            known: KnownLifetimes::default(),
            hand: Hand::default(),
            hasher,
            generation: 0,
            fresh: 0,
            purged_to: None,
            counted: 0,
            reaped: Reaped::default(),
            notes: Notes::default(),
        }
    }

    /// Says that the session of this hash is looked for next.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.keys.prefetch(hash);
    }

    /// What is under `key`. A session that is over is removed at once, so that no clock brings it
    /// back.
    pub(crate) fn find(&mut self, key: &StoredKey, at: At<'_>) -> Found {
        self.find_hashed(key, hash_of_key(&self.hasher, key), at)
    }

    /// As [`Shard::find`], with the key's hash.
    #[inline]
    pub(crate) fn find_hashed(&mut self, key: &StoredKey, hash: u64, at: At<'_>) -> Found {
        let slot = self.slot_of(key, hash);
        if let Some(alive) = slot.and_then(|slot| self.living(slot, at)) {
            return Found::Alive(alive);
        }
        match self.tombs.look(key, at.now, hash) {
            Some(Remembered::Moved(to)) => Found::Moved(to),
            Some(Remembered::Ended) => Found::Ended,
            None => Found::Unknown,
        }
    }

    /// Where the session under `key` is, whether it lives or not.
    #[inline(always)]
    fn slot_of(&self, key: &StoredKey, hash: u64) -> Option<SlotRef> {
        self.keys.find(hash, |slot| {
            let entry = self.slab.get(*slot);
            ask_for(entry, Reach::Value);
            View(entry).is(key)
        })
    }

    /// The session in `slot` if it lives; else it is removed.
    fn living(&mut self, slot: SlotRef, at: At<'_>) -> Option<Alive> {
        let view = View(self.slab.get(slot));
        if view.generation() != at.generation {
            self.note_generation(at.generation);
            self.remove(slot);
            return None;
        }
        match decide(&view.times(&self.known), at.now) {
            Verdict::Alive {
                remaining,
                touch_due,
            } => Some(Alive {
                slot,
                remaining,
                touch_due,
            }),
            Verdict::Expired(limit) => {
                match limit {
                    Limit::Idle => self.reaped.idle += 1,
                    Limit::Absolute => self.reaped.absolute += 1,
                }
                self.notes.expired(at.now);
                self.remove(slot);
                None
            }
        }
    }

    /// Puts a session under `key`, which is free and for which there is room.
    fn insert(&mut self, key: &StoredKey, record: &Record, at: At<'_>) {
        self.note_generation(at.generation);
        let len = entry::len(record, &self.known);
        let slot = self.slab.alloc(len);
        let bytes = self.slab.get_mut(slot);
        entry::write(bytes, key, record, at.generation, &mut self.known);
        let deadline = record.times.deadline().as_millis();
        self.wheel.insert(&mut self.slab, slot, deadline);
        let (slab, hasher) = (&self.slab, &self.hasher);
        let key_hash = |slot: &SlotRef| spread(hasher, View(slab.get(*slot)).hash());
        self.keys.insert(hash_of_key(hasher, key), slot, key_hash);
        if let Some(subject) = &record.subject {
            let hash = hasher.hash_one(subject.as_str().as_bytes());
            let subject_hash = |slot: &SlotRef| hasher.hash_one(View(slab.get(*slot)).subject());
            self.subjects.insert(hash, slot, subject_hash);
        }
        self.fresh += 1;
        if self.notes.on() {
            self.notes.push(&Effect::SessionPut {
                key: *key,
                generation: at.generation,
                record: Cow::Borrowed(record),
            });
        }
    }

    /// Removes a session, whatever it is, and remembers nothing of it.
    fn remove(&mut self, slot: SlotRef) {
        let view = View(self.slab.get(slot));
        self.keys.remove(spread(&self.hasher, view.hash()), slot);
        if !view.subject().is_empty() {
            self.subjects
                .remove(self.hasher.hash_one(view.subject()), slot);
        }
        self.fresh -= usize::from(view.generation() == self.generation);
        self.wheel.remove(&mut self.slab, slot);
        self.slab.free(slot);
    }

    /// Ends a session, so that its key is remembered as ended.
    fn end(&mut self, slot: SlotRef, now: UnixMillis) {
        let key = View(self.slab.get(slot)).key();
        self.remove(slot);
        self.bury(&key, now, None);
    }

    fn bury(&mut self, key: &StoredKey, now: UnixMillis, moved: Option<(StoredKey, UnixMillis)>) {
        self.notes.push(&Effect::SessionEnd {
            key: *key,
            ended_at: now,
            forward: moved,
        });
        let hasher = &self.hasher;
        self.tombs
            .bury(key, now, moved, |key| hash_of_key(hasher, key));
    }

    /// The sessions of `subject` that live.
    fn alive_of(&mut self, subject: &Subject, at: At<'_>) -> Vec<Alive> {
        let name = subject.as_str().as_bytes();
        let slab = &self.slab;
        let slots: Vec<_> = self
            .subjects
            .slots(self.hasher.hash_one(name))
            .filter(|slot| View(slab.get(*slot)).subject() == name)
            .collect();
        slots
            .into_iter()
            .filter_map(|slot| self.living(slot, at))
            .collect()
    }

    /// The record in `slot`.
    fn record(&self, slot: SlotRef) -> Record {
        View(self.slab.get(slot)).record(&self.known, true)
    }

    /// Takes notice that all sessions of older generations are dead.
    fn note_generation(&mut self, generation: u32) {
        if self.generation != generation {
            self.generation = generation;
            self.fresh = 0;
            self.purged_to = Some(0);
        }
    }

    /// Memory that nothing uses any more, to be dropped once the lock is let go of.
    #[inline]
    pub(crate) fn take_freed(&mut self) -> FreedPages {
        self.slab.take_freed()
    }

    /// What was removed since this was last asked.
    pub(crate) fn take_reaped(&mut self) -> Reaped {
        std::mem::take(&mut self.reaped)
    }
}

#[inline]
pub(crate) fn hash_of_key(hasher: &DefaultHashBuilder, key: &StoredKey) -> u64 {
    spread(hasher, key.hash())
}

/// The table's hash of a key's hash. That is a SHA-256, so folding it to 8 bytes loses nothing that
/// matters; the store's own secret goes over it, so that nobody can grind ids that fall together.
fn spread(hasher: &DefaultHashBuilder, hash: &[u8]) -> u64 {
    let (words, _) = hash.as_chunks();
    let fold = |all: u64, word: &[u8; 8]| all ^ u64::from_le_bytes(*word);
    hasher.hash_one(words.iter().fold(0, fold))
}

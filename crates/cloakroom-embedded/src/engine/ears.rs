//! Who is told, and by which name: keyspaces are numbered for people and, apart from that, in
//! memory.
//!
//! So emptying a keyspace takes no time however large it is: it gets an unused number in memory,
//! and the sweep removes what is left under the old one. Two keyspaces change places as easily.
//! What had a mark leaves it behind, as if it had ended at that moment ([`crate::shard`]): so it is known of an old number
//! which one the keyspace got, its heir, and when. Numbers change only while all shards are locked, and are read under the lock of one.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::changes::{Change, Watcher};
use super::kinds::{BESIDE, DATABASES, Db, SPACES};
use cloakroom_core::UnixMillis;

const NOBODY: u8 = u8::MAX;

/// Numbers of keyspaces, and who is told of changes.
#[derive(Debug)]
pub(crate) struct Ears {
    pub(super) watcher: OnceLock<Arc<dyn Watcher>>,
    in_memory: [AtomicU8; DATABASES as usize],
    for_people: [AtomicU8; 256],
    /// Of numbers whose keyspace was emptied: the heir in the highest byte, and when in the others; 0 of all others.
    fallen: [AtomicU64; 256],
}

/// Where the heir is in a word of `fallen`.
const HEIR: u32 = 56;

impl Ears {
    pub(crate) fn new() -> Self {
        let number = |at: usize| match at as u8 {
            db if db < DATABASES => db,
            _ => NOBODY,
        };
        Self {
            watcher: OnceLock::new(),
            in_memory: std::array::from_fn(|at| AtomicU8::new(number(at))),
            for_people: std::array::from_fn(|at| AtomicU8::new(number(at))),
            fallen: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// The number in memory of a keyspace.
    #[inline]
    pub(crate) fn number_of(&self, db: Db) -> u8 {
        let number = self.in_memory[usize::from(db % DATABASES)].load(Ordering::Relaxed);
        if db % SPACES < DATABASES {
            number
        } else {
            number | BESIDE
        }
    }

    /// Tells of a change of a key, in a keyspace by its number in memory.
    #[inline]
    pub(crate) fn tell(&self, number: u8, key: &[u8], change: Change) {
        if let Some(watcher) = self.watcher.get() {
            let db = self.for_people[usize::from(number)].load(Ordering::Relaxed);
            if db != NOBODY {
                watcher.changed(db, key, change);
            }
        }
    }

    /// The keyspace that has a number in memory.
    pub(super) fn db_of(&self, number: u8) -> Option<Db> {
        let db = self.for_people[usize::from(number)].load(Ordering::Relaxed);
        (db != NOBODY).then_some(db)
    }

    /// The number in memory of each keyspace.
    pub(crate) fn numbers(&self) -> [u8; DATABASES as usize] {
        std::array::from_fn(|db| self.number_of(db as Db))
    }

    /// Whether a number in memory is a keyspace's.
    pub(crate) fn is_used(&self, number: u8) -> bool {
        self.for_people[usize::from(number & !BESIDE)].load(Ordering::Relaxed) != NOBODY
    }

    /// Gives all keyspaces these numbers. Only while all shards are locked.
    pub(super) fn set_numbers(&self, numbers: [u8; DATABASES as usize]) {
        for owner in &self.for_people {
            owner.store(NOBODY, Ordering::Relaxed);
        }
        for (db, number) in numbers.into_iter().enumerate() {
            self.in_memory[db].store(number, Ordering::Relaxed);
            self.for_people[usize::from(number)].store(db as Db, Ordering::Relaxed);
            self.fallen[usize::from(number)].store(0, Ordering::Relaxed);
        }
    }

    /// Gives a keyspace another number in memory; the present one is nobody's then. Only while all
    /// shards are locked.
    pub(super) fn renumber(&self, db: Db, number: u8) {
        let old = self.in_memory[usize::from(db)].swap(number, Ordering::Relaxed);
        self.for_people[usize::from(old)].store(NOBODY, Ordering::Relaxed);
        self.for_people[usize::from(number)].store(db, Ordering::Relaxed);
        self.fallen[usize::from(number)].store(0, Ordering::Relaxed);
    }

    /// What was under `old`, which is nobody's, was emptied at this time, and its keyspace has the number `new`. Only
    /// while all shards are locked.
    pub(super) fn fall(&self, old: u8, new: u8, at: UnixMillis) {
        for (number, (heir, since)) in self.all_fallen().collect::<Vec<_>>() {
            if heir == old {
                self.set_fallen(number, new, since);
            }
        }
        self.set_fallen(old, new, at);
    }

    fn set_fallen(&self, number: u8, heir: u8, at: UnixMillis) {
        let word = u64::from(heir) << HEIR | at.as_millis().clamp(1, (1 << HEIR) - 1);
        self.fallen[usize::from(number)].store(word, Ordering::Relaxed);
    }

    /// The heir of what was emptied, and when it was.
    pub(crate) fn heir_of(&self, number: u8) -> Option<(u8, UnixMillis)> {
        let word = self
            .fallen
            .get(usize::from(number))?
            .load(Ordering::Relaxed);
        let at = UnixMillis::new(word & ((1 << HEIR) - 1));
        (word != 0).then_some(((word >> HEIR) as u8, at))
    }

    /// All numbers that were emptied, with their heirs and times.
    pub(crate) fn all_fallen(&self) -> impl Iterator<Item = (u8, (u8, UnixMillis))> {
        (0..BESIDE).filter_map(|number| Some((number, self.heir_of(number)?)))
    }

    /// Has two keyspaces change places. Only while all shards are locked.
    pub(super) fn swap(&self, one: Db, other: Db) {
        let (first, second) = (self.number_of(one), self.number_of(other));
        for (db, number) in [(one, second), (other, first)] {
            self.in_memory[usize::from(db)].store(number, Ordering::Relaxed);
            self.for_people[usize::from(number)].store(db, Ordering::Relaxed);
        }
    }

    /// Numbers in memory that no keyspace has.
    pub(super) fn unused(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|number| !self.is_used(*number))
    }
}

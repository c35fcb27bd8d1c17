//! The engine: 16 keyspaces of strings, hashes, sets and sorted sets in the shards that hold the
//! sessions, so that one budget, one clock and one sweep serve both.
//!
//! Steps are atomic. Whoever wants one names the keys first: their shards are locked in the order
//! of their numbers, so no two steps wait for each other, and the closure works on a [`Tx`].

mod ahead;
mod apply;
mod changes;
mod ears;
mod entries;
mod inner;
mod kinds;
mod tx;
mod tx_hashes;
mod tx_names;
mod tx_sets;
mod tx_sorted;

use std::fmt;
use std::hash::BuildHasher as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use cloakroom_core::Error;
use cloakroom_core::store::Stats;
use parking_lot::MutexGuard;

pub use self::ahead::{KeyHash, Reach};
pub use self::changes::{Change, There, Watcher};
pub(crate) use self::ears::Ears;
pub(crate) use self::entries::{Entry, Place};
pub(crate) use self::kinds::BESIDE;
pub use self::kinds::{
    DATABASES, Db, KEY_BYTES, KeyError, Kind, LexRange, MEMBERS, Packing, ScoreRange, VALUE_BYTES,
};
pub use self::tx::Tx;
use self::tx::{Locked, Named};
pub use self::tx_hashes::FieldRef;
use crate::config::EmbeddedConfig;
use crate::journal::Wait;
use crate::shard::{KeyView, Shard, hash_in};
use crate::store::{EmbeddedStore, Inner};
use crate::table::{END, SEGMENTS};

/// Keyspaces and sessions in the memory of this process. Clones are handles of the same engine;
/// what it holds goes with the last of them.
///
/// ```
/// use cloakroom_embedded::{EmbeddedConfig, Engine};
///
/// let engine = Engine::new(EmbeddedConfig::new())?;
/// let greeting = engine.with_key(0, b"greeting", |tx| {
///     tx.set_string(0, b"greeting", b"hello", None)?;
///     tx.string(0, b"greeting").map(|bytes| bytes.map(<[u8]>::to_vec))
/// });
/// assert_eq!(greeting, Ok(Some(b"hello".to_vec())));
/// # Ok::<(), cloakroom_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

/// The size of a keyspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceStats {
    /// Keys; expired ones that are not swept may be among them.
    pub keys: usize,
    /// Those with a deadline.
    pub expires: usize,
}

impl Engine {
    /// An empty engine.
    ///
    /// # Errors
    /// As [`EmbeddedStore::new`].
    pub fn new(config: EmbeddedConfig) -> Result<Self, Error> {
        Ok(EmbeddedStore::new(config)?.engine())
    }

    /// The sessions of this engine.
    #[must_use]
    pub fn store(&self) -> EmbeddedStore {
        EmbeddedStore(Arc::clone(&self.0))
    }

    /// One atomic step on one key. The closure may touch this key in this keyspace and what else
    /// happens to be in its shard; use [`Engine::with_keys`] for more.
    pub fn with_key<T>(&self, db: Db, key: &[u8], work: impl FnOnce(&mut Tx<'_>) -> T) -> T {
        self.step(db, key, self.hash_of(key), work)
    }

    #[inline]
    fn step<T>(
        &self,
        db: Db,
        key: &[u8],
        KeyHash(hash): KeyHash,
        work: impl FnOnce(&mut Tx<'_>) -> T,
    ) -> T {
        let number = self.0.shard_of_hash(hash);
        let mut shard = self.0.shards[number].lock();
        // The first miss of the cache, while the clock is read.
        shard.prefetch_name(hash_in(self.0.ears.number_of(db), hash));
        let mut tx = Tx::new(
            &self.0,
            Locked::One(number, &mut shard),
            Named::one(key, hash),
        );
        let result = work(&mut tx);
        drop(tx);
        self.0.finish(shard);
        result
    }

    /// One atomic step on some keys. The closure may touch these.
    pub fn with_keys<T>(&self, keys: &[(Db, &[u8])], work: impl FnOnce(&mut Tx<'_>) -> T) -> T {
        if let [(db, key)] = keys {
            return self.with_key(*db, key, work);
        }
        let mut numbers: Vec<_> = keys
            .iter()
            .map(|(_, key)| self.0.shard_of_hash(self.0.hash_of_name(key)))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.locked(&numbers, work)
    }

    /// One atomic step on everything. Nobody else gets anything done meanwhile.
    pub fn with_all<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> T) -> T {
        let numbers: Vec<_> = (0..self.0.shards.len()).collect();
        self.locked(&numbers, work)
    }

    fn locked<T>(&self, numbers: &[usize], work: impl FnOnce(&mut Tx<'_>) -> T) -> T {
        let mut guards: Vec<(usize, MutexGuard<'_, Shard>)> = numbers
            .iter()
            .map(|number| (*number, self.0.shards[*number].lock()))
            .collect();
        let shards = guards
            .iter_mut()
            .map(|(number, guard)| (*number, &mut **guard))
            .collect();
        let mut tx = Tx::new(&self.0, Locked::Some(shards), Named::default());
        let result = work(&mut tx);
        drop(tx);
        self.0
            .finish_all(guards.into_iter().map(|(_, guard)| guard));
        result
    }

    /// Goes over the keys of a keyspace: calls `each` for about `count` of them, at `cursor`, which
    /// is 0 to begin with. Returns the cursor to go on with, or 0 at the end.
    ///
    /// A key that is there from the beginning to the end is seen at least once, whatever happens to
    /// others. Some may be seen twice. `each` is called under a lock and must not use the engine.
    pub fn scan(
        &self,
        db: Db,
        cursor: u64,
        count: usize,
        each: &mut dyn FnMut(&[u8], Kind),
    ) -> u64 {
        self.scan_entries(db, cursor, count, &mut |view| each(view.key(), view.kind()))
    }

    /// As [`Engine::scan`], of whole entries.
    pub(crate) fn scan_entries(
        &self,
        db: Db,
        cursor: u64,
        count: usize,
        each: &mut dyn FnMut(KeyView<'_>),
    ) -> u64 {
        let count = count.max(1);
        let (mut place, mut from) = ((cursor >> 32) as usize, cursor & (END - 1));
        let (mut left, mut places) = (count, count.saturating_mul(64).max(4_096));
        while let Some(shard) = self.0.shards.get(place / SEGMENTS) {
            let look = left.saturating_mul(8);
            let (next, shard) = {
                let shard = shard.lock();
                let at = self.0.at();
                let place = (place % SEGMENTS, from);
                let number = at.ears.number_of(db);
                let next = shard.walk_names(number, place, look, at, &mut |view| {
                    each(view);
                    left = left.saturating_sub(1);
                    if left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                });
                (next, shard)
            };
            drop(shard);
            from = next;
            if from == END {
                (place, from) = (place + 1, 0);
            } else {
                places = places.saturating_sub(look);
            }
            if (left == 0 || places == 0) && place < self.0.shards.len() * SEGMENTS {
                return (place as u64) << 32 | from;
            }
        }
        0
    }

    /// The keys whose mark has this name.
    pub(crate) fn named(&self, name: &[u8]) -> Vec<(Db, Box<[u8]>)> {
        let mut keys = Vec::new();
        for shard in &self.0.shards {
            shard.lock().each_named(name, &mut |view| {
                if let Some(db) = self.0.ears.db_of(view.db()) {
                    keys.push((db, view.key().into()));
                }
            });
        }
        keys
    }

    /// How many keys have a name in their mark; those that are not swept yet are among them.
    pub(crate) fn count_named(&self) -> usize {
        let shards = self.0.shards.iter();
        shards.map(|shard| shard.lock().count_named()).sum()
    }

    /// How many keys have a mark; those that are over and not swept are among them.
    pub(crate) fn count_marked(&self) -> usize {
        let shards = self.0.shards.iter();
        let in_one = shards.map(|shard| {
            let shard = shard.lock();
            let dbs = (0..DATABASES).map(|db| self.0.ears.number_of(db));
            dbs.map(|number| shard.count_of(number).marked)
                .sum::<usize>()
        });
        in_one.sum()
    }

    /// How many keys a keyspace has; expired ones that are not swept may be among them.
    #[must_use]
    pub fn len(&self, db: Db) -> usize {
        self.keyspace(db).keys
    }

    /// Whether a keyspace has no keys.
    #[must_use]
    pub fn is_empty(&self, db: Db) -> bool {
        self.len(db) == 0
    }

    /// The size of a keyspace.
    #[must_use]
    pub fn keyspace(&self, db: Db) -> KeyspaceStats {
        let mut stats = KeyspaceStats::default();
        for shard in &self.0.shards {
            let shard = shard.lock();
            let count = shard.count_of(self.0.ears.number_of(db));
            stats.keys += count.keys;
            stats.expires += count.expires;
        }
        stats
    }

    /// Some key of a keyspace, chosen about at random.
    #[must_use]
    pub fn random_key(&self, db: Db) -> Option<Box<[u8]>> {
        let random = hashbrown::DefaultHashBuilder::default().hash_one(db);
        let places = self.0.shards.len() * SEGMENTS;
        let first = random as usize % places;
        let mut found = None;
        // Once more for the first one, of which only the end was seen.
        for step in 0..=places {
            let place = (first + step) % places;
            let from = if step == 0 { random >> 32 } else { 0 };
            let shard = self.0.shards[place / SEGMENTS].lock();
            let (at, place) = (self.0.at(), (place % SEGMENTS, from));
            let number = at.ears.number_of(db);
            shard.walk_names(number, place, usize::MAX, at, &mut |view| {
                found = Some(view.key().into());
                ControlFlow::Break(())
            });
            if found.is_some() {
                break;
            }
        }
        found
    }

    /// Removes all keys of a keyspace, or of all of them; sessions stay.
    pub fn flush(&self, db: Option<Db>) {
        self.with_all(|tx| tx.flush(db));
    }

    /// Has the sweep remove keys that are in no keyspace: a journal may end in the middle.
    pub(crate) fn forget_unused(&self) {
        self.with_all(|tx| {
            tx.forget_unused();
        });
    }

    /// Sessions, and the bytes of all that is here. Keys are not among the sessions.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Waits until writes are taken, if there is a journal. Before a step that writes.
    ///
    /// # Errors
    /// If the journal takes none, because the disk failed or is full.
    pub async fn admitted(&self) -> Result<(), Error> {
        self.0.admitted().await
    }

    /// Waits until what was done before may be acknowledged, as the journal's mode has it; not at
    /// all without a journal. After a step that wrote.
    ///
    /// # Errors
    /// If the disk failed: it is not known then what a restart will find.
    pub async fn written(&self) -> Result<(), Error> {
        self.0.written().await
    }

    /// Waits until what was done before is on the disk, whatever the mode. After a step that ends
    /// something which must not come back.
    ///
    /// # Errors
    /// As [`Engine::written`].
    pub async fn synced(&self) -> Result<(), Error> {
        self.0.synced().await
    }

    /// As [`Engine::written`], or [`Engine::synced`] if something was ended, for whoever cannot await: what there
    /// is to wait for, if there is.
    #[must_use]
    pub fn promise(&self, ends: bool) -> Option<Wait> {
        self.0.promise(ends)
    }

    /// Has `sink` told of every change of a key from now on. There is one: returns whether it is
    /// this one.
    pub fn watch(&self, sink: Arc<dyn Watcher>) -> bool {
        self.0.ears.watcher.set(sink).is_ok()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.store()).finish()
    }
}

//! Steps that are known before they are taken: the memory that they will read is asked for, all at once.
//!
//! A key is two misses of the cache, one behind the other: its place in the table, then its entry. Each
//! takes 170 to 290 ns among a million sessions, and a processor waits for ten of them as long as
//! for one. So whoever has a pipeline of commands has all places asked for, then all entries, and
//! then takes the steps.

use super::{Db, Engine, Tx};
use crate::shard::hash_in;

/// A key's hash in one engine: by [`Engine::hash_of`], so that it is taken once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyHash(pub(super) u64);

/// How much of what is under a key a step will read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Whether it is there, and until when.
    Head,
    /// Its value as well.
    Value,
}

impl Engine {
    /// The hash of a key, for the steps that name it.
    #[inline]
    #[must_use]
    pub fn hash_of(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.0.hash_of_name(key))
    }

    /// Says that steps on these keys come next. Changes nothing that anybody can read, and is worth its time
    /// from the second key on.
    pub fn come_next(&self, db: Db, keys: &[(KeyHash, Reach)]) {
        let number = self.0.ears.number_of(db);
        let keys = keys.iter();
        self.come_next_by_number(keys.map(|(hash, reach)| (number, *hash, *reach, &[][..])));
    }

    /// As [`Engine::come_next`], of keys by the numbers in memory of their keyspaces, and with the marks that they
    /// get, if any.
    pub(crate) fn come_next_by_number<'a>(
        &self,
        keys: impl Iterator<Item = (u8, KeyHash, Reach, &'a [u8])> + Clone,
    ) {
        for (number, KeyHash(hash), _, mark) in keys.clone() {
            let shard = self.0.shards[self.0.shard_of_hash(hash)].lock();
            shard.prefetch_name(hash_in(number, hash));
            if !mark.is_empty() {
                shard.prefetch_mark(mark);
            }
        }
        for (number, KeyHash(hash), reach, _) in keys {
            let shard = self.0.shards[self.0.shard_of_hash(hash)].lock();
            shard.prefetch_key(hash_in(number, hash), reach);
        }
    }

    /// Which shard a key is in.
    pub(crate) fn shard_of_key(&self, KeyHash(hash): KeyHash) -> usize {
        self.0.shard_of_hash(hash)
    }

    /// As [`Engine::with_key`], with the key's hash. By another key's hash the key is not found.
    ///
    /// # Panics
    /// In a debug build, if the hash is another key's.
    pub fn with_hashed<T>(
        &self,
        db: Db,
        key: &[u8],
        hash: KeyHash,
        work: impl FnOnce(&mut Tx<'_>) -> T,
    ) -> T {
        debug_assert_eq!(hash, self.hash_of(key));
        self.step(db, key, hash, work)
    }
}

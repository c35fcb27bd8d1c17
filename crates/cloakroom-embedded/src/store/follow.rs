//! The way of every request to its session: the shard, its lock, the hops of a session that moved.

use cloakroom_core::store::{Absence, Lookup};
use cloakroom_core::{StoredKey, limits};

use super::Inner;
use crate::shard::{Alive, At, Found, Shard, hash_of_key};

impl Inner {
    /// Reads the session under `key`.
    #[inline]
    pub(super) fn load(&self, key: &StoredKey) -> Lookup {
        let hash = self.hash_of(key);
        let mut shard = self.shards[self.shard_of(key.tag())].lock();
        // The miss of the cache has begun when the clock is read.
        shard.prefetch(hash);
        match shard.load(key, hash, self.at()) {
            Some(loaded) => Lookup::Found(loaded),
            None => {
                drop(shard);
                self.load_followed(key)
            }
        }
    }

    /// As [`Inner::load`], for a session that is over, moved or was never there.
    #[cold]
    fn load_followed(&self, key: &StoredKey) -> Lookup {
        let loaded = |shard: &mut Shard, alive, forwarded, _: At<'_>| {
            Lookup::Found(shard.loaded(alive, forwarded))
        };
        self.follow(key, loaded).unwrap_or_else(Lookup::Absent)
    }

    /// Does something with the session under `key` or, if that has moved, where it is now.
    ///
    /// Every write comes by here, and so neither keys nor results are wrapped and moved more than once:
    /// reading what was just written in other portions stops the processor for a dozen cycles.
    #[inline]
    pub(super) fn follow<T>(
        &self,
        key: &StoredKey,
        mut work: impl FnMut(&mut Shard, Alive, bool, At<'_>) -> T,
    ) -> Result<T, Absence> {
        let mut next;
        let mut key = key;
        for hop in 0..=limits::FORWARD_HOPS {
            let hash = self.hash_of(key);
            let mut shard = self.shards[self.shard_of(key.tag())].lock();
            shard.prefetch(hash);
            let at = self.at();
            match shard.find_hashed(key, hash, at) {
                Found::Alive(alive) => {
                    let done = work(&mut shard, alive, hop > 0, at);
                    self.finish(shard);
                    return Ok(done);
                }
                Found::Moved(to) => {
                    self.finish(shard);
                    next = to;
                    key = &next;
                }
                Found::Unknown if hop == 0 => {
                    self.finish(shard);
                    return Err(Absence::Unknown);
                }
                Found::Unknown | Found::Ended => {
                    self.finish(shard);
                    break;
                }
            }
        }
        Err(Absence::Ended)
    }

    /// The table's hash of a key. All shards have the store's hasher, so it is made before there is a
    /// lock to be held.
    #[inline]
    fn hash_of(&self, key: &StoredKey) -> u64 {
        hash_of_key(&self.hasher, key)
    }
}

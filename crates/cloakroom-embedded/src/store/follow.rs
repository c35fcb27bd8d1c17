//! The way of every request to its session: the shard, its lock, the hops of a session that moved.

use cloakroom_core::store::Absence;
use cloakroom_core::{StoredKey, limits};

use parking_lot::MutexGuard;

use super::Inner;
use crate::shard::{Alive, At, Found, Shard};

/// What is done with a session that lives.
#[derive(Clone, Copy)]
pub(super) enum Access {
    Reads,
    Writes,
}

impl Inner {
    /// Does something with the session under `key` or, if that has moved, where it is now.
    ///
    /// Every request comes by here, and so neither keys nor results are wrapped and moved more than once:
    /// reading what was just written in other portions stops the processor for a dozen cycles. Where
    /// `work` only reads, there is nothing to reckon up behind it.
    #[inline]
    pub(super) fn follow<T>(
        &self,
        key: &StoredKey,
        access: Access,
        mut work: impl FnMut(&mut Shard, Alive, bool, At<'_>) -> T,
    ) -> Result<T, Absence> {
        let mut next;
        let mut key = key;
        for hop in 0..=limits::FORWARD_HOPS {
            let mut shard = self.shards[self.shard_of(key.tag())].lock();
            // The miss of the cache has begun when the clock is read.
            let hash = shard.prefetch(key);
            let at = self.at();
            match shard.find_hashed(key, hash, at) {
                Found::Alive(alive) => {
                    let done = work(&mut shard, alive, hop > 0, at);
                    match access {
                        Access::Reads => MutexGuard::unlock_fair(shard),
                        Access::Writes => self.finish(shard),
                    }
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
}

//! What keyspaces need of all shards, beside what sessions do.

use std::sync::atomic::Ordering;

use cloakroom_core::store::Stats;
use parking_lot::MutexGuard;

use crate::shard::{Reaped, Shard, hash_of_name};
use crate::store::Inner;

impl Inner {
    pub(crate) fn hash_of_name(&self, key: &[u8]) -> u64 {
        hash_of_name(&self.hasher, key)
    }

    /// By bits of the hash that the shard's table uses for nothing else.
    pub(crate) fn shard_of_hash(&self, hash: u64) -> usize {
        let bits = (hash >> 48 & 0x3ff) | (hash >> 32 & 0xff) << 10;
        bits as usize & (self.shards.len() - 1)
    }

    /// As [`Inner::finish`] for shards of one step: all are let go of before anybody is told.
    pub(crate) fn finish_all<'a>(&self, shards: impl Iterator<Item = MutexGuard<'a, Shard>>) {
        let mut reaped = Reaped::default();
        let mut shards: Vec<_> = shards.collect();
        self.log_all(shards.iter_mut().map(|shard| &mut **shard));
        let freed: Vec<_> = shards
            .into_iter()
            .map(|mut shard| {
                shard.count_memory(&self.memory);
                reaped.add(shard.take_reaped());
                shard.take_freed()
            })
            .collect();
        drop(freed);
        if reaped != Reaped::default() {
            self.report(reaped);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut sessions = 0;
        for shard in &self.shards {
            let mut shard = shard.lock();
            sessions += shard.sessions(self.at()) as u64;
        }
        let mut stats = Stats::default();
        stats.sessions = sessions;
        stats.bytes = self.memory.used();
        stats.bytes_limit = self.memory.limit();
        stats.expired = self.expired.load(Ordering::Relaxed);
        stats.evicted = self.evicted.load(Ordering::Relaxed);
        stats
    }
}

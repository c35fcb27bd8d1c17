//! What this process saw of sessions a moment ago, so that a save after a load is one trip: the
//! changes are merged into this, and Redis takes the result only if nothing changed since. It is a
//! hint, never an answer: nobody reads a session from here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cloakroom_core::Record;
use cloakroom_core::id::{SlotTag, StoredKey};
use parking_lot::Mutex;

const SHARDS: usize = 16;
/// Bytes of fields in one shard; 16 MiB in all.
const SHARD_BYTES: usize = 1 << 20;
/// What a record takes besides its fields, roughly.
const OVERHEAD: usize = 256;

/// The records seen last.
#[derive(Debug, Default)]
pub(crate) struct Recent([Mutex<Shard>; SHARDS]);

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<StoredKey, Arc<Record>>,
    order: VecDeque<StoredKey>,
    bytes: usize,
}

impl Recent {
    /// Remembers `record`, unless a later state of it is known.
    pub(crate) fn put(&self, key: &StoredKey, record: Record) {
        let mut shard = self.shard(key).lock();
        let newer =
            |known: &Arc<Record>| known.handle == record.handle && known.version > record.version;
        if shard.known.get(key).is_some_and(newer) {
            return;
        }
        shard.bytes += size(&record);
        match shard.known.insert(*key, Arc::new(record)) {
            Some(old) => shard.bytes -= size(&old),
            None => shard.order.push_back(*key),
        }
        while shard.bytes > SHARD_BYTES
            && let Some(oldest) = shard.order.pop_front()
        {
            shard.forget(&oldest);
        }
    }

    /// What was seen of a session last.
    pub(crate) fn get(&self, key: &StoredKey) -> Option<Arc<Record>> {
        self.shard(key).lock().known.get(key).cloned()
    }

    /// Forgets a session that is gone. Its place in the order is forgotten when it comes up.
    pub(crate) fn forget(&self, key: &StoredKey) {
        let mut shard = self.shard(key).lock();
        shard.forget(key);
        if shard.order.len() > 64 && shard.order.len() > 4 * shard.known.len() {
            let Shard { known, order, .. } = &mut *shard;
            order.retain(|key| known.contains_key(key));
        }
    }

    /// Forgets the sessions of some tags: as [`Recent::clear`], for a server that got only these.
    pub(crate) fn forget_tags(&self, is_one: &dyn Fn(SlotTag) -> bool) {
        for shard in &self.0 {
            let mut shard = shard.lock();
            let gone = shard.known.keys().filter(|key| is_one(key.tag()));
            for key in gone.copied().collect::<Vec<_>>() {
                shard.forget(&key);
            }
        }
    }

    /// Forgets everything: another server may have other states under the same versions.
    pub(crate) fn clear(&self) {
        for shard in &self.0 {
            *shard.lock() = Shard::default();
        }
    }

    fn shard(&self, key: &StoredKey) -> &Mutex<Shard> {
        &self.0[usize::from(key.hash()[0]) % SHARDS]
    }
}

impl Shard {
    fn forget(&mut self, key: &StoredKey) {
        if let Some(record) = self.known.remove(key) {
            self.bytes -= size(&record);
        }
    }
}

fn size(record: &Record) -> usize {
    OVERHEAD + record.fields.as_bytes().len()
}

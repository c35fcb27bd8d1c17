//! What this process saw of sessions a moment ago, so that a save after a load is one trip: the
//! changes are merged into this, and Redis takes the result only if nothing changed since. It is a
//! hint, never an answer: nobody reads a session from here.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use cloakroom_core::Record;
use cloakroom_core::expiry::Times;
use cloakroom_core::id::{Handle, SlotTag, StoredKey};
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
    known: HashMap<StoredKey, Known, BuildHasherDefault<ByHash>>,
    order: VecDeque<StoredKey>,
    bytes: usize,
}

/// What is known of a session. Which state it is stands beside the record, which lies elsewhere: most
/// reads see the state that was seen before, and need not go there.
#[derive(Debug)]
struct Known {
    handle: Handle,
    version: u64,
    times: Times,
    record: Arc<Record>,
}

/// Keys are as good as random already: they are hashes, or ids of sessions that were found.
#[derive(Debug, Default)]
struct ByHash(u64);

impl Hasher for ByHash {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_u64(&mut self, _: u64) {}

    fn write_usize(&mut self, _: usize) {}

    fn write_isize(&mut self, _: isize) {}

    fn write_u16(&mut self, _: u16) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Recent {
    /// Remembers what was read, unless that or a later state of it is known. Under one version
    /// the fields are the same, but for another server's, and then everything is forgotten.
    pub(crate) fn see(&self, key: &StoredKey, record: &Record) {
        {
            let shard = self.shard(key).lock();
            let is_known = |known: &Known| {
                let same = known.version == record.version && known.times == record.times;
                known.handle == record.handle && (same || known.version > record.version)
            };
            if shard.known.get(key).is_some_and(is_known) {
                return;
            }
        }
        self.put(key, record.clone());
    }

    /// Remembers `record`, unless a later state of it is known.
    pub(crate) fn put(&self, key: &StoredKey, record: Record) {
        let known = Known {
            handle: record.handle,
            version: record.version,
            times: record.times,
            record: Arc::new(record),
        };
        let mut shard = self.shard(key).lock();
        let newer = |old: &Known| old.handle == known.handle && old.version > known.version;
        if shard.known.get(key).is_some_and(newer) {
            return;
        }
        shard.bytes += size(&known.record);
        let old = shard.known.insert(*key, known);
        match &old {
            Some(old) => shard.bytes -= size(&old.record),
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
        let shard = self.shard(key).lock();
        shard.known.get(key).map(|known| Arc::clone(&known.record))
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
        if let Some(known) = self.known.remove(key) {
            self.bytes -= size(&known.record);
        }
    }
}

fn size(record: &Record) -> usize {
    OVERHEAD + record.fields.as_bytes().len()
}

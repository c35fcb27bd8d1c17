//! What this process saw of sessions a moment ago, so that a save after a load is one trip: the
//! changes are merged into this, and Redis takes the result only if nothing changed since. It is a
//! hint, never an answer: nobody reads a session from here.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use cloakroom_core::Record;
use cloakroom_core::id::{SlotTag, StoredKey};
use parking_lot::Mutex;

const SHARDS: usize = 16;
/// Bytes of fields in one shard; 16 MiB in all.
const SHARD_BYTES: usize = 1 << 20;
/// What a record takes besides its fields, roughly.
const OVERHEAD: usize = 256;
/// Groups of [`States`] in a shard: 512 KiB in all, and places for 65536 sessions.
const GROUPS: usize = 512;

/// The records seen last.
#[derive(Debug, Default)]
pub(crate) struct Recent([Mutex<Shard>; SHARDS]);

/// A record lies in the table itself: behind a pointer it would be one more place of the memory to wait for.
#[derive(Debug, Default)]
struct Shard {
    known: HashMap<StoredKey, Record, BuildHasherDefault<ByHash>>,
    order: VecDeque<StoredKey>,
    bytes: usize,
    states: States,
}

/// A word for each state that is known, found by one look at the memory: most reads see the state that was
/// seen before, and need not go to the table, which is larger than a cache. A word that is here is of a
/// record that is there; where there are more records than places, some have no word, and are looked for
/// in the table. Two states with one word would cost a save a second trip.
#[derive(Debug, Default)]
struct States(Vec<Words>);

/// As many as lie together in a cache. 0 is nobody's.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Words([u64; 8]);

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
        let word = States::word(key, record);
        {
            let mut shard = self.shard(key).lock();
            if shard.states.has(key, word) {
                return;
            }
            let Shard {
                known,
                bytes,
                states,
                ..
            } = &mut *shard;
            let there = known.get_mut(key);
            if let Some(there) = there.filter(|there| there.handle == record.handle) {
                if there.version > record.version {
                    return;
                }
                *bytes = *bytes + size(record) - size(there);
                states.change(key, States::word(key, there), word);
                copy(record, there);
                shard.make_room();
                return;
            }
        }
        self.put(key, record.clone());
    }

    /// Remembers `record`, unless a later state of it is known.
    pub(crate) fn put(&self, key: &StoredKey, record: Record) {
        let word = States::word(key, &record);
        let mut shard = self.shard(key).lock();
        let Shard {
            known,
            order,
            bytes,
            states,
        } = &mut *shard;
        let old = match known.entry(*key) {
            Entry::Occupied(there) => {
                let there = there.into_mut();
                if there.handle == record.handle && there.version > record.version {
                    return;
                }
                *bytes = *bytes + size(&record) - size(there);
                states.change(key, States::word(key, there), word);
                Some(std::mem::replace(there, record))
            }
            Entry::Vacant(place) => {
                *bytes += size(&record);
                states.change(key, 0, word);
                place.insert(record);
                order.push_back(*key);
                None
            }
        };
        shard.make_room();
        drop(shard);
        drop(old);
    }

    /// What was seen of a session last.
    pub(crate) fn get(&self, key: &StoredKey) -> Option<Record> {
        self.shard(key).lock().known.get(key).cloned()
    }

    /// Looks at what was seen of a session last, where it lies.
    pub(crate) fn with<T>(&self, key: &StoredKey, look: impl FnOnce(Option<&Record>) -> T) -> T {
        look(self.shard(key).lock().known.get(key))
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
    fn make_room(&mut self) {
        while self.bytes > SHARD_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &StoredKey) {
        if let Some(known) = self.known.remove(key) {
            self.bytes -= size(&known);
            self.states.change(key, States::word(key, &known), 0);
        }
    }
}

impl States {
    /// What stands for this state of this session: under one key, handle and version only the last activity
    /// may still differ.
    fn word(key: &StoredKey, record: &Record) -> u64 {
        let number = |bytes: &[u8]| {
            let first = bytes.first_chunk();
            first.map_or(0, |first| u64::from_le_bytes(*first))
        };
        let handle = record.handle.as_bytes();
        let parts = [
            (number(&key.hash()[16..]), 0x9e37_79b9_7f4a_7c15),
            (number(handle), 0xbf58_476d_1ce4_e5b9),
            (number(&handle[4..]), 0x94d0_49bb_1331_11eb),
            (record.version, 0xd6e8_feb8_6659_fd93),
            (record.times.seen_at.as_millis(), 0xa076_1d64_78bd_642f),
        ];
        let word = parts.iter().fold(0u64, |sum, (part, by): &(u64, u64)| {
            sum.wrapping_add(part.wrapping_mul(*by).rotate_left(29))
        });
        word.max(1)
    }

    fn place(key: &StoredKey) -> usize {
        let [.., one, other] = *key.hash();
        usize::from(u16::from_le_bytes([one, other])) % GROUPS
    }

    fn has(&self, key: &StoredKey, word: u64) -> bool {
        let words = self.0.get(Self::place(key));
        words.is_some_and(|words| words.0.contains(&word))
    }

    /// Puts `new` where `old` is, or if it is nowhere, in a free place, or in that of some other; 0 is none.
    fn change(&mut self, key: &StoredKey, old: u64, new: u64) {
        if self.0.is_empty() {
            self.0.resize(GROUPS, Words::default());
        }
        let words = &mut self.0[Self::place(key)].0;
        let at = |wanted| words.iter().position(|word| *word == wanted);
        let place = match (at(old), new) {
            (None, 0) => return,
            (Some(place), _) => place,
            (None, new) => at(0).unwrap_or(new as usize % words.len()),
        };
        words[place] = new;
    }
}

/// Copies a record to where an older state of the same session is: mostly nothing has to be allocated for that.
fn copy(from: &Record, to: &mut Record) {
    let Record {
        handle,
        times,
        subject,
        label,
        version,
        fields,
    } = from;
    (to.handle, to.times, to.version) = (*handle, *times, *version);
    to.fields.clone_from(fields);
    if to.subject != *subject {
        to.subject.clone_from(subject);
    }
    if to.label != *label {
        to.label.clone_from(label);
    }
}

fn size(record: &Record) -> usize {
    OVERHEAD + record.fields.as_bytes().len()
}

#[cfg(test)]
mod tests {
    use cloakroom_core::id::Handle;
    use cloakroom_core::record::{Changes, Fields, NewSession, Value};
    use cloakroom_core::{Lifetimes, UnixMillis};

    use super::*;

    /// A hash that is as good as random in all its bytes.
    fn key(number: u64) -> StoredKey {
        let mut hash = [0; 32];
        let mut next = number;
        for part in hash.chunks_exact_mut(8) {
            next = (next ^ (next >> 30)).wrapping_add(0x9e37_79b9_7f4a_7c15);
            next = next.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            part.copy_from_slice(&(next ^ (next >> 27)).to_le_bytes());
        }
        StoredKey::from_parts(SlotTag::default(), hash)
    }

    fn record() -> Record {
        let lifetimes = Lifetimes::fixed(std::time::Duration::from_secs(60)).expect("limits");
        let new = NewSession {
            handle: Handle::from_bytes([7; 12]),
            lifetimes,
            subject: None,
            label: None,
            max_sessions: None,
            fields: Fields::default(),
        };
        Record::create(&new, UnixMillis::new(1000))
    }

    fn later(record: &Record, seen_at: u64) -> Record {
        let mut changes = Changes::new();
        let set = changes.set("a", Value::integer(1));
        set.expect("within the limits");
        let mut record = record.clone();
        let applied = record.apply(&changes, UnixMillis::new(seen_at));
        applied.expect("within the limits");
        record
    }

    #[test]
    fn the_latest_state_is_known_in_whatever_order_states_are_seen() {
        let recent = Recent::default();
        let first = record();
        let second = later(&first, 2000);
        let both = [&first, &second];
        for (number, latest) in [(0, 0), (0, 0), (1, 1), (0, 1), (1, 1), (0, 1)] {
            recent.see(&key(1), both[number]);
            let known = recent.get(&key(1));
            assert_eq!(known.as_ref(), Some(both[latest]), "{number} was seen");
        }
        let mut touched = second.clone();
        touched.touch(UnixMillis::new(3000));
        recent.see(&key(1), &touched);
        assert_eq!(
            recent.get(&key(1)),
            Some(touched.clone()),
            "times change alone"
        );
        // As a save does, whose answer may come late.
        recent.put(&key(1), first);
        assert_eq!(recent.get(&key(1)), Some(touched), "the first came late");
    }

    #[test]
    fn what_was_forgotten_or_changed_is_seen_again() {
        let recent = Recent::default();
        let (first, other) = (record(), later(&record(), 2000));
        recent.see(&key(1), &first);
        recent.forget(&key(1));
        assert_eq!(recent.get(&key(1)), None);
        recent.see(&key(1), &first);
        assert_eq!(
            recent.get(&key(1)),
            Some(first.clone()),
            "after it was forgotten"
        );
        recent.forget_tags(&|_| true);
        recent.see(&key(1), &first);
        assert_eq!(
            recent.get(&key(1)),
            Some(first.clone()),
            "after its tag was"
        );
        recent.clear();
        recent.see(&key(1), &first);
        assert_eq!(recent.get(&key(1)), Some(first.clone()), "after all were");
        // Another session under the key: the first may be there again afterwards.
        let mut another = other;
        another.handle = Handle::from_bytes([8; 12]);
        recent.put(&key(1), another);
        recent.see(&key(1), &first);
        assert_eq!(
            recent.get(&key(1)),
            Some(first),
            "after another was put there"
        );
    }

    /// More than fit, and more than have words: what was left out for room is remembered when it is seen.
    #[test]
    fn what_had_to_go_for_others_is_seen_again() {
        let recent = Recent::default();
        let (record, many) = (record(), 200_000);
        for number in 0..many {
            recent.see(&key(number), &record);
        }
        let bytes: usize = recent.0.iter().map(|shard| shard.lock().bytes).sum();
        assert!(bytes <= SHARDS * SHARD_BYTES, "{bytes} bytes");
        for number in (0..many).step_by(7) {
            recent.see(&key(number), &record);
            assert!(recent.get(&key(number)).is_some(), "number {number}");
        }
    }
}

//! What this process saw of sessions a moment ago, so that a save after a load is one trip: the
//! changes are merged into this, and Redis takes the result only if nothing changed since. It is a
//! hint, never an answer: nobody reads a session from here.

mod mark;
mod shard;

use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::record::Changes;
use cloakroom_core::{Record, UnixMillis};
use parking_lot::Mutex;

pub(crate) use shard::Place;
use shard::Shard;

const SHARDS: usize = 16;

/// The records seen last.
#[derive(Debug, Default)]
pub(crate) struct Recent([Mutex<Shard>; SHARDS]);

impl Recent {
    /// Remembers what was read or written, unless that or a later state of it is known. Under one version
    /// the fields are the same, but for another server's, and then everything is forgotten.
    pub(crate) fn see(&self, key: &StoredKey, record: &Record) {
        self.shard(key).lock().see(key, record);
    }

    /// What was seen of a session last.
    pub(crate) fn get(&self, key: &StoredKey) -> Option<Record> {
        self.with(key, |record, _, _| Some(record.clone()))
    }

    /// Looks at what was seen of a session last, where it lies; there is an empty buffer to work with.
    pub(crate) fn with<T>(
        &self,
        key: &StoredKey,
        look: impl FnOnce(&Record, Place, &mut Vec<u8>) -> Option<T>,
    ) -> Option<T> {
        self.shard(key).lock().with(key, look)
    }

    /// What was found at `place` was changed so at the server, at `now`. Another state that is there by now stays: it was
    /// not what was changed.
    pub(crate) fn saved(&self, key: &StoredKey, place: Place, changes: &Changes, now: UnixMillis) {
        self.shard(key).lock().saved(key, place, changes, now);
    }

    /// Forgets a session that is gone.
    pub(crate) fn forget(&self, key: &StoredKey) {
        self.shard(key).lock().forget(key);
    }

    /// Forgets the sessions of some tags: as [`Recent::clear`], for a server that got only these.
    pub(crate) fn forget_tags(&self, is_one: &dyn Fn(SlotTag) -> bool) {
        for shard in &self.0 {
            shard.lock().forget_tags(is_one);
        }
    }

    /// Forgets everything: another server may have other states under the same versions.
    pub(crate) fn clear(&self) {
        for shard in &self.0 {
            shard.lock().clear();
        }
    }

    fn shard(&self, key: &StoredKey) -> &Mutex<Shard> {
        &self.0[usize::from(key.hash()[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use cloakroom_core::id::Handle;
    use cloakroom_core::record::{Changes, Fields, NewSession, Value};
    use cloakroom_core::{Codec, Lifetimes, UnixMillis};

    use super::shard::SHARD_BYTES;
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

    fn changes() -> Changes {
        let mut changes = Changes::new();
        let set = changes.set("a", Value::integer(1));
        set.expect("within the limits");
        changes
    }

    fn later(record: &Record, seen_at: u64) -> Record {
        let mut record = record.clone();
        let applied = record.apply(&changes(), UnixMillis::new(seen_at));
        applied.expect("within the limits");
        record
    }

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    fn data(bytes: usize) -> Changes {
        let mut changes = Changes::new();
        for name in NAMES {
            let value = Value::new(Codec::Raw, vec![1; bytes / NAMES.len()]);
            changes.set(name, value).expect("within the limits");
        }
        changes
    }

    fn with_data(record: &Record, bytes: usize) -> Record {
        let mut record = record.clone();
        let applied = record.apply(&data(bytes), UnixMillis::new(2000));
        applied.expect("within the limits");
        record
    }

    fn place(recent: &Recent, key: &StoredKey) -> Place {
        let place = recent.with(key, |_, place, _| Some(place));
        place.expect("it is there")
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
        recent.see(&key(1), &first);
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
        recent.see(&key(1), &another);
        recent.see(&key(1), &first);
        assert_eq!(
            recent.get(&key(1)),
            Some(first),
            "after another was put there"
        );
    }

    #[test]
    fn a_save_changes_what_it_was_made_from_and_nothing_else() {
        let recent = Recent::default();
        let (first, now) = (record(), UnixMillis::new(2000));
        let second = later(&first, 2000);
        recent.see(&key(1), &first);
        let saved = place(&recent, &key(1));
        recent.saved(&key(1), saved, &changes(), now);
        assert_eq!(recent.get(&key(1)), Some(second.clone()));
        recent.see(&key(1), &second);
        assert_eq!(
            recent.get(&key(1)),
            Some(second.clone()),
            "it is seen again"
        );
        recent.saved(&key(1), saved, &changes(), now);
        assert_eq!(
            recent.get(&key(1)),
            Some(second.clone()),
            "it is changed once"
        );
        // Whatever became of it meanwhile: another server's state, under the same version, is another.
        let becomes: [&dyn Fn(); 3] = [
            &|| recent.forget(&key(1)),
            &|| recent.forget_tags(&|_| true),
            &|| recent.clear(),
        ];
        for become_of in becomes {
            let place = place(&recent, &key(1));
            become_of();
            recent.saved(&key(1), place, &changes(), now);
            assert_eq!(recent.get(&key(1)), None, "it was forgotten");
            recent.see(&key(2), &first);
            recent.saved(&key(1), place, &changes(), now);
            assert_eq!(recent.get(&key(2)), Some(first.clone()), "in its place");
            recent.see(&key(1), &second);
            recent.saved(&key(1), place, &changes(), now);
            assert_eq!(recent.get(&key(1)), Some(second.clone()), "seen again");
        }
    }

    #[test]
    fn a_state_is_told_from_another_by_each_of_its_parts() {
        let first = record();
        let version = later(&first, first.times.seen_at.as_millis());
        let mut times = first.clone();
        times.touch(UnixMillis::new(3000));
        let mut handle = first.clone();
        handle.handle = Handle::from_bytes([8; 12]);
        for other in [version, times, handle] {
            let recent = Recent::default();
            recent.see(&key(1), &first);
            recent.see(&key(1), &other);
            assert_eq!(recent.get(&key(1)), Some(other));
        }
    }

    #[test]
    fn a_place_is_of_one_state() {
        let (first, now) = (record(), UnixMillis::new(3000));
        let second = later(&first, 2000);
        for is_cleared in [false, true] {
            let recent = Recent::default();
            recent.see(&key(1), &first);
            let before = place(&recent, &key(1));
            if is_cleared {
                recent.clear();
            }
            recent.see(&key(1), &second);
            recent.saved(&key(1), before, &changes(), now);
            assert_eq!(recent.get(&key(1)), Some(second.clone()));
        }
        // One that is seen once more is where it was.
        let recent = Recent::default();
        recent.see(&key(1), &first);
        let saved = place(&recent, &key(1));
        recent.saved(&key(1), saved, &changes(), UnixMillis::new(2000));
        let before = place(&recent, &key(1));
        recent.see(&key(1), &second);
        recent.saved(&key(1), before, &changes(), now);
        assert_eq!(recent.get(&key(1)), Some(later(&second, 3000)));
    }

    #[test]
    fn what_cannot_be_followed_is_forgotten() {
        let recent = Recent::default();
        recent.see(&key(1), &with_data(&record(), 10));
        let mut increment = Changes::new();
        increment.increment(NAMES[0], 1).expect("within the limits");
        let before = place(&recent, &key(1));
        recent.saved(&key(1), before, &increment, UnixMillis::new(2000));
        assert_eq!(recent.get(&key(1)), None);
    }

    #[test]
    fn a_tag_is_forgotten_without_the_others() {
        let recent = Recent::default();
        let tag = SlotTag::new(7).expect("there is such a tag");
        let other = StoredKey::from_parts(tag, *key(1).hash());
        recent.see(&key(2), &record());
        recent.see(&other, &record());
        recent.forget_tags(&|one| one == tag);
        assert_eq!(recent.get(&other), None);
        assert!(recent.get(&key(2)).is_some());
    }

    #[test]
    fn marks_of_one_form_lead_to_their_own_session() {
        let recent = Recent::default();
        let mut hash = *key(1).hash();
        hash[10] ^= 1;
        let alike = StoredKey::from_parts(SlotTag::default(), hash);
        let (first, second) = (record(), later(&record(), 2000));
        recent.see(&key(1), &first);
        recent.see(&alike, &second);
        assert_eq!(recent.get(&key(1)), Some(first));
        assert_eq!(recent.get(&alike), Some(second));
    }

    #[test]
    fn a_buffer_is_empty_for_each() {
        let recent = Recent::default();
        recent.see(&key(1), &record());
        for _ in 0..2 {
            let found = recent.with(&key(1), |_, _, buffer| {
                assert!(buffer.is_empty());
                buffer.push(1);
                Some(())
            });
            found.expect("it is there");
        }
    }

    #[test]
    fn who_comes_and_goes_leaves_no_row() {
        let recent = Recent::default();
        for _ in 0..1 << 17 {
            recent.see(&key(1), &record());
            recent.forget(&key(1));
        }
        recent.see(&key(1), &record());
        assert!(recent.get(&key(1)).is_some());
    }

    /// Who grows makes others go, and not himself; and what is counted is what is there.
    #[test]
    fn sessions_that_grow_take_no_more_than_there_is() {
        let keys: Vec<_> = (0..5)
            .map(|number| {
                let mut hash = *key(number).hash();
                hash[0] = 0;
                StoredKey::from_parts(SlotTag::default(), hash)
            })
            .collect();
        let bytes = |recent: &Recent| recent.0[0].lock().bytes;
        let small = with_data(&record(), 10);
        let large = with_data(&small, 200_000);
        for is_saved in [true, false] {
            let recent = Recent::default();
            for key in &keys {
                recent.see(key, &small);
                recent.see(key, &large);
            }
            assert!(bytes(&recent) > 1_000_000, "{}", bytes(&recent));
            if is_saved {
                let before = place(&recent, &keys[0]);
                recent.saved(&keys[0], before, &data(250_000), UnixMillis::new(2000));
            } else {
                recent.see(&keys[0], &with_data(&large, 250_000));
            }
            assert!(recent.get(&keys[0]).is_some(), "it was seen just now");
            assert!(recent.get(&keys[1]).is_none(), "it was the oldest");
            assert!(bytes(&recent) < SHARD_BYTES, "{}", bytes(&recent));
            keys.iter().for_each(|key| recent.forget(key));
            assert_eq!(bytes(&recent), 0);
        }
    }

    /// More than fit, and more than have marks: what was left out for room is remembered when it is seen.
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

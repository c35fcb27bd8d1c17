//! What is remembered of keys whose session ended or moved on, so that late responses are told
//! "ended" and not "unknown", and requests on their way still find a session that has just rotated.
//!
//! A ring in the order of ending (all are remembered equally long) and a table over it. It is
//! bounded by time and by number: by [`MOST`] in each shard, which with 32 shards is 35,000 endings
//! a second, kept up for two minutes; under a memory limit by [`SHARE`] of that. Beyond, the oldest
//! goes first. Sessions never take from the share, nor does a flood of endings take from sessions:
//! it is counted as taken from the beginning.

use std::collections::VecDeque;

use cloakroom_core::{StoredKey, UnixMillis, limits};

use crate::table::{NUMBER_BITS, Table};

/// Tombstones in one shard.
const MOST: usize = 1 << 17;

/// Tombstones in one shard that are kept under any memory limit.
const FEWEST: usize = 64;

/// The part of a memory limit that is theirs: one in so many bytes.
const SHARE: u64 = 16;

/// Bytes of a tombstone at most, with its forward and its places in the table; a test counts them.
const TOMB_BYTES: usize = 144;

/// Bytes of the table while it is all but empty.
const TABLE_BYTES: usize = 512;

/// Places are counted round and round, as far as the table takes numbers; the ring is shorter.
const PLACES: u32 = (1 << NUMBER_BITS) - 1;

/// The keys that ended lately.
#[derive(Debug)]
pub(crate) struct Tombs {
    ring: VecDeque<Tomb>,
    /// Places in the ring, counted from the first tombstone there ever was, by hash of the key.
    places: Table,
    first: u32,
    forwards: usize,
    most: usize,
    /// Bytes that are counted as taken in any case.
    reserved: usize,
}

#[derive(Debug)]
struct Tomb {
    key: StoredKey,
    ended_at: UnixMillis,
    forward: Option<Box<Forward>>,
}

#[derive(Debug)]
struct Forward {
    to: StoredKey,
    until: UnixMillis,
}

/// What a tombstone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// The session moved to this key, and requests may follow it.
    Moved(StoredKey),
    /// It ended, or moved on too long ago.
    Ended,
}

impl Tombs {
    /// For a shard whose part of the memory limit this is, if there is one.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        let (most, reserved) = match limit {
            None => (MOST, 0),
            Some(limit) => {
                let share = usize::try_from(limit / SHARE).unwrap_or(usize::MAX);
                let most = (share / TOMB_BYTES).clamp(FEWEST, MOST);
                (most, most * TOMB_BYTES + TABLE_BYTES)
            }
        };
        Self {
            ring: VecDeque::new(),
            places: Table::new(),
            first: 0,
            forwards: 0,
            most,
            reserved,
        }
    }

    /// Remembers that `key` ended, perhaps by moving to another key that may be followed until
    /// then.
    pub(crate) fn bury(
        &mut self,
        key: &StoredKey,
        now: UnixMillis,
        moved: Option<(StoredKey, UnixMillis)>,
        hash_of: impl Fn(&StoredKey) -> u64,
    ) {
        self.forget(now, 2, &hash_of);
        let len = self.ring.len();
        if len == self.most {
            self.pop(&hash_of);
        } else if len == self.ring.capacity() {
            let more = (len / 2).max(FEWEST).min(self.most - len);
            self.ring.reserve_exact(more);
        }
        let place = (self.first + self.ring.len() as u32) & PLACES;
        let forward = moved.map(|(to, until)| Box::new(Forward { to, until }));
        self.forwards += usize::from(forward.is_some());
        self.ring.push_back(Tomb {
            key: *key,
            ended_at: now,
            forward,
        });
        let (ring, first) = (&self.ring, self.first);
        let key_at = |place: &u32| hash_of(&ring[nth(*place, first)].key);
        self.places.insert(hash_of(key), place, key_at);
    }

    /// What is remembered of `key`. A forward that has run out does not come back, whatever the
    /// clock does.
    pub(crate) fn look(
        &mut self,
        key: &StoredKey,
        now: UnixMillis,
        hash: u64,
    ) -> Option<Remembered> {
        if self.ring.is_empty() {
            return None;
        }
        let (ring, first) = (&self.ring, self.first);
        let at = |place: u32| nth(place, first);
        let speaks = |place: &u32| {
            let tomb = &ring[at(*place)];
            tomb.key == *key && now.since(tomb.ended_at) < limits::TOMBSTONE
        };
        let place = self.places.find(hash, speaks)?;
        let tomb = &mut self.ring[at(place)];
        match &tomb.forward {
            Some(forward) if now < forward.until => Some(Remembered::Moved(forward.to)),
            Some(_) => {
                tomb.forward = None;
                self.forwards -= 1;
                Some(Remembered::Ended)
            }
            None => Some(Remembered::Ended),
        }
    }

    /// Tells up to `budget` tombstones, from this place on or from the oldest. Returns where to go
    /// on, if there are more.
    pub(crate) fn walk(
        &self,
        place: Option<u32>,
        budget: usize,
        each: &mut dyn FnMut(StoredKey, UnixMillis, Option<(StoredKey, UnixMillis)>),
    ) -> Option<u32> {
        // Those that were forgotten meanwhile are before the first.
        let from = place.map_or(0, |place| nth(place, self.first));
        let from = if from > self.ring.len() { 0 } else { from };
        for tomb in self.ring.iter().skip(from).take(budget) {
            let forward = tomb.forward.as_ref().map(|it| (it.to, it.until));
            each(tomb.key, tomb.ended_at, forward);
        }
        let next = from + budget;
        (next < self.ring.len()).then(|| (self.first + next as u32) & PLACES)
    }

    /// Forgets up to `budget` tombstones that are old enough. Returns whether there may be more.
    pub(crate) fn forget(
        &mut self,
        now: UnixMillis,
        budget: usize,
        hash_of: impl Fn(&StoredKey) -> u64,
    ) -> bool {
        for _ in 0..budget {
            let Some(oldest) = self.ring.front_mut() else {
                return false;
            };
            if oldest.ended_at > now {
                // The clock went back: count from here, so that nothing is kept for ages.
                if let Some(forward) = &mut oldest.forward {
                    let grace = forward.until.since(oldest.ended_at);
                    forward.until = now.saturating_add(grace);
                }
                oldest.ended_at = now;
            }
            if now.since(oldest.ended_at) < limits::TOMBSTONE {
                return false;
            }
            self.pop(&hash_of);
        }
        true
    }

    /// Gives memory back that a burst of endings took, as [`Table::shrink`] does.
    pub(crate) fn shrink(&mut self, hash_of: impl Fn(&StoredKey) -> u64) -> bool {
        if self.ring.capacity() > 64 && self.ring.len() < self.ring.capacity() / 8 {
            self.ring.shrink_to(self.ring.len() * 2);
        }
        let (ring, first) = (&self.ring, self.first);
        let key_at = |place: &u32| hash_of(&ring[nth(*place, first)].key);
        self.places.shrink(key_at)
    }

    /// Bytes that count as taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_in_use().max(self.reserved)
    }

    fn bytes_in_use(&self) -> usize {
        self.ring.capacity() * size_of::<Tomb>()
            + self.forwards * (size_of::<Forward>() + ALLOCATION)
            + self.places.bytes()
    }

    fn pop(&mut self, hash_of: impl Fn(&StoredKey) -> u64) {
        if let Some(tomb) = self.ring.pop_front() {
            self.places.remove(hash_of(&tomb.key), self.first);
            self.first = (self.first + 1) & PLACES;
            self.forwards -= usize::from(tomb.forward.is_some());
        }
    }
}

/// What the allocator adds to each forward.
const ALLOCATION: usize = 16;

/// The index in a ring that begins with `first`.
const fn nth(place: u32, first: u32) -> usize {
    (place.wrapping_sub(first) & PLACES) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloakroom_core::id::SlotTag;

    use super::*;

    fn key(number: u32) -> StoredKey {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_le_bytes());
        StoredKey::from_parts(SlotTag::new(1).unwrap(), hash)
    }

    fn hash(key: &StoredKey) -> u64 {
        let number = u32::from_le_bytes(key.hash()[..4].try_into().unwrap());
        u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn at(secs: u64) -> UnixMillis {
        UnixMillis::new(1_700_000_000_000 + secs * 1_000)
    }

    fn look(tombs: &mut Tombs, number: u32, secs: u64) -> Option<Remembered> {
        tombs.look(&key(number), at(secs), hash(&key(number)))
    }

    #[test]
    fn remembers_for_the_time_that_was_promised() {
        let mut tombs = Tombs::new(None);
        tombs.bury(&key(1), at(0), None, hash);
        tombs.bury(&key(2), at(0), Some((key(3), at(30))), hash);
        assert_eq!(look(&mut tombs, 1, 119), Some(Remembered::Ended));
        assert_eq!(look(&mut tombs, 2, 29), Some(Remembered::Moved(key(3))));
        assert_eq!(look(&mut tombs, 2, 30), Some(Remembered::Ended));
        assert_eq!(look(&mut tombs, 2, 10), Some(Remembered::Ended), "revived");
        assert_eq!(look(&mut tombs, 1, 120), None);
        assert_eq!(look(&mut tombs, 4, 0), None);
        tombs.forget(at(120), 9, hash);
        assert_eq!((tombs.ring.len(), tombs.forwards), (0, 0));
    }

    #[test]
    fn a_clock_that_went_back_keeps_nothing_for_ages() {
        let mut tombs = Tombs::new(None);
        let year = 365 * 24 * 3600;
        tombs.bury(&key(1), at(year), Some((key(2), at(year + 60))), hash);
        tombs.forget(at(0), 9, hash);
        assert_eq!(look(&mut tombs, 1, 59), Some(Remembered::Moved(key(2))));
        assert_eq!(look(&mut tombs, 1, 60), Some(Remembered::Ended));
        tombs.forget(at(0).saturating_add(Duration::from_secs(120)), 9, hash);
        assert!(tombs.ring.is_empty());
    }

    #[test]
    fn is_bounded_and_forgets_the_oldest() {
        let mut tombs = Tombs::new(None);
        for number in 0..=MOST as u32 {
            tombs.bury(&key(number), at(0), None, hash);
        }
        assert_eq!(look(&mut tombs, 0, 1), None);
        assert_eq!(look(&mut tombs, 1, 1), Some(Remembered::Ended));
        let full = tombs.bytes();
        tombs.forget(at(200), usize::MAX, hash);
        while tombs.shrink(hash) {}
        assert!(tombs.bytes() < full / 50);
    }

    #[test]
    fn a_share_of_the_memory_is_enough_for_as_many_as_it_says() {
        for limit in [0, 1 << 20, 3 << 20, 1 << 40] {
            let mut tombs = Tombs::new(Some(limit));
            for number in 0..=2 * tombs.most as u32 {
                tombs.bury(&key(number), at(0), Some((key(0), at(60))), hash);
                assert!(
                    tombs.bytes_in_use() <= tombs.reserved,
                    "{number} of {limit}"
                );
            }
            assert_eq!(tombs.ring.len(), tombs.most);
        }
    }
}

//! Which states are known, and where: marks, eight in a line of the cache.

use cloakroom_core::Record;
use cloakroom_core::id::StoredKey;

/// Groups of marks in a shard: 512 KiB in all, and places for 65536 sessions.
pub(super) const GROUPS: usize = 512;

/// As many as lie together in a cache.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub(super) struct Group(pub(super) [Mark; 8]);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// Stands for the state. Two states with one number would cost a save a second trip.
    pub(super) state: u32,
    /// A part of the key.
    pub(super) key: u16,
    /// One more than the number of the row; 0 for none.
    pub(super) row: u16,
}

impl Mark {
    /// Keys are as good as random already: they are hashes, or ids of sessions that were found.
    pub(super) fn group(key: &StoredKey) -> usize {
        let [.., one, other] = *key.hash();
        usize::from(u16::from_le_bytes([one, other])) % GROUPS
    }

    pub(super) fn part(key: &StoredKey) -> u16 {
        let [_, one, other, ..] = *key.hash();
        u16::from_le_bytes([one, other])
    }

    /// What stands for the state of a session: under one key, handle and version only the last activity
    /// may still differ.
    pub(super) fn state(key: &StoredKey, record: &Record) -> u32 {
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
        let sum = parts.iter().fold(0u64, |sum, (part, by): &(u64, u64)| {
            sum.wrapping_add(part.wrapping_mul(*by).rotate_left(29))
        });
        (sum ^ (sum >> 32)) as u32
    }

    pub(super) fn row(self) -> Option<usize> {
        usize::from(self.row).checked_sub(1)
    }

    pub(super) fn is_of(self, row: usize) -> bool {
        usize::from(self.row) == row + 1
    }
}

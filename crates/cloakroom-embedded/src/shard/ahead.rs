//! Memory that a step on a key will read, asked for before it is needed: in front of a pipeline, and of a
//! value while its key is compared.

use super::Shard;
use crate::engine::Reach;
use crate::pool;

/// Bytes of a line of the cache.
const LINE: usize = 64;
/// Lines of an entry that say what it is, and its key.
const HEAD_LINES: usize = 2;
/// Lines of an entry that are asked for at most: the processor sees by then where it goes.
const VALUE_LINES: usize = 9;

impl Shard {
    /// Says that the key of this hash is looked for next.
    #[inline]
    pub(crate) fn prefetch_name(&self, hash: u64) {
        self.names.table.prefetch(hash);
    }

    /// Says that a key gets this mark next.
    #[inline]
    pub(crate) fn prefetch_mark(&self, mark: &[u8]) {
        if let Some(hash) = self.hash_of_mark(mark) {
            self.names.marked.prefetch(hash);
        }
    }

    /// Says so once more, when what [`Shard::prefetch_name`] asked for is there: now the entry is
    /// asked for.
    #[inline]
    pub(crate) fn prefetch_key(&self, hash: u64, reach: Reach) {
        let Some(slot) = self.names.table.find(hash, |_| true) else {
            return;
        };
        ask_for(self.slab.get(slot), reach);
    }
}

/// Asks for the lines of an entry, so that the misses of the cache happen at the same time. Else the
/// second waits for the comparison of the keys, which is in the first line, and the rest waits for the
/// lengths, which are in the second. They are asked for and not read, so that the first are worked on
/// while the last are on their way.
#[inline]
pub(super) fn ask_for(entry: &[u8], reach: Reach) {
    let most = LINE
        * match reach {
            Reach::Head => HEAD_LINES,
            Reach::Value => VALUE_LINES,
        };
    let entry = &entry[..entry.len().min(most)];
    let lines = entry.iter().step_by(LINE).chain(entry.last());
    lines.for_each(pool::prefetch);
}

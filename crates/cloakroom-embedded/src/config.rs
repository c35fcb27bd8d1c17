//! What can be set on an embedded store, checked once, when it is opened.

use std::sync::Arc;

use cloakroom_core::id::SlotTag;
use cloakroom_core::observe::Unobserved;
use cloakroom_core::{Clock, Error, ErrorKind, Observer};

use crate::clock::SystemClock;
use crate::journal::JournalConfig;

/// The smallest `max_memory`, in bytes: below it, pages and tables leave no room for sessions.
pub const MIN_MEMORY: u64 = 1 << 20;

/// Bytes that a shard has at least and at most, if there is a limit and the number of shards is not given.
const LEAST_PART: u64 = 1 << 20;
const MOST_PART: u64 = 512 << 20;
/// Shards that there are at least and at most, but for that. Of each size of what is stored a shard has a page that is half empty.
const FEWEST_SHARDS: u64 = 32;
const MOST_SHARDS: u64 = 1024;

/// Who leaves when `max_memory` is reached. The names are those of Redis, because operators know
/// them. Every session has a deadline; a key of a keyspace may have none, and then `volatile-*` let it
/// stay. Sessions and keys share one budget.
///
/// Eviction happens in the shard that needs room, or in the one that has most if that needs less
/// than its part, and never takes the session that is being written, nor what is remembered of ended sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Eviction {
    /// Nobody: creating, and writes that need more room, fail with `ErrorKind::StoreFull` or
    /// [`KeyError::Full`](crate::KeyError::Full).
    #[default]
    NoEviction,
    /// Sessions and keys with a deadline that were not used lately: second chance (CLOCK) over pages
    /// of memory, one reference bit for each, set by every read and write.
    VolatileLru,
    /// Sessions and keys that end soonest, by the timing wheel; exact to the wheel's buckets.
    VolatileTtl,
    /// As [`Eviction::VolatileLru`], but keys without a deadline leave as others do.
    AllkeysLru,
}

/// The settings of an [`EmbeddedStore`](crate::EmbeddedStore).
///
/// ```
/// use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore, Eviction};
///
/// let config = EmbeddedConfig::new()
///     .max_memory(Some(256 << 20))
///     .eviction(Eviction::VolatileLru);
/// let store = EmbeddedStore::new(config)?;
/// # Ok::<(), cloakroom_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    pub(crate) shards: Option<usize>,
    pub(crate) max_memory: Option<u64>,
    pub(crate) eviction: Eviction,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) housekeeping: bool,
    pub(crate) journal: Option<JournalConfig>,
}

impl EmbeddedConfig {
    /// The defaults: no memory limit, the system's clock, nobody observes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: None,
            max_memory: None,
            eviction: Eviction::default(),
            clock: Arc::new(SystemClock),
            observer: Arc::new(Unobserved),
            housekeeping: true,
            journal: None,
        }
    }

    /// How many parts the store has, each behind a lock of its own: a power of two from 1 to 4096.
    /// By default 32 or 8 per core, whichever is more; as many more as leave none above 512 MiB of `max_memory`, for
    /// which a part has pages whatever is in it (131072, and a value above 4 KiB has one of its own); and never so
    /// many that one is below 1 MiB of it.
    #[must_use]
    pub const fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// The most bytes that the store takes, at least [`MIN_MEMORY`]. Counted are the bytes that
    /// pages, tables and wheels really take, used or not, and a sixteenth of the limit for what is
    /// remembered of ended sessions; not the records on their way to a caller. Pages that are freed
    /// wait for the next session, and go back to the system in pieces of 2 MiB; until then
    /// they are resident, though not counted: never more than what was once in use, and at most
    /// 8 MiB that never was.
    #[must_use]
    pub const fn max_memory(mut self, bytes: Option<u64>) -> Self {
        self.max_memory = bytes;
        self
    }

    /// Who leaves when `max_memory` is reached.
    #[must_use]
    pub const fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }

    /// The clock that decides expiry.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who hears of sessions that expired (`Event::Expired`). Called outside of any lock.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Whether a thread of the store's own sweeps; without it, call
    /// [`EmbeddedStore::sweep`](crate::EmbeddedStore::sweep). Expiry is exact either way.
    #[must_use]
    pub const fn housekeeping(mut self, on: bool) -> Self {
        self.housekeeping = on;
        self
    }

    /// Keeps what the store holds on a disk as well, and begins with what is there. By default
    /// everything goes with the process. What is there is read in any case; if it takes more than
    /// `max_memory`, some is evicted then, or nothing new is taken until there is room.
    #[must_use]
    pub fn journal(mut self, journal: JournalConfig) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The number of shards, checked.
    pub(crate) fn shard_count(&self) -> Result<usize, Error> {
        if let Some(limit) = self.max_memory
            && limit < MIN_MEMORY
        {
            return Err(invalid(
                "max_memory",
                limit.to_string(),
                "give at least 1 MiB (1048576 bytes), or no limit",
            ));
        }
        match self.shards {
            Some(shards) if shards.is_power_of_two() && shards <= SlotTag::COUNT => Ok(shards),
            Some(shards) => Err(invalid(
                "shards",
                shards.to_string(),
                "give a power of two from 1 to 4096",
            )),
            None => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                Ok(usual_shards(cores, self.max_memory))
            }
        }
    }
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self::new()
    }
}

fn invalid(setting: &'static str, value: String, fix: &'static str) -> Error {
    ErrorKind::InvalidSetting {
        setting,
        value,
        fix,
    }
    .into()
}

fn usual_shards(cores: usize, max_memory: Option<u64>) -> usize {
    let by_cores = ((cores * 8) as u64).max(FEWEST_SHARDS);
    let wanted = max_memory.map_or(by_cores, |limit| {
        let room = 1 << (limit / LEAST_PART).ilog2();
        let by_pages = limit.div_ceil(MOST_PART);
        by_cores.max(by_pages).next_power_of_two().min(room)
    });
    wanted.next_power_of_two().min(MOST_SHARDS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_as_many_as_cores_and_memory_want() {
        const GIB: u64 = 1 << 30;
        for (cores, max_memory, shards) in [
            (1, None, 32),
            (2, None, 32),
            (6, None, 64),
            (500, None, 1_024),
            (2, Some(MIN_MEMORY), 1),
            (2, Some(7 << 20), 4),
            (2, Some(40 << 20), 32),
            (2, Some(16 * GIB), 32),
            (2, Some(16 * GIB + 1), 64),
            (2, Some(100 * GIB), 256),
            (2, Some(u64::MAX), 1_024),
            (64, Some(100 << 20), 64),
        ] {
            let usual = usual_shards(cores, max_memory);
            assert_eq!(usual, shards, "{cores} cores, {max_memory:?}");
        }
    }
}

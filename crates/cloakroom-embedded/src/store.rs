//! The store contract on shards: which shard, which lock.

mod follow;
mod rotate;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use cloakroom_core::expiry::Limit;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::{Changes, Condition, NewSession, Rotation, Subject};
use cloakroom_core::store::{Absence, Applied, Cursor, Lookup, Page, Rotated, Stats, Store};
use cloakroom_core::{
    Clock, Error, ErrorKind, Event, Handle, Observer, Record, SessionInfo, StoredKey, UnixMillis,
    limits,
};
use hashbrown::DefaultHashBuilder;
use parking_lot::{Mutex, MutexGuard};

use crate::config::EmbeddedConfig;
use crate::durable::Durable;
use crate::engine::{Ears, Engine};
use crate::housekeeping;
use crate::journal::Effect;
use crate::pool::Pool;
use crate::shard::{At, Memory, POSITION_BITS, Reaped, Shard, Swept};
use crate::table::SEGMENTS;

/// Sessions that a sweep looks at before it lets go of a shard's lock: 0.1 ms, at five misses of the
/// cache each.
const SWEEP_BUDGET: usize = 64;

/// How often another shard makes room for one write: a page each time, and the largest session
/// takes 32 of the usual ones.
const GIFTS: usize = 40;

/// The last time that a session can carry: 48 bits, the year 10889.
const LAST_MOMENT: UnixMillis = UnixMillis::new((1 << 48) - 1);

/// Sessions in the memory of this process. Clones are handles of the same store; the sessions go
/// with the last of them.
#[derive(Clone)]
pub struct EmbeddedStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) shards: Box<[Mutex<Shard>]>,
    pub(crate) memory: Memory,
    /// Counts `revoke_all`. A session carries the count of its creation and is dead when it is
    /// behind. A count, not a time: no clock can bring a session to the right side of it.
    pub(crate) generation: AtomicU32,
    /// While a journal is read back nothing expires, because later effects may say that it lives.
    pub(crate) recovering: AtomicBool,
    pub(crate) journal: OnceLock<Durable>,
    pub(crate) expired: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    /// Over names of keys, as the shards' is over ids.
    pub(crate) hasher: DefaultHashBuilder,
    pub(crate) ears: Ears,
}

impl EmbeddedStore {
    /// An empty store.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`]; [`ErrorKind::StoreUnavailable`] if there is no thread to be
    /// had for housekeeping; [`ErrorKind::StoreRefused`] if the journal cannot be read or written,
    /// with a [`RecoverError`](crate::journal::RecoverError) as its source.
    pub fn new(config: EmbeddedConfig) -> Result<Self, Error> {
        let shards = config.shard_count()?;
        let EmbeddedConfig {
            max_memory,
            eviction,
            clock,
            observer,
            housekeeping,
            journal,
            ..
        } = config;
        let hasher = DefaultHashBuilder::default();
        let now = clock.now();
        let pool = Arc::new(Pool::new());
        let part = max_memory.map(|limit| limit / shards as u64);
        let store = Self(Arc::new(Inner {
            shards: (0..shards)
                .map(|_| {
                    let pool = Arc::clone(&pool);
                    Mutex::new(Shard::new(now, hasher.clone(), part, pool))
                })
                .collect(),
            memory: Memory::new(max_memory, part, eviction),
            generation: AtomicU32::new(0),
            recovering: AtomicBool::new(false),
            journal: OnceLock::new(),
            expired: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            clock,
            observer,
            hasher,
            ears: Ears::new(),
        }));
        for shard in &store.0.shards {
            shard.lock().count_memory(&store.0.memory);
        }
        if let Some(journal) = journal {
            store.open_journal(&journal)?;
        }
        if housekeeping {
            housekeeping::start(Arc::downgrade(&store.0))?;
        }
        Ok(store)
    }

    /// Removes what is over now and gives memory back; the store's own thread does it four times a
    /// second. Changes nothing that anybody can read.
    pub fn sweep(&self) {
        self.0.sweep();
    }

    /// The keyspaces beside these sessions.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine(Arc::clone(&self.0))
    }
}

impl Default for EmbeddedStore {
    /// A store with the default settings.
    ///
    /// # Panics
    /// If the operating system has no thread for housekeeping.
    fn default() -> Self {
        Self::new(EmbeddedConfig::default()).expect("the defaults are valid and a thread starts")
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("shards", &self.0.shards.len())
            .field("bytes", &self.0.memory.used())
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn sweep(&self) {
        self.sweep_at(UnixMillis::new(0));
    }

    /// Sweeps as if it were this time, if it is earlier.
    pub(crate) fn sweep_at(&self, earliest: UnixMillis) {
        let mut rest: Vec<usize> = (0..self.shards.len()).collect();
        while !rest.is_empty() {
            // Shard after shard, a portion each: whoever waits for one gets it meanwhile.
            rest.retain(|number| {
                let mut shard = self.shards[*number].lock();
                let at = self.at();
                let now = at.now.max(earliest);
                let swept = shard.sweep(SWEEP_BUDGET, At { now, ..at });
                self.finish(shard);
                swept == Swept::Some
            });
        }
    }

    pub(crate) fn shard_of(&self, tag: SlotTag) -> usize {
        usize::from(tag.number()) & (self.shards.len() - 1)
    }

    /// The time and the generation. Only under the lock of the shard that they are used for: an
    /// operation that waited judges by the time at which its turn came, and a `revoke_all` that
    /// was acknowledged before the lock was taken is seen.
    pub(crate) fn at(&self) -> At<'_> {
        let now = match self.recovering.load(Ordering::Relaxed) {
            false => self.clock.now().min(LAST_MOMENT),
            true => UnixMillis::new(0),
        };
        At {
            now,
            // Entries have room for 31 bits.
            generation: self.generation.load(Ordering::SeqCst) & (u32::MAX >> 1),
            memory: &self.memory,
            ears: &self.ears,
        }
    }

    /// Does something in the shard of `tag`.
    fn within<T>(&self, tag: SlotTag, work: impl FnOnce(&mut Shard, At<'_>) -> T) -> T {
        let mut shard = self.shards[self.shard_of(tag)].lock();
        let result = work(&mut shard, self.at());
        self.finish(shard);
        result
    }

    /// Does something that may find no room; then the shard that has most makes some. Without that,
    /// one subject with a million sessions, which all lie in one shard, would keep everybody else
    /// out.
    fn with_room<T>(&self, mut work: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        for _ in 0..GIFTS {
            match work() {
                Err(error) if *error.kind() == ErrorKind::StoreFull && self.give_room() => {}
                done => return done,
            }
        }
        work()
    }

    #[cold]
    pub(crate) fn give_room(&self) -> bool {
        if !self.memory.evicts() {
            return false;
        }
        // The fullest first; but what it has may be what the policy leaves alone.
        let mut shards: Vec<_> = self
            .shards
            .iter()
            .map(|it| (it.lock().counted(), it))
            .collect();
        shards.sort_by_key(|(counted, _)| std::cmp::Reverse(*counted));
        shards.into_iter().any(|(_, shard)| {
            let mut shard = shard.lock();
            let given = shard.give_room(self.at());
            self.finish(shard);
            given
        })
    }

    /// Lets go of a shard, then tells what was removed: observers are not called under a lock.
    pub(crate) fn finish(&self, mut shard: MutexGuard<'_, Shard>) {
        shard.count_memory(&self.memory);
        self.log(&mut shard);
        let (reaped, freed) = (shard.take_reaped(), shard.take_freed());
        // To whoever waits, not to whoever comes by: the sweep comes by again and again.
        MutexGuard::unlock_fair(shard);
        drop(freed);
        if reaped != Reaped::default() {
            self.report(reaped);
        }
    }

    #[cold]
    pub(crate) fn report(&self, reaped: Reaped) {
        let sessions = u64::from(reaped.idle) + u64::from(reaped.absolute);
        let expired = sessions + u64::from(reaped.keys);
        self.expired.fetch_add(expired, Ordering::Relaxed);
        self.evicted
            .fetch_add(u64::from(reaped.evicted), Ordering::Relaxed);
        for (limit, count) in [
            (Limit::Idle, reaped.idle),
            (Limit::Absolute, reaped.absolute),
        ] {
            for _ in 0..count {
                self.observer.observe(&Event::Expired(limit));
            }
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        self.0.admitted().await?;
        let create = || {
            self.0
                .within(key.tag(), |shard, at| shard.create(key, new, at))
        };
        let created = self.0.with_room(create)?;
        // A limit on a subject's sessions may have ended others.
        match (&new.subject, new.max_sessions) {
            (Some(_), Some(_)) => self.0.synced().await?,
            _ => self.0.written().await?,
        }
        Ok(created)
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        Ok(self.0.load(key))
    }

    fn load_at_once(&self, key: &StoredKey) -> Option<Lookup> {
        Some(self.0.load(key))
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        if keys.len() > limits::TOUCH_BATCH {
            return Err(ErrorKind::Limit {
                what: "touch",
                limit: limits::TOUCH_BATCH,
                size: keys.len(),
            }
            .into());
        }
        let touch = |key| {
            self.0.follow(key, |shard, alive, _, at| {
                shard.touch(alive, at);
            })
        };
        let touched = keys.iter().filter(|key| touch(key).is_ok()).count();
        self.0.written().await?;
        Ok(touched)
    }

    async fn apply(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        self.0.admitted().await?;
        let applied = self.0.with_room(|| {
            let applied = self.0.follow(key, |shard, alive, _, at| {
                shard.apply(alive, changes, condition, at)
            });
            applied.unwrap_or_else(|absence| Ok(Applied::Absent(absence)))
        })?;
        self.0.written().await?;
        Ok(applied)
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        self.0.admitted().await?;
        let rotated = self.0.with_room(|| {
            let mut from = *old;
            for hop in 0..=limits::FORWARD_HOPS {
                match self.0.rotate_from(&from, new, rotation, hop == 0) {
                    Ok(result) => return result,
                    Err(to) => from = to,
                }
            }
            Ok(Rotated::Absent(Absence::Ended))
        })?;
        // A login ends the session before it; whoever had its id must not have it back.
        match rotation.login {
            Some(_) => self.0.synced().await?,
            None => self.0.written().await?,
        }
        Ok(rotated)
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        let ended = self.0.follow(key, |shard, alive, _, at| {
            shard.destroy(alive, at);
        });
        self.0.synced().await?;
        Ok(ended.is_ok())
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        let tag = SlotTag::of_subject(subject);
        Ok(self
            .0
            .within(tag, |shard, at| shard.of_subject(subject, at)))
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        let tag = SlotTag::of_subject(subject);
        let revoked = self.0.within(tag, |shard, at| {
            shard.revoke(subject, |known| known == *handle, at)
        });
        self.0.synced().await?;
        Ok(revoked > 0)
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        let tag = SlotTag::of_subject(subject);
        let revoked = self.0.within(tag, |shard, at| {
            shard.revoke(subject, |known| Some(&known) != except, at)
        });
        self.0.synced().await?;
        Ok(revoked)
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        let before = self.0.generation.fetch_add(1, Ordering::SeqCst);
        self.0.append(&Effect::Generation(before.wrapping_add(1)));
        self.0.synced().await
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, limits::SCAN_PAGE);
        let mut sessions = Vec::new();
        let (mut place, mut position) = (
            usize::try_from(cursor.0 >> POSITION_BITS).unwrap_or(usize::MAX),
            cursor.0 & ((1 << POSITION_BITS) - 1),
        );
        while let Some(shard) = self.0.shards.get(place / SEGMENTS) {
            let mut shard = shard.lock();
            let room = limit - sessions.len();
            let segment = place % SEGMENTS;
            let more = shard.scan(segment, position, room, self.0.at(), &mut sessions);
            self.0.finish(shard);
            position = more.unwrap_or(0);
            place += usize::from(more.is_none());
            if more.is_some() {
                let next = Some(Cursor((place as u64) << POSITION_BITS | position));
                return Ok(Page { sessions, next });
            }
        }
        Ok(Page {
            sessions,
            next: None,
        })
    }

    async fn stats(&self) -> Result<Stats, Error> {
        Ok(self.0.stats())
    }
}

//! Reading a journal back into the shards, on several threads: one reads and verifies, others apply,
//! each to shards of its own. What concerns one shard is applied in order; what concerns all waits
//! for everybody.

mod lane;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;

use cloakroom_core::UnixMillis;
use cloakroom_core::id::SlotTag;

use crate::engine::{Engine, KeyHash};
use crate::journal::{
    Concern, Effect, Effects, Found, Journal, JournalConfig, RecoverError, Recovered, Refused,
};
use crate::shard::At;
use crate::store::Inner;

/// Threads that apply. More than a few do not help: one reads.
const LANES: usize = 4;
/// Bytes that are handed over at a time, and how often the reader is ahead.
const CHUNK: usize = 256 << 10;
const AHEAD: usize = 4;
/// The part of a snapshot, one of so many, that tells how much will be in the tables of keys. Keys come in no order:
/// by which hashes they lie in shards is another thing in each process.
const SAMPLE: u64 = 16;

/// Reads the journal into an empty engine. Returns the last time that it knew of, as well.
pub(crate) fn read(
    engine: &Engine,
    config: &JournalConfig,
) -> Result<(Journal, Recovered, UnixMillis), RecoverError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let lanes = cores.min(LANES).min(engine.0.shards.len());
    let all = Shared {
        engine,
        lanes,
        now: engine.0.clock.now(),
        latest: AtomicU64::new(0),
        refused: OnceLock::new(),
        together: Barrier::new(lanes),
    };
    let found = Found::list(&*config.disk)?;
    let snapshot = found.snapshot_bytes(&*config.disk)?;
    // Where room may run short, tables grow as they must: what is made ready and not used would be another's.
    let limit = engine.0.memory.limit();
    let roomy = limit.is_none_or(|limit| snapshot < limit / 2);
    let sample = if roomy { snapshot / SAMPLE } else { 0 };
    let opened = thread::scope(|scope| {
        let mut reader = Reader {
            all: &all,
            lanes: (0..lanes)
                .map(|number| {
                    let (sender, chunks) = sync_channel(AHEAD);
                    let all = &all;
                    scope.spawn(move || lane::run(all, number, &chunks));
                    (Vec::new(), sender)
                })
                .collect(),
            sample,
        };
        let clock = Arc::clone(&engine.0.clock);
        let opened = Journal::open_found(config, clock, &found, &mut |record| reader.take(record));
        (0..lanes).for_each(|lane| reader.send(lane));
        opened
    });
    let (journal, recovered) = opened?;
    match all.refused.get() {
        Some(refused) => Err(RecoverError::from(*refused)),
        None => Ok((
            journal,
            recovered,
            UnixMillis::new(all.latest.load(Ordering::Relaxed)),
        )),
    }
}

/// What an effect is about: a shard, or all of them, and the hash of a key's name if it is a key.
#[derive(Clone, Copy, Debug)]
struct Place {
    shard: Option<usize>,
    hash: KeyHash,
}

/// What all threads see.
struct Shared<'a> {
    engine: &'a Engine,
    lanes: usize,
    now: UnixMillis,
    latest: AtomicU64,
    refused: OnceLock<Refused>,
    together: Barrier,
}

/// What a lane is to do.
enum Work {
    /// Apply these records, each with its length in front.
    Records(Vec<u8>),
    /// Make its shards ready for [`SAMPLE`] times the keys that they have by now.
    MakeReady,
}

/// The thread that reads: for each lane what is to be sent, and where to.
struct Reader<'a> {
    all: &'a Shared<'a>,
    lanes: Vec<(Vec<u8>, SyncSender<Work>)>,
    /// Bytes of records until a [`SAMPLE`]th of the snapshot is read; 0 from then on, and without one.
    sample: u64,
}

impl Reader<'_> {
    fn take(&mut self, record: &[u8]) -> Result<(), Refused> {
        if let Some(refused) = self.all.refused.get() {
            return Err(*refused);
        }
        let mut concerned = [false; LANES];
        let mut everybody = false;
        let mut last: &[u8] = &[];
        for concern in Effects::of(record).concerns() {
            let concern = concern?;
            if let Concern::Key(key) = concern {
                // Nearly always it is the key of the effect before.
                if std::ptr::eq(key, last) {
                    continue;
                }
                last = key;
            }
            match self.all.place_of(&concern).shard {
                Some(shard) => concerned[shard % self.all.lanes] = true,
                None => everybody = true,
            }
        }
        for (lane, concerned) in concerned.into_iter().enumerate().take(self.lanes.len()) {
            if concerned || everybody {
                let (chunk, _) = &mut self.lanes[lane];
                chunk.extend_from_slice(&(record.len() as u64).to_le_bytes());
                chunk.extend_from_slice(record);
                // Whoever waits for everybody must not be waited for.
                if chunk.len() >= CHUNK || everybody {
                    self.send(lane);
                }
            }
        }
        if self.sample > 0 {
            self.sample = self.sample.saturating_sub(record.len() as u64);
            if self.sample == 0 {
                self.make_ready();
            }
        }
        Ok(())
    }

    fn make_ready(&mut self) {
        for lane in 0..self.lanes.len() {
            self.send(lane);
            let sent = self.lanes[lane].1.send(Work::MakeReady);
            debug_assert!(sent.is_ok(), "a lane lives as long as the reader");
        }
    }

    fn send(&mut self, lane: usize) {
        let (chunk, lane) = &mut self.lanes[lane];
        let chunk = std::mem::replace(chunk, Vec::with_capacity(CHUNK));
        let sent = lane.send(Work::Records(chunk));
        debug_assert!(sent.is_ok(), "a lane lives as long as the reader");
    }
}

impl Shared<'_> {
    /// Which shard something concerns, and the hash of a key's name; no shard: all.
    fn place_of(&self, concern: &Concern<'_>) -> Place {
        let inner = &self.engine.0;
        let (shard, hash) = match concern {
            Concern::Session(tag) => (Some(inner.shard_of(*tag)), KeyHash::default()),
            Concern::Key(key) => {
                let hash = self.engine.hash_of(key);
                (Some(self.engine.shard_of_key(hash)), hash)
            }
            Concern::Nothing => (Some(0), KeyHash::default()),
            Concern::All => (None, KeyHash::default()),
        };
        Place { shard, hash }
    }

    /// Puts an effect into the engine, with the mark that was noted behind a string.
    fn replay(
        &self,
        effect: &Effect<'_>,
        hash: KeyHash,
        mark: Option<&[u8]>,
    ) -> Result<(), Refused> {
        let inner = &self.engine.0;
        match effect {
            Effect::SessionPut {
                key, generation, ..
            } => {
                // A `revoke_all` that nobody was told of may be known by its first session alone.
                inner.generation.fetch_max(*generation, Ordering::SeqCst);
                inner.replay(key.tag(), effect, self.now)
            }
            Effect::SessionFields { key, .. }
            | Effect::SessionSeen { key, .. }
            | Effect::SessionEnd { key, .. }
            | Effect::SessionRemove { key } => inner.replay(key.tag(), effect, self.now),
            Effect::Generation(generation) => {
                inner.generation.fetch_max(*generation, Ordering::SeqCst);
                Ok(())
            }
            Effect::Time(at) => {
                self.latest.fetch_max(at.as_millis(), Ordering::Relaxed);
                Ok(())
            }
            keyed => self.engine.apply(keyed, hash, mark),
        }
    }
}

impl Inner {
    fn replay(&self, tag: SlotTag, effect: &Effect<'_>, now: UnixMillis) -> Result<(), Refused> {
        let mut shard = self.shards[self.shard_of(tag)].lock();
        let at = At { now, ..self.at() };
        let replayed = shard.replay(effect, at);
        self.finish(shard);
        replayed
    }
}

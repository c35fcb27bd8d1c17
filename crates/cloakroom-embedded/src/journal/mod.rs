//! What the store keeps on a disk, so that a crash takes nothing that was acknowledged.
//!
//! A step of the engine is one record: opaque bytes here, all or nothing. Records are appended under
//! the lock of the shards that they concern, so their order in the journal is the order in which
//! things happened there. They go to segments (`docs/formats/journal.md`), which a thread writes
//! and syncs in groups; [`Durability`] says who waits for that. The end of a session always waits.
//!
//! - `disk`: the disk, handed in; `format`: bytes of a segment; `effect`: bytes of a record
//! - `writer`: the order of writes and syncs; `queue`, `run`: appending, the thread, waiting
//! - `segment`, `recover`, `repair`: reading it back
//! - `snapshot`: what takes the place of old segments
//!
//! # When the disk fails
//!
//! After a failed write or sync nobody knows what is on the disk, and trying again would only hide
//! that: so nothing is written any more until a restart reads what is there. A full disk is another
//! matter: what was appended is kept, in order, and written when there is room. Writes are refused
//! meanwhile; reads go on in both cases. So they do while a disk takes nothing at all: whoever waits for it is
//! told after [`PATIENCE`], and writes are refused until it does.

mod disk;
mod effect;
mod format;
mod queue;
mod recover;
mod repair;
mod run;
mod segment;
mod snapshot;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloakroom_core::{Clock, Error, ErrorKind};
use parking_lot::Mutex;

pub use disk::{Disk, DiskFile, OsDisk};
pub(crate) use effect::Concern;
pub use effect::{Effect, Effects, Step};
pub use queue::Wait;
pub(crate) use recover::Found;
pub use recover::{Cut, RecoverError, Recovered, Refused, Take, recover};
pub use repair::{Repaired, repair};
pub(crate) use snapshot::{Portion, SnapshotWriter, remove_spares, remove_stale};
pub(crate) use writer::Trouble;

use queue::Shared;
use writer::Writer;

/// Who waits for the disk. The end of a session (logout, revocation) does in every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Every write is acknowledged after it was synced, many together.
    Always,
    /// Writes are acknowledged at once and synced within a second: a crash of the machine loses at
    /// most the last second of them, and never one from the middle.
    #[default]
    Everysec,
    /// Writes are acknowledged at once and the operating system writes them when it likes.
    No,
}

/// The settings of a journal.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    pub(crate) reuse: bool,
    pub(crate) rewrite_percent: u32,
    pub(crate) rewrite_min_bytes: u64,
}

impl JournalConfig {
    /// A journal on `disk` that is synced every second, in segments of 16 MiB.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            durability: Durability::default(),
            segment_bytes: 16 << 20,
            reuse: true,
            rewrite_percent: 100,
            rewrite_min_bytes: 64 << 20,
        }
    }

    /// Who waits for the disk.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// When the journal is rewritten by itself: when what was appended since the last snapshot is
    /// this part of that snapshot, in percent, and at least so many bytes. 0 percent: never. By
    /// default 100 and 64 MiB, so that the disk holds less than three times what is in memory.
    #[must_use]
    pub const fn rewrite(mut self, percent: u32, min_bytes: u64) -> Self {
        self.rewrite_percent = percent;
        self.rewrite_min_bytes = min_bytes;
        self
    }

    /// Bytes after which a new segment begins.
    #[must_use]
    pub const fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Whether segments go into the files of older ones, which they do by default. What is in such a file stays on
    /// the disk until something else is written over it. `false` for whoever hides now what was written in plain
    /// before: then files are removed as soon as they count no more.
    #[must_use]
    pub const fn reuse(mut self, reuse: bool) -> Self {
        self.reuse = reuse;
        self
    }
}

/// How a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalState {
    /// It takes what comes.
    Open = 0,
    /// The disk is slow; writers wait until it has caught up.
    Behind = 1,
    /// The disk is full; writes are refused until there is room.
    Full = 2,
    /// A write or a sync failed; writes are refused until a restart.
    Broken = 3,
    /// The disk has been at one write or sync for [`PATIENCE`]; writes are refused until it is done.
    Stalled = 4,
}

/// How long a disk may be at one thing before nobody waits for it any more: longer than any that is well
/// takes, shorter than most requests may.
pub const PATIENCE: Duration = Duration::from_secs(5);

impl JournalState {
    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::Behind,
            2 => Self::Full,
            4 => Self::Stalled,
            _ => Self::Broken,
        }
    }

    /// Its name in metrics: `open`, `behind`, `full`, `broken`, `stalled`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Behind => "behind",
            Self::Full => "full",
            Self::Broken => "broken",
            Self::Stalled => "stalled",
        }
    }
}

/// Why a record is not known to be on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// A write or a sync failed, with what the disk said.
    Broken(String),
    /// There is no room, with what the disk said.
    DiskFull(String),
    /// The disk takes nothing for now. What was waited for may be on it in the end.
    Stalled,
    /// More waited to be written than memory is kept for.
    Behind,
    /// The journal was closed.
    Closed,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(what) => write!(
                f,
                "writing to the journal failed ({what}); nothing is written until a restart, \
                 which reads what is on the disk"
            ),
            Self::DiskFull(what) => write!(
                f,
                "the disk has no room for the journal ({what}); writes are taken again when it has"
            ),
            Self::Stalled => write!(
                f,
                "the disk has been at one write for {} s; writes are taken again when it is done",
                PATIENCE.as_secs()
            ),
            Self::Behind => f.write_str(
                "the disk did not keep up with the journal; nothing is written until a restart",
            ),
            Self::Closed => f.write_str("the journal is closed"),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        let kind = match error {
            JournalError::DiskFull(_) => ErrorKind::StoreFull,
            JournalError::Broken(_)
            | JournalError::Stalled
            | JournalError::Behind
            | JournalError::Closed => ErrorKind::StoreUnavailable,
        };
        Self::new(kind).with_source(error)
    }
}

/// Figures of a journal, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStats {
    /// How it is.
    pub state: JournalState,
    /// Records appended, and how many of them are on the disk; both count from the first ever.
    pub appended: u64,
    /// See `appended`.
    pub durable: u64,
    /// Bytes written since the start.
    pub written: u64,
    /// Syncs since the start.
    pub syncs: u64,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Reads what is there, record by record in order, and goes on behind it.
    ///
    /// # Errors
    /// As [`recover`]; `RecoverError::Disk` if there is no writing.
    pub fn open(
        config: &JournalConfig,
        clock: Arc<dyn Clock>,
        take: &mut Take<'_>,
    ) -> Result<(Self, Recovered), RecoverError> {
        Self::open_found(config, clock, &Found::list(&*config.disk)?, take)
    }

    /// As [`Journal::open`], of the files that were found.
    pub(crate) fn open_found(
        config: &JournalConfig,
        clock: Arc<dyn Clock>,
        found: &Found,
        take: &mut Take<'_>,
    ) -> Result<(Self, Recovered), RecoverError> {
        let recovered = recover::read(&*config.disk, found, take)?;
        remove_stale(config, recovered.snapshot)?;
        let failed = |error| RecoverError::disk("a new segment")(error);
        let writer = Writer::create(
            Arc::clone(&config.disk),
            recovered.start,
            clock.now().as_millis(),
        );
        let writer = writer.map_err(|trouble| match trouble {
            Trouble::Full(error) | Trouble::Broken(error) => failed(error),
        })?;
        let shared = Arc::new(Shared::new(config.durability, writer.next_seq()));
        let thread = run::start(Arc::clone(&shared), writer, clock, config.segment_bytes);
        let journal = Self {
            shared,
            thread: Mutex::new(Some(thread.map_err(failed)?)),
        };
        Ok((journal, recovered))
    }

    /// Appends a record: the effects of one step. Returns its number, for [`Journal::wait`]. Never
    /// waits; what was appended to a broken journal is lost, and waiting for it says so.
    pub fn append(&self, record: &[u8]) -> u64 {
        self.shared.append(record)
    }

    /// Whether writes are taken, without waiting: `Pending` if the disk is behind.
    #[inline]
    pub fn admits(&self) -> Poll<Result<(), JournalError>> {
        self.shared.admits()
    }

    /// Waits until writes are taken.
    pub fn admission(&self) -> Wait {
        Wait::admission(Arc::clone(&self.shared))
    }

    /// Waits until the record of this number, and all before it, are on the disk. Needs no
    /// runtime.
    pub fn wait(&self, number: u64) -> Wait {
        Wait::sync(Arc::clone(&self.shared), number)
    }

    /// As [`Journal::wait`], on the calling thread.
    pub(crate) fn wait_here(&self, number: u64) -> Result<(), JournalError> {
        self.shared.wait_here(number)
    }

    /// Whether a write may be acknowledged only after its sync.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.shared.durability == Durability::Always
    }

    /// The number of the last record that was appended.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.shared.appended()
    }

    /// The number of the last record that is on the disk with all before it.
    #[must_use]
    pub fn durable_up_to(&self) -> u64 {
        self.shared.durable()
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> JournalState {
        self.shared.state()
    }

    /// Figures, for metrics.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        let shared = &self.shared;
        JournalStats {
            state: shared.state(),
            appended: shared.appended(),
            durable: shared.durable(),
            written: shared.written.load(Ordering::Relaxed),
            syncs: shared.syncs.load(Ordering::Relaxed),
        }
    }

    /// Looks whether the disk has been at one thing for [`PATIENCE`] by `now`; if so, whoever waits is told.
    /// To be called from time to time by a thread that does not wait for the disk; the store's own does.
    pub fn watch(&self, now: Instant) {
        self.shared.watch(now);
    }

    /// Begins a new segment and returns its number: all that is appended from now on is in it or
    /// behind it. Waits for the disk, on the calling thread.
    ///
    /// # Errors
    /// If the journal is broken or closed.
    pub fn turn(&self) -> Result<u64, JournalError> {
        self.shared.turn().map(|(number, _)| number)
    }

    /// As [`Journal::turn`], with the number of the segment's first record, counted from 0.
    pub(crate) fn turn_at(&self) -> Result<(u64, u64), JournalError> {
        self.shared.turn()
    }

    /// Writes and syncs what was appended, and ends the thread. Waits for the disk, on the calling
    /// thread. Dropping a journal does the same.
    pub fn close(&self) {
        self.shared.close();
        if let Some(thread) = self.thread.lock().take() {
            let ended = thread.join();
            debug_assert!(ended.is_ok(), "the thread does not panic");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

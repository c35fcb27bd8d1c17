//! The store with a journal: what is read back at the start, and what an operation waits for.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use cloakroom_core::{Error, ErrorKind, UnixMillis};
use parking_lot::Mutex;

use crate::journal::{Effect, Journal, JournalConfig, JournalState, Recovered, Step, Wait};
use crate::recovery;
use crate::rewrite::Rewrites;
use crate::shard::Shard;
use crate::store::{EmbeddedStore, Inner};

impl EmbeddedStore {
    /// The journal, if there is one.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        self.0.journal.get().map(|durable| &durable.journal)
    }

    /// What was read from the journal when this store was opened.
    #[must_use]
    pub fn recovered(&self) -> Option<&Recovered> {
        self.0.journal.get().map(|durable| &durable.recovered)
    }

    /// Reads the journal and goes on with it.
    pub(crate) fn open_journal(&self, config: &JournalConfig) -> Result<(), Error> {
        let inner = &self.0;
        let engine = self.engine();
        inner.recovering.store(true, Ordering::SeqCst);
        inner.memory.set_unlimited(true);
        let opened = recovery::read(&engine, config);
        inner.recovering.store(false, Ordering::SeqCst);
        inner.memory.set_unlimited(false);
        let (journal, recovered, latest) =
            opened.map_err(|error| Error::new(ErrorKind::StoreRefused).with_source(error))?;
        // What was over when the store was last up is over, whatever the clock says now.
        inner.sweep_at(latest);
        engine.forget_unused();
        for shard in &inner.shards {
            shard.lock().notes.start();
        }
        let durable = Durable::new(journal, config.clone(), recovered, latest);
        assert!(
            inner.journal.set(durable).is_ok(),
            "a store is opened only once"
        );
        while inner.memory.is_over() && inner.give_room() {}
        Ok(())
    }
}

/// The journal of a store.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) journal: Journal,
    pub(crate) config: JournalConfig,
    /// The last time that the journal knew of when it was read.
    pub(crate) latest: UnixMillis,
    pub(crate) rewriting: Mutex<()>,
    /// How rewrites went; whether one runs is said by `rewriting`.
    pub(crate) rewrites: Mutex<Rewrites>,
    recovered: Recovered,
    /// Bytes of the last snapshot, and of the journal since then: those are what was written since
    /// this process began, less this.
    snapshot_bytes: AtomicU64,
    journal_from: AtomicI64,
    /// When a rewrite may begin again.
    rest_until: Mutex<Option<Instant>>,
}

impl Durable {
    fn new(
        journal: Journal,
        config: JournalConfig,
        recovered: Recovered,
        latest: UnixMillis,
    ) -> Self {
        let before = recovered.bytes - recovered.snapshot_bytes;
        Self {
            journal,
            config,
            latest,
            rewriting: Mutex::new(()),
            rewrites: Mutex::default(),
            snapshot_bytes: AtomicU64::new(recovered.snapshot_bytes),
            journal_from: AtomicI64::new(-i64::try_from(before).unwrap_or(i64::MAX)),
            rest_until: Mutex::new(None),
            recovered,
        }
    }

    /// Whether the journal since the last snapshot is larger than it should be.
    pub(crate) fn is_rewrite_due(&self) -> bool {
        let percent = u64::from(self.config.rewrite_percent);
        let written = i64::try_from(self.journal.stats().written).unwrap_or(i64::MAX);
        let since = written - self.journal_from.load(Ordering::Relaxed);
        let since = u64::try_from(since).unwrap_or(0);
        let snapshot = self.snapshot_bytes.load(Ordering::Relaxed);
        percent > 0
            && since >= self.config.rewrite_min_bytes
            && since >= snapshot.saturating_mul(percent) / 100
            && self.journal.state() == JournalState::Open
            && self
                .rest_until
                .lock()
                .is_none_or(|until| until <= Instant::now())
    }

    /// Notes a snapshot, and how much was written when its segment began.
    pub(crate) fn rewritten(&self, bytes: u64, written: u64) {
        self.snapshot_bytes.store(bytes, Ordering::Relaxed);
        let from = i64::try_from(written).unwrap_or(i64::MAX);
        self.journal_from.store(from, Ordering::Relaxed);
    }

    pub(crate) fn rest_from_rewriting(&self, pause: Duration) {
        *self.rest_until.lock() = Some(Instant::now() + pause);
    }
}

impl Inner {
    /// Sees to it that nobody waits for ever for a disk that does not answer.
    pub(crate) fn watch_journal(&self, now: Instant) {
        if let Some(Durable { journal, .. }) = self.journal.get() {
            journal.watch(now);
        }
    }

    /// Waits until writes are taken. An error if they are refused.
    #[inline]
    pub(crate) async fn admitted(&self) -> Result<(), Error> {
        let Some(Durable { journal, .. }) = self.journal.get() else {
            return Ok(());
        };
        match journal.admits() {
            Poll::Ready(admitted) => Ok(admitted?),
            Poll::Pending => Ok(journal.admission().await?),
        }
    }

    /// Waits until what was written may be acknowledged, as the mode has it. All that was appended
    /// until now is waited for, also by others: an answer may rest on that.
    #[inline]
    pub(crate) async fn written(&self) -> Result<(), Error> {
        match self.promise(false) {
            Some(wait) => Ok(wait.await?),
            None => Ok(()),
        }
    }

    /// Waits until all that was appended is on the disk, whatever the mode: for ends.
    pub(crate) async fn synced(&self) -> Result<(), Error> {
        match self.promise(true) {
            Some(wait) => Ok(wait.await?),
            None => Ok(()),
        }
    }

    /// What there is to wait for before what was written may be acknowledged: for ends, whatever the mode.
    #[inline]
    pub(crate) fn promise(&self, ends: bool) -> Option<Wait> {
        let Durable { journal, .. } = self.journal.get()?;
        (ends || journal.waits()).then(|| journal.wait(journal.appended()))
    }

    /// Appends what a step did, under the lock of its shard.
    #[inline]
    pub(crate) fn log(&self, shard: &mut Shard) {
        if !shard.notes.step().is_empty()
            && let Some(Durable { journal, .. }) = self.journal.get()
        {
            journal.append(shard.notes.step().as_bytes());
            shard.notes.clear();
        }
    }

    /// As [`Inner::log`], for a step in several shards, all of which are locked.
    pub(crate) fn log_all<'a>(&self, shards: impl Iterator<Item = &'a mut Shard>) {
        let Some(Durable { journal, .. }) = self.journal.get() else {
            return;
        };
        let mut step = Step::new();
        for shard in shards {
            step.join(shard.notes.step());
            shard.notes.clear();
        }
        if !step.is_empty() {
            journal.append(step.as_bytes());
        }
    }

    /// Appends an effect that is no shard's.
    pub(crate) fn append(&self, effect: &Effect<'_>) {
        if let Some(Durable { journal, .. }) = self.journal.get() {
            let mut step = Step::new();
            step.push(effect);
            journal.append(step.as_bytes());
        }
    }
}

//! Rewriting the journal: a snapshot of what is there takes the place of all that led to it. Nobody
//! waits for it but the thread that does it; why it is right is said in `journal::snapshot`.

use std::error::Error as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use cloakroom_core::{Error, ErrorKind};

use crate::durable::Durable;
use crate::journal::{
    Effect, JournalError, JournalState, Portion, SnapshotWriter, Step, Trouble, remove_spares,
    remove_stale,
};
use crate::shard::Walk;
use crate::store::{EmbeddedStore, Inner};

/// Sessions that are taken under one lock: some 20 us.
const PORTION: usize = 64;

/// After a rewrite that failed (the disk is full, say) nobody tries again for so long.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// What a rewrite made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewritten {
    /// Sessions, keys and remembered ends in the snapshot.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// How rewrites of a journal went since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrites {
    /// Whether one is under way.
    pub running: bool,
    /// Why the last one failed, if it did.
    pub failed: Option<String>,
    /// How many failed.
    pub failures: u64,
}

impl EmbeddedStore {
    /// Rewrites the journal, on the calling thread, which may take seconds; the store goes on
    /// meanwhile. `None` if there is no journal, or a rewrite is going on already.
    ///
    /// # Errors
    /// If the disk fails or is full; the journal goes on as it was.
    pub fn rewrite(&self) -> Result<Option<Rewritten>, Error> {
        self.0.rewrite()
    }

    /// Syncs and closes the journal, and waits for a rewrite to give up; writes are refused from
    /// then on. Waits for the disk, on the calling thread.
    pub fn close(&self) {
        if let Some(durable) = self.0.journal.get() {
            durable.journal.close();
            drop(durable.rewriting.lock());
        }
    }

    /// How rewrites went, whoever asked for them.
    #[must_use]
    pub fn rewrites(&self) -> Rewrites {
        let Some(durable) = self.0.journal.get() else {
            return Rewrites::default();
        };
        Rewrites {
            running: durable.rewriting.is_locked(),
            ..durable.rewrites.lock().clone()
        }
    }

    /// Rewrites the journal on a thread of its own. Returns whether it began: not if there is no
    /// journal, a rewrite is going on, or the system has no thread.
    pub fn rewrite_in_background(&self) -> bool {
        start(&self.0)
    }
}

fn start(inner: &Arc<Inner>) -> bool {
    let Some(durable) = inner.journal.get() else {
        return false;
    };
    if durable.rewriting.is_locked() {
        return false;
    }
    let weak: Weak<Inner> = Arc::downgrade(inner);
    let rewrite = thread::Builder::new().name("cloakroom-rewrite".into());
    let started = rewrite.spawn(move || {
        // A failure is told by `rewrites`, and it is tried again.
        if let Some(inner) = weak.upgrade() {
            drop(inner.rewrite());
        }
    });
    started.is_ok()
}

impl Inner {
    /// Rewrites the journal if it holds more garbage than it should, on a thread of its own.
    pub(crate) fn rewrite_if_due(self: &Arc<Self>) {
        if self.journal.get().is_some_and(Durable::is_rewrite_due) {
            start(self);
        }
    }

    fn rewrite(&self) -> Result<Option<Rewritten>, Error> {
        let Some(durable) = self.journal.get() else {
            return Ok(None);
        };
        let Some(_alone) = durable.rewriting.try_lock() else {
            return Ok(None);
        };
        let rewritten = self.snapshot(durable);
        if rewritten.is_err() {
            durable.rest_from_rewriting(AFTER_FAILURE);
            // What is left of it is of no use; if it cannot be removed either, the next try does.
            let _ = remove_stale(&durable.config, 0);
            // It may have been room that it lacked.
            let _ = remove_spares(&*durable.config.disk);
        }
        {
            let mut rewrites = durable.rewrites.lock();
            rewrites.failed = rewritten.as_ref().err().map(told);
            rewrites.failures += u64::from(rewritten.is_err());
        }
        rewritten.map(Some)
    }

    fn snapshot(&self, durable: &Durable) -> Result<Rewritten, Error> {
        let (number, first_seq) = durable.journal.turn_at()?;
        let before = durable.journal.stats().written;
        let disk = &*durable.config.disk;
        let now = self.clock.now();
        let writer = SnapshotWriter::create(disk, number, first_seq, now.as_millis());
        let mut writer = writer.map_err(failed)?;
        let mut portion = Portion::default();
        let mut step = Step::new();
        step.push(&Effect::Generation(self.generation.load(Ordering::SeqCst)));
        step.push(&Effect::Time(now.max(durable.latest)));
        step.push(&Effect::Keyspaces(self.ears.numbers()));
        // What is still to be swept of what was emptied leaves its marks after a restart as well.
        for (old, (new, at)) in self.ears.all_fallen() {
            step.push(&Effect::Emptied { old, new, at });
        }
        portion.push(&step);
        for shard in &self.shards {
            let mut walk = Some(Walk::Start);
            while let Some(from) = walk {
                {
                    let mut shard = shard.lock();
                    walk = shard.walk(from, PORTION, self.at(), &mut portion);
                }
                let pushed = match durable.journal.state() {
                    JournalState::Broken => Err(JournalError::Closed.into()),
                    _ => writer.push(&mut portion).map_err(failed),
                };
                if let Err(error) = pushed {
                    shard.lock().stop_walk();
                    return Err(error);
                }
            }
        }
        // What the walk saw of the last moments is in the journal, too, before the snapshot counts:
        // else a crash could leave a later step without an earlier one.
        durable.journal.wait_here(durable.journal.appended())?;
        let rewritten = Rewritten {
            records: writer.records(),
            bytes: writer.finish().map_err(failed)?,
        };
        durable.rewritten(rewritten.bytes, before);
        let removed = remove_stale(&durable.config, number);
        removed.map_err(|error| Error::new(ErrorKind::StoreUnavailable).with_source(error))?;
        Ok(rewritten)
    }
}

/// An error with what the disk said.
fn told(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn failed(trouble: Trouble) -> Error {
    match trouble {
        Trouble::Full(error) => JournalError::DiskFull(error.to_string()).into(),
        Trouble::Broken(error) => JournalError::Broken(error.to_string()).into(),
    }
}

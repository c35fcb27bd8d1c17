//! The store with a journal: what is read back at the start, and what an operation waits for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use cloakroom_core::id::SlotTag;
use cloakroom_core::{Error, ErrorKind, UnixMillis};

use crate::engine::Engine;
use crate::journal::{Effect, Effects, Journal, JournalConfig, Recovered, Refused, Step};
use crate::shard::{At, Shard};
use crate::store::{EmbeddedStore, Inner};

impl EmbeddedStore {
    /// The journal, if there is one.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        self.0.journal.get().map(|durable| &*durable.journal)
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
        let started = inner.clock.now();
        let mut latest = UnixMillis::new(0);
        inner.recovering.store(true, Ordering::SeqCst);
        let opened = Journal::open(config, Arc::clone(&inner.clock), &mut |record| {
            for effect in Effects::of(record) {
                let effect = effect?;
                if let Effect::Time(at) = effect {
                    latest = latest.max(at);
                }
                replay(&engine, &effect, started)?;
            }
            Ok(())
        });
        inner.recovering.store(false, Ordering::SeqCst);
        let (journal, recovered) =
            opened.map_err(|error| Error::new(ErrorKind::StoreRefused).with_source(error))?;
        // What was over when the store was last up is over, whatever the clock says now.
        inner.sweep_at(latest);
        let journal = Arc::new(journal);
        for shard in &inner.shards {
            shard.lock().notes.start();
        }
        let durable = Durable { journal, recovered };
        assert!(
            inner.journal.set(durable).is_ok(),
            "a store is opened only once"
        );
        Ok(())
    }
}

/// The journal of a store.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) journal: Arc<Journal>,
    recovered: Recovered,
}

impl Inner {
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
        match self.journal.get() {
            Some(Durable { journal, .. }) if journal.waits() => self.synced().await,
            _ => Ok(()),
        }
    }

    /// Waits until all that was appended is on the disk, whatever the mode: for ends.
    pub(crate) async fn synced(&self) -> Result<(), Error> {
        match self.journal.get() {
            Some(Durable { journal, .. }) => Ok(journal.wait(journal.appended()).await?),
            None => Ok(()),
        }
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

    fn replay_session(
        &self,
        tag: SlotTag,
        effect: &Effect<'_>,
        now: UnixMillis,
    ) -> Result<(), Refused> {
        loop {
            let mut shard = self.shards[self.shard_of(tag)].lock();
            let at = At { now, ..self.at() };
            let replayed = shard.replay(effect, at);
            self.finish(shard);
            match replayed {
                Err(Refused::NoRoom) if self.give_room() => {}
                done => return done,
            }
        }
    }
}

/// Puts an effect into the engine.
fn replay(engine: &Engine, effect: &Effect<'_>, now: UnixMillis) -> Result<(), Refused> {
    let inner = &engine.0;
    match effect {
        Effect::SessionPut {
            key, generation, ..
        } => {
            // A `revoke_all` that nobody was told of may be known by its first session alone.
            inner.generation.fetch_max(*generation, Ordering::SeqCst);
            inner.replay_session(key.tag(), effect, now)
        }
        Effect::SessionFields { key, .. }
        | Effect::SessionSeen { key, .. }
        | Effect::SessionEnd { key, .. }
        | Effect::SessionRemove { key } => inner.replay_session(key.tag(), effect, now),
        Effect::Generation(generation) => {
            inner.generation.fetch_max(*generation, Ordering::SeqCst);
            Ok(())
        }
        Effect::Time(_) => Ok(()),
        keyed => engine.apply(keyed),
    }
}

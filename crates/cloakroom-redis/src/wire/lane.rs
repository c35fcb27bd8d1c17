//! Multiplexed connections: few, shared by all callers, opened when first needed and again when they
//! break or hang. A reply belongs to the caller by its place in the stream, also when callers leave.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::begun::{Begun, BegunRead};
use super::bundle::{Answered, Asked};
use super::exclusive::{RedisExclusive, Spares};
use super::open::{OpenShared, Opener, check};
use super::trust::Trust;
use super::{Answers, Command, Exclusive, Holds, Lane, Question, Reply, Seen, Shared, Wire};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings};

/// Deadlines in a row that make a connection suspect: the server may hang without closing it.
const HUNG_AFTER: usize = 3;
/// The wire client: redis-rs, with what it lacks. It goes to one node.
pub(crate) struct RedisWire {
    opener: Arc<Opener>,
    slots: Arc<Slots>,
    next: AtomicUsize,
    watcher: Option<AbortHandle>,
}

/// All connections.
struct Slots {
    main: Vec<Slot>,
    bulk: Slot,
    /// For questions about the servers themselves.
    questions: Slot,
    spares: Arc<Spares>,
}

impl RedisWire {
    /// Must be called on the runtime that the connections shall live on.
    pub(crate) fn new(
        settings: &Settings,
        address: &Address,
        holds: Arc<Holds>,
        shared: Arc<Shared>,
    ) -> Self {
        let opener = Arc::new(Opener::new(settings, address, holds, shared));
        let slots = Arc::new(Slots {
            main: (0..settings.connections).map(|_| Slot::default()).collect(),
            bulk: Slot::default(),
            questions: Slot::default(),
            spares: Arc::default(),
        });
        let watcher = opener.sentinels.clone().map(|sentinels| {
            let trust = Arc::clone(opener.trust());
            let watching = watch(Arc::clone(&trust), Arc::clone(&slots));
            let following = async { tokio::join!(watching, sentinels.follow(trust)) };
            tokio::spawn(following).abort_handle()
        });
        Self {
            opener,
            slots,
            next: AtomicUsize::new(0),
            watcher,
        }
    }

    /// Tells a server that got these tags what was revoked of them, if anything was.
    pub(crate) async fn retell(&self, tags: &Holds) -> Result<(), Failure> {
        let revoked = &self.opener.shared().revoked;
        if !revoked.concerns(&|tag| tags.has(tag)) {
            return Ok(());
        }
        self.opener.retell(tags).await
    }

    /// Says how many replicas must have what may not be lost, besides those that keep up.
    pub(crate) fn set_replicas(&self, count: u64) {
        self.opener.trust().set_replicas(count);
    }

    /// How many that are, and may be more.
    #[cfg(test)]
    pub(crate) fn replicas(&self) -> u64 {
        self.opener.trust().replicas()
    }

    /// Asks the server about itself, behind nothing that somebody else sent. A connection on which it
    /// does not answer in time is let go: it may never again.
    pub(crate) async fn question(
        &self,
        patience: Duration,
        questions: Vec<Command>,
    ) -> Result<Vec<Reply>, Failure> {
        let until = tokio::time::Instant::now() + patience;
        let late = || Failure::new(Class::Timeout, "no answer in time");
        let slot = &self.slots.questions;
        let opening = tokio::time::timeout_at(until, slot.connection(&self.opener));
        let (generation, open) = opening.await.map_err(|_| late())??;
        let asking = open.bundler.ask(Asked::Many(questions), None);
        match tokio::time::timeout_at(until, asking).await {
            Ok(Ok(answered)) => Ok(answered.all()),
            Ok(Err(error)) => Err(self.broken(slot, generation, &error)),
            Err(_) => {
                slot.discard(generation);
                Err(late())
            }
        }
    }

    /// Sends commands on a shared connection.
    async fn exchange_on(
        &self,
        lane: Lane,
        slot: &Slot,
        asked: Asked,
    ) -> Result<Answered, Failure> {
        let opened = slot.connection(&self.opener).await;
        let (generation, open) = opened.map_err(Failure::unsent)?;
        let confirmed = self.confirm(lane, open.number).await;
        confirmed.map_err(Failure::unsent)?;
        let mut waiting = Waiting::new(slot, generation, self.opener.timeout(), Instant::now());
        let answered = open.bundler.ask(asked, None);
        let answered = self.opener.trust().while_primary(open.number, answered);
        let answered = self.told(&mut waiting, answered.await?)?;
        // Asked again: it may have hung, or lost its place, while it was waited for.
        self.confirm(lane, open.number).await?;
        Ok(answered)
    }

    /// What the client has brought. What is given up in time may come of a hung server.
    pub(super) fn told(
        &self,
        waiting: &mut Waiting<'_>,
        answered: Result<Answered, redis::RedisError>,
    ) -> Result<Answered, Failure> {
        match answered {
            Ok(answered) => {
                waiting.answered();
                Ok(answered)
            }
            Err(error) => Err(self.broken(waiting.slot, waiting.generation, &error)),
        }
    }

    /// What an error of the client means; a connection that broke is let go.
    fn broken(&self, slot: &Slot, generation: u64, error: &redis::RedisError) -> Failure {
        let failure = Failure::of(error);
        if error.code().is_none() && failure.class() != Class::Timeout {
            slot.discard(generation);
            self.slots.discard();
        }
        failure
    }

    async fn read_now(&self, tag: SlotTag, question: Question<'_>) -> Result<Seen, Failure> {
        let slot = self.next_slot();
        let (generation, open) = slot.connection(&self.opener).await?;
        let confirmed = self.confirm(Lane::Main, open.number).await;
        confirmed.map_err(Failure::unsent)?;
        let mut ask = open.known.ask(tag, Instant::now());
        let seen = loop {
            let mut waiting = Waiting::new(slot, generation, self.opener.timeout(), Instant::now());
            let answered = open.bundler.ask(open.asked(&ask, question()), None);
            let answered = self.opener.trust().while_primary(open.number, answered);
            match open.seen(&ask, self.told(&mut waiting, answered.await?)?) {
                Some(seen) => break seen,
                // The epoch changed while the reply was on its way: the next one brings it along.
                None => ask = open.known.ask(tag, Instant::now()).again(),
            }
        };
        // Asked again: it may have hung, or lost its place, while it was waited for.
        self.confirm(Lane::Main, open.number).await?;
        seen
    }

    async fn confirm(&self, lane: Lane, number: u64) -> Result<(), Failure> {
        match lane {
            Lane::Main | Lane::Bulk => self.opener.trust().confirm(number).await,
            Lane::Write | Lane::Safe | Lane::Final => {
                self.opener.trust().confirm_write(number).await
            }
        }
    }

    /// Sends commands on a connection of their own, and asks the replicas.
    async fn exchange_safe(&self, lane: Lane, commands: Vec<Command>) -> Result<Answers, Failure> {
        let taken = RedisExclusive::take(&self.slots.spares, &self.opener).await;
        let mut connection = taken.map_err(Failure::unsent)?;
        let answers = connection.exchange_safe(lane, commands).await;
        match &answers {
            Err(failure) if matches!(failure.class(), Class::Unreachable | Class::Timeout) => {}
            _ => Box::new(connection).release(),
        }
        if lane == Lane::Final && matches!(&answers, Ok(answers) if answers.confirmed.is_ok()) {
            self.opener.trust().settled().await;
        }
        answers
    }
}

#[async_trait]
impl Wire for RedisWire {
    fn read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<Seen, Failure>> {
        Box::pin(async move {
            let seen = self.read_now(tag, question).await;
            if let Err(failure) = &seen
                && failure.class() == Class::ReadOnly
            {
                self.slots.discard();
            }
            seen.map_err(|failure| self.named(failure))
        })
    }

    async fn exchange(&self, lane: Lane, commands: Vec<Command>) -> Result<Answers, Failure> {
        let answers = self.exchange_now(lane, commands).await;
        answers.map_err(|failure| self.named(failure))
    }

    fn call(&self, lane: Lane, command: Command) -> BoxFuture<'_, Result<Reply, Failure>> {
        Box::pin(async move {
            let replied = self.call_now(lane, command).await;
            replied.map_err(|failure| self.named(failure))
        })
    }

    fn begin_read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'_>,
        since: Instant,
    ) -> Option<BegunRead<'a>> {
        self.begin_read_now(tag, question, since)
    }

    fn begin_call<'a>(&'a self, lane: Lane, command: Command, since: Instant) -> Option<Begun<'a>> {
        self.begin_call_now(lane, command, since)
    }

    async fn exclusive(&self) -> Result<Box<dyn Exclusive>, Failure> {
        let opened = RedisExclusive::take(&self.slots.spares, &self.opener).await;
        let opened = opened.map_err(|failure| self.named(failure.unsent()))?;
        Ok(Box::new(opened))
    }

    fn named(&self, failure: Failure) -> Failure {
        self.opener.named(failure)
    }
}

impl RedisWire {
    async fn call_now(&self, lane: Lane, command: Command) -> Result<Reply, Failure> {
        let Some(slot) = self.slot(lane) else {
            let answers = self.exchange_now(lane, vec![command]).await?;
            let [reply] = super::exactly(answers.all()?)?;
            return Ok(reply);
        };
        let answered = self.exchange_on(lane, slot, Asked::One(command)).await?;
        let [reply] = match answered {
            Answered::One(reply) => [reply],
            Answered::Many(replies) => super::exactly(replies)?,
        };
        if is_no_primary(&reply) {
            self.slots.discard();
        }
        check(&reply).map(|()| reply)
    }

    async fn exchange_now(&self, lane: Lane, commands: Vec<Command>) -> Result<Answers, Failure> {
        let answers = match self.slot(lane) {
            Some(slot) => {
                let answered = self.exchange_on(lane, slot, Asked::Many(commands)).await?;
                Answers {
                    replies: answered.all(),
                    confirmed: Ok(()),
                }
            }
            None => Box::pin(self.exchange_safe(lane, commands)).await?,
        };
        if answers.replies.iter().any(is_no_primary) {
            self.slots.discard();
        }
        Ok(answers)
    }

    /// A connection that is open, if whom it leads to need not be asked about.
    pub(super) fn at_hand(&self, slot: &Slot) -> Option<(u64, Arc<OpenShared>)> {
        let trust = self.opener.trust();
        trust.is_alone().then(|| slot.present(trust)).flatten()
    }

    /// Lets go of all connections: the server is no primary any more.
    pub(super) fn let_go(&self) {
        self.slots.discard();
    }

    pub(super) fn timeout(&self) -> Duration {
        self.opener.timeout()
    }

    /// The connection of a lane that shares one; what must be confirmed by replicas shares none.
    pub(super) fn slot(&self, lane: Lane) -> Option<&Slot> {
        match lane {
            lane if self.opener.shared().confirms(lane) => None,
            Lane::Main | Lane::Write | Lane::Safe | Lane::Final => Some(self.next_slot()),
            Lane::Bulk => Some(&self.slots.bulk),
        }
    }

    pub(super) fn next_slot(&self) -> &Slot {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        &self.slots.main[next % self.slots.main.len()]
    }
}

pub(super) fn is_no_primary(reply: &Reply) -> bool {
    matches!(reply, Reply::ServerError(error) if error.code() == "READONLY")
}

impl fmt::Debug for RedisWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWire")
            .field("connections", &self.slots.main.len())
            .finish_non_exhaustive()
    }
}

impl Drop for RedisWire {
    fn drop(&mut self) {
        if let Some(watcher) = &self.watcher {
            watcher.abort();
        }
    }
}

impl Slots {
    /// When one connection breaks, the server has mostly closed the others as well; who tries again
    /// should not find them one by one. Callers that still use them keep them.
    fn discard(&self) {
        for slot in self.main.iter().chain([&self.bulk, &self.questions]) {
            slot.open.lock().1 = None;
        }
        self.spares.discard();
    }
}

/// Lets go of the old primary when there is a new one, also of one that hangs and closes nothing.
async fn watch(trust: Arc<Trust>, slots: Arc<Slots>) {
    loop {
        trust.changed(trust.number()).await;
        slots.discard();
    }
}

/// One multiplexed connection, or the place for it.
#[derive(Default)]
pub(super) struct Slot {
    open: Mutex<(u64, Option<Arc<OpenShared>>)>,
    opening: tokio::sync::Mutex<()>,
    late: AtomicUsize,
}

impl Slot {
    async fn connection(&self, opener: &Opener) -> Result<(u64, Arc<OpenShared>), Failure> {
        let trust = opener.trust();
        if let Some(open) = self.present(trust) {
            return Ok(open);
        }
        Box::pin(self.reopen(opener)).await
    }

    async fn reopen(&self, opener: &Opener) -> Result<(u64, Arc<OpenShared>), Failure> {
        let trust = opener.trust();
        let _one_opens = self.opening.lock().await;
        if let Some(open) = self.present(trust) {
            return Ok(open);
        }
        let opened = loop {
            // What is being opened when there is a new primary is opened anew.
            tokio::select! {
                opened = opener.open_shared() => break Arc::new(opened?),
                () = trust.changed(trust.number()) => {}
            }
        };
        let mut open = self.open.lock();
        *open = (open.0 + 1, Some(Arc::clone(&opened)));
        self.late.store(0, Ordering::Relaxed);
        Ok((open.0, opened))
    }

    /// The connection, if it leads to who is primary.
    fn present(&self, trust: &Trust) -> Option<(u64, Arc<OpenShared>)> {
        let open = self.open.lock();
        let current = open.1.as_ref();
        let current = current.filter(|current| current.number == trust.number());
        current.map(|current| (open.0, Arc::clone(current)))
    }

    /// Forgets the connection, unless it is another one by now.
    fn discard(&self, generation: u64) {
        let mut open = self.open.lock();
        if open.0 == generation {
            open.1 = None;
        }
    }
}

/// The watchdog: notices calls that were given up when their time was over.
pub(super) struct Waiting<'a> {
    slot: &'a Slot,
    generation: u64,
    since: Instant,
    patience: Duration,
    answered: bool,
}

impl<'a> Waiting<'a> {
    /// For a call that began at `since`.
    pub(super) fn new(slot: &'a Slot, generation: u64, patience: Duration, since: Instant) -> Self {
        Self {
            slot,
            generation,
            since,
            patience: patience / 2,
            answered: false,
        }
    }

    fn answered(&mut self) {
        self.answered = true;
        self.slot.late.store(0, Ordering::Relaxed);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.answered || self.since.elapsed() < self.patience {
            return;
        }
        if self.slot.late.fetch_add(1, Ordering::Relaxed) + 1 >= HUNG_AFTER {
            self.slot.discard(self.generation);
        }
    }
}

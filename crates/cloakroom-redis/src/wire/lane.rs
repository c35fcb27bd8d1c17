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

use super::exclusive::{RedisExclusive, Spares};
use super::known::Ask;
use super::open::{OpenShared, Opener, transmit, without_errors};
use super::trust::Trust;
use super::{Answers, Command, Exclusive, Holds, Lane, Reply, Seen, Shared, Wire};
use crate::epoch::{self, Epoch};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings};
use crate::steps::time;

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
        let (generation, mut open) = opening.await.map_err(|_| late())??;
        let asking = transmit(&mut open.connection, questions);
        match tokio::time::timeout_at(until, asking).await {
            Ok(answer) => answer.map_err(|error| self.broken(slot, generation, &error)),
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
        commands: Vec<Command>,
    ) -> Result<Answers, Failure> {
        let opened = slot.connection(&self.opener).await;
        let (generation, mut open) = opened.map_err(Failure::unsent)?;
        let confirmed = self.confirm(lane, open.number).await;
        confirmed.map_err(Failure::unsent)?;
        let waiting = Waiting::new(slot, generation, self.opener.timeout());
        let sent = transmit(&mut open.connection, commands);
        let sent = self.opener.trust().while_primary(open.number, sent);
        let Ok(answer) = tokio::time::timeout(self.opener.timeout(), sent).await else {
            return Err(Failure::new(Class::Timeout, "no answer in time"));
        };
        let answer = answer?;
        waiting.answered();
        let replies = answer.map_err(|error| self.broken(slot, generation, &error))?;
        // Asked again: it may have hung, or lost its place, while it was waited for.
        self.confirm(lane, open.number).await?;
        Ok(Answers {
            replies,
            confirmed: Ok(()),
        })
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

    async fn read_now(&self, tag: SlotTag, command: Command) -> Result<Seen, Failure> {
        let slot = self.next_slot();
        let (generation, mut open) = slot.connection(&self.opener).await?;
        let confirmed = self.confirm(Lane::Main, open.number).await;
        confirmed.map_err(Failure::unsent)?;
        let waiting = Waiting::new(slot, generation, self.opener.timeout());
        let mut ask = open.known.ask(tag);
        let seen = loop {
            let number = open.number;
            let read = open.read(&ask, &command);
            let answer = self.opener.trust().while_primary(number, read).await?;
            match answer.map_err(|error| self.broken(slot, generation, &error))? {
                Some(seen) => break seen,
                // The epoch changed while the reply was on its way: the next one brings it along.
                None => ask = open.known.ask(tag).again(),
            }
        };
        waiting.answered();
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

impl OpenShared {
    /// Sends what a load asks for; `None` if the epoch that was known is not the present one.
    async fn read(
        &mut self,
        ask: &Ask,
        command: &Command,
    ) -> Result<Option<Result<Seen, Failure>>, redis::RedisError> {
        if let (Some(epoch), false) = (ask.epoch, ask.time) {
            let reply = self.connection.send_packed_command(command).await?;
            if !self.known.is_still(ask) {
                return Ok(None);
            }
            return Ok(Some(self.seen(Some(epoch), reply)));
        }
        // The epoch after the session: a read that adopts a session may make it.
        let mut commands = vec![command.clone()];
        if ask.time {
            commands.push(super::command::<&str>("TIME", []));
        }
        if ask.epoch.is_none() {
            if self.known.is_tracking() {
                commands.push(super::command("CLIENT", ["CACHING", "YES"]));
            }
            commands.push(epoch::read(ask.tag));
        }
        let replies = transmit(&mut self.connection, commands).await?;
        let known = ask.epoch.filter(|_| self.known.is_still(ask));
        if ask.epoch.is_some() && known.is_none() {
            return Ok(None);
        }
        Ok(Some(self.heard(ask, known, replies)))
    }

    fn heard(&self, ask: &Ask, known: Option<Epoch>, replies: Vec<Reply>) -> Result<Seen, Failure> {
        let mut replies = without_errors(replies)?.into_iter();
        let mut next = || {
            let missing = || Failure::protocol("not as many replies as commands");
            replies.next().ok_or_else(missing)
        };
        let reply = next()?;
        if ask.time {
            self.known.learn_time(ask, time(next()?)?);
        }
        let epoch = match known {
            Some(epoch) => Some(epoch),
            None => {
                if self.known.is_tracking() {
                    next()?;
                }
                let epoch = epoch::decode(next()?)?;
                self.known.learn(ask, epoch);
                epoch
            }
        };
        self.seen(epoch, reply)
    }

    fn seen(&self, epoch: Option<Epoch>, reply: Reply) -> Result<Seen, Failure> {
        if let Reply::ServerError(error) = &reply {
            return Err(Failure::of_server(error));
        }
        let now = self.known.now();
        let (now_at_least, now) =
            now.ok_or_else(|| Failure::protocol("the server told no time"))?;
        Ok(Seen {
            reply,
            epoch,
            now,
            now_at_least,
        })
    }
}

#[async_trait]
impl Wire for RedisWire {
    fn read(&self, tag: SlotTag, command: Command) -> BoxFuture<'_, Result<Seen, Failure>> {
        Box::pin(async move {
            let seen = self.read_now(tag, command).await;
            if let Err(failure) = &seen
                && failure.class() == Class::ReadOnly
            {
                self.slots.discard();
            }
            seen
        })
    }

    async fn exchange(&self, lane: Lane, commands: Vec<Command>) -> Result<Answers, Failure> {
        let answers = match self.slot(lane) {
            Some(slot) => self.exchange_on(lane, slot, commands).await?,
            None => self.exchange_safe(lane, commands).await?,
        };
        let is_no_primary = |reply: &Reply| matches!(reply, Reply::ServerError(error) if error.code() == "READONLY");
        if answers.replies.iter().any(is_no_primary) {
            self.slots.discard();
        }
        Ok(answers)
    }

    async fn exclusive(&self) -> Result<Box<dyn Exclusive>, Failure> {
        let opened = RedisExclusive::take(&self.slots.spares, &self.opener).await;
        Ok(Box::new(opened.map_err(Failure::unsent)?))
    }
}

impl RedisWire {
    /// The connection of a lane that shares one; what must be confirmed by replicas shares none.
    fn slot(&self, lane: Lane) -> Option<&Slot> {
        match lane {
            lane if self.opener.shared().confirms(lane) => None,
            Lane::Main | Lane::Write | Lane::Safe | Lane::Final => Some(self.next_slot()),
            Lane::Bulk => Some(&self.slots.bulk),
        }
    }

    fn next_slot(&self) -> &Slot {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        &self.slots.main[next % self.slots.main.len()]
    }
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
struct Slot {
    open: Mutex<(u64, Option<OpenShared>)>,
    opening: tokio::sync::Mutex<()>,
    late: AtomicUsize,
}

impl Slot {
    async fn connection(&self, opener: &Opener) -> Result<(u64, OpenShared), Failure> {
        let trust = opener.trust();
        if let Some(open) = self.present(trust) {
            return Ok(open);
        }
        let _one_opens = self.opening.lock().await;
        if let Some(open) = self.present(trust) {
            return Ok(open);
        }
        let opened = loop {
            // What is being opened when there is a new primary is opened anew.
            tokio::select! {
                opened = opener.open_shared() => break opened?,
                () = trust.changed(trust.number()) => {}
            }
        };
        let mut open = self.open.lock();
        *open = (open.0 + 1, Some(opened.clone()));
        self.late.store(0, Ordering::Relaxed);
        Ok((open.0, opened))
    }

    /// The connection, if it leads to who is primary.
    fn present(&self, trust: &Trust) -> Option<(u64, OpenShared)> {
        let open = self.open.lock();
        let current = open.1.as_ref();
        let current = current.filter(|current| current.number == trust.number());
        current.map(|current| (open.0, current.clone()))
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
struct Waiting<'a> {
    slot: &'a Slot,
    generation: u64,
    since: Instant,
    patience: Duration,
    answered: bool,
}

impl<'a> Waiting<'a> {
    fn new(slot: &'a Slot, generation: u64, patience: Duration) -> Self {
        Self {
            slot,
            generation,
            since: Instant::now(),
            patience: patience / 2,
            answered: false,
        }
    }

    fn answered(mut self) {
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

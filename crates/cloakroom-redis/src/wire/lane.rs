//! Multiplexed connections: few, shared by all callers, opened when first needed and again when they
//! break or hang. A reply belongs to the caller by its place in the stream, also when callers leave.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cloakroom_core::Error;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::exclusive::{RedisExclusive, Spares};
use super::known::Ask;
use super::open::{Open, Opener, transmit, without_errors};
use super::sentinel::Sentinels;
use super::{Command, Exclusive, Lane, Reply, Seen, Shared, Wire};
use crate::epoch::{self, Epoch};
use crate::failure::{Class, Failure};
use crate::settings::Settings;
use crate::steps::time;

/// Deadlines in a row that make a connection suspect: the server may hang without closing it.
const HUNG_AFTER: usize = 3;
/// How soon another sentinel is listened to when one went away.
const LISTEN_AGAIN: Duration = Duration::from_millis(200);

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
    spares: Arc<Spares>,
    /// Counts announcements of a new primary; what is being opened then is opened anew.
    primary: tokio::sync::watch::Sender<u64>,
}

impl RedisWire {
    /// Must be called on the runtime that the connections shall live on.
    pub(crate) fn new(settings: &Settings, shared: Arc<Shared>) -> Result<Self, Error> {
        let opener = Arc::new(Opener::new(settings, shared)?);
        let slots = Arc::new(Slots {
            main: (0..settings.connections).map(|_| Slot::default()).collect(),
            bulk: Slot::default(),
            spares: Arc::default(),
            primary: tokio::sync::watch::channel(0).0,
        });
        let watcher = opener.sentinels.clone().map(|sentinels| {
            let watching = watch(sentinels, Arc::clone(&slots));
            tokio::spawn(watching).abort_handle()
        });
        Ok(Self {
            opener,
            slots,
            next: AtomicUsize::new(0),
            watcher,
        })
    }

    /// Sends commands on a shared connection; gives what was answered, errors among it.
    async fn exchange(&self, slot: &Slot, commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        let (generation, mut open) = self.open(slot).await?;
        let waiting = Waiting::new(slot, generation, self.opener.timeout());
        let sent = transmit(&mut open.connection, commands);
        let Ok(answer) = tokio::time::timeout(self.opener.timeout(), sent).await else {
            return Err(Failure::new(Class::Timeout, "no answer in time"));
        };
        waiting.answered();
        answer.map_err(|error| self.broken(slot, generation, &error))
    }

    async fn open(&self, slot: &Slot) -> Result<(u64, Open), Failure> {
        match slot.present() {
            Some(open) => Ok(open),
            None => slot.connection(&self.opener, &self.slots.primary).await,
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

    async fn read_now(&self, tag: SlotTag, command: Command) -> Result<Seen, Failure> {
        let slot = self.next_slot();
        let (generation, mut open) = self.open(slot).await?;
        let waiting = Waiting::new(slot, generation, self.opener.timeout());
        let mut ask = open.known.ask(tag);
        let seen = loop {
            let answer = open.read(&ask, &command).await;
            match answer.map_err(|error| self.broken(slot, generation, &error))? {
                Some(seen) => break seen,
                // The epoch changed while the reply was on its way: the next one brings it along.
                None => ask = open.known.ask(tag).again(),
            }
        };
        waiting.answered();
        seen
    }

    /// As [`RedisWire::exchange`], on a connection of its own, with the word of the replicas.
    async fn exchange_safe(
        &self,
        commands: Vec<Command>,
    ) -> Result<(Vec<Reply>, Result<(), Failure>), Failure> {
        let mut connection = RedisExclusive::take(&self.slots.spares, &self.opener).await?;
        let answer = connection.exchange_safe(commands).await;
        match &answer {
            Err(failure) if matches!(failure.class(), Class::Unreachable | Class::Timeout) => {}
            _ => Box::new(connection).release(),
        }
        answer
    }

    /// Lets go of a server that is primary no more.
    fn checked(&self, answer: Result<Vec<Reply>, Failure>) -> Result<Vec<Reply>, Failure> {
        if let Err(failure) = &answer
            && failure.class() == Class::ReadOnly
        {
            self.slots.discard();
        }
        answer
    }
}

impl Open {
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

    async fn send(&self, lane: Lane, commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        let answer = match self.slot(lane) {
            Some(slot) => self.exchange(slot, commands).await.and_then(without_errors),
            None => match self.exchange_safe(commands).await {
                Ok((replies, confirmed)) => {
                    without_errors(replies).and_then(|replies| confirmed.map(|()| replies))
                }
                Err(failure) => Err(failure),
            },
        };
        self.checked(answer)
    }

    async fn send_each(
        &self,
        lane: Lane,
        batches: Vec<Vec<Command>>,
    ) -> Result<Vec<Result<Vec<Reply>, Failure>>, Failure> {
        let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
        let all: Vec<Command> = batches.into_iter().flatten().collect();
        if let [_] = *all {
            return Ok(vec![self.send(lane, all).await]);
        }
        let mut replies = match self.slot(lane) {
            Some(slot) => self.exchange(slot, all).await?,
            None => {
                let (replies, confirmed) = self.exchange_safe(all).await?;
                confirmed?;
                replies
            }
        }
        .into_iter();
        let answers = sizes.into_iter().map(|size| {
            let own = replies.by_ref().take(size).collect();
            self.checked(without_errors(own))
        });
        Ok(answers.collect())
    }

    async fn exclusive(&self) -> Result<Box<dyn Exclusive>, Failure> {
        let opened = RedisExclusive::take(&self.slots.spares, &self.opener).await?;
        Ok(Box::new(opened))
    }
}

impl RedisWire {
    /// The connection of a lane that shares one; what must be confirmed by replicas shares none.
    fn slot(&self, lane: Lane) -> Option<&Slot> {
        match lane {
            Lane::Safe if self.opener.shared().is_safe() => None,
            Lane::Main | Lane::Safe => Some(self.next_slot()),
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
        for slot in self.main.iter().chain([&self.bulk]) {
            slot.open.lock().1 = None;
        }
        self.spares.discard();
    }
}

/// Lets go of the old primary when a new one is announced, also of one that hangs and closes nothing.
async fn watch(sentinels: Sentinels, slots: Arc<Slots>) {
    for turn in 0.. {
        match sentinels.announcement(turn).await {
            Ok(()) => {
                slots.discard();
                slots.primary.send_modify(|count| *count += 1);
            }
            Err(failure) => {
                tracing::debug!(%failure, "a sentinel cannot be listened to");
                tokio::time::sleep(LISTEN_AGAIN).await;
            }
        }
    }
}

/// One multiplexed connection, or the place for it.
#[derive(Default)]
struct Slot {
    open: Mutex<(u64, Option<Open>)>,
    opening: tokio::sync::Mutex<()>,
    late: AtomicUsize,
}

impl Slot {
    async fn connection(
        &self,
        opener: &Opener,
        primary: &tokio::sync::watch::Sender<u64>,
    ) -> Result<(u64, Open), Failure> {
        let mut primary = primary.subscribe();
        let _one_opens = self.opening.lock().await;
        if let Some(open) = self.present() {
            return Ok(open);
        }
        let opened = loop {
            tokio::select! {
                opened = opener.open_shared() => break opened?,
                Ok(()) = primary.changed() => {}
            }
        };
        let mut open = self.open.lock();
        *open = (open.0 + 1, Some(opened.clone()));
        self.late.store(0, Ordering::Relaxed);
        Ok((open.0, opened))
    }

    fn present(&self) -> Option<(u64, Open)> {
        let open = self.open.lock();
        open.1.clone().map(|connection| (open.0, connection))
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

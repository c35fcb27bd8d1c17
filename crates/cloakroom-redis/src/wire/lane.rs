//! Multiplexed connections: few, shared by all callers, opened when first needed and again when they
//! break or hang. A reply belongs to the caller by its place in the stream, also when callers leave.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::task::AbortHandle;

use super::exclusive::{RedisExclusive, Spares};
use super::open::{Opener, transmit};
use super::sentinel::Sentinels;
use super::{Answers, Command, Exclusive, Holds, Lane, Reply, Shared, Wire};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings};

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
            spares: Arc::default(),
            primary: tokio::sync::watch::channel(0).0,
        });
        let watcher = opener.sentinels.clone().map(|sentinels| {
            let watching = watch(sentinels, Arc::clone(&slots));
            tokio::spawn(watching).abort_handle()
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

    /// Sends commands on a shared connection.
    async fn exchange_on(&self, slot: &Slot, commands: Vec<Command>) -> Result<Answers, Failure> {
        let primary = self.slots.primary.subscribe();
        let opened = slot.connection(&self.opener, primary).await;
        let (generation, mut connection) = opened.map_err(Failure::unsent)?;
        let waiting = Waiting::new(slot, generation, self.opener.timeout());
        let sent = tokio::time::timeout(self.opener.timeout(), transmit(&mut connection, commands));
        let Ok(answer) = sent.await else {
            return Err(Failure::new(Class::Timeout, "no answer in time"));
        };
        waiting.answered();
        match answer {
            Ok(replies) => Ok(Answers {
                replies,
                confirmed: Ok(()),
            }),
            Err(error) => {
                let failure = Failure::of(&error);
                if failure.class() != Class::Timeout {
                    slot.discard(generation);
                    self.slots.discard();
                }
                Err(failure)
            }
        }
    }

    /// Sends commands on a connection of their own, and asks the replicas.
    async fn exchange_safe(&self, commands: Vec<Command>) -> Result<Answers, Failure> {
        let taken = RedisExclusive::take(&self.slots.spares, &self.opener).await;
        let mut connection = taken.map_err(Failure::unsent)?;
        let answers = connection.exchange_safe(commands).await;
        match &answers {
            Err(failure) if matches!(failure.class(), Class::Unreachable | Class::Timeout) => {}
            _ => Box::new(connection).release(),
        }
        answers
    }
}

#[async_trait]
impl Wire for RedisWire {
    async fn exchange(&self, lane: Lane, commands: Vec<Command>) -> Result<Answers, Failure> {
        let answers = match self.slot(lane) {
            Some(slot) => self.exchange_on(slot, commands).await?,
            None => self.exchange_safe(commands).await?,
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
            Lane::Safe if self.opener.shared().is_safe() => None,
            Lane::Main | Lane::Safe => {
                let next = self.next.fetch_add(1, Ordering::Relaxed);
                Some(&self.slots.main[next % self.slots.main.len()])
            }
            Lane::Bulk => Some(&self.slots.bulk),
        }
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
    open: Mutex<(u64, Option<MultiplexedConnection>)>,
    opening: tokio::sync::Mutex<()>,
    late: AtomicUsize,
}

impl Slot {
    async fn connection(
        &self,
        opener: &Opener,
        mut primary: tokio::sync::watch::Receiver<u64>,
    ) -> Result<(u64, MultiplexedConnection), Failure> {
        if let Some(open) = self.present() {
            return Ok(open);
        }
        let _one_opens = self.opening.lock().await;
        if let Some(open) = self.present() {
            return Ok(open);
        }
        let connection = loop {
            tokio::select! {
                opened = opener.open() => break opened?,
                Ok(()) = primary.changed() => {}
            }
        };
        let mut open = self.open.lock();
        *open = (open.0 + 1, Some(connection.clone()));
        self.late.store(0, Ordering::Relaxed);
        Ok((open.0, connection))
    }

    fn present(&self) -> Option<(u64, MultiplexedConnection)> {
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

//! Multiplexed connections: few, shared by all callers, opened when first needed and again when they
//! break or hang. A reply belongs to the caller by its place in the stream, also when callers leave.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use cloakroom_core::Error;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;

use super::open::{Opener, transmit, without_errors};
use super::{Command, Exclusive, Lane, RedisExclusive, Reply, Wire};
use crate::failure::{Class, Failure};
use crate::settings::Settings;
use crate::wire::exclusive::Spares;

/// Deadlines in a row that make a connection suspect: the server may hang without closing it.
const HUNG_AFTER: usize = 3;

/// The wire client: redis-rs, with what it lacks.
pub(crate) struct RedisWire {
    opener: Arc<Opener>,
    main: Vec<Slot>,
    bulk: Slot,
    next: AtomicUsize,
    spares: Arc<Spares>,
}

impl RedisWire {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            opener: Arc::new(Opener::new(settings)?),
            main: (0..settings.connections).map(|_| Slot::default()).collect(),
            bulk: Slot::default(),
            next: AtomicUsize::new(0),
            spares: Arc::default(),
        })
    }

    /// When one connection breaks, the server has mostly closed the others as well; who tries again
    /// should not find them one by one. Callers that still use them keep them.
    fn discard_others(&self) {
        for slot in self.main.iter().chain([&self.bulk]) {
            slot.open.lock().1 = None;
        }
    }

    fn slot(&self, lane: Lane) -> &Slot {
        match lane {
            Lane::Main => {
                let next = self.next.fetch_add(1, Ordering::Relaxed);
                &self.main[next % self.main.len()]
            }
            Lane::Bulk => &self.bulk,
        }
    }
}

#[async_trait]
impl Wire for RedisWire {
    async fn send(&self, lane: Lane, commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        let slot = self.slot(lane);
        let (generation, mut connection) = slot.connection(&self.opener).await?;
        let waiting = Waiting::new(slot, generation, self.opener.timeout());
        let sent = tokio::time::timeout(self.opener.timeout(), transmit(&mut connection, commands));
        let Ok(answer) = sent.await else {
            return Err(Failure::new(Class::Timeout, "no answer in time"));
        };
        waiting.answered();
        match answer {
            Ok(replies) => without_errors(replies),
            Err(error) => {
                let failure = Failure::of(&error);
                if matches!(failure.class(), Class::Unreachable | Class::Protocol)
                    && error.code().is_none()
                {
                    slot.discard(generation);
                    self.discard_others();
                }
                Err(failure)
            }
        }
    }

    async fn exclusive(&self) -> Result<Box<dyn Exclusive>, Failure> {
        let opened = RedisExclusive::take(&self.spares, &self.opener).await?;
        Ok(Box::new(opened))
    }
}

impl fmt::Debug for RedisWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWire")
            .field("connections", &self.main.len())
            .finish_non_exhaustive()
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
    async fn connection(&self, opener: &Opener) -> Result<(u64, MultiplexedConnection), Failure> {
        if let Some(open) = self.present() {
            return Ok(open);
        }
        let _one_opens = self.opening.lock().await;
        if let Some(open) = self.present() {
            return Ok(open);
        }
        let connection = opener.open().await?;
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
    patience: std::time::Duration,
    answered: bool,
}

impl<'a> Waiting<'a> {
    fn new(slot: &'a Slot, generation: u64, patience: std::time::Duration) -> Self {
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

//! Connections that one caller has alone, for WATCH: bounded, kept for the next transaction, and
//! closed when a transaction was left half-way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::open::{Opener, transmit, without_errors};
use super::{Command, Exclusive, Reply};
use crate::failure::{Class, Failure};

/// Transactions at the same time; more wait.
const MOST: usize = 16;

/// Connections that wait for a transaction.
pub(super) struct Spares {
    idle: Mutex<Vec<MultiplexedConnection>>,
    permits: Arc<Semaphore>,
    /// Whether a replica must confirm what must not be lost.
    pub(super) safe: AtomicBool,
}

impl Spares {
    /// Closes connections to a server that is primary no more.
    pub(super) fn discard(&self) {
        self.idle.lock().clear();
    }
}

impl Default for Spares {
    fn default() -> Self {
        Self {
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(MOST)),
            safe: AtomicBool::new(false),
        }
    }
}

/// A connection that one caller has alone.
pub(crate) struct RedisExclusive {
    connection: MultiplexedConnection,
    opener: Arc<Opener>,
    spares: Arc<Spares>,
    _permit: OwnedSemaphorePermit,
}

impl RedisExclusive {
    pub(super) async fn take(spares: &Arc<Spares>, opener: &Arc<Opener>) -> Result<Self, Failure> {
        let permits = Arc::clone(&spares.permits).acquire_owned();
        let permit = tokio::time::timeout(opener.timeout(), permits).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Failure::new(
                Class::Timeout,
                "no connection was free in time",
            ));
        };
        let idle = spares.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => opener.open().await?,
        };
        Ok(Self {
            connection,
            opener: Arc::clone(opener),
            spares: Arc::clone(spares),
            _permit: permit,
        })
    }
}

#[async_trait]
impl Exclusive for RedisExclusive {
    async fn send(&mut self, commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        let sent = transmit(&mut self.connection, commands);
        match tokio::time::timeout(self.opener.timeout(), sent).await {
            Ok(Ok(replies)) => without_errors(replies),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => Err(Failure::new(Class::Timeout, "no answer in time")),
        }
    }

    async fn send_safe(&mut self, mut commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        if !self.spares.safe.load(Ordering::Relaxed) {
            return self.send(commands).await;
        }
        let mut wait = super::command("WAIT", ["1"]);
        wait.arg(self.opener.timeout().as_millis() as u64 / 2);
        commands.push(wait);
        let mut replies = self.send(commands).await?;
        match replies.pop() {
            Some(Reply::Int(confirmed)) if confirmed > 0 => Ok(replies),
            _ => Err(Failure::new(
                Class::NoReplicas,
                "no replica confirmed the change in time; it may be lost",
            )),
        }
    }

    fn release(self: Box<Self>) {
        self.spares.idle.lock().push(self.connection.clone());
    }
}

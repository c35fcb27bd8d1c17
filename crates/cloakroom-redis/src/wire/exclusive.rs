//! Connections that one caller has alone, for WATCH: bounded, kept for the next transaction, and
//! closed when a transaction was left half-way.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::open::{self, Open, Opener, ask, transmit, without_errors};
use super::{Answers, Command, Exclusive, Lane, Reply, Shared};
use crate::failure::{Class, Failure};

/// Transactions at the same time; more wait.
const MOST: usize = 16;
/// Seconds since a replica last reported: they report every second.
const LAG: u64 = 2;

/// Connections that wait for a transaction.
pub(super) struct Spares {
    /// How often they were discarded, and what waits since.
    idle: Mutex<(u64, Vec<Spare>)>,
    permits: Arc<Semaphore>,
}

impl Spares {
    /// Closes connections to a server that is primary no more.
    pub(super) fn discard(&self) {
        let mut idle = self.idle.lock();
        idle.0 += 1;
        idle.1.clear();
    }
}

impl Default for Spares {
    fn default() -> Self {
        Self {
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(MOST)),
        }
    }
}

/// A connection that waits, and how many replicas its server had.
type Spare = (Open, u64);

/// A connection that one caller has alone.
pub(crate) struct RedisExclusive {
    open: Open,
    replicas: u64,
    generation: u64,
    opener: Arc<Opener>,
    spares: Arc<Spares>,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl RedisExclusive {
    pub(super) async fn take(spares: &Arc<Spares>, opener: &Arc<Opener>) -> Result<Self, Failure> {
        let shared = opener.shared();
        let permits = Arc::clone(&spares.permits).acquire_owned();
        let permit = tokio::time::timeout(opener.timeout(), permits).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Failure::new(
                Class::Timeout,
                "no connection was free in time",
            ));
        };
        let (generation, idle) = {
            let mut idle = spares.idle.lock();
            (idle.0, idle.1.pop())
        };
        let is_current = |spare: &Spare| spare.0.number == opener.trust().number();
        let (open, replicas) = match idle.filter(is_current) {
            Some(spare) => spare,
            None => {
                let mut open = opener.open().await?;
                let replicas = match shared.counts_replicas() {
                    true => replicas(&mut open).await?,
                    false => 0,
                };
                (open, replicas)
            }
        };
        Ok(Self {
            open,
            replicas,
            generation,
            opener: Arc::clone(opener),
            spares: Arc::clone(spares),
            shared: Arc::clone(shared),
            _permit: permit,
        })
    }
}

impl RedisExclusive {
    /// Sends commands and gives what was answered, errors among it.
    async fn exchange(&mut self, commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        let Open { connection, number } = &mut self.open;
        let trust = self.opener.trust();
        let sent = async {
            trust.confirm_write(*number).await?;
            let answer = trust.while_primary(*number, transmit(connection, commands));
            let answer = answer.await?;
            trust.confirm_write(*number).await?;
            answer.map_err(|error| Failure::of(&error))
        };
        match tokio::time::timeout(self.opener.timeout(), sent).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::new(Class::Timeout, "no answer in time")),
        }
    }

    /// As [`RedisExclusive::exchange`], and whether the replicas have it, where they must.
    pub(super) async fn exchange_safe(
        &mut self,
        lane: Lane,
        mut commands: Vec<Command>,
    ) -> Result<Answers, Failure> {
        if !self.shared.confirms(lane) {
            let replies = self.exchange(commands).await?;
            return Ok(Answers {
                replies,
                confirmed: Ok(()),
            });
        }
        // All replicas that keep up by the primary's own word, or that could be promoted by that of others;
        // not one of them: a failover takes the one that is promoted away, and its silence is how the
        // old primary can be told from the new one.
        let known = self.replicas.max(self.opener.trust().replicas());
        let wanted = known.max(self.shared.least(self.opener.sentinels.is_some()));
        if wanted > 0 {
            commands.push(self.wait(wanted));
        }
        // Others hear of a replica some time after it has its data, so the primary is asked behind each
        // write: who has joined by then is waited for as well.
        commands.push(who_replicates());
        let mut replies = self.exchange(commands).await?;
        let now = replies.pop().unwrap_or_default();
        let mut confirmed = match wanted {
            0 => Ok(()),
            wanted => has_confirmed(replies.pop(), wanted),
        };
        if confirmed.is_ok() {
            let now = open::check(&now).and_then(|()| keeping_up(now));
            // Where none keeps up, one is promoted that does not.
            let last_resort = self.opener.trust().last_resort();
            confirmed = match now.map(|now| if now + wanted == 0 { last_resort } else { now }) {
                Ok(now) if now > wanted => {
                    self.replicas = now;
                    let wait = vec![self.wait(now)];
                    has_confirmed(self.exchange(wait).await?.pop(), now)
                }
                now => now.map(drop),
            };
        }
        if matches!(&confirmed, Err(failure) if failure.class() == Class::NoReplicas) {
            self.spares.discard();
        }
        Ok(Answers { replies, confirmed })
    }

    fn wait(&self, replicas: u64) -> Command {
        let mut wait = super::command("WAIT", [replicas]);
        wait.arg(self.opener.timeout().as_millis() as u64 / 2);
        wait
    }
}

fn has_confirmed(reply: Option<Reply>, wanted: u64) -> Result<(), Failure> {
    match reply {
        Some(Reply::Int(confirmed)) if confirmed.cast_unsigned() >= wanted => Ok(()),
        Some(Reply::ServerError(error)) => Err(Failure::of_server(&error)),
        _ => Err(Failure::new(
            Class::NoReplicas,
            "not every replica confirmed the change in time; it may be lost",
        )),
    }
}

#[async_trait]
impl Exclusive for RedisExclusive {
    async fn send(&mut self, commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        let replies = self.exchange(commands).await.and_then(without_errors);
        replies.map_err(|failure| self.opener.named(failure))
    }

    async fn send_safe(
        &mut self,
        lane: Lane,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, Failure> {
        let answers = self.exchange_safe(lane, commands).await;
        let replies = answers.and_then(Answers::all);
        let replies = replies.map_err(|failure| self.opener.named(failure))?;
        if lane == Lane::Final {
            self.opener.trust().settled().await;
        }
        Ok(replies)
    }

    fn release(self: Box<Self>) {
        let mut idle = self.spares.idle.lock();
        if idle.0 == self.generation {
            idle.1.push((self.open.clone(), self.replicas));
        }
    }
}

/// The replicas of a server that keep up. One that hangs is not waited for by the next connection.
async fn replicas(open: &mut Open) -> Result<u64, Failure> {
    keeping_up(ask(&mut open.connection, who_replicates()).await?)
}

fn who_replicates() -> Command {
    super::command("INFO", ["replication"])
}

fn keeping_up(info: Reply) -> Result<u64, Failure> {
    let info = super::bytes(info)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&info).into_owned();
    let keeps_up = |line: &&str| {
        let lag = line
            .rsplit_once("lag=")
            .and_then(|(_, lag)| lag.trim().parse().ok());
        line.starts_with("slave")
            && line.contains("state=online")
            && lag.is_some_and(|lag: u64| lag <= LAG)
    };
    Ok(text.lines().filter(keeps_up).count() as u64)
}

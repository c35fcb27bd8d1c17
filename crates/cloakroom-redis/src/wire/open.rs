//! Opening a connection; behind Sentinel, to whoever is primary now. A server that was not met before is told again what was
//! revoked, before anybody asks it.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::Error;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline};

use super::client::Clients;
use super::retell::retell;
use super::sentinel::Sentinels;
use super::trust::Trust;
use super::{Command, Reply, Shared, array, bytes, command};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings};

/// An open connection.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) connection: MultiplexedConnection,
    /// Of the primary that it leads to; [`Trust`] knows whether it is one still.
    pub(super) number: u64,
}

/// How to open a connection.
pub(super) struct Opener {
    /// The server, or the first sentinel.
    address: Address,
    timeout: Duration,
    clients: Clients,
    pub(super) sentinels: Option<Sentinels>,
    trust: Arc<Trust>,
    shared: Arc<Shared>,
    /// The run of the server that was met last.
    met: Mutex<Option<Vec<u8>>>,
    retelling: tokio::sync::Mutex<()>,
}

impl Opener {
    pub(super) fn new(settings: &Settings, shared: Arc<Shared>) -> Result<Self, Error> {
        let clients = Clients::new(settings)?;
        let sentinels = settings
            .master
            .as_ref()
            .map(|master| Sentinels::new(settings, master, clients.clone()));
        let count = sentinels.as_ref().map_or(0, |_| settings.addresses.len());
        Ok(Self {
            address: settings.addresses[0].clone(),
            timeout: settings.timeout,
            clients,
            sentinels,
            trust: Arc::new(Trust::new(count)),
            shared,
            met: Mutex::new(None),
            retelling: tokio::sync::Mutex::default(),
        })
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) const fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Opens one. Its failure names the address.
    pub(super) async fn open(&self) -> Result<Open, Failure> {
        match tokio::time::timeout(self.timeout, self.open_now()).await {
            Ok(opened) => opened,
            Err(_) => {
                let late = Failure::new(Class::Timeout, "no connection in time");
                Err(late.at(&self.address.to_string()))
            }
        }
    }

    async fn open_now(&self) -> Result<Open, Failure> {
        let (number, address) = match &self.sentinels {
            None => (self.trust.number(), self.address.clone()),
            Some(_) => self.trust.primary().await?,
        };
        match self.open_at(&address).await {
            Ok(connection) => Ok(Open { connection, number }),
            Err(failure) => Err(failure.at(&address.to_string())),
        }
    }

    async fn open_at(&self, address: &Address) -> Result<MultiplexedConnection, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None);
        let client = self.clients.server(address);
        let client = client.map_err(|error| Failure::of(&error))?;
        let opening = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = opening.await.map_err(|error| Failure::of(&error))?;
        self.meet(&mut connection, &address.to_string()).await?;
        Ok(connection)
    }

    /// Finds out who answers, and tells a server that was not met before what was revoked.
    async fn meet(
        &self,
        connection: &mut MultiplexedConnection,
        address: &str,
    ) -> Result<(), Failure> {
        if self.sentinels.is_some() {
            let role = ask(connection, command::<&str>("ROLE", [])).await?;
            let role = array(role)?.into_iter().next().unwrap_or_default();
            if bytes(role)?.as_deref() != Some(b"master") {
                return Err(Failure::new(
                    Class::ReadOnly,
                    "the sentinel named a replica",
                ));
            }
        }
        let run = match ask(connection, command("INFO", ["server"])).await {
            Ok(info) => run_of(&bytes(info)?.unwrap_or_default()),
            // Without the right to ask, every connection is a server that was not met before.
            Err(failure) if failure.class() == Class::Permission => None,
            Err(failure) => return Err(failure),
        };
        let one_tells = self.retelling.lock().await;
        if run.is_some() && *self.met.lock() == run {
            return Ok(());
        }
        retell(connection, &self.shared.revoked, &|_| true).await?;
        self.shared.recent.clear();
        self.met.lock().clone_from(&run);
        drop(one_tells);
        let concerns = &self.shared.concerns;
        concerns.look(connection, run.as_deref(), address).await;
        Ok(())
    }
}

/// Sends commands over one connection in one trip.
pub(super) async fn transmit(
    connection: &mut MultiplexedConnection,
    commands: Vec<Command>,
) -> Result<Vec<Reply>, redis::RedisError> {
    if let [command] = &*commands {
        return Ok(vec![connection.send_packed_command(command).await?]);
    }
    let count = commands.len();
    let mut pipeline = Pipeline::with_capacity(count);
    for command in commands {
        pipeline.add_command(command);
    }
    connection.send_packed_commands(&pipeline, 0, count).await
}

/// The first server error in `replies`, as what it is.
pub(super) fn without_errors(replies: Vec<Reply>) -> Result<Vec<Reply>, Failure> {
    fn error(reply: &Reply) -> Option<&redis::ServerError> {
        match reply {
            Reply::ServerError(error) => Some(error),
            Reply::Array(items) => items.iter().find_map(error),
            _ => None,
        }
    }
    match replies.iter().find_map(error) {
        Some(error) => Err(Failure::of_server(error)),
        None => Ok(replies),
    }
}

pub(super) async fn ask(
    connection: &mut MultiplexedConnection,
    question: Command,
) -> Result<Reply, Failure> {
    let answer = connection.send_packed_command(&question).await;
    let [reply] = super::exactly(without_errors(vec![
        answer.map_err(|error| Failure::of(&error))?,
    ])?)?;
    Ok(reply)
}

/// The id of a server's run, which changes when it restarts.
fn run_of(info: &[u8]) -> Option<Vec<u8>> {
    let mut lines = info.split(|byte| *byte == b'\n');
    let run = lines.find_map(|line| line.strip_prefix(b"run_id:"))?;
    Some(run.trim_ascii().to_vec())
}

//! Opening a connection; behind Sentinel, to whoever is primary now. A server that was not met before
//! is told again what was revoked, before anybody asks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::{MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, Pipeline, PushInfo, ServerError};

use super::bundle::Bundler;
use super::client::Clients;
use super::known::Known;
use super::retell::{Elsewhere, retell};
use super::sentinel::Sentinels;
use super::trust::Trust;
use super::{Command, Concerns, Holds, Reply, Shared, array, bytes, command};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Protocol, Settings};

/// An open connection.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) connection: MultiplexedConnection,
    /// Of the primary that it leads to; [`Trust`] knows whether it is one still.
    pub(super) number: u64,
}

/// As [`Open`], for many callers, and what it knows.
pub(super) struct OpenShared {
    pub(super) bundler: Bundler,
    pub(super) number: u64,
    pub(super) known: Arc<Known>,
}

/// Who answers at the other end of a connection.
enum Server {
    /// The one that was met last.
    Known,
    /// One that was not met before, with its run, if it may be asked for that.
    Stranger(Option<Vec<u8>>),
}

/// How to open a connection.
pub(super) struct Opener {
    /// The server, or the first sentinel.
    address: Address,
    timeout: Duration,
    clients: Clients,
    pub(super) sentinels: Option<Sentinels>,
    trust: Arc<Trust>,
    /// Whether a node of a cluster is what is looked for.
    cluster: bool,
    holds: Arc<Holds>,
    shared: Arc<Shared>,
    /// The run of the server that was met last.
    met: Mutex<Option<Vec<u8>>>,
    retelling: tokio::sync::Mutex<()>,
    protocol: Protocol,
    /// The server does not speak RESP3.
    is_old: AtomicBool,
}

impl Opener {
    pub(super) fn new(
        settings: &Settings,
        address: &Address,
        holds: Arc<Holds>,
        shared: Arc<Shared>,
    ) -> Self {
        let clients = Clients::new(settings, shared.ca.clone());
        let sentinels = settings
            .master
            .as_ref()
            .map(|master| Sentinels::new(settings, master, clients.clone()));
        let count = sentinels.as_ref().map_or(0, |_| settings.addresses.len());
        Self {
            address: address.clone(),
            timeout: settings.timeout,
            clients,
            sentinels,
            trust: Arc::new(Trust::new(count)),
            cluster: settings.cluster,
            holds,
            shared,
            met: Mutex::new(None),
            retelling: tokio::sync::Mutex::default(),
            protocol: settings.protocol,
            is_old: AtomicBool::new(false),
        }
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

    /// The same failure, naming the server that connections lead to, or the first sentinel before any is known.
    pub(super) fn named(&self, failure: Failure) -> Failure {
        match self.trust.server() {
            Some(primary) => failure.at(&primary.to_string()),
            None => failure.at(&self.address.to_string()),
        }
    }

    /// Opens one for a caller alone. Its failure names the address.
    pub(super) async fn open(&self) -> Result<Open, Failure> {
        let resp3 = self.protocol == Protocol::Resp3;
        self.in_time(self.open_now(resp3, None)).await
    }

    /// Opens one for many callers, which the server tells of changed epochs if it can.
    pub(super) async fn open_shared(&self) -> Result<OpenShared, Failure> {
        self.in_time(self.open_shared_now()).await
    }

    async fn in_time<T>(
        &self,
        opening: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(self.named(Failure::new(Class::Timeout, "no answer in time"))),
        }
    }

    async fn open_shared_now(&self) -> Result<OpenShared, Failure> {
        let known = Arc::new(Known::new());
        let shared = |open: Open| OpenShared {
            bundler: Bundler::new(open.connection, self.timeout),
            number: open.number,
            known: Arc::clone(&known),
        };
        let old = self.protocol == Protocol::Resp2 || self.is_old.load(Ordering::Relaxed);
        let hears = (!old).then(|| Arc::clone(&known));
        let mut open = match self.open_now(!old, hears).await {
            Ok(open) => open,
            // It may be that it does not know HELLO; whatever else is wrong shows again.
            Err(failure)
                if !old
                    && self.protocol == Protocol::Auto
                    && matches!(failure.class(), Class::Protocol | Class::Permission) =>
            {
                let open = self.open_now(false, None).await?;
                self.is_old.store(true, Ordering::Relaxed);
                return Ok(shared(open));
            }
            Err(failure) => return Err(failure),
        };
        if !old {
            let mut track = command("CLIENT", ["TRACKING"]);
            track.arg("ON").arg("OPTIN");
            match ask(&mut open.connection, track).await {
                Ok(_) => known.set_tracking(),
                Err(failure) if matches!(failure.class(), Class::Protocol | Class::Permission) => {
                    tracing::debug!(%failure, "the server tells of no changes: loads ask for epochs");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(shared(open))
    }

    async fn open_now(&self, resp3: bool, known: Option<Arc<Known>>) -> Result<Open, Failure> {
        let (number, address) = match &self.sentinels {
            None => (self.trust.number(), self.address.clone()),
            Some(_) => self.trust.primary().await?,
        };
        match self.open_at(&address, resp3, known).await {
            Ok(connection) => Ok(Open { connection, number }),
            Err(failure) => Err(failure.at(&address.to_string())),
        }
    }

    async fn open_at(
        &self,
        address: &Address,
        resp3: bool,
        known: Option<Arc<Known>>,
    ) -> Result<MultiplexedConnection, Failure> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None);
        if let Some(known) = known {
            config = config.set_push_sender(move |push: PushInfo| {
                known.hear(&push);
                Ok::<(), SendError>(())
            });
        }
        let client = self.clients.server(address, resp3);
        let client = client.map_err(|error| Failure::of(&error))?;
        let opening = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = opening.await.map_err(|error| Failure::of(&error))?;
        if let Server::Stranger(run) = self.meet(&mut connection).await? {
            let address = address.to_string();
            Concerns::send(&self.shared, client, run.as_deref(), &address);
        }
        Ok(connection)
    }

    /// Finds out who answers, and tells a server that was not met before what was revoked.
    async fn meet(&self, connection: &mut MultiplexedConnection) -> Result<Server, Failure> {
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
            Ok(info) => {
                let info = bytes(info)?.unwrap_or_default();
                let mode = line_of(&info, b"redis_mode:");
                if mode == Some(b"sentinel") {
                    return Err(Failure::new(Class::Sentinel, "the server is a sentinel"));
                }
                if mode == Some(b"cluster") && !self.cluster {
                    let words = "a node of a cluster was opened by itself";
                    return Err(Failure::new(Class::CrossSlot, words));
                }
                line_of(&info, b"run_id:").map(<[u8]>::to_vec)
            }
            // Without the right to ask, every connection is a server that was not met before.
            Err(failure) if failure.class() == Class::Permission => None,
            Err(failure) => return Err(failure),
        };
        let one_tells = self.retelling.lock().await;
        if run.is_some() && *self.met.lock() == run {
            return Ok(Server::Known);
        }
        self.shared.turn_over();
        let holds = |tag| self.holds.has(tag);
        retell(connection, &self.shared.revoked, &holds, Elsewhere::IsFine).await?;
        self.shared.recent.clear();
        self.met.lock().clone_from(&run);
        drop(one_tells);
        Ok(Server::Stranger(run))
    }

    /// Tells a server that got these tags what was revoked of them.
    pub(super) async fn retell(&self, tags: &Holds) -> Result<(), Failure> {
        let telling = async {
            let mut open = self.open_now(false, None).await?;
            let is_one = |tag| tags.has(tag);
            let revoked = &self.shared.revoked;
            retell(&mut open.connection, revoked, &is_one, Elsewhere::IsWrong).await
        };
        self.in_time(telling).await
    }
}

/// Sends commands over one connection in one trip; none in no trip.
pub(super) async fn transmit(
    connection: &mut MultiplexedConnection,
    commands: Vec<Command>,
) -> Result<Vec<Reply>, redis::RedisError> {
    if let [command] = &*commands {
        let reply = match connection.send_packed_command(command).await {
            Ok(reply) => reply,
            Err(error) => Reply::ServerError(ServerError::try_from(error)?),
        };
        return Ok(vec![reply]);
    }
    let count = commands.len();
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut pipeline = Pipeline::with_capacity(count);
    for command in commands {
        pipeline.add_command(command);
    }
    connection.send_packed_commands(&pipeline, 0, count).await
}

/// The first server error in `replies`, as what it is.
pub(super) fn without_errors(replies: Vec<Reply>) -> Result<Vec<Reply>, Failure> {
    replies.iter().try_for_each(check)?;
    Ok(replies)
}

/// Whether a reply is an error, or one of those inside it is.
pub(super) fn check(reply: &Reply) -> Result<(), Failure> {
    match reply {
        Reply::ServerError(error) => Err(Failure::of_server(error)),
        Reply::Array(items) => items.iter().try_for_each(check),
        _ => Ok(()),
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

/// The value of a line of INFO.
fn line_of<'a>(info: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = info.split(|byte| *byte == b'\n');
    lines
        .find_map(|line| line.strip_prefix(name))
        .map(<[u8]>::trim_ascii)
}

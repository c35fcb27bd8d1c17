//! Opening a connection: address, credentials, TLS and TCP settings from the settings; behind
//! Sentinel, to whoever is primary now. A server that was not met before is told again what was
//! revoked, before anybody asks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_core::Error;
use parking_lot::Mutex;
use redis::aio::{MultiplexedConnection, SendError};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline, ProtocolVersion,
    PushInfo, RedisConnectionInfo, TlsCertificates,
};

use super::known::Known;
use super::retell::retell;
use super::sentinel::Sentinels;
use super::{Command, Reply, Shared, array, bytes, command};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Protocol, Settings, invalid};

/// After this long without an acknowledged byte a peer is gone: real hosts die without a FIN.
const PEER_GONE: Duration = Duration::from_secs(10);

/// How to open a connection.
pub(super) struct Opener {
    settings: Settings,
    ca: Option<Vec<u8>>,
    pub(super) sentinels: Option<Sentinels>,
    shared: Arc<Shared>,
    /// The run of the server that was met last.
    met: Mutex<Option<Vec<u8>>>,
    retelling: tokio::sync::Mutex<()>,
    /// The server does not speak RESP3.
    is_old: AtomicBool,
}

/// A shared connection, and what it knows.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) connection: MultiplexedConnection,
    pub(super) known: Arc<Known>,
}

impl Opener {
    pub(super) fn new(settings: &Settings, shared: Arc<Shared>) -> Result<Self, Error> {
        let ca = match &settings.ca {
            None => None,
            Some(path) => Some(std::fs::read(path).map_err(|_| {
                invalid(
                    "store ca",
                    &path.display().to_string(),
                    "name a readable PEM file",
                )
            })?),
        };
        let sentinels = settings
            .master
            .as_ref()
            .map(|master| Sentinels::new(settings, master));
        let opener = Self {
            settings: settings.clone(),
            ca,
            sentinels,
            shared,
            met: Mutex::new(None),
            retelling: tokio::sync::Mutex::default(),
            is_old: AtomicBool::new(false),
        };
        let wrong = |_| {
            invalid(
                "store ca",
                "(its contents)",
                "name a PEM file with a CA in it",
            )
        };
        opener
            .client(&settings.addresses[0], false)
            .map_err(wrong)?;
        Ok(opener)
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Opens one for a caller alone. Its failure names the address.
    pub(super) async fn open(&self) -> Result<MultiplexedConnection, Failure> {
        let resp3 = self.settings.protocol == Protocol::Resp3;
        self.in_time(self.open_now(resp3, None)).await
    }

    /// Opens one for many callers, which the server tells of changed epochs if it can.
    pub(super) async fn open_shared(&self) -> Result<Open, Failure> {
        self.in_time(self.open_shared_now()).await
    }

    async fn in_time<T>(
        &self,
        opening: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.settings.timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => {
                let late = Failure::new(Class::Timeout, "no connection in time");
                Err(late.at(&self.settings.addresses[0].to_string()))
            }
        }
    }

    async fn open_shared_now(&self) -> Result<Open, Failure> {
        let known = Arc::new(Known::new());
        let old = self.settings.protocol == Protocol::Resp2 || self.is_old.load(Ordering::Relaxed);
        let opened = self
            .open_now(!old, (!old).then(|| Arc::clone(&known)))
            .await;
        let mut connection = match opened {
            Ok(connection) => connection,
            // It may be that it does not know HELLO; whatever else is wrong shows again.
            Err(failure)
                if !old
                    && self.settings.protocol == Protocol::Auto
                    && matches!(failure.class(), Class::Protocol | Class::Permission) =>
            {
                let connection = self.open_now(false, None).await?;
                self.is_old.store(true, Ordering::Relaxed);
                return Ok(Open { connection, known });
            }
            Err(failure) => return Err(failure),
        };
        if !old {
            let mut track = command("CLIENT", ["TRACKING"]);
            track.arg("ON").arg("OPTIN");
            match ask(&mut connection, track).await {
                Ok(_) => known.set_tracking(),
                Err(failure) if matches!(failure.class(), Class::Protocol | Class::Permission) => {
                    tracing::debug!(%failure, "the server tells of no changes: loads ask for epochs");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(Open { connection, known })
    }

    async fn open_now(
        &self,
        resp3: bool,
        known: Option<Arc<Known>>,
    ) -> Result<MultiplexedConnection, Failure> {
        let address = match &self.sentinels {
            None => self.settings.addresses[0].clone(),
            Some(sentinels) => sentinels.primary().await?,
        };
        let opened = self.open_at(&address, resp3, known).await;
        opened.map_err(|failure| failure.at(&address.to_string()))
    }

    async fn open_at(
        &self,
        address: &Address,
        resp3: bool,
        known: Option<Arc<Known>>,
    ) -> Result<MultiplexedConnection, Failure> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.timeout))
            .set_response_timeout(None);
        if let Some(known) = known {
            config = config.set_push_sender(move |push: PushInfo| {
                known.hear(&push);
                Ok::<(), SendError>(())
            });
        }
        let client = self
            .client(address, resp3)
            .map_err(|error| Failure::of(&error))?;
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

    fn client(&self, address: &Address, resp3: bool) -> redis::RedisResult<Client> {
        let settings = &self.settings;
        let mut redis = RedisConnectionInfo::default()
            .set_db(settings.database)
            .set_lib_name("cloakroom", env!("CARGO_PKG_VERSION"));
        if resp3 {
            redis = redis.set_protocol(ProtocolVersion::RESP3);
        }
        if let Some(user) = &settings.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &settings.password {
            redis = redis.set_password(&password.0);
        }
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(PEER_GONE));
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(PEER_GONE);
        let info = connection_addr(address)
            .into_connection_info()?
            .set_redis_settings(redis)
            .set_tcp_settings(tcp);
        match &self.ca {
            None => Client::open(info),
            Some(ca) => Client::build_with_tls(
                info,
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(ca.clone()),
                },
            ),
        }
    }
}

pub(super) fn connection_addr(address: &Address) -> ConnectionAddr {
    match address {
        Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
        Address::Tcp {
            host,
            port,
            tls: false,
        } => ConnectionAddr::Tcp(host.clone(), *port),
        Address::Tcp {
            host,
            port,
            tls: true,
        } => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: false,
            tls_params: None,
        },
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

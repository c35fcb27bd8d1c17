//! Opening a connection: address, credentials, TLS and TCP settings from the settings; behind
//! Sentinel, to whoever is primary now. A server that was not met before is told again what was
//! revoked, before anybody asks it.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::Error;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline, ProtocolVersion,
    RedisConnectionInfo, TlsCertificates,
};

use super::retell::retell;
use super::sentinel::Sentinels;
use super::{Command, Reply, Shared, array, bytes, command};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings, invalid};

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
        };
        let wrong = |_| {
            invalid(
                "store ca",
                "(its contents)",
                "name a PEM file with a CA in it",
            )
        };
        opener.client(&settings.addresses[0]).map_err(wrong)?;
        Ok(opener)
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Opens one. Its failure names the address.
    pub(super) async fn open(&self) -> Result<MultiplexedConnection, Failure> {
        match tokio::time::timeout(self.settings.timeout, self.open_now()).await {
            Ok(opened) => opened,
            Err(_) => {
                let late = Failure::new(Class::Timeout, "no connection in time");
                Err(late.at(&self.settings.addresses[0].to_string()))
            }
        }
    }

    async fn open_now(&self) -> Result<MultiplexedConnection, Failure> {
        let address = match &self.sentinels {
            None => self.settings.addresses[0].clone(),
            Some(sentinels) => sentinels.primary().await?,
        };
        let opened = self.open_at(&address).await;
        opened.map_err(|failure| failure.at(&address.to_string()))
    }

    async fn open_at(&self, address: &Address) -> Result<MultiplexedConnection, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.timeout))
            .set_response_timeout(None);
        let client = self.client(address).map_err(|error| Failure::of(&error))?;
        let opening = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = opening.await.map_err(|error| Failure::of(&error))?;
        self.meet(&mut connection).await?;
        Ok(connection)
    }

    /// Finds out who answers, and tells a server that was not met before what was revoked.
    async fn meet(&self, connection: &mut MultiplexedConnection) -> Result<(), Failure> {
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
        let _one_tells = self.retelling.lock().await;
        if run.is_some() && *self.met.lock() == run {
            return Ok(());
        }
        retell(connection, &self.shared.revoked, &|_| true).await?;
        self.shared.recent.clear();
        *self.met.lock() = run;
        Ok(())
    }

    fn client(&self, address: &Address) -> redis::RedisResult<Client> {
        let settings = &self.settings;
        let mut redis = RedisConnectionInfo::default()
            .set_db(settings.database)
            .set_lib_name("cloakroom", env!("CARGO_PKG_VERSION"));
        if settings.resp3 {
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

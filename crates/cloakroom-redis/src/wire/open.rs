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
    RedisConnectionInfo, ServerError, TlsCertificates,
};

use super::retell::{Elsewhere, retell};
use super::sentinel::Sentinels;
use super::{Command, Holds, Reply, Shared, array, bytes, command};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings, invalid};

/// After this long without an acknowledged byte a peer is gone: real hosts die without a FIN.
const PEER_GONE: Duration = Duration::from_secs(10);

/// How to open a connection.
pub(super) struct Opener {
    settings: Settings,
    address: Address,
    pub(super) sentinels: Option<Sentinels>,
    holds: Arc<Holds>,
    shared: Arc<Shared>,
    /// The run of the server that was met last.
    met: Mutex<Option<Vec<u8>>>,
    retelling: tokio::sync::Mutex<()>,
}

impl Opener {
    pub(super) fn new(
        settings: &Settings,
        address: &Address,
        holds: Arc<Holds>,
        shared: Arc<Shared>,
    ) -> Self {
        let sentinels = settings
            .master
            .as_ref()
            .map(|master| Sentinels::new(settings, master));
        Self {
            settings: settings.clone(),
            address: address.clone(),
            sentinels,
            holds,
            shared,
            met: Mutex::new(None),
            retelling: tokio::sync::Mutex::default(),
        }
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
                Err(late.at(&self.address.to_string()))
            }
        }
    }

    async fn open_now(&self) -> Result<MultiplexedConnection, Failure> {
        let address = match &self.sentinels {
            None => self.address.clone(),
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
            Ok(info) => {
                let info = bytes(info)?.unwrap_or_default();
                let cluster = line_of(&info, b"redis_mode:") == Some(b"cluster");
                if cluster && !self.settings.cluster {
                    let words = "a node of a cluster was opened by itself";
                    return Err(Failure::new(Class::CrossSlot, words));
                }
                line_of(&info, b"run_id:").map(<[u8]>::to_vec)
            }
            // Without the right to ask, every connection is a server that was not met before.
            Err(failure) if failure.class() == Class::Permission => None,
            Err(failure) => return Err(failure),
        };
        let _one_tells = self.retelling.lock().await;
        if run.is_some() && *self.met.lock() == run {
            return Ok(());
        }
        self.shared.turn_over();
        let holds = |tag| self.holds.has(tag);
        retell(connection, &self.shared.revoked, &holds, Elsewhere::IsFine).await?;
        self.shared.recent.clear();
        *self.met.lock() = run;
        Ok(())
    }

    /// Tells a server that got these tags what was revoked of them.
    pub(super) async fn retell(&self, tags: &Holds) -> Result<(), Failure> {
        let telling = async {
            let mut connection = self.open_now().await?;
            let is_one = |tag| tags.has(tag);
            let revoked = &self.shared.revoked;
            retell(&mut connection, revoked, &is_one, Elsewhere::IsWrong).await
        };
        match tokio::time::timeout(self.settings.timeout, telling).await {
            Ok(told) => told,
            Err(_) => Err(Failure::new(Class::Timeout, "no answer in time")),
        }
    }

    fn client(&self, address: &Address) -> redis::RedisResult<Client> {
        client(&self.settings, address, self.shared.ca.as_deref())
    }
}

/// The CA that the settings name.
pub(super) fn certificates(settings: &Settings) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = &settings.ca else {
        return Ok(None);
    };
    let read = std::fs::read(path).map_err(|_| {
        let path = path.display().to_string();
        invalid("store ca", &path, "name a readable PEM file")
    })?;
    client(settings, &settings.addresses[0], Some(&read)).map_err(|_| {
        let fix = "name a PEM file with a CA in it";
        invalid("store ca", "(its contents)", fix)
    })?;
    Ok(Some(read))
}

fn client(settings: &Settings, address: &Address, ca: Option<&[u8]>) -> redis::RedisResult<Client> {
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
    match ca {
        None => Client::open(info),
        Some(ca) => Client::build_with_tls(
            info,
            TlsCertificates {
                client_tls: None,
                root_cert: Some(ca.to_vec()),
            },
        ),
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
        let reply = match connection.send_packed_command(command).await {
            Ok(reply) => reply,
            Err(error) => Reply::ServerError(ServerError::try_from(error)?),
        };
        return Ok(vec![reply]);
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

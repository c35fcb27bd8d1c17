//! Opening a connection: address, credentials, TLS and TCP settings from the settings.

use std::time::Duration;

use cloakroom_core::Error;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline, ProtocolVersion,
    RedisConnectionInfo, TlsCertificates,
};

use super::{Command, Reply};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings, invalid};

/// After this long without an acknowledged byte a peer is gone: real hosts die without a FIN.
const PEER_GONE: Duration = Duration::from_secs(10);

/// How to open a connection.
pub(super) struct Opener {
    client: Client,
    config: AsyncConnectionConfig,
    address: Address,
    timeout: Duration,
}

impl Opener {
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
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
        let wrong = |_| invalid("store", &settings.address.to_string(), "check the address");
        let info = connection_addr(&settings.address)
            .into_connection_info()
            .map_err(wrong)?
            .set_redis_settings(redis)
            .set_tcp_settings(tcp);
        let client = match &settings.ca {
            None => Client::open(info),
            Some(path) => {
                let ca = std::fs::read(path).map_err(|_| {
                    invalid(
                        "store ca",
                        &path.display().to_string(),
                        "name a readable PEM file",
                    )
                })?;
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(ca),
                };
                Client::build_with_tls(info, certificates)
            }
        };
        let wrong = |_| {
            invalid(
                "store ca",
                "(its contents)",
                "name a PEM file with a CA in it",
            )
        };
        Ok(Self {
            client: client.map_err(wrong)?,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(settings.timeout))
                .set_response_timeout(None),
            address: settings.address.clone(),
            timeout: settings.timeout,
        })
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Opens one. Its failure names the address.
    pub(super) async fn open(&self) -> Result<MultiplexedConnection, Failure> {
        let opening = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config);
        let failure = match tokio::time::timeout(self.timeout, opening).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => Failure::of(&error),
            Err(_) => Failure::new(Class::Timeout, "no connection in time"),
        };
        Err(failure.at(&self.address.to_string()))
    }
}

fn connection_addr(address: &Address) -> ConnectionAddr {
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

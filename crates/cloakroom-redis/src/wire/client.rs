//! What redis-rs needs to know to connect: address, credentials, TLS and TCP settings.

use std::time::Duration;

use cloakroom_core::Error;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    TlsCertificates,
};

use crate::settings::{Address, Password, Settings, invalid};

/// After this long without an acknowledged byte a peer is gone: real hosts die without a FIN.
const PEER_GONE: Duration = Duration::from_secs(10);

/// Makes clients from the settings.
#[derive(Clone)]
pub(super) struct Clients {
    settings: Settings,
    ca: Option<Vec<u8>>,
}

/// The CA that the settings name, if it is one.
pub(super) fn certificates(settings: &Settings) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = &settings.ca else {
        return Ok(None);
    };
    let read = std::fs::read(path).map_err(|_| {
        let path = path.display().to_string();
        invalid("store ca", &path, "name a readable PEM file")
    })?;
    let none = || {
        let fix = "name a PEM file with a CA in it";
        invalid("store ca", "(its contents)", fix)
    };
    // A file with something else in it, such as a key, is read as no certificates.
    let begins = b"-----BEGIN CERTIFICATE-----";
    if !read.windows(begins.len()).any(|line| line == begins) {
        return Err(none());
    }
    let clients = Clients::new(settings, Some(read.clone()));
    let client = clients.server(&settings.addresses[0], false);
    client.map_err(|_| none())?;
    Ok(Some(read))
}

impl Clients {
    /// `ca` as [`certificates`] read it.
    pub(super) fn new(settings: &Settings, ca: Option<Vec<u8>>) -> Self {
        Self {
            settings: settings.clone(),
            ca,
        }
    }

    /// A server with sessions.
    pub(super) fn server(&self, address: &Address, resp3: bool) -> redis::RedisResult<Client> {
        let settings = &self.settings;
        let mut info = RedisConnectionInfo::default().set_db(settings.database);
        if resp3 {
            info = info.set_protocol(ProtocolVersion::RESP3);
        }
        self.client(
            address,
            info,
            settings.user.as_ref(),
            settings.password.as_ref(),
        )
    }

    /// A sentinel, which has credentials of its own.
    pub(super) fn sentinel(&self, address: &Address) -> redis::RedisResult<Client> {
        let settings = &self.settings;
        let (user, password) = (&settings.sentinel_user, &settings.sentinel_password);
        let info = RedisConnectionInfo::default();
        self.client(address, info, user.as_ref(), password.as_ref())
    }

    fn client(
        &self,
        address: &Address,
        info: RedisConnectionInfo,
        user: Option<&String>,
        password: Option<&Password>,
    ) -> redis::RedisResult<Client> {
        let mut info = info.set_lib_name("cloakroom", env!("CARGO_PKG_VERSION"));
        if let Some(user) = user {
            info = info.set_username(user);
        }
        if let Some(password) = password {
            info = info.set_password(&password.0);
        }
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(PEER_GONE));
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(PEER_GONE);
        let info = connection_addr(address)
            .into_connection_info()?
            .set_redis_settings(info)
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

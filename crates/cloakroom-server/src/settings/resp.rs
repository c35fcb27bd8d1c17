//! The settings of the Redis protocol, and what they may not be together.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{LowSettings, Origin, SettingError, parse, table};
use crate::open::Choice;
use crate::serve::events_asked_for;

/// Where the Redis protocol is spoken, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Resp {
    pub(crate) plain: Option<SocketAddr>,
    pub(crate) secure: Option<SocketAddr>,
    pub(crate) socket: Option<PathBuf>,
    /// The default user's.
    pub(crate) password: Option<Secret>,
    /// The file with more users.
    pub(crate) users: Option<PathBuf>,
    pub(crate) max_connections: usize,
    /// The classes of keyspace events that are told, as bits.
    pub(crate) events: u32,
    /// How long a script may run, if there is an interpreter.
    pub(crate) script_time: Duration,
}

/// What no log and no error shows.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The secret itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Resp {
    /// What `low` means; `tls`: whether there is a certificate.
    pub(super) fn from_low(
        low: &LowSettings,
        store: &Choice,
        tls: bool,
    ) -> Result<Self, SettingError> {
        let mut resp = Self {
            plain: low.parse(&table::RESP, parse::optional_address)?,
            secure: low.parse(&table::RESP_TLS, parse::optional_address)?,
            socket: low.parse(&table::RESP_SOCKET, parse::optional_path)?,
            password: low.parse(&table::RESP_PASSWORD, |text| {
                Ok((!text.is_empty()).then(|| Secret(text.to_owned())))
            })?,
            users: low.parse(&table::RESP_USERS, parse::optional_path)?,
            max_connections: low.parse(&table::RESP_MAX_CONNECTIONS, parse::count)?,
            events: low.parse(&table::RESP_EVENTS, |text| {
                events_asked_for(text)
                    .ok_or_else(|| "give letters of notify-keyspace-events: KEA, Egx".to_owned())
            })?,
            script_time: low.parse(&table::LUA_TIME_LIMIT, parse::some_time)?,
        };
        if matches!(store, Choice::Shared(_)) {
            // Its server speaks the protocol itself.
            (resp.plain, resp.secure, resp.socket) = (None, None, None);
            return Ok(resp);
        }
        if resp
            .plain
            .is_some_and(|address| !address.ip().is_loopback())
        {
            return Err(low.refuse(
                &table::RESP,
                "beyond loopback the Redis protocol needs TLS: give --resp-tls IP:PORT with \
                 --tls-cert and --tls-key, and here 127.0.0.1:PORT or none",
            ));
        }
        if resp.secure.is_some() && !tls {
            return Err(low.refuse(
                &table::RESP_TLS,
                "it needs a certificate: give --tls-cert FILE and --tls-key FILE",
            ));
        }
        let open = resp
            .secure
            .is_some_and(|address| !address.ip().is_loopback());
        if open && resp.password.is_none() {
            return Err(low.refuse(
                &table::RESP_TLS,
                "beyond loopback it needs a password: set CLOAKROOM_RESP_PASSWORD",
            ));
        }
        Ok(resp)
    }

    /// What should be written in another place, or not at all, as (setting, why).
    pub(super) fn unused(low: &LowSettings, store: &Choice) -> Vec<(&'static str, &'static str)> {
        let mut unused = Vec::new();
        if let Origin::Flag(_) = low.origin(&table::RESP_PASSWORD) {
            unused.push((
                table::RESP_PASSWORD.name,
                "it is in the command line, where all users of this machine can read it; write \
                 CLOAKROOM_RESP_PASSWORD, or the file of --config",
            ));
        }
        if matches!(store, Choice::Shared(_)) {
            for setting in [
                &table::RESP_TLS,
                &table::RESP_SOCKET,
                &table::RESP_USERS,
                &table::LAYOUTS,
                &table::LAYOUT_ABSOLUTE,
                &table::LAYOUT_IDLE,
                &table::LAYOUT_UNSTATED,
                &table::LAYOUT_HASH_IDS,
                &table::LAYOUT_SEAL_KEY_FILE,
            ] {
                if low.origin(setting) != Origin::Default {
                    let why = "the store's server speaks the Redis protocol itself";
                    unused.push((setting.name, why));
                }
            }
        }
        unused
    }
}

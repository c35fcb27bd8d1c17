//! What the server was told: first as people write it ([`low`]), then as what it means
//! ([`Settings`]). A value that means nothing stops the start.

mod cli;
mod docs;
mod layouts;
mod low;
pub(crate) mod masked;
mod parse;
mod resp;
pub(crate) mod table;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cloakroom_core::policy::{OnExcess, Policy};
use cloakroom_core::{Lifetimes, limits};
use hyper::header::HeaderName;

use crate::open::{Choice, Durability, Eviction};
pub(crate) use cli::{Page, Task, command};
pub(crate) use docs::page;
pub(crate) use layouts::Foreign;
pub(crate) use low::{LowSettings, Origin};
pub(crate) use resp::{Resp, Secret};
use table::Setting;

/// What the server does, every value checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) http: SocketAddr,
    pub(crate) resp: Resp,
    /// Sessions of other frameworks, which come through it.
    pub(crate) foreign: Foreign,
    pub(crate) store: Choice,
    pub(crate) data: PathBuf,
    pub(crate) durability: Durability,
    /// The API key, if it is not in the data directory.
    pub(crate) api_key_file: Option<PathBuf>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) policy: Policy,
    pub(crate) rotation_grace: Duration,
    pub(crate) max_memory: Option<u64>,
    pub(crate) eviction: Eviction,
    /// Its name, as it was written.
    pub(crate) eviction_name: &'static str,
    pub(crate) store_deadline: Duration,
    pub(crate) cookie: String,
    pub(crate) subject_header: HeaderName,
    pub(crate) request_timeout: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) drain_delay: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_body: usize,
    pub(crate) log: tracing::Level,
    pub(crate) log_format: LogFormat,
    /// What was asked for and has no effect, as (setting, why).
    pub(crate) unused: Vec<(&'static str, &'static str)>,
    /// Variables of our prefix that name no setting: perhaps typos.
    pub(crate) unknown_variables: Vec<String>,
}

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// A setting that means nothing: which, what, from where, and what to do.
#[derive(Debug)]
pub(crate) struct SettingError {
    pub(crate) setting: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
    pub(crate) fix: String,
}

impl Settings {
    /// What `low` means.
    pub(crate) fn from_low(low: &LowSettings) -> Result<Self, SettingError> {
        let store_deadline = low.parse(&table::STORE_DEADLINE, parse::some_time)?;
        let store = low.parse(&table::STORE, |text| {
            Choice::parse(text, low.origin(&table::STORE), store_deadline)
        })?;
        let tls = tls(low)?;
        let eviction = low.parse(&table::EVICTION, |text| parse::one_of(text, &EVICTIONS))?;
        let named = EVICTIONS.iter().find(|(_, known)| *known == eviction);
        let mut settings = Self {
            http: low.parse(&table::HTTP, parse::address)?,
            resp: Resp::from_low(low, &store, tls.is_some())?,
            foreign: Foreign::from_low(low)?,
            unused: Resp::unused(low, &store),
            store,
            data: low.parse(&table::DATA, parse::path)?,
            durability: low.parse(&table::DURABILITY, |text| {
                parse::one_of(text, &DURABILITIES)
            })?,
            api_key_file: low.parse(&table::API_KEY_FILE, parse::optional_path)?,
            tls,
            policy: policy(low)?,
            rotation_grace: low.parse(&table::ROTATION_GRACE, |text| {
                parse::duration_up_to(text, limits::ROTATION_GRACE)
            })?,
            max_memory: low.parse(&table::MAX_MEMORY, |text| {
                parse::or_none(text, parse::memory)
            })?,
            eviction,
            eviction_name: named.map_or("noeviction", |(name, _)| name),
            store_deadline,
            cookie: low.parse(&table::COOKIE, parse::cookie_name)?,
            subject_header: low.parse(&table::SUBJECT_HEADER, parse::header_name)?,
            request_timeout: low.parse(&table::REQUEST_TIMEOUT, parse::some_time)?,
            header_timeout: low.parse(&table::HEADER_TIMEOUT, parse::some_time)?,
            drain_delay: low.parse(&table::DRAIN_DELAY, parse::duration)?,
            drain_timeout: low.parse(&table::DRAIN_TIMEOUT, parse::duration)?,
            max_connections: low.parse(&table::MAX_CONNECTIONS, parse::count)?,
            max_body: low.parse(&table::MAX_BODY, parse::body_bytes)?,
            log: low.parse(&table::LOG, |text| parse::one_of(text, &LEVELS))?,
            log_format: low.parse(&table::LOG_FORMAT, |text| parse::one_of(text, &FORMATS))?,
            unknown_variables: low.unknown_variables().to_vec(),
        };
        settings.refuse_open_listener(low)?;
        settings.note_unused(low);
        Ok(settings)
    }

    /// Whether there is anything to be kept in the data directory.
    pub(crate) fn uses_data(&self) -> bool {
        matches!(self.store, Choice::Embedded) || self.api_key_file.is_none()
    }

    /// Files that are open when there are as many connections as there may be; some are the journal's and the
    /// listeners'.
    pub(crate) fn files(&self) -> u64 {
        let resp = match self.resp {
            Resp {
                plain: None,
                secure: None,
                socket: None,
                ..
            } => 0,
            // Handshakes beside them.
            Resp {
                secure: Some(_), ..
            } => 2 * self.resp.max_connections,
            _ => self.resp.max_connections,
        };
        (self.max_connections + resp + 64) as u64
    }

    /// What was written and changes nothing is told, because somebody expects something of it.
    fn note_unused(&mut self, low: &LowSettings) {
        let Choice::Shared(url) = &self.store else {
            return;
        };
        let by_flag = matches!(url.origin, Origin::Flag(_));
        let mut note = |setting: &Setting, why| {
            if low.origin(setting) != Origin::Default {
                self.unused.push((setting.name, why));
            }
        };
        note(&table::MAX_MEMORY, "the store's server has its own limit");
        note(&table::EVICTION, "the store's server has its own policy");
        note(&table::DURABILITY, "the store's server has its own");
        if self.api_key_file.is_some() {
            note(
                &table::DATA,
                "sessions are in the store, and the API key is in api-key-file",
            );
        }
        if by_flag && url.has_password {
            self.unused.push((
                table::STORE.name,
                "its password is in the command line, where all users of this machine can read \
                 it; write CLOAKROOM_STORE, or the file of --config",
            ));
        }
    }

    /// Session ids and the API key never cross a network in the clear.
    fn refuse_open_listener(&self, low: &LowSettings) -> Result<(), SettingError> {
        if self.http.ip().is_loopback() || self.tls.is_some() {
            return Ok(());
        }
        Err(low.refuse(
            &table::HTTP,
            "listening beyond loopback needs TLS: give --tls-cert FILE and --tls-key FILE, or \
             listen on 127.0.0.1 and let a gateway on this machine speak TLS",
        ))
    }
}

const EVICTIONS: [(&str, Eviction); 4] = [
    ("noeviction", Eviction::NoEviction),
    ("volatile-lru", Eviction::VolatileLru),
    ("volatile-ttl", Eviction::VolatileTtl),
    ("allkeys-lru", Eviction::AllkeysLru),
];

const DURABILITIES: [(&str, Durability); 3] = [
    ("always", Durability::Always),
    ("everysec", Durability::Everysec),
    ("no", Durability::No),
];

const LEVELS: [(&str, tracing::Level); 5] = [
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
    ("trace", tracing::Level::TRACE),
];

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const PRESETS: [(&str, Policy); 5] = [
    ("owasp-low-value", Policy::OWASP_LOW_VALUE),
    ("owasp-high-value", Policy::OWASP_HIGH_VALUE),
    ("nist-aal1", Policy::NIST_AAL1),
    ("nist-aal2", Policy::NIST_AAL2),
    ("nist-aal3", Policy::NIST_AAL3),
];

const EXCESSES: [(&str, OnExcess); 2] = [
    ("revoke-oldest", OnExcess::RevokeOldest),
    ("refuse", OnExcess::Refuse),
];

fn tls(low: &LowSettings) -> Result<Option<TlsFiles>, SettingError> {
    let cert = low.parse(&table::TLS_CERT, parse::optional_path)?;
    let key = low.parse(&table::TLS_KEY, parse::optional_path)?;
    let half = |missing: &Setting| {
        low.refuse(
            missing,
            "tls-cert and tls-key go together: give both or none",
        )
    };
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(&table::TLS_KEY)),
        (None, Some(_)) => Err(half(&table::TLS_CERT)),
    }
}

fn policy(low: &LowSettings) -> Result<Policy, SettingError> {
    let preset: Policy = low.parse(&table::POLICY, |text| parse::one_of(text, &PRESETS))?;
    let idle = low.parse(&table::IDLE, parse::optional_lifetime)?;
    let absolute = low.parse(&table::ABSOLUTE, parse::optional_lifetime)?;
    let limit = low.parse(&table::MAX_SESSIONS, |text| {
        parse::or_none(text, parse::count)
    })?;
    let on_excess = low.parse(&table::ON_EXCESS, |text| parse::one_of(text, &EXCESSES))?;
    let mut policy = preset;
    if idle.is_some() || absolute.is_some() {
        let absolute = absolute.unwrap_or(preset.lifetimes().absolute());
        let lifetimes = match idle.or(preset.lifetimes().idle()) {
            Some(idle) => Lifetimes::new(idle, absolute),
            None => Lifetimes::fixed(absolute),
        };
        let lifetimes = lifetimes.map_err(|error| low.refuse(&table::IDLE, error.to_string()))?;
        policy = Policy::new(lifetimes);
        if let Some(remembered) = preset.remember_lifetimes() {
            policy = policy.remember(remembered);
        }
    }
    Ok(match limit {
        Some(limit) => policy.max_sessions(limit, on_excess),
        None => policy,
    })
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            value,
            origin,
            fix,
        } = self;
        write!(
            f,
            "setting {setting} = {value:?} ({origin}) is not valid: {fix}"
        )
    }
}

impl std::error::Error for SettingError {}

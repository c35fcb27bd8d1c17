//! What a store URL says: which server, how to get in, which layout, how patient. Parsed once, here.

mod shards;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::observe::{Observer, Unobserved};
use cloakroom_core::{Error, ErrorKind};
use url::Url;

pub(crate) use shards::{Moving, Shards};

/// A parsed store URL. `Debug` shows no password.
///
/// `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, `unix:/path/to/socket`,
/// `redis+sentinel://[user:password@]host[:port],host[:port]/master[/db]` (`rediss+sentinel://` for
/// TLS to all of them; the credentials are the servers'). Name all sentinels: only what more than half
/// of them say is believed. `redis+cluster://[user:password@]host[:port],host[:port]`
/// (`rediss+cluster://`; a node or two that know the others).
/// `redis+shards://[user:password@]node|node|..` (`rediss+shards://`) for independent nodes that share
/// the sessions (docs/operate/shards.md); a node is `[name=]host[:port]`, or
/// `[name=]host[:port],host[:port]/master` behind Sentinel. After `?`, joined by `&`:
///
/// - `layout=packed|fields`: how a session is kept (packed)
/// - `ids=hashed|plain`: `plain` shares sessions with programs that know them as `session:<id>`
///   (docs/operate/sharing.md). Whoever can read the server can then log in as anybody. It is a layout
///   of its own, of fields in text; it needs scripts and one server or Sentinel
/// - `timeout=MS`: the longest that one operation takes (1000)
/// - `connections=N`: multiplexed connections (2); scans and transactions have their own
/// - `protocol=auto|resp2|resp3` (auto: RESP3 for what visitors wait for, where the server speaks it and
///   tells of changed epochs, so that a load is one command; RESP2 for the rest)
/// - `scripts=auto|never`: whether scripts are used where the server allows them (auto); packed sessions
///   are saved by `SET .. IFEQ` where the server has it, else by script, else by WATCH
/// - `durability=safe|fast`: whether every replica that could be promoted must confirm creations,
///   rotations and logins before they are acknowledged (safe where there are replicas); ends of
///   sessions wait for them in both
/// - `sentinel-user=NAME`, `sentinel-password=TEXT`: the sentinels' credentials (none)
/// - `moved-from=node|node|..` and `moving=BEGIN/END`, two moments as RFC 3339 writes them: the nodes
///   that shared the sessions before, and the time in which sessions move from those to these, each
///   when it is asked for. Give all processes this URL before it begins
/// - `ca=FILE`: trust this CA (PEM) and no other; `db=N`, for `unix:`
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server; or the sentinels, if `master` is theirs; or some nodes of a cluster.
    pub(crate) addresses: Vec<Address>,
    pub(crate) cluster: bool,
    pub(crate) master: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Password>,
    pub(crate) sentinel_user: Option<String>,
    pub(crate) sentinel_password: Option<Password>,
    pub(crate) database: i64,
    pub(crate) layout: LayoutName,
    pub(crate) timeout: Duration,
    pub(crate) connections: usize,
    pub(crate) protocol: Protocol,
    pub(crate) scripts: bool,
    pub(crate) ca: Option<PathBuf>,
    /// Whether replicas confirm what must not be lost; `None`: where there are any.
    pub(crate) safe: Option<bool>,
    /// Who is told of concerns.
    pub(crate) observer: Arc<dyn Observer>,
    /// The nodes that share the sessions; what is above is then common to them.
    pub(crate) shards: Option<Box<Shards>>,
}

/// How a session is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LayoutName {
    Packed,
    Fields,
    /// As `Fields`, in text, under ids that are not hashed.
    Plain,
}

/// Which protocol connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// RESP3 where it saves commands and the server knows it.
    Auto,
    Resp2,
    Resp3,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

#[derive(Clone)]
pub(crate) struct Password(pub(crate) String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Address {
    /// Another server of the same kind. Without a host it is on the same one.
    pub(crate) fn beside(&self, other: &str, port: u16) -> Self {
        match self {
            Self::Tcp { host, tls, .. } => Self::Tcp {
                host: match other {
                    "" | "?" => host.clone(),
                    other => other.to_owned(),
                },
                port,
                tls: *tls,
            },
            Self::Unix(path) => Self::Unix(path.clone()),
        }
    }

    /// As [`Address::beside`], from `host:port`.
    pub(crate) fn there(&self, text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(self.beside(host, port.parse().ok()?))
    }
}

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const CONNECTIONS: usize = 2;
const CONNECTIONS_MOST: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MOST: Duration = Duration::from_secs(60);

impl Settings {
    /// Reads a store URL.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`] that names the part, its value and the fix.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some((scheme @ ("redis" | "rediss"), nodes)) = text.split_once("+shards://") {
            let shards = Shards::parse(scheme, nodes)?;
            let mut settings = shards.nodes[0].settings.clone();
            settings.shards = Some(Box::new(shards));
            return Ok(settings);
        }
        let (text, more_hosts) = first_host(text);
        let url = Url::parse(&text)
            .map_err(|_| invalid("store", "(not a URL)", "write redis://host:6379/0"))?;
        let mut path = url.path().trim_matches('/').splitn(2, '/');
        let sentinel = url.scheme().ends_with("+sentinel");
        let master = sentinel.then(|| path.next().map(decoded).unwrap_or_default());
        if master.as_ref().is_some_and(String::is_empty) {
            let fix = "write redis+sentinel://host:26379/master";
            return Err(invalid("store master", "", fix));
        }
        let mut settings = Self {
            addresses: vec![address(&url)?],
            cluster: url.scheme().ends_with("+cluster"),
            master,
            user: Some(decoded(url.username())).filter(|user| !user.is_empty()),
            password: url.password().map(|password| Password(decoded(password))),
            sentinel_user: None,
            sentinel_password: None,
            database: database(&url, path.next().unwrap_or_default())?,
            layout: LayoutName::Packed,
            timeout: TIMEOUT,
            connections: CONNECTIONS,
            protocol: Protocol::Auto,
            scripts: true,
            ca: None,
            safe: None,
            observer: Arc::new(Unobserved),
            shards: None,
        };
        for host in more_hosts {
            let scheme = url.scheme();
            let other = Url::parse(&format!("{scheme}://{host}"));
            let other = other.map_err(|_| invalid("store host", &host, "write host:26379"))?;
            settings.addresses.push(address(&other)?);
        }
        for (name, value) in url.query_pairs() {
            settings.set(&name, &value)?;
        }
        settings.set_plain(&url)?;
        Ok(settings)
    }

    /// Plain ids are a layout of their own, with which not everything goes.
    fn set_plain(&mut self, url: &Url) -> Result<(), Error> {
        let has = |wanted: [&str; 2]| {
            let mut pairs = url.query_pairs();
            pairs.any(|(name, value)| [&*name, &*value] == wanted)
        };
        if !has(["ids", "plain"]) {
            return Ok(());
        }
        if url.scheme().contains("+cluster") || url.scheme().contains("+shards") {
            let fix = "leave it out: a key without a slot tag shares no slot with its index";
            return Err(invalid("store ids", "plain", fix));
        }
        if has(["layout", "packed"]) {
            let fix = "with ids=plain leave it out: other programs read fields";
            return Err(invalid("store layout", "packed", fix));
        }
        if !self.scripts {
            let fix = "with ids=plain leave it out: what others write is seen by a script";
            return Err(invalid("store scripts", "never", fix));
        }
        self.layout = LayoutName::Plain;
        Ok(())
    }

    /// With somebody who is told what is to be worried about in the servers
    /// ([`Event::StoreConcern`](cloakroom_core::Event::StoreConcern)), once for each. It is logged in
    /// any case.
    #[must_use]
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let number = |most: u64, setting, fix| match value.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            _ => Err(invalid(setting, value, fix)),
        };
        match (name, value) {
            ("layout", "packed") => self.layout = LayoutName::Packed,
            ("layout", "fields") => self.layout = LayoutName::Fields,
            ("ids", "hashed" | "plain") => {}
            ("ids", _) => return Err(invalid("store ids", value, "write hashed or plain")),
            ("layout", _) => return Err(invalid("store layout", value, "write packed or fields")),
            ("protocol", "auto") => self.protocol = Protocol::Auto,
            ("protocol", "resp2") => self.protocol = Protocol::Resp2,
            ("protocol", "resp3") => self.protocol = Protocol::Resp3,
            ("protocol", _) => {
                return Err(invalid(
                    "store protocol",
                    value,
                    "write auto, resp2 or resp3",
                ));
            }
            ("scripts", "auto" | "never") => self.scripts = value == "auto",
            ("scripts", _) => return Err(invalid("store scripts", value, "write auto or never")),
            ("timeout", _) => {
                let most = TIMEOUT_MOST.as_millis() as u64;
                let millis = number(most, "store timeout", "write 1 to 60000, in milliseconds")?;
                self.timeout = Duration::from_millis(millis);
            }
            ("connections", _) => {
                let most = CONNECTIONS_MOST as u64;
                self.connections = number(most, "store connections", "write 1 to 64")? as usize;
            }
            ("durability", "safe" | "fast") => self.safe = Some(value == "safe"),
            ("durability", _) => {
                return Err(invalid("store durability", value, "write safe or fast"));
            }
            ("sentinel-user" | "sentinel-password", _) if self.master.is_none() => {
                let fix = "leave it out, or write redis+sentinel://";
                return Err(invalid("store parameter", name, fix));
            }
            ("sentinel-user", user) => self.sentinel_user = Some(user.to_owned()),
            ("sentinel-password", text) => {
                self.sentinel_password = Some(Password(text.to_owned()));
            }
            ("ca", path) => self.ca = Some(path.into()),
            ("db", _) => {
                let number = value.parse::<u16>();
                self.database = number
                    .map_err(|_| invalid("store db", value, "write a number, 0 upwards"))?
                    .into();
            }
            _ => {
                let fix = "use layout, ids, timeout, connections, protocol, scripts, durability, \
                           sentinel-user, sentinel-password, ca or db; with shards moved-from and moving";
                return Err(invalid("store parameter", name, fix));
            }
        }
        Ok(())
    }
}

fn address(url: &Url) -> Result<Address, Error> {
    match url.scheme() {
        scheme @ ("redis" | "valkey" | "rediss" | "valkeys") => Ok(Address::Tcp {
            host: host(url)?,
            port: url.port().unwrap_or(PORT),
            tls: scheme.ends_with("ss") || scheme == "valkeys",
        }),
        scheme @ ("redis+sentinel" | "rediss+sentinel") => Ok(Address::Tcp {
            host: host(url)?,
            port: url.port().unwrap_or(SENTINEL_PORT),
            tls: scheme.starts_with("rediss"),
        }),
        scheme @ ("redis+cluster" | "rediss+cluster") => Ok(Address::Tcp {
            host: host(url)?,
            port: url.port().unwrap_or(PORT),
            tls: scheme.starts_with("rediss"),
        }),
        "unix" | "redis+unix" if url.path().len() > 1 => {
            Ok(Address::Unix(decoded(url.path()).into()))
        }
        scheme => Err(invalid(
            "store scheme",
            scheme,
            "use redis://, rediss://, unix:/path, redis+sentinel://, redis+cluster:// or redis+shards://",
        )),
    }
}

/// The URL with its first host alone, and the other hosts: URLs know only one.
fn first_host(text: &str) -> (String, Vec<String>) {
    let several = text.split_once("://");
    let several =
        several.filter(|(scheme, _)| scheme.contains("+sentinel") || scheme.contains("+cluster"));
    let Some((scheme, rest)) = several else {
        return (text.to_owned(), Vec::new());
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let mut hosts = authority.split(',');
    let first = hosts.next().unwrap_or_default();
    let text = format!("{scheme}://{first}{tail}");
    (text, hosts.map(str::to_owned).collect())
}

fn host(url: &Url) -> Result<String, Error> {
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| invalid("store host", "", "write redis://host:6379/0"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    Ok(bare.to_owned())
}

fn database(url: &Url, after_master: &str) -> Result<i64, Error> {
    let text = match url.scheme() {
        scheme if scheme.contains("unix") => "",
        scheme if scheme.ends_with("+sentinel") => after_master,
        _ => url.path().trim_matches('/'),
    };
    match text {
        "" | "0" => Ok(0),
        text if url.scheme().ends_with("+cluster") => {
            let fix = "leave it out: a cluster has one database";
            Err(invalid("store database", text, fix))
        }
        text => match text.parse::<u16>() {
            Ok(number) => Ok(number.into()),
            Err(_) => Err(invalid("store database", text, "write a number, 0 upwards")),
        },
    }
}

/// Percent-decoding, which URLs need for passwords with `@` or `/`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = (byte == b'%').then(|| after.get(..2)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn invalid(setting: &'static str, value: &str, fix: &'static str) -> Error {
    Error::new(ErrorKind::InvalidSetting {
        setting,
        value: value.to_owned(),
        fix,
    })
}

//! Every setting, once. Flags, environment, file, `--help` and `docs/operate/settings.md` derive
//! from this table, so that none of them can forget one.

use super::masked;

/// One setting, as people write it.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The flag without its dashes. Environment and file derive their spelling from it.
    pub(crate) name: &'static str,
    /// What kind of value it takes, for people.
    pub(crate) unit: &'static str,
    /// The value if nobody gives one; empty: none.
    pub(crate) default: &'static str,
    /// What it does, in one or two sentences.
    pub(crate) doc: &'static str,
}

impl Setting {
    /// The name of the environment variable.
    pub(crate) fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key().to_uppercase())
    }

    /// A value of it as it may be shown: a store's URL may hold a password, and so may what was
    /// meant to be one.
    pub(crate) fn shown(&self, value: &str) -> String {
        if self.name == RESP_PASSWORD.name {
            return masked::SECRET.to_owned();
        }
        if self.name == STORE.name || value.contains("://") {
            return masked::url(value);
        }
        value.to_owned()
    }

    /// The key in the TOML file.
    pub(crate) fn key(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// What every environment variable of ours begins with.
pub(crate) const ENV_PREFIX: &str = "CLOAKROOM_";

/// All settings, in the order in which help and docs show them.
pub(crate) const TABLE: [&Setting; 41] = [
    &CONFIG,
    &HTTP,
    &RESP,
    &RESP_TLS,
    &RESP_SOCKET,
    &RESP_PASSWORD,
    &RESP_USERS,
    &RESP_MAX_CONNECTIONS,
    &RESP_EVENTS,
    &LUA_TIME_LIMIT,
    &LAYOUTS,
    &LAYOUT_ABSOLUTE,
    &LAYOUT_IDLE,
    &LAYOUT_UNSTATED,
    &LAYOUT_HASH_IDS,
    &LAYOUT_SEAL_KEY_FILE,
    &STORE,
    &DATA,
    &DURABILITY,
    &API_KEY_FILE,
    &TLS_CERT,
    &TLS_KEY,
    &POLICY,
    &IDLE,
    &ABSOLUTE,
    &MAX_SESSIONS,
    &ON_EXCESS,
    &ROTATION_GRACE,
    &MAX_MEMORY,
    &EVICTION,
    &STORE_DEADLINE,
    &COOKIE,
    &SUBJECT_HEADER,
    &REQUEST_TIMEOUT,
    &HEADER_TIMEOUT,
    &DRAIN_DELAY,
    &DRAIN_TIMEOUT,
    &MAX_CONNECTIONS,
    &MAX_BODY,
    &LOG,
    &LOG_FORMAT,
];

pub(crate) const CONFIG: Setting = Setting {
    name: "config",
    unit: "FILE",
    default: "",
    doc: "A TOML file with settings. It cannot itself be named in that file.",
};

pub(crate) const HTTP: Setting = Setting {
    name: "http",
    unit: "ADDRESS",
    default: "127.0.0.1:8080",
    doc: "Where the HTTP API listens: IP and port; port 0 takes any free one. \
          An address beyond loopback needs tls-cert and tls-key.",
};

pub(crate) const RESP: Setting = Setting {
    name: "resp",
    unit: "ADDRESS",
    default: "127.0.0.1:6380",
    doc: "Where the Redis protocol is spoken without TLS: IP and port of loopback, or none. For the \
          embedded store; others speak it themselves.",
};

pub(crate) const RESP_TLS: Setting = Setting {
    name: "resp-tls",
    unit: "ADDRESS",
    default: "none",
    doc: "Where the Redis protocol is spoken with TLS (rediss://), with tls-cert and tls-key. An \
          address beyond loopback needs resp-password.",
};

pub(crate) const RESP_SOCKET: Setting = Setting {
    name: "resp-socket",
    unit: "FILE",
    default: "",
    doc: "A unix socket for the Redis protocol, which only the server's user can open.",
};

pub(crate) const RESP_PASSWORD: Setting = Setting {
    name: "resp-password",
    unit: "PASSWORD",
    default: "",
    doc: "The password of the default user of the Redis protocol. Better in the environment or the \
          file than in a flag; in the file it is read again on SIGHUP.",
};

pub(crate) const RESP_USERS: Setting = Setting {
    name: "resp-users",
    unit: "FILE",
    default: "",
    doc: "More users of the Redis protocol, one in a line as in Redis' ACL files: user NAME on \
          #SHA256 ~PATTERN +@all (or +@all -@dangerous, or +@read). Read again on SIGHUP.",
};

pub(crate) const RESP_MAX_CONNECTIONS: Setting = Setting {
    name: "resp-max-connections",
    unit: "COUNT",
    default: "10000",
    doc: "Connections of the Redis protocol at a time; more are told so and closed.",
};

pub(crate) const RESP_EVENTS: Setting = Setting {
    name: "resp-events",
    unit: "LETTERS",
    default: "",
    doc: "Which keyspace events are told, as in Redis' notify-keyspace-events: KEA for all. \
          CONFIG SET changes it while the server runs.",
};

pub(crate) const LUA_TIME_LIMIT: Setting = Setting {
    name: "lua-time-limit",
    unit: "DURATION",
    default: "500ms",
    doc: "How long a script of the Redis protocol may run; others wait for its keys meanwhile. For \
          servers that were built with an interpreter (docs/operate/lua.md).",
};

pub(crate) const LAYOUTS: Setting = Setting {
    name: "layouts",
    unit: "ROWS",
    default: "",
    doc: "Which keys of the Redis protocol are sessions, over what is known anyway (docs/layouts.md): \
          rows divided by ;, as in `myapp key=myapp:{id} encoding=json subject=user/id; rails off`. \
          none: no key is a session.",
};

pub(crate) const LAYOUT_ABSOLUTE: Setting = Setting {
    name: "layout-absolute",
    unit: "DURATION",
    default: "14d",
    doc: "How long a session of another framework lives in any case, counted from its first write, \
          whatever its client asks for. A shorter time holds from the next start on, also for those that are there.",
};

pub(crate) const LAYOUT_IDLE: Setting = Setting {
    name: "layout-idle",
    unit: "DURATION",
    default: "none",
    doc: "How far ahead its client may set its deadline, or none: as far as layout-absolute.",
};

pub(crate) const LAYOUT_UNSTATED: Setting = Setting {
    name: "layout-unstated",
    unit: "DURATION",
    default: "1d",
    doc: "How long it lives if its client writes it without a deadline.",
};

pub(crate) const LAYOUT_HASH_IDS: Setting = Setting {
    name: "layout-hash-ids",
    unit: "YES-OR-NO",
    default: "no",
    doc: "Whether names of sessions of other frameworks hold a hash in place of the id, in memory, \
          journal and snapshots; clients go on with their ids (docs/layouts.md says what they see).",
};

pub(crate) const LAYOUT_SEAL_KEY_FILE: Setting = Setting {
    name: "layout-seal-key-file",
    unit: "FILE",
    default: "",
    doc: "The file with the keys that seal the values of these sessions, in memory, journal and \
          snapshots: one a line, 64 hexadecimal digits (`openssl rand -hex 32`). The first seals, all \
          of them open. Not in the data directory, which may be copied.",
};

pub(crate) const STORE: Setting = Setting {
    name: "store",
    unit: "URL",
    default: "embedded",
    doc: "Where sessions are kept: embedded, in this process's memory and its data directory, or \
          the URL of a Redis or Valkey that several servers can share (redis://, rediss://, unix:, redis+sentinel://, \
          redis+cluster://, redis+shards://). \
          A URL with a password is better in the environment or the file than in a flag.",
};

pub(crate) const DATA: Setting = Setting {
    name: "data",
    unit: "DIR",
    default: "./cloakroom-data",
    doc: "The data directory, made at first start (mode 0700). The API key is in it, and what the \
          embedded store holds. Neither made nor used if store is a URL and api-key-file is given.",
};

pub(crate) const DURABILITY: Setting = Setting {
    name: "durability",
    unit: "MODE",
    default: "everysec",
    doc: "When a write is acknowledged: always, once it is synced to the disk; everysec, at once, \
          and synced within a second; no, at once, and written when the system likes. The end of \
          a session (logout, revocation) waits for its sync in every mode. For the embedded store.",
};

pub(crate) const API_KEY_FILE: Setting = Setting {
    name: "api-key-file",
    unit: "FILE",
    default: "",
    doc: "The file with the API key, in place of the one in the data directory: for servers that \
          share a key. It is read, at the start and on SIGHUP, and never made. Several keys, one a \
          line, are all taken.",
};

pub(crate) const TLS_CERT: Setting = Setting {
    name: "tls-cert",
    unit: "FILE",
    default: "",
    doc: "The certificate chain for HTTPS, PEM, leaf first. Read again on SIGHUP.",
};

pub(crate) const TLS_KEY: Setting = Setting {
    name: "tls-key",
    unit: "FILE",
    default: "",
    doc: "The private key of tls-cert, PEM. Read again on SIGHUP.",
};

pub(crate) const POLICY: Setting = Setting {
    name: "policy",
    unit: "PRESET",
    default: "owasp-low-value",
    doc: "Lifetimes of sessions by a published rule: owasp-low-value, owasp-high-value, \
          nist-aal1, nist-aal2 or nist-aal3.",
};

pub(crate) const IDLE: Setting = Setting {
    name: "idle",
    unit: "DURATION",
    default: "",
    doc: "How long a session lives without activity, in place of the policy's limit.",
};

pub(crate) const ABSOLUTE: Setting = Setting {
    name: "absolute",
    unit: "DURATION",
    default: "",
    doc: "How long a session lives in any case, in place of the policy's limit.",
};

pub(crate) const MAX_SESSIONS: Setting = Setting {
    name: "max-sessions",
    unit: "COUNT",
    default: "none",
    doc: "How many sessions one subject may have at a time, or none for no limit.",
};

pub(crate) const ON_EXCESS: Setting = Setting {
    name: "on-excess",
    unit: "ACTION",
    default: "revoke-oldest",
    doc: "What a login beyond max-sessions does: revoke-oldest or refuse.",
};

pub(crate) const ROTATION_GRACE: Setting = Setting {
    name: "rotation-grace",
    unit: "DURATION",
    default: "30s",
    doc: "How long a superseded id still leads to its session (at most 60s). Never after a login.",
};

pub(crate) const MAX_MEMORY: Setting = Setting {
    name: "max-memory",
    unit: "BYTES",
    default: "none",
    doc: "How much memory sessions may take (512MiB, 2GiB), or none for no limit. For the \
          embedded store; others have limits of their own.",
};

pub(crate) const EVICTION: Setting = Setting {
    name: "eviction",
    unit: "POLICY",
    default: "noeviction",
    doc: "What happens when max-memory is reached: noeviction refuses new data; volatile-lru, \
          volatile-ttl and allkeys-lru end sessions to make room. For the embedded store.",
};

pub(crate) const STORE_DEADLINE: Setting = Setting {
    name: "store-deadline",
    unit: "DURATION",
    default: "1s",
    doc: "How long one operation of the store may take before the request fails with 503.",
};

pub(crate) const COOKIE: Setting = Setting {
    name: "cookie",
    unit: "NAME",
    default: "__Host-id",
    doc: "The session cookie that /v1/verify looks for, byte for byte.",
};

pub(crate) const SUBJECT_HEADER: Setting = Setting {
    name: "subject-header",
    unit: "NAME",
    default: "Cloakroom-Subject",
    doc: "The response header in which /v1/verify names the subject, for gateways that cannot \
          rename it (X-Auth-Request-User, Remote-User).",
};

pub(crate) const REQUEST_TIMEOUT: Setting = Setting {
    name: "request-timeout",
    unit: "DURATION",
    default: "10s",
    doc: "How long a request may take from its last header to its response, body included.",
};

pub(crate) const HEADER_TIMEOUT: Setting = Setting {
    name: "header-timeout",
    unit: "DURATION",
    default: "10s",
    doc: "How long a connection may take for a TLS handshake or a request's headers, stay idle \
          between requests, and take no byte of an answer.",
};

pub(crate) const DRAIN_DELAY: Setting = Setting {
    name: "drain-delay",
    unit: "DURATION",
    default: "0s",
    doc: "How long the server still accepts after SIGTERM while /readyz answers 503, so that load \
          balancers notice.",
};

pub(crate) const DRAIN_TIMEOUT: Setting = Setting {
    name: "drain-timeout",
    unit: "DURATION",
    default: "10s",
    doc: "How long requests in flight may take to finish once the server stops accepting.",
};

pub(crate) const MAX_CONNECTIONS: Setting = Setting {
    name: "max-connections",
    unit: "COUNT",
    default: "4096",
    doc: "Connections served at a time; more wait in the kernel's queue.",
};

pub(crate) const MAX_BODY: Setting = Setting {
    name: "max-body",
    unit: "BYTES",
    default: "1MiB",
    doc: "The largest request body. A session's fields are limited to 256KiB anyway.",
};

pub(crate) const LOG: Setting = Setting {
    name: "log",
    unit: "LEVEL",
    default: "info",
    doc: "How much is logged to standard error: error, warn, info, debug or trace. Ids and keys \
          are in no level.",
};

pub(crate) const LOG_FORMAT: Setting = Setting {
    name: "log-format",
    unit: "FORMAT",
    default: "text",
    doc: "How it is logged: text, or json with one object a line.",
};

//! Bodies of requests and responses. Times are Unix milliseconds, durations carry their unit in
//! their name.

use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom_core::record::{Record, SessionInfo};
use cloakroom_core::store::Stats;
use cloakroom_core::{Error, Lifetimes, SessionId, UnixMillis};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fields::{FieldsView, JsonFields, each_once};

/// A session to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateRequest {
    /// Its first fields.
    #[serde(default, deserialize_with = "each_once")]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(super) fields: JsonFields,
    /// The user who signed in, if the session begins with a login.
    pub(super) subject: Option<String>,
    /// What a devices page calls it ("Firefox on Linux"); cut to 128 bytes.
    pub(super) label: Option<String>,
    /// Whether it lives as long as the policy allows remembered sessions.
    #[serde(default)]
    pub(super) remember: bool,
    /// Its limits, in place of the policy's.
    pub(super) lifetimes: Option<LifetimesBody>,
}

/// Somebody signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginRequest {
    /// Who, by the application's own identifier.
    pub(super) subject: String,
    /// What a devices page calls the session; cut to 128 bytes.
    pub(super) label: Option<String>,
    /// Whether it lives as long as the policy allows remembered sessions.
    #[serde(default)]
    pub(super) remember: bool,
    /// Its limits from now on, in place of the policy's.
    pub(super) lifetimes: Option<LifetimesBody>,
    /// Of the fields from before the login only these stay. Without it all do, unless they are
    /// another subject's: those never do.
    pub(super) keep_only: Option<Vec<String>>,
}

/// How long a session may live.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LifetimesBody {
    /// Without activity; absent: as long as the absolute limit allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_seconds: Option<u64>,
    /// In any case; at most 400 days.
    absolute_seconds: u64,
}

/// Changes of fields, made all or none.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PatchRequest {
    /// Fields that get these values.
    #[serde(deserialize_with = "each_once")]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(super) set: JsonFields,
    /// Fields that go.
    pub(super) remove: Vec<String>,
    /// What is added to these integer fields; a missing one counts as 0.
    #[serde(deserialize_with = "each_once")]
    pub(super) increment: BTreeMap<String, i64>,
    /// Change only if the session has this version; else the answer is 409.
    pub(super) if_version: Option<u64>,
}

/// What a patch did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PatchResponse {
    /// The session's version now.
    pub(super) version: u64,
    /// What each increment made of its field.
    pub(super) increments: BTreeMap<String, i64>,
}

/// A session under a new id.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuedResponse {
    /// The id: a secret. Give it to the visitor and keep it nowhere else.
    id: String,
    session: SessionResponse,
}

/// A session with its fields.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionResponse {
    #[serde(flatten)]
    info: SessionView,
    #[serde(flatten)]
    fields: FieldsView,
    /// Whether the id was superseded and still leads here: the visitor has, or is about to get, a
    /// newer one.
    superseded: bool,
}

/// What lists show of a session. No id is in it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    /// Its public name: opens nothing, stays when the id changes.
    handle: String,
    /// The user it belongs to.
    subject: Option<String>,
    /// What a devices page calls it.
    label: Option<String>,
    /// Counts the writes, from 1.
    version: u64,
    /// When it was created, in Unix milliseconds.
    created_at_ms: u64,
    /// When its subject last signed in, in Unix milliseconds.
    authenticated_at_ms: Option<u64>,
    /// The last recorded activity, in Unix milliseconds.
    seen_at_ms: u64,
    /// What is left of its life if nothing more happens, in milliseconds.
    expires_in_ms: u64,
    lifetimes: LifetimesBody,
}

/// Sessions of a subject.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionsResponse {
    pub(super) sessions: Vec<SessionView>,
}

/// A page of all sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanResponse {
    pub(super) sessions: Vec<SessionView>,
    /// Where to go on, to be passed as `cursor`; null at the end. A text, because many programs round numbers
    /// as large as these.
    pub(super) next: Option<String>,
}

/// Whether a session was ended by this request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndedResponse {
    /// False: it was not alive.
    pub(super) ended: bool,
}

/// How many sessions were ended by this request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevokedResponse {
    pub(super) revoked: usize,
}

/// Numbers about the store. Counters count from the server's start.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsResponse {
    /// Sessions kept now, those of other frameworks among them. Expired ones that are not swept yet may be, too.
    sessions: u64,
    /// Those of `sessions` that other frameworks keep, by the Redis protocol.
    of_frameworks: u64,
    /// Bytes that they take.
    bytes: u64,
    /// The limit of `bytes`, if there is one.
    bytes_limit: Option<u64>,
    /// Sessions that reached a limit and were removed.
    expired: u64,
    /// Sessions that were removed to make room.
    evicted: u64,
}

impl LifetimesBody {
    /// What it means.
    pub(super) fn parse(self) -> Result<Lifetimes, Error> {
        let absolute = Duration::from_secs(self.absolute_seconds);
        match self.idle_seconds {
            Some(idle) => Lifetimes::new(Duration::from_secs(idle), absolute),
            None => Lifetimes::fixed(absolute),
        }
    }

    fn of(lifetimes: &Lifetimes) -> Self {
        Self {
            idle_seconds: lifetimes.idle().map(|idle| idle.as_secs()),
            absolute_seconds: lifetimes.absolute().as_secs(),
        }
    }
}

impl IssuedResponse {
    /// `record` under its new id, at the moment of the write that it comes from.
    pub(super) fn new(id: &SessionId, record: &Record) -> Self {
        Self {
            id: id.expose_secret().to_owned(),
            session: SessionResponse::new(record, record.info(record.times.seen_at), false),
        }
    }
}

impl SessionResponse {
    /// `record` as `info` tells of it.
    pub(super) fn new(record: &Record, info: SessionInfo, superseded: bool) -> Self {
        Self {
            info: info.into(),
            fields: FieldsView::of(&record.fields),
            superseded,
        }
    }
}

impl From<SessionInfo> for SessionView {
    fn from(info: SessionInfo) -> Self {
        let times = &info.times;
        Self {
            handle: info.handle.to_string(),
            subject: info.subject.map(|subject| subject.as_str().to_owned()),
            label: info.label.map(|label| label.as_str().to_owned()),
            version: info.version,
            created_at_ms: times.created_at.as_millis(),
            authenticated_at_ms: times.authenticated_at.map(UnixMillis::as_millis),
            seen_at_ms: times.seen_at.as_millis(),
            expires_in_ms: u64::try_from(info.remaining.as_millis()).unwrap_or(u64::MAX),
            lifetimes: LifetimesBody::of(&times.lifetimes),
        }
    }
}

impl From<Stats> for StatsResponse {
    fn from(stats: Stats) -> Self {
        Self {
            sessions: stats.sessions,
            of_frameworks: stats.of_frameworks,
            bytes: stats.bytes,
            bytes_limit: stats.bytes_limit,
            expired: stats.expired,
            evicted: stats.evicted,
        }
    }
}

//! What can go wrong over HTTP: RFC 9457 problems with a stable code. No id, key or payload is in
//! one.

use std::fmt::Write as _;

use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cloakroom_core::error::{Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

/// An error response.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: &'static Kind,
    detail: Option<String>,
    facts: Facts,
}

/// A kind of problem: its row in the table.
#[derive(Debug)]
pub(crate) struct Kind {
    code: &'static str,
    status: StatusCode,
    retryable: bool,
    title: &'static str,
}

/// What a program may want to know about a problem.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Facts {
    /// What is over its limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) what: Option<&'static str>,
    /// The limit: bytes, or a count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// The size that was asked for, in the limit's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<usize>,
    /// The field that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// The session's version now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
}

/// A problem (RFC 9457), as `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Identifies the kind of problem: `urn:cloakroom:problem:` and the code. Stable.
    #[serde(rename = "type")]
    kind: String,
    /// What kind of problem it is. Stable.
    code: &'static str,
    /// The kind, for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Whether the same request may succeed later without any change.
    retryable: bool,
    #[serde(flatten)]
    facts: Facts,
}

macro_rules! problems {
    ($($name:ident = $code:literal, $status:ident, $retryable:literal, $title:literal;)*) => {
        $(pub(crate) static $name: Kind = Kind {
            code: $code,
            status: StatusCode::$status,
            retryable: $retryable,
            title: $title,
        };)*
        static TABLE: &[&Kind] = &[$(&$name),*];
    };
}

problems! {
    UNAUTHORIZED = "unauthorized", UNAUTHORIZED, false, "The API key is missing or wrong";
    NOT_FOUND = "not_found", NOT_FOUND, false, "There is no such resource";
    METHOD_NOT_ALLOWED = "method_not_allowed", METHOD_NOT_ALLOWED, false, "The resource does not know this method";
    INVALID_REQUEST = "invalid_request", BAD_REQUEST, false, "The request means nothing";
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, false, "The body is not application/json";
    BODY_TOO_LARGE = "body_too_large", PAYLOAD_TOO_LARGE, false, "The request body is over its limit";
    REQUEST_TIMEOUT = "request_timeout", REQUEST_TIMEOUT, true, "The request took too long";
    SESSION_ID_MISSING = "session_id_missing", BAD_REQUEST, false, "The header Cloakroom-Session is missing or there twice";
    SESSION_UNKNOWN = "session_unknown", NOT_FOUND, false, "No session has this id: expired, or never ours";
    SESSION_ENDED = "session_ended", GONE, false, "The session ended a moment ago";
    SESSION_SUPERSEDED = "session_superseded", CONFLICT, false, "The session has just got a newer id";
    VERSION_CONFLICT = "version_conflict", CONFLICT, false, "The session has another version";
    LIMIT_EXCEEDED = "limit_exceeded", UNPROCESSABLE_ENTITY, false, "Something is over its limit";
    NOT_AN_INTEGER = "not_an_integer", UNPROCESSABLE_ENTITY, false, "The field cannot be incremented: it is no 64-bit integer, or would be none";
    TOO_MANY_SESSIONS = "too_many_sessions", CONFLICT, false, "The subject has as many sessions as allowed";
    REMEMBER_NOT_ALLOWED = "remember_not_allowed", UNPROCESSABLE_ENTITY, false, "The policy has no lifetime for remembered sessions";
    STORE_FULL = "store_full", SERVICE_UNAVAILABLE, true, "The store has no room";
    STORE_UNAVAILABLE = "store_unavailable", SERVICE_UNAVAILABLE, true, "The store failed; what was asked may or may not have happened";
    STORE_TIMEOUT = "store_timeout", SERVICE_UNAVAILABLE, true, "The store did not answer in time; what was asked may or may not have happened";
    STORE_REFUSED = "store_refused", SERVICE_UNAVAILABLE, false, "The store refuses this server, until somebody mends its credentials, rights or contents; the log says what";
    CONTENDED = "contended", SERVICE_UNAVAILABLE, true, "Others kept changing the session; nothing was changed";
    INTERNAL = "internal", INTERNAL_SERVER_ERROR, true, "The server failed";
}

impl Problem {
    /// A problem of this kind.
    pub(crate) fn new(kind: &'static Kind) -> Self {
        Self {
            kind,
            detail: None,
            facts: Facts::default(),
        }
    }

    /// The same problem, with what went wrong this time.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same problem, with facts for programs.
    pub(crate) fn facts(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: &'static Kind) -> bool {
        self.kind.code == kind.code
    }

    /// A body that does not mean what it should.
    pub(crate) fn body(rejection: &JsonRejection, limit: usize) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => {
                Self::new(&UNSUPPORTED_MEDIA_TYPE).detail("send Content-Type: application/json")
            }
            JsonRejection::BytesRejection(rejection) => Self::bytes(rejection, limit),
            rejection => Self::new(&INVALID_REQUEST).detail(rejection.body_text()),
        }
    }

    /// A body that could not be read.
    pub(crate) fn bytes(rejection: &BytesRejection, limit: usize) -> Self {
        if rejection.status() != StatusCode::PAYLOAD_TOO_LARGE {
            return Self::new(&INVALID_REQUEST).detail("the body could not be read");
        }
        Self::new(&BODY_TOO_LARGE).facts(Facts {
            what: Some("request body"),
            limit: Some(limit),
            ..Facts::default()
        })
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (kind, facts) = match error.kind() {
            ErrorKind::Limit { what, limit, size } => (
                &LIMIT_EXCEEDED,
                Facts {
                    what: Some(what),
                    limit: Some(*limit),
                    size: Some(*size),
                    ..Facts::default()
                },
            ),
            ErrorKind::NotAnInteger { field } => (
                &NOT_AN_INTEGER,
                Facts {
                    field: Some(field.clone()),
                    ..Facts::default()
                },
            ),
            ErrorKind::TooManySessions { limit } => (
                &TOO_MANY_SESSIONS,
                Facts {
                    limit: Some(*limit),
                    ..Facts::default()
                },
            ),
            ErrorKind::Invalid { .. } | ErrorKind::InvalidSetting { .. } => {
                (&INVALID_REQUEST, Facts::default())
            }
            ErrorKind::RememberNotAllowed => (&REMEMBER_NOT_ALLOWED, Facts::default()),
            ErrorKind::SessionEnded => (&SESSION_ENDED, Facts::default()),
            ErrorKind::StoreFull => (&STORE_FULL, Facts::default()),
            ErrorKind::StoreUnavailable => (&STORE_UNAVAILABLE, Facts::default()),
            ErrorKind::DeadlineExceeded => (&STORE_TIMEOUT, Facts::default()),
            ErrorKind::StoreRefused => (&STORE_REFUSED, Facts::default()),
            ErrorKind::Conflict => (&CONTENDED, Facts::default()),
            _ => (&INTERNAL, Facts::default()),
        };
        Self::new(kind).detail(error.to_string()).facts(facts)
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(&INVALID_REQUEST).detail(rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: format!("urn:cloakroom:problem:{}", self.kind.code),
            code: self.kind.code,
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            detail: self.detail,
            retryable: self.kind.retryable,
            facts: self.facts,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.kind.status, body).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if self.kind.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.kind.status == StatusCode::UNAUTHORIZED {
            let how = HeaderValue::from_static("Bearer realm=\"cloakroom\"");
            headers.insert(header::WWW_AUTHENTICATE, how);
        }
        response
    }
}

/// `docs/problems.md`, from the table.
pub(crate) fn problems_page() -> String {
    let mut page = String::from(
        "# Problems\n\n\
         Generated by `cloakroom print problems`; a test keeps it true.\n\n\
         Errors are `application/problem+json` (RFC 9457). `code` is stable, `type` is \
         `urn:cloakroom:problem:` and the code. `retryable` says whether the same request may \
         succeed later without any change; 503 comes with `Retry-After`. Limit errors carry \
         `what`, `limit` and `size`, conflicts the `version` that is.\n\n\
         | Code | Status | Retryable | Meaning |\n| --- | --- | --- | --- |\n",
    );
    for kind in TABLE {
        let retryable = if kind.retryable { "yes" } else { "no" };
        let (code, status, title) = (kind.code, kind.status.as_u16(), kind.title);
        let _ = writeln!(page, "| `{code}` | {status} | {retryable} | {title} |");
    }
    page
}

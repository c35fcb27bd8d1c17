//! What handlers return when a session fails them, and the answers that visitors get for it. The
//! answers name no host, no key and no id, and are fixed text, so that a failing store costs little.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;

use cloakroom_core::ErrorKind;

/// An error of a session, as a handler returns it: it turns into a response by itself.
///
/// It is [`cloakroom_core::Error`], which `?` turns into this.
///
/// | what | status | body's `error` |
/// | --- | --- | --- |
/// | the store is unavailable, late or full | 503, `Retry-After: 1` | `session_store_unavailable` |
/// | others kept changing the same field | 503, `Retry-After: 1` | `session_conflict` |
/// | nobody is signed in, or not any more | 401 | `not_logged_in` |
/// | the policy allows no more sessions | 409 | `too_many_sessions` |
/// | there is no layer around the handler | 500 | `session_layer_missing` |
/// | anything else, limits too | 500 | `session_error` |
///
/// A limit is a 500 and no 413: what was too large is what the application chose to keep, and a
/// visitor who sends less may change nothing about it. An application that knows better matches on
/// [`ErrorKind::Limit`] and answers itself.
pub struct Error(cloakroom_core::Error);

/// What a handler returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error of a handler that is not inside a session layer. Never an empty session instead:
    /// a visitor who is signed in would silently not be.
    #[must_use]
    pub(crate) fn no_layer() -> Self {
        tracing::error!("a handler asks for a Session, but no session layer is around it: {FIX}");
        Self(cloakroom_core::Error::new(ErrorKind::InvalidSetting {
            setting: LAYER,
            value: String::new(),
            fix: FIX,
        }))
    }

    /// The error itself.
    #[must_use]
    pub fn into_inner(self) -> cloakroom_core::Error {
        self.0
    }

    /// The status of the response that it turns into.
    #[must_use]
    pub fn status(&self) -> u16 {
        answer_of(self.kind()).status
    }

    /// The response that it turns into, for services that are no axum or actix-web handlers.
    #[cfg(feature = "tower-0_5")]
    #[must_use]
    pub fn response<B: From<&'static str>>(&self) -> http::Response<B> {
        crate::tower::respond(self.answer())
    }

    /// What visitors get for it. Logged here if it is the application's fault.
    #[cfg(any(feature = "tower-0_5", feature = "actix-web-4"))]
    pub(crate) fn answer(&self) -> &'static Answer {
        let answer = answer_of(self.kind());
        if answer.status == 500 {
            tracing::error!(error = %self.0, "a session failed its handler");
        }
        answer
    }
}

/// A whole response in place of the application's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

/// What is answered if the handler was done but its session could not be saved.
pub(crate) fn answer_to_unsaved(error: &cloakroom_core::Error) -> &'static Answer {
    if error.is_retryable() {
        &UNAVAILABLE
    } else {
        tracing::error!(%error, "a session was not saved");
        &NOT_SAVED
    }
}

fn answer_of(kind: &ErrorKind) -> &'static Answer {
    match kind {
        ErrorKind::StoreUnavailable
        | ErrorKind::DeadlineExceeded
        | ErrorKind::StoreFull
        | ErrorKind::EntropyFailed => &UNAVAILABLE,
        ErrorKind::Conflict => &CONFLICT,
        ErrorKind::SessionEnded | ErrorKind::NotLoggedIn => &NOT_LOGGED_IN,
        ErrorKind::TooManySessions { .. } => &TOO_MANY,
        ErrorKind::InvalidSetting { setting, .. } if *setting == LAYER => &NO_LAYER,
        _ => &FAILED,
    }
}

const LAYER: &str = "session layer";
const FIX: &str = "put `.layer(SessionLayer::new(store))` after the routes that use sessions \
                   (in actix-web: `.wrap(SessionMiddleware::new(store))`)";

const PLAIN: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
];
const RETRY: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("retry-after", "1"),
];
/// A 401 names a scheme (RFC 9110, 15.5.2); browsers show no dialogue for one they do not know.
const SIGN_IN: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("www-authenticate", "Session"),
];

static UNAVAILABLE: Answer = Answer {
    status: 503,
    body: r#"{"error":"session_store_unavailable","retryable":true}"#,
    headers: RETRY,
};
static CONFLICT: Answer = Answer {
    status: 503,
    body: r#"{"error":"session_conflict","retryable":true}"#,
    headers: RETRY,
};
static NOT_LOGGED_IN: Answer = Answer {
    status: 401,
    body: r#"{"error":"not_logged_in","retryable":false}"#,
    headers: SIGN_IN,
};
static TOO_MANY: Answer = Answer {
    status: 409,
    body: r#"{"error":"too_many_sessions","retryable":false}"#,
    headers: PLAIN,
};
static NOT_SAVED: Answer = Answer {
    status: 500,
    body: r#"{"error":"session_not_saved","retryable":false}"#,
    headers: PLAIN,
};
static NO_LAYER: Answer = Answer {
    status: 500,
    body: r#"{"error":"session_layer_missing","retryable":false}"#,
    headers: PLAIN,
};
static FAILED: Answer = Answer {
    status: 500,
    body: r#"{"error":"session_error","retryable":false}"#,
    headers: PLAIN,
};

impl Deref for Error {
    type Target = cloakroom_core::Error;

    fn deref(&self) -> &cloakroom_core::Error {
        &self.0
    }
}

impl From<cloakroom_core::Error> for Error {
    fn from(error: cloakroom_core::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

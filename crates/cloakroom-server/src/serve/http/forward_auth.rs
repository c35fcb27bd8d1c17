//! `/v1/verify`, which gateways ask before they let a request through: nginx `auth_request`, Caddy
//! `forward_auth`, Traefik ForwardAuth, Envoy HTTP ext_authz.
//!
//! It asks for no API key: whoever holds a session's cookie learns its own subject, nothing more.
//! Whether a visitor without a subject may pass is in the path and not in the query, because Caddy
//! sends the visitor's own query along, and Envoy the visitor's own path behind ours.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use cloakroom::presented_id;
use cloakroom_core::observe::CookieFault;
use cloakroom_core::record::Subject;
use cloakroom_core::store::Lookup;
use cloakroom_core::{Event, Handle, PresentedId, limits};
use cloakroom_embedded::{Found, WithForeign};

use super::App;
use super::error::Problem;

/// The routes that gateways ask. Any method: they repeat the visitor's.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/verify", any(verify))
        .route("/v1/verify/", any(verify))
        .route("/v1/verify/{*path}", any(verify))
        .route("/v1/verify-anonymous", any(verify_anonymous))
        .route("/v1/verify-anonymous/", any(verify_anonymous))
        .route("/v1/verify-anonymous/{*path}", any(verify_anonymous))
}

/// Lets signed-in visitors pass.
async fn verify(State(app): State<App>, headers: HeaderMap) -> Response {
    answer(&app, &headers, false).await
}

/// Lets every visitor with a session pass.
async fn verify_anonymous(State(app): State<App>, headers: HeaderMap) -> Response {
    answer(&app, &headers, true).await
}

/// The response header with the session's public name.
const HANDLE: HeaderName = HeaderName::from_static("cloakroom-handle");

async fn answer(app: &App, headers: &HeaderMap, anonymous: bool) -> Response {
    let Some(id) = presented(app, headers) else {
        return answer_foreign(app, headers, anonymous);
    };
    let key = id.key_as(app.store.key_form());
    match app.store.load(&key).await {
        // An outage is no logout: the gateway must not send the visitor to the login page.
        Err(error) => Problem::from(error).into_response(),
        Ok(Lookup::Absent(absence)) => {
            super::api::note_absence(app, absence);
            StatusCode::UNAUTHORIZED.into_response()
        }
        Ok(Lookup::Found(loaded)) => {
            if loaded.touch_due && !loaded.forwarded {
                app.touches.note(key);
            }
            if loaded.record.subject.is_none() && !anonymous {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            let record = &loaded.record;
            pass(app, record.subject.as_ref(), &record.handle)
        }
    }
}

/// Visitors of an application whose framework keeps its sessions here, by that framework's cookie.
fn answer_foreign(app: &App, headers: &HeaderMap, anonymous: bool) -> Response {
    let found = app
        .foreign
        .as_deref()
        .map(|foreign| foreign_of(foreign, headers));
    match found {
        None | Some(Ok(None)) => StatusCode::UNAUTHORIZED.into_response(),
        Some(Err(fault)) => {
            app.observe(&Event::CookieRejected(fault));
            StatusCode::UNAUTHORIZED.into_response()
        }
        Some(Ok(Some(found))) if found.subject.is_none() && !anonymous => {
            StatusCode::UNAUTHORIZED.into_response()
        }
        Some(Ok(Some(found))) => pass(app, found.subject.as_ref(), &found.info.handle),
    }
}

/// The session of another framework that a cookie leads to. Two that lead to one each: one of them was
/// planted, and nobody can tell which.
fn foreign_of(foreign: &WithForeign, headers: &HeaderMap) -> Result<Option<Found>, CookieFault> {
    let lines = headers.get_all(header::COOKIE).iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    if lines.iter().map(|line| line.len()).sum::<usize>() > limits::COOKIE_HEADER_BYTES {
        return Err(CookieFault::TooLong);
    }
    let pairs = lines.iter().flat_map(|line| line.split(';'));
    let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    let pairs: Vec<_> = pairs
        .filter(|(name, _)| foreign.knows_cookie(name))
        .collect();
    if pairs.len() > limits::COOKIES_OF_FRAMEWORKS {
        return Err(CookieFault::TooLong);
    }
    let pairs = pairs.into_iter();
    let mut found = pairs.filter_map(|(name, value)| foreign.of_cookie(name, value));
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(CookieFault::Duplicate),
        (first, _) => Ok(first),
    }
}

/// The id in the visitor's cookie, if it is one.
fn presented(app: &App, headers: &HeaderMap) -> Option<PresentedId> {
    let lines = headers.get_all(header::COOKIE).iter();
    match presented_id(lines.map(HeaderValue::as_bytes), &app.cookie) {
        Ok(id) => id,
        Err(fault) => {
            app.observe(&Event::CookieRejected(fault));
            None
        }
    }
}

/// Both headers are always there: gateways copy them over what the visitor sent, and one that is
/// missing would leave the visitor's own in place.
fn pass(app: &App, subject: Option<&Subject>, handle: &Handle) -> Response {
    let subject = subject.map_or_else(String::new, |subject| header_safe(subject.as_str()));
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (app.subject_header.clone(), subject),
        (HANDLE, handle.to_string()),
    ] {
        // Both texts are visible ASCII, so this cannot fail.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// Visible ASCII as it is, everything else and `%` percent-encoded (RFC 3986, 2.1), so that every
/// subject arrives as one header value and can be told from every other.
fn header_safe(subject: &str) -> String {
    let mut safe = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            safe.push(char::from(byte));
        } else {
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

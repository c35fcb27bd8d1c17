//! What orchestrators ask: does the process live, should it get work, what are its numbers.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cloakroom_core::id::SlotTag;
use cloakroom_core::{Error, ErrorKind, SessionId};
use cloakroom_embedded::journal::{Journal, JournalState};

use super::App;
use super::error::{self, Problem, ProblemBody};

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "The process lives", body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The store answers and takes writes, and the server is not on its way to its end.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, description = "Send work", body = String),
        (status = 503, description = "Send none: the store does not answer or takes no writes, or the server drains",
         body = String)))]
pub(super) async fn readyz(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.shutdown.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    match app.journal().map(Journal::state) {
        Some(JournalState::Full) => {
            let why = "the disk is full: writes are refused until there is room\n";
            return (StatusCode::SERVICE_UNAVAILABLE, why);
        }
        Some(JournalState::Broken) => {
            let why = "the journal failed: writes are refused until a restart; the log says why\n";
            return (StatusCode::SERVICE_UNAVAILABLE, why);
        }
        Some(JournalState::Stalled) => {
            let why = "the disk does not answer: writes are refused until it does\n";
            return (StatusCode::SERVICE_UNAVAILABLE, why);
        }
        Some(JournalState::Open | JournalState::Behind) | None => {}
    }
    match asked(&app).await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            let why = match error.kind() {
                ErrorKind::DeadlineExceeded => "the store does not answer in time\n",
                ErrorKind::StoreUnavailable => "the store cannot be reached\n",
                ErrorKind::StoreRefused => "the store refuses; the log says why\n",
                _ => "the store fails; the log says why\n",
            };
            (StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

/// Asks the store what visitors ask it, for a session that nobody has: one trip, whatever it holds.
async fn asked(app: &App) -> Result<(), Error> {
    let tag = SlotTag::new(0).expect("0 is a tag");
    let nobody = SessionId::generate(tag, &*app.entropy)?;
    app.store.load(&nobody.key()).await.map(drop)
}

/// The server's numbers, for Prometheus. On a listener beyond loopback they ask for the API key.
#[utoipa::path(get, path = "/metrics", tag = "health", security((), ("api_key" = [])),
    responses(
        (status = 200, description = "OpenMetrics text", body = String),
        (status = 401, body = ProblemBody, description = "unauthorized: beyond loopback, without the key")))]
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    if let Ok(stats) = app.store.stats().await {
        app.metrics.store_stats(&stats);
    }
    if let Some(journal) = app.journal() {
        app.metrics.journal_stats(&journal.stats());
    }
    let page = app.metrics.encode();
    let page = page.map_err(|_| Problem::new(&error::INTERNAL))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], page).into_response())
}

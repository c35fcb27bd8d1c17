//! The sessions of one user: a devices page, and "log out everywhere".

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use cloakroom_core::record::Subject;
use cloakroom_core::{Event, Handle};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::App;
use super::super::error::{self, Problem, ProblemBody};
use super::extract::InPath;
use super::models::{EndedResponse, RevokedResponse, SessionsResponse};

/// The subject's sessions that are alive, the last signed in first. No id is in the list.
#[utoipa::path(get, path = "/v1/subjects/{subject}/sessions", tag = "subjects",
    params(("subject" = String, Path, description = "Percent-encoded")),
    responses((status = 200, body = SessionsResponse), (status = "default", body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    InPath(subject): InPath<String>,
) -> Result<Json<SessionsResponse>, Problem> {
    let sessions = app.store.of_subject(&Subject::new(&subject)?).await?;
    Ok(Json(SessionsResponse {
        sessions: sessions.into_iter().map(Into::into).collect(),
    }))
}

/// What "everywhere else" leaves out.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Except {
    /// The handle of the session that stays.
    except: Option<String>,
}

/// Ends all sessions of the subject in one step, but for the one named `except`. Doing it again is
/// no error.
#[utoipa::path(delete, path = "/v1/subjects/{subject}/sessions", tag = "subjects",
    params(("subject" = String, Path, description = "Percent-encoded"), Except),
    responses((status = 200, body = RevokedResponse), (status = "default", body = ProblemBody)))]
pub(super) async fn revoke_all(
    State(app): State<App>,
    InPath(subject): InPath<String>,
    query: Result<Query<Except>, QueryRejection>,
) -> Result<Json<RevokedResponse>, Problem> {
    let Query(query) = query?;
    let except = query.except.as_deref().map(handle).transpose()?;
    let subject = Subject::new(&subject)?;
    let revoked = app.store.revoke_subject(&subject, except.as_ref()).await?;
    app.observe(&Event::Revoked(revoked));
    Ok(Json(RevokedResponse { revoked }))
}

/// Ends one session of the subject. Another subject's handle is as unknown as any: `ended` is false
/// then, as for a session that was not alive.
#[utoipa::path(delete, path = "/v1/subjects/{subject}/sessions/{handle}", tag = "subjects",
    params(("subject" = String, Path, description = "Percent-encoded"),
        ("handle" = String, Path, description = "The session's public name")),
    responses((status = 200, body = EndedResponse), (status = "default", body = ProblemBody)))]
pub(super) async fn revoke(
    State(app): State<App>,
    InPath((subject, name)): InPath<(String, String)>,
) -> Result<Json<EndedResponse>, Problem> {
    let (subject, handle) = (Subject::new(&subject)?, handle(&name)?);
    let ended = app.store.revoke(&subject, &handle).await?;
    app.observe(&Event::Revoked(usize::from(ended)));
    Ok(Json(EndedResponse { ended }))
}

fn handle(text: &str) -> Result<Handle, Problem> {
    text.parse()
        .map_err(|_| Problem::new(&error::INVALID_REQUEST).detail("that is no handle"))
}

//! All sessions: create one, look through them, end them all, count them.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::{Changes, Fields, Label, NewSession, Record, Subject};
use cloakroom_core::store::Cursor;
use cloakroom_core::{Error, Event, Handle, SessionId, limits};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::App;
use super::super::error::{self, Problem, ProblemBody};
use super::extract::Body;
use super::fields::set_all;
use super::identity::lifetimes;
use super::models::{CreateRequest, IssuedResponse, ScanResponse, StatsResponse};
use super::{is_collision, noting_limit};

/// Creates a session under a new id.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = CreateRequest,
    responses(
        (status = 201, body = IssuedResponse),
        (status = 409, body = ProblemBody, description = "too_many_sessions"),
        (status = 422, body = ProblemBody, description = "limit_exceeded, remember_not_allowed"),
        (status = "default", body = ProblemBody)))]
pub(super) async fn create(
    State(app): State<App>,
    Body(request): Body<CreateRequest>,
) -> Result<(StatusCode, Json<IssuedResponse>), Problem> {
    let subject = request.subject.as_deref().map(Subject::new).transpose()?;
    let mut changes = Changes::new();
    noting_limit(&app, set_all(&mut changes, &request.fields))?;
    let (fields, _) = noting_limit(&app, Fields::default().changed(&changes))?;
    let new = NewSession {
        handle: Handle::generate(&*app.entropy).map_err(Error::from)?,
        lifetimes: lifetimes(&app, request.remember, request.lifetimes)?,
        max_sessions: subject.as_ref().and(app.policy.session_limit()),
        subject,
        label: request.label.as_deref().map(Label::new),
        fields,
    };
    let (id, record) = create_under_new_id(&app, &new).await?;
    app.observe(&Event::Created(record.handle));
    if record.subject.is_some() {
        app.observe(&Event::LoggedIn(record.handle));
    }
    Ok((StatusCode::CREATED, Json(IssuedResponse::new(&id, &record))))
}

/// Where a listing goes on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ScanQuery {
    /// The `next` of the page before; absent or 0: the start.
    #[serde(default)]
    cursor: u64,
    /// Sessions on a page, 1 to 1000; 100 if absent. A page may hold fewer.
    limit: Option<usize>,
}

/// A page of all sessions, in no order, without ids and fields. A session that is there during the
/// whole listing is seen at least once.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", params(ScanQuery),
    responses((status = 200, body = ScanResponse), (status = "default", body = ProblemBody)))]
pub(super) async fn scan(
    State(app): State<App>,
    query: Result<Query<ScanQuery>, QueryRejection>,
) -> Result<Json<ScanResponse>, Problem> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=limits::SCAN_PAGE).contains(&limit) {
        let what = format!("limit must be from 1 to {}", limits::SCAN_PAGE);
        return Err(Problem::new(&error::INVALID_REQUEST).detail(what));
    }
    let page = app.store.scan(Cursor(query.cursor), limit).await?;
    Ok(Json(ScanResponse {
        sessions: page.sessions.into_iter().map(Into::into).collect(),
        next: page.next.map(|Cursor(next)| next.to_string()),
    }))
}

/// That the caller means it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Confirmation {
    /// Must be `all`.
    confirm: Option<String>,
}

/// Ends all sessions that exist, in constant time. New ones can be created at once.
#[utoipa::path(delete, path = "/v1/sessions", tag = "sessions", params(Confirmation),
    responses(
        (status = 204, description = "All sessions are ended"),
        (status = 400, body = ProblemBody, description = "confirm=all is missing"),
        (status = "default", body = ProblemBody)))]
pub(super) async fn revoke_all(
    State(app): State<App>,
    query: Result<Query<Confirmation>, QueryRejection>,
) -> Result<StatusCode, Problem> {
    let Query(query) = query?;
    if query.confirm.as_deref() != Some("all") {
        let what = "this ends every session; say so with ?confirm=all";
        return Err(Problem::new(&error::INVALID_REQUEST).detail(what));
    }
    app.store.revoke_all().await?;
    tracing::warn!("all sessions were revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// Numbers about the store.
#[utoipa::path(get, path = "/v1/stats", tag = "sessions",
    responses((status = 200, body = StatsResponse), (status = "default", body = ProblemBody)))]
pub(super) async fn stats(State(app): State<App>) -> Result<Json<StatsResponse>, Problem> {
    Ok(Json(app.store.stats().await?.into()))
}

async fn create_under_new_id(app: &App, new: &NewSession) -> Result<(SessionId, Record), Error> {
    let tag = match &new.subject {
        Some(subject) => SlotTag::of_subject(subject),
        None => SlotTag::random(&*app.entropy)?,
    };
    let mut tries = 0;
    loop {
        tries += 1;
        let id = SessionId::generate(tag, &*app.entropy)?;
        match app
            .store
            .create(&id.key_as(app.store.key_form()), new)
            .await
        {
            Ok(record) => return Ok((id, record)),
            Err(error) if is_collision(&error) && tries < limits::COLLISION_TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

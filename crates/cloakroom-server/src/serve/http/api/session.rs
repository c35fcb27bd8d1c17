//! The session that the header names: read it, change its fields, end it.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use cloakroom_core::Event;
use cloakroom_core::record::{Change, Changes, Condition};
use cloakroom_core::store::{Applied, Lookup};

use super::super::App;
use super::super::error::{self, Facts, Problem, ProblemBody};
use super::extract::{Body, Ticket};
use super::fields::set_all;
use super::models::{EndedResponse, PatchRequest, PatchResponse, SessionResponse};
use super::{absent, noting_limit};

/// Reads the session. Counts as activity.
#[utoipa::path(get, path = "/v1/session", tag = "session",
    security(("api_key" = [], "session" = [])),
    responses(
        (status = 200, body = SessionResponse),
        (status = 404, body = ProblemBody, description = "session_unknown"),
        (status = 410, body = ProblemBody, description = "session_ended"),
        (status = "default", body = ProblemBody)))]
pub(super) async fn read(
    State(app): State<App>,
    Ticket(id): Ticket,
) -> Result<Json<SessionResponse>, Problem> {
    let key = id.key_as(app.store.key_form());
    match app.store.load(&key).await? {
        Lookup::Absent(absence) => Err(absent(&app, absence)),
        Lookup::Found(loaded) => {
            if loaded.touch_due && !loaded.forwarded {
                app.touches.note(key);
            }
            let mut info = loaded.record.info(loaded.record.times.seen_at);
            info.remaining = loaded.remaining;
            let session = SessionResponse::new(&loaded.record, info, loaded.forwarded);
            Ok(Json(session))
        }
    }
}

/// Changes fields, all or none; changes of other fields by others are kept. Counts as activity.
#[utoipa::path(patch, path = "/v1/session", tag = "session", request_body = PatchRequest,
    security(("api_key" = [], "session" = [])),
    responses(
        (status = 200, body = PatchResponse),
        (status = 404, body = ProblemBody, description = "session_unknown"),
        (status = 409, body = ProblemBody, description = "version_conflict, with the version"),
        (status = 410, body = ProblemBody, description = "session_ended"),
        (status = 422, body = ProblemBody, description = "limit_exceeded, not_an_integer"),
        (status = "default", body = ProblemBody)))]
pub(super) async fn patch(
    State(app): State<App>,
    Ticket(id): Ticket,
    Body(request): Body<PatchRequest>,
) -> Result<Json<PatchResponse>, Problem> {
    let changes = changes_of(&app, &request)?;
    let condition = request
        .if_version
        .map_or(Condition::Always, Condition::Version);
    match app
        .store
        .apply(&id.key_as(app.store.key_form()), &changes, &condition)
        .await?
    {
        Applied::Done {
            version,
            increments,
        } => {
            let names = changes.iter().filter_map(|(name, change)| match change {
                Change::Increment(_) => Some(name.as_str().to_owned()),
                Change::Set(_) | Change::Remove => None,
            });
            Ok(Json(PatchResponse {
                version,
                increments: names.zip(increments).collect(),
            }))
        }
        Applied::Conflict { version } => Err(Problem::new(&error::VERSION_CONFLICT)
            .detail("read the session again and decide anew")
            .facts(Facts {
                version: Some(version),
                ..Facts::default()
            })),
        Applied::Absent(absence) => {
            app.observe(&Event::LateWriteDropped);
            Err(absent(&app, absence))
        }
    }
}

/// Ends the session. When this is answered, no id of it opens anything any more. An id that leads
/// nowhere is no error: `ended` is false then.
#[utoipa::path(delete, path = "/v1/session", tag = "session",
    security(("api_key" = [], "session" = [])),
    responses((status = 200, body = EndedResponse), (status = "default", body = ProblemBody)))]
pub(super) async fn destroy(
    State(app): State<App>,
    ticket: Result<Ticket, Problem>,
) -> Result<Json<EndedResponse>, Problem> {
    let Ticket(id) = match ticket {
        Ok(ticket) => ticket,
        Err(problem) if problem.is(&error::SESSION_UNKNOWN) => {
            return Ok(Json(EndedResponse { ended: false }));
        }
        Err(problem) => return Err(problem),
    };
    let ended = app.store.destroy(&id.key_as(app.store.key_form())).await?;
    if ended {
        app.observe(&Event::Revoked(1));
    }
    Ok(Json(EndedResponse { ended }))
}

fn changes_of(app: &App, request: &PatchRequest) -> Result<Changes, Problem> {
    let set = request.set.keys();
    let named = set.chain(&request.remove).chain(request.increment.keys());
    let names: BTreeSet<&String> = named.clone().collect();
    if names.len() < named.count() {
        let what = "a field is named twice; say one thing of each field";
        return Err(Problem::new(&error::INVALID_REQUEST).detail(what));
    }
    if names.is_empty() {
        let what = "nothing to change: give set, remove or increment";
        return Err(Problem::new(&error::INVALID_REQUEST).detail(what));
    }
    let mut changes = Changes::new();
    noting_limit(app, set_all(&mut changes, &request.set))?;
    for name in &request.remove {
        changes.remove(name)?;
    }
    for (name, by) in &request.increment {
        changes.increment(name, *by)?;
    }
    Ok(changes)
}

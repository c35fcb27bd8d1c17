//! New ids for the session that the header names: rotation and login.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::{FieldName, Keep, Label, Login, Record, Rotation, Subject};
use cloakroom_core::store::{Absence, Lookup, Rotated};
use cloakroom_core::{ErrorKind, Event, Lifetimes, SessionId, StoredKey, limits};

use super::super::App;
use super::super::error::{self, Problem, ProblemBody};
use super::extract::{Body, Ticket};
use super::models::{IssuedResponse, LifetimesBody, LoginRequest};
use super::{absent, is_collision};

/// Gives the session a new id. The old one still leads to it for the rotation grace. No clock is
/// reset.
#[utoipa::path(post, path = "/v1/session/rotate", tag = "session",
    security(("api_key" = [], "session" = [])),
    responses(
        (status = 200, body = IssuedResponse),
        (status = 404, body = ProblemBody, description = "session_unknown"),
        (status = 409, body = ProblemBody, description = "session_superseded: another request has just rotated it"),
        (status = 410, body = ProblemBody, description = "session_ended"),
        (status = "default", body = ProblemBody)))]
pub(super) async fn rotate(
    State(app): State<App>,
    Ticket(id): Ticket,
) -> Result<Json<IssuedResponse>, Problem> {
    let key = id.key_as(app.store.key_form());
    let rotation = Rotation {
        grace: app.rotation_grace,
        ..Rotation::default()
    };
    let (id, record) = move_to_new_id(&app, &key, key.tag(), &rotation).await?;
    app.observe(&Event::Renewed(record.handle));
    Ok(Json(IssuedResponse::new(&id, &record)))
}

/// A user has proved who they are: the session is theirs from now on, under a new id. The old id is
/// dead at once.
#[utoipa::path(post, path = "/v1/session/login", tag = "session", request_body = LoginRequest,
    security(("api_key" = [], "session" = [])),
    responses(
        (status = 200, body = IssuedResponse),
        (status = 404, body = ProblemBody, description = "session_unknown: create one with the subject instead"),
        (status = 409, body = ProblemBody, description = "too_many_sessions"),
        (status = 410, body = ProblemBody, description = "session_ended: create one with the subject instead"),
        (status = "default", body = ProblemBody)))]
pub(super) async fn login(
    State(app): State<App>,
    Ticket(id): Ticket,
    Body(request): Body<LoginRequest>,
) -> Result<Json<IssuedResponse>, Problem> {
    let subject = Subject::new(&request.subject)?;
    let tag = SlotTag::of_subject(&subject);
    let keep = match request.keep_only {
        None => Keep::All,
        Some(names) if names.len() > limits::FIELDS => {
            return Err(cloakroom_core::Error::from(ErrorKind::Limit {
                what: "fields",
                limit: limits::FIELDS,
                size: names.len(),
            })
            .into());
        }
        Some(names) => {
            let names: Result<Vec<_>, _> = names.iter().map(|name| FieldName::new(name)).collect();
            Keep::Only(names?)
        }
    };
    let rotation = Rotation {
        login: Some(Login {
            subject,
            label: request.label.as_deref().map(Label::new),
            lifetimes: lifetimes(&app, request.remember, request.lifetimes)?,
            max_sessions: app.policy.session_limit(),
            keep,
        }),
        grace: Duration::ZERO,
        ..Rotation::default()
    };
    let (id, record) =
        move_to_new_id(&app, &id.key_as(app.store.key_form()), tag, &rotation).await?;
    app.observe(&Event::LoggedIn(record.handle));
    Ok(Json(IssuedResponse::new(&id, &record)))
}

/// The limits that a request asks for, by name or by number.
pub(super) fn lifetimes(
    app: &App,
    remember: bool,
    given: Option<LifetimesBody>,
) -> Result<Lifetimes, Problem> {
    match (remember, given) {
        (false, None) => Ok(app.policy.lifetimes()),
        (false, Some(given)) => Ok(given.parse()?),
        (true, None) => {
            let remembered = app.policy.remember_lifetimes();
            remembered.ok_or_else(|| Problem::new(&error::REMEMBER_NOT_ALLOWED))
        }
        (true, Some(_)) => {
            Err(Problem::new(&error::INVALID_REQUEST)
                .detail("give remember or lifetimes, not both"))
        }
    }
}

async fn move_to_new_id(
    app: &App,
    old: &StoredKey,
    tag: SlotTag,
    rotation: &Rotation,
) -> Result<(SessionId, Record), Problem> {
    let mut tries = 0;
    loop {
        tries += 1;
        let id = SessionId::generate(tag, &*app.entropy).map_err(cloakroom_core::Error::from)?;
        match app
            .store
            .rotate(old, &id.key_as(app.store.key_form()), rotation)
            .await
        {
            Ok(Rotated::Done(record)) => return Ok((id, *record)),
            Ok(Rotated::Absent(absence)) => return Err(why_absent(app, old, absence).await?),
            Err(error) if is_collision(&error) && tries < limits::COLLISION_TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A session that has just got a new id is not gone; the caller should know the difference.
async fn why_absent(app: &App, old: &StoredKey, absence: Absence) -> Result<Problem, Problem> {
    if absence == Absence::Ended
        && let Lookup::Found(loaded) = app.store.load(old).await?
        && loaded.forwarded
    {
        return Ok(Problem::new(&error::SESSION_SUPERSEDED));
    }
    Ok(absent(app, absence))
}

//! The HTTP API, version 1. Each file is one thing that a caller addresses.

mod extract;
mod fields;
mod identity;
mod models;
mod session;
#[expect(
    unused_qualifications,
    reason = "utoipa spells out the type of query parameters"
)]
mod sessions;
#[expect(
    unused_qualifications,
    reason = "utoipa spells out the type of query parameters"
)]
mod subjects;

use cloakroom_core::store::Absence;
use cloakroom_core::{Error, ErrorKind, Event};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::error::{self, Problem};

/// The routes that ask for the API key.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(
            sessions::create,
            sessions::scan,
            sessions::revoke_all
        ))
        .routes(routes!(session::read, session::patch, session::destroy))
        .routes(routes!(identity::rotate))
        .routes(routes!(identity::login))
        .routes(routes!(subjects::list, subjects::revoke_all))
        .routes(routes!(subjects::revoke))
        .routes(routes!(sessions::stats))
}

/// Reports the use of an id that leads nowhere.
pub(super) fn note_absence(app: &App, absence: Absence) {
    app.observe(match absence {
        Absence::Unknown => &Event::UnknownId,
        Absence::Ended => &Event::UseAfterEnd,
    });
}

/// What the caller learns of such an id; the event with it.
fn absent(app: &App, absence: Absence) -> Problem {
    note_absence(app, absence);
    Problem::new(match absence {
        Absence::Unknown => &error::SESSION_UNKNOWN,
        Absence::Ended => &error::SESSION_ENDED,
    })
}

/// Reports a value over its limit that did not get as far as the store, which reports its own.
fn noting_limit<T>(app: &App, result: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &result
        && let ErrorKind::Limit { what, .. } = error.kind()
    {
        app.observe(&Event::LimitExceeded(what));
    }
    result
}

fn is_collision(error: &Error) -> bool {
    *error.kind() == ErrorKind::Collision
}

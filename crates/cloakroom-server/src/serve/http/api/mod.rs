//! The HTTP API, version 1. Each file is one thing that a caller addresses.

mod extract;
mod fields;
mod identity;
mod models;
mod session;
mod sessions;
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
        .routes(routes!(sessions::create, sessions::scan, sessions::revoke_all))
        .routes(routes!(session::read, session::patch, session::destroy))
        .routes(routes!(identity::rotate))
        .routes(routes!(identity::login))
        .routes(routes!(subjects::list, subjects::revoke_all))
        .routes(routes!(subjects::revoke))
        .routes(routes!(sessions::stats))
}

/// What the caller learns of an id that leads nowhere; the event with it.
fn absent(app: &App, absence: Absence) -> Problem {
    match absence {
        Absence::Unknown => {
            app.observe(&Event::UnknownId);
            Problem::new(&error::SESSION_UNKNOWN)
        }
        Absence::Ended => {
            app.observe(&Event::UseAfterEnd);
            Problem::new(&error::SESSION_ENDED)
        }
    }
}

fn is_collision(error: &Error) -> bool {
    *error.kind() == ErrorKind::Collision
}

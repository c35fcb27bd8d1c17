//! What handlers take from a request: a JSON body without unknown members, and the session's id
//! from its header.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use cloakroom_core::observe::CookieFault;
use cloakroom_core::{Event, PresentedId};
use serde::de::DeserializeOwned;

use super::super::App;
use super::super::error::{self, Problem};

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let body = Json::from_request(request, app).await;
        let Json(body) = body.map_err(|rejection| Problem::body(&rejection, app.max_body))?;
        Ok(Self(body))
    }
}

/// The id that the request is about.
pub(super) struct Ticket(pub(super) PresentedId);

/// The header that carries it.
const HEADER: &str = "cloakroom-session";

impl FromRequestParts<App> for Ticket {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let mut given = parts.headers.get_all(HEADER).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(Problem::new(&error::SESSION_ID_MISSING));
        };
        PresentedId::parse(value.as_bytes()).map(Self).map_err(|_| {
            app.observe(&Event::CookieRejected(CookieFault::Malformed));
            Problem::new(&error::SESSION_UNKNOWN)
        })
    }
}

//! What handlers take from a request: a JSON body without unknown members, and the session's id
//! from its header.

use std::fmt;
use std::marker::PhantomData;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use cloakroom_core::observe::CookieFault;
use cloakroom_core::{Event, PresentedId};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::super::App;
use super::super::error::{self, Problem};

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let body = Json::from_request(request, app).await;
        let Json(Members(body)) =
            body.map_err(|rejection| Problem::body(&rejection, app.max_body))?;
        Ok(Self(body))
    }
}

/// An object: members that have names. A list would be taken for their values in the order in which we happen to
/// have them.
struct Members<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        from.deserialize_map(Object(PhantomData)).map(Self)
    }
}

/// What the path names.
pub(super) struct InPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let named = Path::from_request_parts(parts, app).await;
        let Path(named) = named.map_err(|rejection| {
            Problem::new(&error::INVALID_REQUEST).detail(rejection.body_text())
        })?;
        Ok(Self(named))
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

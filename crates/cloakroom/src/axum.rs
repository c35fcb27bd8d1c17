//! The [`Session`] as an axum extractor, and errors as axum responses. The layer is
//! [`SessionLayer`](crate::SessionLayer), the same as for every tower service.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::error::Error;
use crate::session::Session;

/// Without a layer around the handler this is refused with a 500: never a session that forgets.
impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Self::of(&parts.extensions)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.response()
    }
}

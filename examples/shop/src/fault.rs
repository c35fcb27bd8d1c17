//! What can go wrong while a page is made, and what the visitor sees then.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

/// A page could not be made.
#[derive(Debug)]
pub enum Fault {
    /// The session could not be read or changed.
    Session(cloakroom::Error),
    /// The template failed.
    Page(askama::Error),
}

impl From<cloakroom::core::Error> for Fault {
    fn from(error: cloakroom::core::Error) -> Self {
        Self::Session(error.into())
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Self {
        Self::Page(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Self::Session(error) => error.into_response(),
            Self::Page(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                Html("this page is broken"),
            )
                .into_response(),
        }
    }
}

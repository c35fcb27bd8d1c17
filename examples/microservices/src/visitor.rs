//! Who asks, as the gateway says it. It has asked the session server, and it lets no visitor say it
//! themselves; a service must not be reachable past the gateway.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use percent_encoding::percent_decode;

/// A signed-in visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Who, by the name that `accounts` signed in.
    pub subject: String,
}

/// The header in which the gateway says it: percent-encoded, exactly once.
const SUBJECT: &str = "cloakroom-subject";

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = (StatusCode, &'static str);

    /// Without exactly one subject nobody gets in: then the request did not come by the gateway, or
    /// the gateway forgot to ask.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let mut given = parts.headers.get_all(SUBJECT).iter();
        let subject = match (given.next(), given.next()) {
            (Some(subject), None) => percent_decode(subject.as_bytes()).decode_utf8().ok(),
            _ => None,
        };
        match subject.filter(|subject| !subject.is_empty()) {
            Some(subject) => Ok(Self {
                subject: subject.into_owned(),
            }),
            None => Err((
                StatusCode::UNAUTHORIZED,
                "nobody is signed in: ask by the gateway\n",
            )),
        }
    }
}

//! Who plays: a name, and no more, because this is a demo. A real game asks for a password, a
//! passkey or an identity provider before it calls `login`.

use axum::Router;
use axum::extract::Form;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use cloakroom::{LoginOptions, Result, Session};
use serde::Deserialize;

const NAME_CHARS: usize = 16;

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/join", post(join))
        .route("/leave", post(leave))
        .route("/leave-everywhere", post(leave_everywhere))
}

#[derive(Deserialize)]
struct Player {
    name: String,
}

async fn join(
    session: Session,
    headers: HeaderMap,
    Form(player): Form<Player>,
) -> Result<Response> {
    let fits = (1..=NAME_CHARS).contains(&player.name.chars().count());
    if !fits || !player.name.chars().all(char::is_alphanumeric) {
        let why = "a name has 1 to 16 letters and digits";
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, why).into_response());
    }
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or("");
    let options = LoginOptions::new(player.name).label(agent);
    session.login_with(options).await?;
    Ok(Redirect::to("/").into_response())
}

async fn leave(session: Session) -> Result<Redirect> {
    session.logout().await?;
    Ok(Redirect::to("/"))
}

async fn leave_everywhere(session: Session) -> Result<Redirect> {
    session.logout_everywhere().await?;
    Ok(Redirect::to("/"))
}

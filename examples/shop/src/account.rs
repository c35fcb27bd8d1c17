//! Signing in and out. The demo has three accounts and one password; a real shop asks its own.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use cloakroom::Session;
use serde::Deserialize;

use crate::Fault;
use crate::page::{Frame, render};

/// Who may sign in.
pub(crate) const ACCOUNTS: [&str; 3] = ["ada", "grace", "linus"];
const PASSWORD: &str = "coat-check";

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/login", get(form).post(login))
        .route("/logout", post(logout))
}

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    frame: Frame,
    accounts: &'static [&'static str],
    wrong: bool,
}

#[derive(Deserialize)]
struct LoginForm {
    name: String,
    password: String,
    remember: Option<String>,
}

async fn form(session: Session) -> Result<Html<String>, Fault> {
    page(&session, false).await
}

async fn login(
    session: Session,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Result<Response, Fault> {
    if !ACCOUNTS.contains(&form.name.as_str()) || form.password != PASSWORD {
        return Ok((StatusCode::FORBIDDEN, page(&session, true).await?).into_response());
    }
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let remember = form.remember.is_some();
    session.flash("notice", &format!("Welcome, {}.", form.name))?;
    session
        .login_with(crate::sign_in(&form.name, agent.unwrap_or(""), remember))
        .await?;
    Ok(Redirect::to("/").into_response())
}

async fn logout(session: Session) -> Result<Redirect, Fault> {
    session.logout().await?;
    Ok(Redirect::to("/"))
}

async fn page(session: &Session, wrong: bool) -> Result<Html<String>, Fault> {
    let frame = Frame::of(session, "Sign in").await?;
    render(&Page {
        frame,
        accounts: &ACCOUNTS,
        wrong,
    })
}

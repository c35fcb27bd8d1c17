//! Signs people in and out: the only service that knows sessions. It uses the library on the store
//! that the session server asks, too, so what it does holds at the gateway with the next request.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use askama::Template;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use cloakroom::core::record::Label;
use cloakroom::redis::RedisStore;
use cloakroom::{LoginOptions, Session, SessionLayer};
use cloakroom_example_microservices::page::{Frame, render};
use cloakroom_example_microservices::{Fault, serve};
use serde::Deserialize;

/// Who may sign in. The demo has three accounts and one password; a real one asks its own.
const ACCOUNTS: [&str; 3] = ["ada", "grace", "J\u{fc}rgen"];
const PASSWORD: &str = "coat-check";
const STORE: &str = "redis://127.0.0.1:6379/0";

#[tokio::main]
async fn main() -> io::Result<()> {
    let url = std::env::var("CLOAKROOM_STORE").unwrap_or_else(|_| STORE.to_owned());
    let store = RedisStore::open(&url).await.map_err(|error| {
        // The source names the server, what it answered, and what to do.
        let why = error.source().map_or_else(String::new, ToString::to_string);
        io::Error::other(format!("{error}: {why}"))
    })?;
    let routes = Router::new()
        .route("/", get(home))
        .route("/login", get(form).post(login))
        .route("/logout", post(logout))
        .route("/logout-everywhere", post(logout_everywhere))
        .layer(SessionLayer::shared(Arc::new(store)));
    serve("accounts", "127.0.0.1:3001", routes).await
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    devices: Vec<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    frame: Frame,
    accounts: &'static [&'static str],
    next: String,
    wrong: bool,
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct LoginForm {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

async fn home(session: Session) -> Result<Html<String>, Fault> {
    let user = user(&session).await?;
    let devices = match user {
        None => Vec::new(),
        Some(_) => session.sessions().await?.iter().map(label).collect(),
    };
    let frame = Frame::new("Welcome", user);
    render(&Home { frame, devices })
}

async fn form(session: Session, Query(query): Query<Next>) -> Result<Html<String>, Fault> {
    let frame = Frame::new("Sign in", user(&session).await?);
    login_page(frame, query.next, false)
}

async fn login(
    session: Session,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Result<Response, Fault> {
    if !ACCOUNTS.contains(&form.name.as_str()) || form.password != PASSWORD {
        let page = login_page(Frame::new("Sign in", None), form.next, true)?;
        return Ok((StatusCode::FORBIDDEN, page).into_response());
    }
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    let options = LoginOptions::new(&form.name).label(agent.unwrap_or("A browser"));
    session.login_with(options).await?;
    Ok(Redirect::to(own_path(&form.next)).into_response())
}

async fn logout(session: Session) -> Result<Redirect, Fault> {
    session.logout().await?;
    Ok(Redirect::to("/"))
}

async fn logout_everywhere(session: Session) -> Result<Redirect, Fault> {
    if user(&session).await?.is_some() {
        session.logout_everywhere().await?;
    }
    Ok(Redirect::to("/"))
}

fn login_page(frame: Frame, next: String, wrong: bool) -> Result<Html<String>, Fault> {
    render(&Login {
        frame,
        accounts: &ACCOUNTS,
        next,
        wrong,
    })
}

async fn user(session: &Session) -> Result<Option<String>, Fault> {
    let subject = session.subject().await?;
    Ok(subject.map(|subject| subject.as_str().to_owned()))
}

fn label(info: &cloakroom::SessionInfo) -> String {
    let label = info.label.as_ref().map(Label::as_str);
    label.unwrap_or("A browser").to_owned()
}

/// A path of this site, or its front page: nobody is sent elsewhere because a link said so.
fn own_path(next: &str) -> &str {
    let plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && next.starts_with('/') && !next.starts_with("//") {
        next
    } else {
        "/"
    }
}

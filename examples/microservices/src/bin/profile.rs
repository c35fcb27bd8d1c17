//! How a visitor wants to be called. As `orders`, it knows who asks and nothing of sessions.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::extract::State;
use axum::response::{Html, Redirect};
use axum::routing::get;
use axum::{Form, Router};
use cloakroom_example_microservices::page::{Frame, render};
use cloakroom_example_microservices::{Fault, Visitor, serve};
use serde::Deserialize;

/// Names, by subject.
type Names = Arc<Mutex<HashMap<String, String>>>;

/// The longest name.
const NAME_CHARS: usize = 60;

#[tokio::main]
async fn main() -> io::Result<()> {
    let routes = Router::new()
        .route("/profile/", get(show).post(rename))
        .with_state(Names::default());
    serve("profile", "127.0.0.1:3003", routes).await
}

#[derive(Template)]
#[template(path = "profile.html")]
struct Page {
    frame: Frame,
    name: String,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

async fn show(visitor: Visitor, State(all): State<Names>) -> Result<Html<String>, Fault> {
    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let name = all
        .get(&visitor.subject)
        .unwrap_or(&visitor.subject)
        .clone();
    let frame = Frame::new("Your profile", Some(visitor.subject));
    render(&Page { frame, name })
}

async fn rename(visitor: Visitor, State(all): State<Names>, Form(form): Form<Name>) -> Redirect {
    let name: String = form.name.chars().take(NAME_CHARS).collect();
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.insert(visitor.subject, name);
    Redirect::to("/profile/")
}

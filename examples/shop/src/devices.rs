//! Where the visitor is signed in, and signing out from afar.

use std::time::{SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use cloakroom::{Handle, Session, SessionInfo};
use serde::Deserialize;

use crate::Fault;
use crate::page::{Frame, render};

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/devices", get(page))
        .route("/devices/revoke", post(revoke))
        .route("/devices/logout-others", post(logout_others))
        .route("/devices/logout-all", post(logout_all))
}

/// What a devices page calls a browser: its family and system, out of the `User-Agent`.
pub(crate) fn label_of(user_agent: &str) -> String {
    const BROWSERS: [(&str, &str); 5] = [
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
        ("", "an unknown system"),
    ];
    let known = |table: &[(&str, &'static str)]| {
        table
            .iter()
            .find(|(mark, _)| user_agent.contains(mark))
            .map(|(_, name)| *name)
    };
    let browser = known(&BROWSERS).unwrap_or("A browser");
    format!(
        "{browser} on {}",
        known(&SYSTEMS).unwrap_or("an unknown system")
    )
}

#[derive(Template)]
#[template(path = "devices.html")]
struct Page {
    frame: Frame,
    devices: Vec<Device>,
}

struct Device {
    handle: String,
    label: String,
    signed_in: String,
    seen: String,
    current: bool,
}

#[derive(Deserialize)]
struct RevokeForm {
    handle: String,
}

async fn page(session: Session) -> Result<Response, Fault> {
    if session.subject().await?.is_none() {
        return Ok(Redirect::to("/login").into_response());
    }
    let own = session.handle().await?;
    let sessions = session.sessions().await?;
    let devices = sessions.iter().map(|info| Device::of(info, own)).collect();
    let frame = Frame::of(&session, "Your devices").await?;
    Ok(render(&Page { frame, devices })?.into_response())
}

async fn revoke(session: Session, Form(form): Form<RevokeForm>) -> Result<Redirect, Fault> {
    if let Ok(handle) = form.handle.parse() {
        session.revoke(&handle).await?;
    }
    Ok(Redirect::to("/devices"))
}

async fn logout_others(session: Session) -> Result<Redirect, Fault> {
    let count = session.logout_everywhere_else().await?;
    session.flash("notice", &format!("Signed out on {count} other device(s)."))?;
    Ok(Redirect::to("/devices"))
}

async fn logout_all(session: Session) -> Result<Html<String>, Fault> {
    session.logout_everywhere().await?;
    render(&Page {
        frame: Frame::of(&session, "Signed out everywhere").await?,
        devices: Vec::new(),
    })
}

impl Device {
    fn of(info: &SessionInfo, own: Option<Handle>) -> Self {
        let times = &info.times;
        Self {
            handle: info.handle.to_string(),
            label: info
                .label
                .as_ref()
                .map_or("A browser", |label| label.as_str())
                .to_owned(),
            signed_in: ago(times
                .authenticated_at
                .unwrap_or(times.created_at)
                .as_millis()),
            seen: ago(times.seen_at.as_millis()),
            current: own == Some(info.handle),
        }
    }
}

fn ago(millis: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    match now.as_secs().saturating_sub(millis / 1000) / 60 {
        0 => "just now".to_owned(),
        minutes @ 1..120 => format!("{minutes} min ago"),
        minutes => format!("{} h ago", minutes / 60),
    }
}

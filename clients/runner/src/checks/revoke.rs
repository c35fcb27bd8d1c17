//! A user is signed out everywhere, by whoever runs the server and not by the application.

use reqwest::Method;
use serde_json::Value;

use super::signing::is;
use super::{Scene, Verdict};
use crate::apps::App;
use crate::fault::{Fault, must};

/// What the user anna is called in the sessions of these applications. Django's sessions have the number of the
/// user, and anna is the first who ever signs in.
const SUBJECTS: [(&str, &str); 12] = [
    ("express", "anna"),
    ("fastify", "anna"),
    ("flask", "anna"),
    ("django", "1"),
    ("starlette", "anna"),
    ("spring", "anna"),
    ("php", "anna"),
    ("symfony", "anna"),
    ("laravel", "anna"),
    ("scs", "anna"),
    ("gorilla", "anna"),
    ("rack", "anna"),
];

/// The subject of anna's sessions, if the application has any that can be told.
pub(super) fn subject(app: &App) -> Option<&'static str> {
    let known = SUBJECTS.iter().find(|(folder, _)| *folder == app.folder);
    known.map(|(_, subject)| *subject)
}

pub(super) async fn revoke(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let subject = subject(scene.app).ok_or_else(|| Fault::new("it has no users"))?;
    let path = format!("/v1/subjects/{subject}/sessions");
    let mut phone = scene.signed_in("anna").await?;
    let mut laptop = scene.signed_in("anna").await?;
    let mut other = scene.signed_in("bert").await?;
    let Some(listed) = scene.server.api(Method::GET, &path).await? else {
        return Ok(Verdict::NoCall);
    };
    let sessions = listed.get("sessions").and_then(Value::as_array);
    let count = sessions.map_or(0, Vec::len);
    must(count >= 2, || format!("GET {path}: {listed}"))?;
    scene.server.api(Method::DELETE, &path).await?;
    if phone.me().await?.as_deref() == Some("anna") {
        return Ok(Verdict::Undone);
    }
    is(&mut phone, None, "after anna was signed out everywhere").await?;
    is(&mut laptop, None, "after anna was signed out everywhere").await?;
    is(
        &mut other,
        Some("bert"),
        "after anna was signed out everywhere",
    )
    .await?;
    Ok(Verdict::Held)
}

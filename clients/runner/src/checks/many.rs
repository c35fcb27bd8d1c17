//! A thousand sessions: made, each with a deadline, listed and cleared.

use reqwest::{Method, StatusCode};

use super::signing::is;
use super::{Scene, Verdict};
use crate::fault::{Fault, must};

const MANY: usize = 1000;

pub(super) async fn many(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let mut visitor = scene.signed_in("anna").await?;
    let before = scene.server.keys(scene.variant.keys).await?.len();
    let made = visitor
        .ask(Method::POST, &format!("/many?n={MANY}"), "made")
        .await?;
    must(made == MANY, || format!("POST /many: made is {made}"))?;
    let keys = scene.server.keys(scene.variant.keys).await?;
    must(keys.len() == before + MANY, || {
        format!("{before} keys before, {} after {MANY} more", keys.len())
    })?;
    each_has_a_deadline(scene, &keys).await?;
    let listed = visitor.send(Method::GET, "/sessions").await?;
    let cleared = visitor.stranger().send(Method::DELETE, "/sessions").await?;
    let cannot = [&listed, &cleared].map(|answer| answer.status == StatusCode::NOT_IMPLEMENTED);
    if cannot == [true, true] {
        return Ok(Verdict::NoCall);
    }
    let counted = listed.member("sessions")?;
    must(counted == keys.len(), || {
        format!("GET /sessions: {counted} of {}", keys.len())
    })?;
    must(cleared.status == StatusCode::OK, || {
        format!("DELETE /sessions: {} {}", cleared.status, cleared.text)
    })?;
    is(&mut visitor, None, "after DELETE /sessions").await?;
    let left = scene.server.keys(scene.variant.keys).await?.len();
    must(left == 0, || {
        format!("after DELETE /sessions {left} keys are left")
    })?;
    Ok(Verdict::Held)
}

async fn each_has_a_deadline(scene: &Scene<'_>, keys: &[String]) -> Result<(), Fault> {
    let lines: Vec<String> = keys.iter().map(|key| format!("TTL \"{key}\"\n")).collect();
    let left = scene.server.cli(&[], &lines.concat()).await?;
    let with = left
        .iter()
        .filter(|left| left.parse::<i64>().is_ok_and(|left| left > 0));
    let with = with.count();
    must(with == keys.len(), || {
        format!("of {} keys {with} have a deadline", keys.len())
    })
}

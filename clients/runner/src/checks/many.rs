//! A thousand sessions: made, each with a deadline, listed and cleared.

use reqwest::{Method, StatusCode};

use super::signing::is;
use super::{Scene, Verdict};
use crate::fault::{Fault, must};
use crate::visitor::Visitor;

const MANY: usize = 1000;

pub(super) async fn many(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let mut visitor = scene.signed_in("anna").await?;
    let before = scene.server.keys(scene.variant.keys).await?.len();
    let listed_before = listed(&mut visitor).await?;
    let path = format!("/many?n={MANY}");
    let made = visitor.ask(Method::POST, &path, "made").await?;
    must(made == MANY, || format!("POST /many: made is {made}"))?;
    let keys = scene.server.keys(scene.variant.keys).await?;
    must(keys.len() == before + MANY, || {
        format!("{before} keys before, {} after {MANY} more", keys.len())
    })?;
    each_has_a_deadline(scene, &keys).await?;
    // The difference, because what a late save brought back may be in one place and not in another.
    let listed = listed(&mut visitor).await?;
    if scene.at_rest && listed == Some(0) {
        return Ok(Verdict::NoCall);
    }
    must(listed == listed_before.map(|before| before + MANY), || {
        format!("GET /sessions: {listed_before:?} before, {listed:?} after {MANY} more")
    })?;
    let cleared = visitor.stranger().send(Method::DELETE, "/sessions").await?;
    if cleared.status == StatusCode::NOT_IMPLEMENTED {
        must(listed.is_none(), || {
            "it lists and does not clear".to_owned()
        })?;
        return of_a_user(scene).await;
    }
    must(cleared.status == StatusCode::OK, || {
        format!("DELETE /sessions: {} {}", cleared.status, cleared.text)
    })?;
    is(&mut visitor, None, "after DELETE /sessions").await?;
    let left = scene.server.keys(scene.variant.keys).await?.len();
    must(left == 0, || {
        format!("after DELETE /sessions {left} keys are left")
    })?;
    Ok(if listed.is_some() {
        Verdict::Held
    } else {
        Verdict::NoList
    })
}

/// What is asked of a framework that knows no sessions but those of one user.
async fn of_a_user(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let (mut here, mut there) = (
        scene.signed_in("cleo").await?,
        scene.signed_in("cleo").await?,
    );
    let path = "/sessions?user=cleo";
    let listed = here.stranger().send(Method::GET, path).await?;
    if listed.status == StatusCode::NOT_IMPLEMENTED {
        return Ok(Verdict::NoCall);
    }
    let sessions = listed.member("sessions")?;
    must(sessions == 2, || format!("GET {path}: {sessions} of 2"))?;
    let left = here
        .stranger()
        .ask(Method::DELETE, path, "sessions")
        .await?;
    must(left == 0, || format!("DELETE {path}: {left} are left"))?;
    let left = here.stranger().ask(Method::GET, path, "sessions").await?;
    must(left == 0, || format!("GET {path} after it: {left}"))?;
    for visitor in [&mut here, &mut there] {
        is(visitor, None, "after all of this user were ended").await?;
    }
    is(
        &mut scene.signed_in("cleo").await?,
        Some("cleo"),
        "a new one",
    )
    .await?;
    Ok(Verdict::ByUser)
}

/// How many sessions the framework counts, if it can.
async fn listed(visitor: &mut Visitor) -> Result<Option<usize>, Fault> {
    let answer = visitor.stranger().send(Method::GET, "/sessions").await?;
    if answer.status == StatusCode::NOT_IMPLEMENTED {
        return Ok(None);
    }
    let count = answer.member("sessions")?;
    let count = count.as_u64().and_then(|count| usize::try_from(count).ok());
    count
        .map(Some)
        .ok_or_else(|| Fault::new(format!("GET /sessions: {}", answer.text)))
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

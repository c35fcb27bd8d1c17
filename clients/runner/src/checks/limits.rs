//! How long sessions live: with visits, without, and at most.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::signing::is;
use super::{Scene, Verdict};
use crate::fault::{Fault, must};
use crate::visitor::Visitor;

/// How often the machine may be too slow for a visitor to come in time.
const TRIES: usize = 5;

/// Deadlines are seconds in many stores: so much may one be off.
const BLUR: Duration = Duration::from_millis(1500);

pub(super) async fn idle(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let mut visitor = scene.signed_in("anna").await?;
    let wanted = scene.limits.idle * 2;
    for _ in 0..TRIES {
        match stay(scene, &mut visitor, wanted).await? {
            Stay::SignedIn => return leave(scene, visitor).await,
            Stay::SignedOut(after) => {
                return Err(Fault::new(format!(
                    "signed out after {after:?}, though there was no pause"
                )));
            }
            Stay::Paused => visitor = scene.signed_in("anna").await?,
        }
    }
    Err(too_slow())
}

pub(super) async fn absolute(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let limit = scene.limits.absolute;
    for _ in 0..TRIES {
        let mut visitor = scene.signed_in("anna").await?;
        match stay(scene, &mut visitor, limit + BLUR * 2).await? {
            Stay::SignedIn => return Ok(Verdict::NoLimit),
            Stay::SignedOut(after) => {
                must(after + BLUR > limit, || {
                    format!("signed out after {after:?}, the limit is {limit:?}")
                })?;
                return Ok(Verdict::Held);
            }
            Stay::Paused => {}
        }
    }
    Err(too_slow())
}

/// How it went for somebody who came again and again.
enum Stay {
    SignedIn,
    SignedOut(Duration),
    /// The machine was too slow: between two visits was more than the idle time, or nearly.
    Paused,
}

async fn stay(scene: &Scene<'_>, visitor: &mut Visitor, wanted: Duration) -> Result<Stay, Fault> {
    let begun = Instant::now();
    let (pause, idle) = (scene.limits.idle / 8, scene.limits.idle);
    let mut last = begun;
    while begun.elapsed() < wanted {
        sleep(pause).await;
        let asked = Instant::now();
        let me = visitor.me().await?;
        if last.elapsed() + BLUR > idle {
            return Ok(Stay::Paused);
        }
        if me.is_none() {
            return Ok(Stay::SignedOut(asked - begun));
        }
        last = asked;
    }
    Ok(Stay::SignedIn)
}

/// Nobody comes any more: the key goes by itself, and then the cookie opens nothing.
async fn leave(scene: &Scene<'_>, mut visitor: Visitor) -> Result<Verdict, Fault> {
    let keys = scene.variant.keys;
    sleep(scene.limits.idle + BLUR).await;
    is(&mut visitor, None, "after the idle time").await?;
    // Asking for keys is no visit. What other checks made here goes just the same.
    let ends = Instant::now() + scene.limits.absolute + scene.limits.idle + BLUR * 4;
    while !scene.server.keys(keys).await?.is_empty() {
        must(Instant::now() < ends, || {
            format!("keys {keys} are still there long after their time")
        })?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(Verdict::Held)
}

fn too_slow() -> Fault {
    Fault::new(format!(
        "in {TRIES} tries this machine was too slow for a visitor to come in time"
    ))
}

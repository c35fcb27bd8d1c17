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

/// What a visitor does who comes again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    /// Looks.
    Read,
    /// Puts something into the cart, and looks.
    Write,
}

/// When the last key must be gone, of a visitor who comes on a slow machine for the fifth time.
const GONE: Duration = Duration::from_secs(180);

pub(super) async fn idle(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let wanted = scene.limits.idle * 2;
    for (visit, verdict) in [
        (Visit::Read, Verdict::Held),
        (Visit::Write, Verdict::ByWrites),
    ] {
        match stay(scene, visit, wanted).await? {
            Stay::SignedIn(visitor) => return leave(scene, visitor).await.map(|()| verdict),
            Stay::SignedOut(after) => must(after + BLUR > scene.limits.idle, || {
                format!("signed out after {after:?}, before the idle limit")
            })?,
        }
    }
    Err(Fault::new("visits do not make the session live longer"))
}

pub(super) async fn absolute(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let limit = scene.limits.absolute;
    match stay(scene, Visit::Write, limit + BLUR * 2).await? {
        Stay::SignedIn(_) => Ok(Verdict::NoLimit),
        Stay::SignedOut(after) => {
            must(after + BLUR > limit, || {
                format!("signed out after {after:?}, the limit is {limit:?}")
            })?;
            Ok(Verdict::Held)
        }
    }
}

/// How it went for somebody who came again and again.
enum Stay {
    SignedIn(Visitor),
    SignedOut(Duration),
}

async fn stay(scene: &Scene<'_>, visit: Visit, wanted: Duration) -> Result<Stay, Fault> {
    for _ in 0..TRIES {
        if let Some(stay) = stay_once(scene, visit, wanted).await? {
            return Ok(stay);
        }
    }
    Err(Fault::new(format!(
        "in {TRIES} tries this machine was too slow for a visitor to come in time"
    )))
}

/// `None` if this machine was too slow: between two visits was more than the idle time, or nearly.
async fn stay_once(
    scene: &Scene<'_>,
    visit: Visit,
    wanted: Duration,
) -> Result<Option<Stay>, Fault> {
    // Before the sign-in, because a store counts from within it, and the first one of a process can take seconds.
    let begun = Instant::now();
    let mut visitor = scene.signed_in("anna").await?;
    let mut last = begun;
    while begun.elapsed() < wanted {
        sleep(scene.limits.idle / 8).await;
        let asked = Instant::now();
        // A request that is under way when its session ends may fail; then the session is gone for the next one.
        // A look is such a request as well where it prolongs the session.
        let refused = match visit {
            Visit::Read => None,
            Visit::Write => visitor.add("hat").await.err(),
        };
        let (refused, me) = match visitor.me().await {
            Ok(me) => (refused, me),
            Err(fault) => (Some(fault), visitor.me().await?),
        };
        if last.elapsed() + BLUR > scene.limits.idle {
            return Ok(None);
        }
        match (me, refused) {
            (None, _) => return Ok(Some(Stay::SignedOut(asked - begun))),
            (Some(_), Some(fault)) => return Err(fault),
            (Some(_), None) => last = asked,
        }
    }
    Ok(Some(Stay::SignedIn(visitor)))
}

/// Nobody comes any more: the key goes by itself, and then the cookie opens nothing.
async fn leave(scene: &Scene<'_>, mut visitor: Visitor) -> Result<(), Fault> {
    let keys = scene.variant.keys;
    sleep(scene.limits.idle + BLUR).await;
    is(&mut visitor, None, "after the idle time").await?;
    // Asking for keys is no visit. What other checks made here goes just the same.
    let ends = Instant::now() + GONE;
    while !scene.server.keys(keys).await?.is_empty() {
        must(Instant::now() < ends, || {
            format!("keys {keys} are still there long after their time")
        })?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

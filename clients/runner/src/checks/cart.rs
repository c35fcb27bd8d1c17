//! What several requests of one visitor put in, one after another and at once.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::task::JoinHandle;

use super::signing::is;
use super::{Scene, Verdict};
use crate::fault::{Fault, must};
use crate::gate::Gate;
use crate::visitor::{Answer, Visitor};

/// What requests that overlap put in, in the order in which they save.
const AT_ONCE: [&str; 4] = ["scarf", "glove", "boot", "umbrella"];

pub(super) async fn cart(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let mut visitor = scene.signed_in("anna").await?;
    for item in ["hat", "coat"] {
        visitor.add(item).await?;
    }
    let cart = visitor.cart().await?;
    must(cart == ["coat", "hat"], || {
        format!("one after another: the cart is {cart:?}")
    })?;
    let gate = Gate::open().await?;
    let mut requests = Vec::new();
    for item in AT_ONCE {
        let request = slow(&visitor, &gate, item);
        // Each has read before the next one comes, so that their order is known.
        let waiting = gate.arrival().await?;
        if scene.app.locks {
            waiting.release().await?;
            done(request).await?;
        } else {
            requests.push((waiting, request));
        }
    }
    for (waiting, request) in requests {
        waiting.release().await?;
        done(request).await?;
    }
    is(&mut visitor, Some("anna"), "after requests that overlap").await?;
    let cart = visitor.cart().await?;
    let has = |item: &&str| cart.iter().any(|it| it == item);
    must(has(&"hat") && has(&"coat"), || {
        format!("what was there before is gone: the cart is {cart:?}")
    })?;
    let kept = AT_ONCE.iter().filter(|item| has(item)).count();
    match kept {
        kept if kept == AT_ONCE.len() => Ok(Verdict::Held),
        1 if has(&AT_ONCE[AT_ONCE.len() - 1]) => Ok(Verdict::LastOnly),
        _ => Err(Fault::new(format!(
            "of {AT_ONCE:?} in this order, the cart has {cart:?}"
        ))),
    }
}

/// Begins a slow request of that visitor, in another window.
pub(super) fn slow(
    visitor: &Visitor,
    gate: &Gate,
    item: &str,
) -> JoinHandle<Result<Answer, Fault>> {
    let mut window = visitor.clone();
    let path = format!("/slow?item={item}&until={}", gate.url);
    tokio::spawn(async move { window.send(Method::POST, &path).await })
}

async fn done(request: JoinHandle<Result<Answer, Fault>>) -> Result<(), Fault> {
    let joined = tokio::time::timeout(Duration::from_secs(60), request).await;
    let joined = joined.map_err(|_| Fault::new("a slow request does not end"))?;
    let answer = joined.map_err(|error| Fault::new(error.to_string()))??;
    must(answer.status == StatusCode::OK, || {
        format!("POST /slow: {} {}", answer.status, answer.text)
    })?;
    let user = answer.member("user")?;
    must(user == "anna", || format!("POST /slow: user is {user}"))
}

//! The race that every framework loses on a plain store: a request that began before the logout saves after it.

use reqwest::Method;
use tokio::task::JoinHandle;

use super::cart::slow;
use super::signing::is;
use super::{Scene, Verdict};
use crate::apps::Late;
use crate::fault::{Fault, must};
use crate::gate::Gate;
use crate::visitor::{Answer, Visitor};

pub(super) async fn logout(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let mut visitor = scene.signed_in("anna").await?;
    // What an attacker has, or a window that heard of nothing.
    let mut old = visitor.clone();
    visitor.add("hat").await?;
    sign_out(&mut visitor).await?;
    is(&mut old, None, "the old cookie after a logout").await?;

    let mut visitor = scene.signed_in("anna").await?;
    let mut old = visitor.clone();
    is(&mut old, Some("anna"), "before the logout").await?;
    match scene.app.late {
        Late::InTheHandler | Late::Refused => late_in_the_handler(scene, &mut visitor).await?,
        Late::OnTheWire(command) => late_on_the_wire(scene, &mut visitor, command).await?,
    }
    let me = old.send(Method::GET, "/me").await?;
    if me.status.is_server_error() {
        return Ok(Verdict::Broken);
    }
    match old.me().await?.as_deref() {
        None => Ok(Verdict::Held),
        Some("anna") => Ok(Verdict::Undone),
        Some(other) => Err(Fault::new(format!("the old cookie is {other} now"))),
    }
}

async fn late_in_the_handler(scene: &Scene<'_>, visitor: &mut Visitor) -> Result<(), Fault> {
    let gate = Gate::open().await?;
    let request = slow(visitor, &gate, "coat");
    let waiting = gate.arrival().await?;
    if scene.app.locks {
        // The logout waits for the lock, so it can be no earlier than the save.
        let mut window = visitor.clone();
        let logout = tokio::spawn(async move { sign_out(&mut window).await.map(|()| window) });
        waiting.release().await?;
        *visitor = logout
            .await
            .map_err(|error| Fault::new(error.to_string()))??;
    } else {
        sign_out(visitor).await?;
        waiting.release().await?;
    }
    ended(scene, request).await
}

async fn late_on_the_wire(
    scene: &Scene<'_>,
    visitor: &mut Visitor,
    command: &'static str,
) -> Result<(), Fault> {
    let on_its_way = scene.wire.hold(command);
    let mut window = visitor.clone();
    let request = tokio::spawn(async move { window.send(Method::POST, "/cart?item=coat").await });
    let held = on_its_way
        .await
        .map_err(|_| Fault::new(format!("no {command} was sent")))?;
    sign_out(visitor).await?;
    drop(held);
    ended(scene, request).await
}

async fn sign_out(visitor: &mut Visitor) -> Result<(), Fault> {
    let user = visitor.ask(Method::POST, "/logout", "user").await?;
    must(user.is_null(), || format!("POST /logout: user is {user}"))
}

/// Waits for a request's end. A framework that notices that its session is gone has to say so.
async fn ended(scene: &Scene<'_>, request: JoinHandle<Result<Answer, Fault>>) -> Result<(), Fault> {
    let answer = request
        .await
        .map_err(|error| Fault::new(error.to_string()))??;
    let is_refused = scene.app.late == Late::Refused;
    must(answer.status.is_server_error() == is_refused, || {
        format!("the slow request: {} {}", answer.status, answer.text)
    })
}

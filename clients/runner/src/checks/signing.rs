//! Signing in, and the ids that come and go with it.

use reqwest::Method;

use super::{Scene, Verdict};
use crate::fault::{Fault, must};
use crate::visitor::Visitor;

/// Of letters that every framework has in its ids, and 32 of them.
const FORGED: &str = "abcdef0123456789abcdef0123456789";

pub(super) async fn sign_in(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let mut visitor = scene.visitor()?;
    is(&mut visitor, None, "before anybody signed in").await?;
    visitor.login("anna").await?;
    is(&mut visitor, Some("anna"), "after anna signed in").await?;
    let mut stranger = visitor.stranger();
    is(&mut stranger, None, "a stranger").await?;
    stranger.login("bert").await?;
    is(&mut stranger, Some("bert"), "after bert signed in").await?;
    is(&mut visitor, Some("anna"), "after bert signed in as well").await?;
    Ok(Verdict::Held)
}

pub(super) async fn new_id(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let mut visitor = scene.visitor()?;
    visitor.add("hat").await?;
    let mut before = visitor.clone();
    visitor.login("anna").await?;
    changed(scene, &before, &visitor, "POST /login")?;
    is(&mut before, None, "the id from before the sign-in").await?;

    visitor.add("coat").await?;
    let mut before = visitor.clone();
    let path = "/regenerate";
    let user = visitor.ask(Method::POST, path, "user").await?;
    must(user == "anna", || format!("POST {path}: user is {user}"))?;
    changed(scene, &before, &visitor, "POST /regenerate")?;
    is(&mut visitor, Some("anna"), "after /regenerate").await?;
    let cart = visitor.cart().await?;
    must(cart.contains(&"coat".to_owned()), || {
        format!("after /regenerate the cart is {cart:?}")
    })?;
    is(&mut before, None, "the id from before /regenerate").await?;
    Ok(Verdict::Held)
}

pub(super) async fn forged(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let mut visitor = scene.visitor()?;
    visitor.bring(scene.app.cookie, FORGED);
    is(&mut visitor, None, "with an id that was made up").await?;
    visitor.add("hat").await?;
    // A framework may sign in under the id that it has; with this one in a cookie, somebody else knows it.
    Ok(if scene.id(&visitor)? == FORGED {
        Verdict::Taken
    } else {
        Verdict::Held
    })
}

/// Asks who somebody is, and fails if it is somebody else.
pub(super) async fn is(visitor: &mut Visitor, user: Option<&str>, when: &str) -> Result<(), Fault> {
    let me = visitor.me().await.map_err(|fault| fault.at(when))?;
    must(me.as_deref() == user, || format!("{when}: user is {me:?}"))
}

fn changed(scene: &Scene<'_>, before: &Visitor, after: &Visitor, what: &str) -> Result<(), Fault> {
    let (before, after) = (scene.id(before)?, scene.id(after)?);
    must(before != after, || format!("{what} kept the id"))
}

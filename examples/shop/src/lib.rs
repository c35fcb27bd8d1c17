//! A small shop that shows what a session is for: who is signed in, what is in the cart, how far
//! the checkout got, which devices are signed in.
//!
//! Each page is a module with its routes, its form and its template. What to look at first:
//! `cart` (one field per product, so that two tabs never lose each other's changes) and `devices`
//! (listing and revoking sessions).

#![forbid(unsafe_code)]

mod account;
mod cart;
mod catalogue;
mod checkout;
mod devices;
mod fault;
mod page;
mod preferences;

use std::sync::Arc;

use axum::Router;
use cloakroom::{CookieConfig, LoginOptions, Policy, SessionLayer, Store};

pub use fault::Fault;

/// All pages. Add [`session_layer`] around them.
pub fn routes() -> Router {
    Router::new()
        .merge(catalogue::routes())
        .merge(cart::routes())
        .merge(account::routes())
        .merge(preferences::routes())
        .merge(checkout::routes())
        .merge(devices::routes())
        .merge(page::routes())
}

/// Sessions in `store`, with a cookie for plain http on this machine. A real shop has TLS and
/// leaves the cookie as it is.
///
/// # Errors
/// In a release build, which refuses that cookie: see `CookieConfig::insecure_for_development`.
pub fn session_layer(store: Arc<dyn Store>) -> Result<SessionLayer, cloakroom::Error> {
    Ok(SessionLayer::shared(store)
        .policy(Policy::OWASP_LOW_VALUE)
        .cookie(CookieConfig::insecure_for_development()?))
}

/// How the devices page calls a browser.
fn sign_in(name: &str, user_agent: &str, remember: bool) -> LoginOptions {
    LoginOptions::new(name)
        .label(&devices::label_of(user_agent))
        .remember(remember)
}

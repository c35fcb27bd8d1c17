//! Sessions for axum, tower and actix-web.
//!
//! You hand in your coat, you keep a ticket, and any counter gives it back. One layer around an
//! application, and every handler can have a [`Session`]:
//!
//! ```
//! use axum::{Router, routing::get};
//! use cloakroom::embedded::EmbeddedStore;
//! use cloakroom::{Result, Session, SessionLayer};
//!
//! async fn count(session: Session) -> Result<String> {
//!     let visits: u32 = session.update("visits", |n| n.unwrap_or(0) + 1).await?;
//!     Ok(format!("visit {visits}"))
//! }
//!
//! fn app() -> Router {
//!     Router::new().route("/", get(count)).layer(SessionLayer::new(EmbeddedStore::default()))
//! }
//! # let _ = app();
//! ```
//!
//! # What it promises
//!
//! - A request that does not use its session costs the store nothing, and its response has no
//!   header of ours. A read is one trip, a save of any number of fields is one trip.
//! - What was set is saved before the first byte of the response; if that fails, the visitor gets a
//!   503 that says so, not the page that claims it.
//! - The cookie follows the fact: no id is set that was not written, none is cleared while another
//!   response may just have set a newer one, and a login always brings a new id.
//! - Parallel requests that change different fields both keep their change; a logout is final,
//!   whatever was in flight.
//!
//! # Where to go on
//!
//! - [`Session`]: `get`, `set`, `update`, `increment`, `take`, `flash`, `login`, `logout`, ...
//! - [`Session::watch`]: sessions on web sockets and other connections that outlive their request
//! - [`SessionLayer`] for axum and tower, `actix::SessionMiddleware` for actix-web, with
//!   the settings of [`SessionConfig`]
//! - [`Policy`]: how long sessions live; [`CookieConfig`]: what the browser is told
//! - [`Error`]: what handlers return, and what visitors see of it
//! - [`core`]: everything that needs no framework; [`Store`]: the contract, for a store of your own
//!
//! # Features
//!
//! | feature | default | what it brings |
//! | --- | --- | --- |
//! | `axum-0_8` | yes | the extractor and error responses for axum 0.8 |
//! | `tower-0_5` | with axum | [`SessionLayer`] for any `tower::Service` that speaks `http` 1.x |
//! | `actix-web-4` | no | the `actix` module: middleware, extractor, error responses |
//! | `embedded` | yes | the `embedded` module: a store that needs nothing installed |
//! | `redis` | no | the `redis` module: the store on Redis and Valkey |
//! | `tower-sessions-0_15` | no | the `tower_sessions` module: our stores for applications that use tower-sessions |

#![forbid(unsafe_code)]
#![cfg_attr(
    not(any(feature = "tower-0_5", feature = "actix-web-4")),
    allow(
        dead_code,
        unused_macros,
        unused_imports,
        reason = "without a carrier nobody calls it"
    )
)]

mod config;
mod cookie;
mod error;
mod lifecycle;
mod session;
mod spawn;
mod touch;
mod trace;
mod watch;

#[cfg(feature = "actix-web-4")]
pub mod actix;
#[cfg(feature = "axum-0_8")]
mod axum;
#[cfg(feature = "tower-0_5")]
pub mod tower;
#[cfg(feature = "tower-sessions-0_15")]
pub mod tower_sessions;

pub use cloakroom_core as core;
pub use cloakroom_core::session::LoginOptions;
pub use cloakroom_core::{
    Codec, ErrorKind, Event, Handle, Lifetimes, Observer, Policy, SessionInfo, Store, limits,
};
#[cfg(feature = "embedded")]
pub use cloakroom_embedded as embedded;
#[cfg(feature = "redis")]
pub use cloakroom_redis as redis;

pub use config::SessionConfig;
pub use cookie::{
    ALLOW_INSECURE_COOKIES, CookieConfig, CookieKey, CookieKeys, Persistence, SameSite,
    presented_id,
};
pub use error::{Error, Result};
pub use session::Session;
#[cfg(feature = "tower-0_5")]
pub use tower::SessionLayer;
pub use watch::{End, WatchedSession};

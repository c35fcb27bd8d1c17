//! Sessions for axum, tower and actix-web.

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

#[cfg(feature = "actix-web-4")]
pub mod actix;
#[cfg(feature = "axum-0_8")]
mod axum;
#[cfg(feature = "tower-0_5")]
pub mod tower;

pub use cloakroom_core as core;
pub use cloakroom_core::session::LoginOptions;
pub use cloakroom_core::{
    Codec, ErrorKind, Event, Handle, Lifetimes, Observer, Policy, SessionInfo, Store, limits,
};
#[cfg(feature = "embedded")]
pub use cloakroom_embedded as embedded;

pub use config::SessionConfig;
pub use cookie::{
    ALLOW_INSECURE_COOKIES, CookieConfig, CookieKey, CookieKeys, Persistence, SameSite,
    presented_id,
};
pub use error::{Error, Result};
pub use session::Session;
#[cfg(feature = "tower-0_5")]
pub use tower::SessionLayer;

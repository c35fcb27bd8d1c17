//! The middleware, seen from outside: one table of requests and responses on every carrier, and what
//! needs a test of its own.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod carriers;
mod cases;
mod cookies;
mod departed;
mod expect;
mod layers;
mod logs;
mod probe;
mod script;
mod touches;
#[cfg(feature = "tower-sessions-0_15")]
mod tower_sessions;
mod watch;
mod world;

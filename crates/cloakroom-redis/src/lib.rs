//! Cloakroom's store on Redis and Valkey: sessions that any instance of an application can reach.
//!
//! ```no_run
//! # async fn open() -> Result<(), cloakroom_core::Error> {
//! let store = cloakroom_redis::RedisStore::open("redis://127.0.0.1:6379/0").await?;
//! # Ok(()) }
//! ```
//!
//! Everything is chosen by the URL ([`Settings`]). Expiry is decided by the server's clock, every
//! change is one atomic step on the server, and every operation has a deadline.

#![forbid(unsafe_code)]

mod failure;
mod head;
mod keys;
mod layout;
mod recent;
mod revoked;
mod scripts;
mod settings;
mod steps;
mod store;
mod turns;
mod wire;

pub use failure::{Class, Failure};
pub use settings::Settings;
pub use store::RedisStore;

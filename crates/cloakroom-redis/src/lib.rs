//! Cloakroom's store on Redis and Valkey: sessions that any instance of an application can reach.
//!
//! ```no_run
//! # async fn open() -> Result<(), cloakroom_core::Error> {
//! let store = cloakroom_redis::RedisStore::open("redis://127.0.0.1:6379/0").await?;
//! # Ok(()) }
//! ```
//!
//! Everything is chosen by the URL ([`Settings`]): one server, or whoever is primary by Sentinel.
//! Expiry is decided by the server's clock, every change is one atomic step on the server, and every
//! operation has a deadline. Cluster and sharding are not there yet.
//!
//! # What is acknowledged, and what it means
//!
//! Where there are replicas, creations, rotations, logins and revocations wait until every replica
//! that keeps up has them (`durability=safe`), or fail. Other writes are acknowledged by the primary
//! alone, and a failover may lose the last of them. With `durability=fast` that holds for all.
//!
//! In both, this process remembers for ten minutes what it revoked, and says it again to a server that
//! it did not meet before (a promoted replica, a restart on older data) before it asks that server
//! anything. A process that ends takes its memory along.

#![forbid(unsafe_code)]

mod epoch;
mod failure;
mod head;
mod keys;
mod layout;
mod recent;
mod revoked;
mod route;
mod scripts;
mod settings;
mod steps;
mod store;
mod turns;
mod wire;

pub use failure::{Class, Failure};
pub use settings::Settings;
pub use store::RedisStore;

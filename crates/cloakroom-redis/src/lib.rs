//! Cloakroom's store on Redis and Valkey: sessions that any instance of an application can reach.
//!
//! ```no_run
//! # async fn open() -> Result<(), cloakroom_core::Error> {
//! let store = cloakroom_redis::RedisStore::open("redis://127.0.0.1:6379/0").await?;
//! # Ok(()) }
//! ```
//!
//! Everything is chosen by the URL ([`Settings`]): one server, whoever is primary by Sentinel, a
//! cluster, or independent nodes that share the sessions. Expiry is decided by the server's clock,
//! every change is one atomic step on the server, and every operation has a deadline.
//!
//! In a cluster, and on one of independent nodes, all sessions of a subject, and the list of them, are in one slot, so everything is one
//! atomic step there as well, but for one: a login of a visitor whose session is in another slot is
//! two. It loses no write and leaves no two sessions that somebody can reach; a process that dies
//! between the steps leaves a session in the subject's list that nobody has the id of.
//! With one replica for each primary, a failover leaves a primary without any, and `safe` refuses
//! creations and logins there until it has one again: give each two.
//! While a slot is being moved to another node, operations that need several of its keys wait until
//! these are together again, within their deadline.
//!
//! # What is acknowledged, and what it means
//!
//! Where there are replicas, creations, rotations and logins wait until every replica that could be
//! promoted has them (`durability=safe`), or fail. With `durability=fast` the primary alone
//! acknowledges them, as it does other writes in both modes, and a failover may lose the last of them.
//!
//! Ends of sessions wait in both modes. Behind Sentinel a server is believed only while a majority of
//! the sentinels calls it the primary, and no process finds a session whose end was acknowledged.
//!
//! This process also remembers for ten minutes what it revoked, and says it again to a server that it
//! did not meet before (a promoted replica, a restart on older data, a new owner of a
//! slot) before it asks that server
//! anything. A process that ends takes its memory along.
//!
//! `docs/operate/failover.md` has all of it, with what is left and with figures.

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

//! Sessions, without sockets, files, clocks or a runtime.
//!
//! This crate says what a session is and what whoever keeps one must promise. It never reads a
//! clock, never opens anything, never spawns: time ([`Clock`]), randomness ([`Entropy`]) and a place
//! to finish what was begun ([`session::Spawn`]) are handed in.
//!
//! - [`id`]: the secret id, what a store may know of it, the public handle
//! - [`record`]: the session as data, and the pure steps by which it changes
//! - [`expiry`] and [`policy`]: how long it lives
//! - [`store`]: the contract, in words; `testkit` (a feature): the contract, in code
//! - [`session`]: the handle that an application holds during a request
//! - [`layout`]: how other frameworks keep their sessions in Redis
//! - [`codec`], [`observe`], [`limits`], [`error`]: values, events, bounds, what can go wrong

#![forbid(unsafe_code)]

pub mod codec;
pub mod entropy;
pub mod error;
pub mod expiry;
pub mod id;
pub mod layout;
pub mod limits;
pub mod observe;
pub mod policy;
pub mod record;
pub mod session;
pub mod store;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;

pub use codec::Codec;
pub use entropy::{Entropy, OsEntropy};
pub use error::{Error, ErrorKind};
pub use expiry::Lifetimes;
pub use id::{Handle, KeyForm, PresentedId, SessionId, StoredKey};
pub use observe::{Event, Observer};
pub use policy::Policy;
pub use record::{Record, SessionInfo, Subject};
pub use session::{Session, Sessions};
pub use store::Store;
pub use time::{Clock, UnixMillis};

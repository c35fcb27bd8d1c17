//! The store contract as code, for everyone who writes a store. What [`crate::store`] promises in
//! words, the cases here try; a store is right when all of them are kept.
//!
//! # How to test a store with it
//!
//! Say how a fresh store is made, and let [`contract_tests!`](crate::contract_tests) make a test of
//! every case:
//!
//! ```
//! use std::sync::Arc;
//! use cloakroom_core::session::BoxFuture;
//! use cloakroom_core::testkit::{Fresh, ManualClock, ReferenceStore, StoreFactory, Time};
//!
//! struct MyStores;
//!
//! impl StoreFactory for MyStores {
//!     fn fresh(&self) -> BoxFuture<Fresh> {
//!         Box::pin(async {
//!             let clock = ManualClock::new();
//!             // Your store in place of this one.
//!             let store = Arc::new(ReferenceStore::new(Arc::new(clock.clone())));
//!             Fresh { store, time: Time::Driven(clock) }
//!         })
//!     }
//! }
//!
//! mod contract {
//!     use super::MyStores;
//!     cloakroom_core::contract_tests!(MyStores);
//! }
//!
//! // The same at once, with a report to print:
//! fn main() {
//!     use cloakroom_core::testkit::{block_on, contract};
//!     let report = block_on(contract(&MyStores));
//!     assert!(report.is_kept(), "{report}");
//! }
//! ```
//!
//! A store whose clock nobody can move says [`Time::Real`] and how to wait; its time cases use
//! lifetimes of a few units, and those that would take minutes are left out. A store that needs a
//! runtime starts it in [`StoreFactory::run`] and spawns on it in [`StoreFactory::spawn`].
//!
//! # What else is here
//!
//! - [`ReferenceStore`]: the contract as the simplest store that keeps it
//! - [`CountingStore`], [`FaultyStore`], [`YieldingStore`]: stores around a store, for tests of
//!   whatever uses one
//! - [`ManualClock`], [`SeededEntropy`], [`FailingEntropy`], [`CollidingEntropy`]
//! - [`broken`]: stores that are wrong in one way each; the kit catches all of them
//! - [`sim`]: many visitors, a virtual clock and injected failures, by seed

mod around;
pub mod broken;
mod clock;
mod contract;
mod entropy;
mod faults;
mod kit;
mod poll;
mod reference;
pub mod sim;

pub use around::{Around, Wrapped};
pub use clock::ManualClock;
pub use contract::{CASES, Case, Report, Verdict, contract, test_case};
pub use entropy::{CollidingEntropy, FailingEntropy, SeededEntropy};
pub use faults::{CountingStore, Counts, Fault, Faults, FaultyStore, YieldingStore, Yields};
pub use kit::{Broken, Fresh, StoreFactory, Time};
pub use poll::{HeldSpawn, ThreadSpawn, block_on, cancel_after, join_all, spawn_all, yield_now};
pub use reference::{ReferenceFactory, ReferenceStore};

//! What the three services share: who asks ([`Visitor`]), how a page looks ([`page`]), how a service
//! runs ([`serve`]). The services themselves are `src/bin/accounts.rs`, which signs people in and is the
//! only one that knows sessions, and `orders.rs` and `profile.rs`, which know who asks, and no more.

#![forbid(unsafe_code)]

pub mod page;
mod serve;
mod visitor;

pub use serve::{Fault, serve};
pub use visitor::Visitor;

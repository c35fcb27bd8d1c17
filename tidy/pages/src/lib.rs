//! What pages show is true: their Rust compiles (as documentation tests of this crate), their shell
//! commands run, their settings start the real server.
//!
//! A crate of its own, because it needs the product to compile, and the house rules do not.

#![forbid(unsafe_code)]

mod run;
mod server;

pub use run::{Outcome, run, skipped};
pub use server::{Server, binary, try_settings};

/// One item per page with Rust in it; the house rule `compiled-pages` misses none.
#[cfg(doctest)]
mod compiled {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/migrate/tower-sessions.md")]
    struct FromTowerSessions;

    #[doc = include_str!("../../../docs/operate/sharing.md")]
    struct Sharing;
}

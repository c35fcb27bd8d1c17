//! The shop in a real browser: what a visitor does, and what two tabs do at the same moment.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod browser;
mod scenarios;
mod server;

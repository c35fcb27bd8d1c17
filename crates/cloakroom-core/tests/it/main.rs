//! The core's tests, one theme a module, in one binary.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod codecs;
mod compile;
mod contract_page;
mod expiry;
mod fields;
mod hostile;
mod ids;
mod kit;
mod layouts;
mod policy;
mod reopened;
mod session;
mod session_races;
mod session_reads;
mod sim;

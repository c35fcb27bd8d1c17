//! The embedded store from outside: against a naive model, under threads, at its limits.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

mod contract;
mod foreign;
mod hostile;
mod journal;
mod keys;
mod kit;
mod model;
mod room;
mod threads;
mod time;

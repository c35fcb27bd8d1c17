//! The embedded store from outside: against a naive model, under threads, at its limits.

mod kit;
mod model;
mod room;
mod threads;
mod time;

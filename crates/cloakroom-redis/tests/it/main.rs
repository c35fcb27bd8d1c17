//! Tests of the Redis store, against servers that they start themselves.

#![allow(
    clippy::disallowed_macros,
    reason = "figures and reports are shown to whoever asks by --nocapture"
)]

mod adopted;
mod compared;
mod concerns;
mod constellation;
mod contract;
mod epochs;
mod everything;
mod failover;
mod failures;
mod fake;
mod foreign;
mod kit;
mod outages;
mod plain;
mod proxy;
mod server;
mod trips;
mod troubles;
mod upkeep;

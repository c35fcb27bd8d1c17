//! Tests of the Redis store, against servers that they start themselves.

#![allow(
    clippy::disallowed_macros,
    reason = "figures and reports are shown to whoever asks by --nocapture"
)]

mod across;
mod cluster;
mod cluster_failover;
mod constellation;
mod contract;
mod everything;
mod failover;
mod failures;
mod fake;
mod foreign;
mod kit;
mod outages;
mod proxy;
mod server;
mod trips;
mod upkeep;

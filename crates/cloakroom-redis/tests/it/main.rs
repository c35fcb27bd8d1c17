//! Tests of the Redis store, against servers that they start themselves.

#![allow(
    clippy::disallowed_macros,
    reason = "figures and reports are shown to whoever asks by --nocapture"
)]

mod across;
mod adopted;
mod astray;
mod bundles;
mod cluster;
mod cluster_failover;
mod cluster_histories;
mod cluster_partition;
mod cluster_replicas;
mod compared;
mod concerns;
mod constellation;
mod contract;
mod costs;
mod durability;
mod epochs;
mod everything;
mod failover;
mod failures;
mod fake;
mod foreign;
mod histories;
mod history;
mod kit;
mod lateness;
mod mesh;
mod outages;
mod overtaken;
mod plain;
mod proxy;
mod sentinel;
mod server;
mod shards;
mod trips;
mod troubles;
mod upkeep;
mod visitors;

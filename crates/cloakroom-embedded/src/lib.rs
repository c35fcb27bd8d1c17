//! The embedded store: sessions in the memory of one process, compact, exact in their expiry, with
//! a limit in real bytes.
//!
//! [`EmbeddedStore`] keeps the [`cloakroom_core::store`] contract. It is a number of shards, each
//! behind one lock; a session lives in the shard that its key's slot tag names, so all sessions of
//! a subject share a shard and every operation on them is one step. Nothing awaits inside an
//! operation: it is done when its future is first polled, and dropping it before that does nothing
//! at all. Without a journal the future is ready then; with one, that of a write may wait for the
//! disk, outside of any lock.
//!
//! - `engine`: keyspaces of strings, hashes, sets and sorted sets in the same shards
//! - `store`: the contract; `shard`: one shard; `entry`: a session as bytes, `shard::name`: a key
//! - `pool`, `slab`, `table`, `index`: where bytes lie and how they are found; `pool` has the only
//!   `unsafe`
//! - `wheel`, `evict`, `tombs`: what goes, when, and what is remembered of it
//! - `journal`: what is kept on a disk, so that a restart finds it again
//! - `foreign`: sessions of other frameworks in the keyspaces, held to what a session promises
//! - `housekeeping`: the thread that sweeps; it only gives memory back, expiry is decided on reading

mod clock;
mod config;
mod durable;
mod engine;
mod entry;
mod evict;
mod foreign;
mod housekeeping;
mod index;
pub mod journal;
mod pool;
mod recovery;
mod rewrite;
mod shard;
mod slab;
mod store;
mod table;
mod tombs;
mod wheel;

pub use clock::SystemClock;
pub use config::{EmbeddedConfig, Eviction, MIN_MEMORY};
pub use engine::{
    Change, DATABASES, Db, Engine, FieldRef, KEY_BYTES, KeyError, KeyHash, KeyspaceStats, Kind,
    LexRange, MEMBERS, Packing, Reach, ScoreRange, There, Tx, VALUE_BYTES, Watcher,
};
pub use foreign::{Foreign, ForeignConfig, Found, SealKeys, TakenUp, Text, WithForeign, Written};
pub use rewrite::{Rewrites, Rewritten};
pub use store::EmbeddedStore;

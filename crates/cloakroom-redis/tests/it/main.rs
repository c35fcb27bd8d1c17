//! Tests of the Redis store, against servers that they start themselves.

mod contract;
mod server;

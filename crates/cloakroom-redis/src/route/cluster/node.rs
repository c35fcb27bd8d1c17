//! One node of a cluster, and which tags it has by what is known here.

use std::sync::Arc;

use crate::settings::{Address, Settings};
use crate::wire::{Holds, RedisWire, Shared};

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: Address,
    pub(super) wire: Arc<RedisWire>,
    /// What is told again to the node when it turns out to be another run.
    pub(super) holds: Arc<Holds>,
}

impl Node {
    pub(super) fn new(settings: &Settings, address: Address, shared: &Arc<Shared>) -> Self {
        let holds = Arc::new(Holds::nothing());
        let wire = RedisWire::new(settings, &address, Arc::clone(&holds), Arc::clone(shared));
        Self {
            address,
            wire: Arc::new(wire),
            holds,
        }
    }

    /// Whether both are one server.
    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.address == other.address
    }
}

//! The seam between the store and how its servers are arranged: every operation names the slot tag of
//! its keys, and the route picks the node that has them. All keys of one step share a tag, unless the
//! route says that two tags may share a step. What concerns the whole store goes over all nodes.

mod cluster;
mod single;

use std::sync::Arc;

use async_trait::async_trait;
use cloakroom_core::id::SlotTag;

use crate::failure::Failure;
use crate::wire::{Command, Exclusive, Lane, Reply, Wire};

pub(crate) use cluster::Cluster;
pub(crate) use single::Single;

/// Commands whose keys all have one tag.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) tag: SlotTag,
    pub(crate) commands: Vec<Command>,
}

/// Finds the node of a tag, and goes there.
#[async_trait]
pub(crate) trait Route: Send + Sync + std::fmt::Debug {
    /// Sends commands of one tag in one trip; as many replies, none of them an error.
    async fn send(
        &self,
        tag: SlotTag,
        lane: Lane,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, Failure>;

    /// Sends batches of any tags, in one trip to each node that has some of them. An answer for each
    /// batch, in their order.
    async fn send_each(&self, lane: Lane, batches: Vec<Batch>) -> Vec<Result<Vec<Reply>, Failure>>;

    /// A connection that nobody else uses, for a transaction on keys of one tag. If such a
    /// transaction was refused ([`Failure::was_refused`]), one to where it may succeed, or its failure.
    async fn exclusive(
        &self,
        tag: SlotTag,
        refused: Option<Failure>,
    ) -> Result<Box<dyn Exclusive>, Failure>;

    /// Whether one step may take keys of both tags.
    fn is_one_step(&self, one: SlotTag, other: SlotTag) -> bool;

    /// Whether all steps go to one node, so that any two tags may share a step.
    fn is_one_node(&self) -> bool;

    /// All nodes that have sessions.
    fn nodes(&self) -> Nodes;
}

/// All nodes that have sessions, in an order that stays as long as the sign does.
#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) wires: Vec<Arc<dyn Wire>>,
    /// Changes, most likely, when sessions may have changed nodes.
    pub(crate) sign: u8,
}

//! The seam between the store and how its servers are arranged: every operation names the slot tag of
//! its keys, and the route picks the node that has them. All keys of one step share a tag, unless the
//! route says that two tags may share a step. What concerns the whole store goes over all nodes.

mod cluster;
mod ring;
mod shards;
mod single;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;

use crate::failure::Failure;
use crate::wire::{Begun, BegunRead, Command, Exclusive, Lane, Question, Reply, Seen, Wire};

pub(crate) use cluster::Cluster;
pub(crate) use ring::Ring;
pub(crate) use shards::Shards;
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

    /// Sends one command of a tag; its reply, which is no error.
    fn call(
        &self,
        tag: SlotTag,
        lane: Lane,
        command: Command,
    ) -> BoxFuture<'_, Result<Reply, Failure>>;

    /// As [`Wire::read`], at the node that has the tag.
    fn read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<Seen, Failure>>;

    /// As [`Wire::begin_read`], where nothing has to be thought of but one node.
    fn begin_read<'a>(
        &'a self,
        _tag: SlotTag,
        _question: Question<'_>,
        _since: Instant,
    ) -> Option<BegunRead<'a>> {
        None
    }

    /// As [`Wire::begin_call`], where nothing has to be thought of but one node.
    fn begin_call<'a>(
        &'a self,
        _lane: Lane,
        _command: Command,
        _since: Instant,
    ) -> Option<Begun<'a>> {
        None
    }

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

    /// Waits a little until ends can be acknowledged, if they cannot be yet because not everybody may know
    /// who has what since the last failover.
    async fn settled(&self) {}

    /// As [`Route::send_each`], to the other node that may have sessions of a tag, as long as they
    /// move. A batch whose tag has none is answered with nothing.
    async fn send_each_elsewhere(
        &self,
        _: Lane,
        batches: Vec<Batch>,
    ) -> Vec<Result<Vec<Reply>, Failure>> {
        batches.iter().map(|_| Ok(Vec::new())).collect()
    }

    /// The node that owned a tag before, if sessions are to be looked for there.
    fn before(&self, _: SlotTag) -> Option<Arc<dyn Wire>> {
        None
    }

    /// The node that will own a tag, if sessions begin to move there in a moment.
    fn ahead(&self, _: SlotTag) -> Option<Arc<dyn Wire>> {
        None
    }

    /// A session was met that has changed nodes, so the move has begun; says whether that was news.
    fn begin(&self) -> bool {
        false
    }
}

/// All nodes that have sessions, in an order that stays as long as the sign does.
#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) wires: Vec<Arc<dyn Wire>>,
    /// Changes, most likely, when sessions may have changed nodes.
    pub(crate) sign: u8,
}

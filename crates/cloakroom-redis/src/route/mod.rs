//! The seam between the store and how its servers are arranged: every operation names the slot tag of
//! its keys, and the route picks the node that has them. All keys of one step share a tag, unless the
//! route says that two tags may share a step. What concerns the whole store goes over all nodes.

mod single;

use std::sync::Arc;

use async_trait::async_trait;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;

use crate::epoch;
use crate::failure::Failure;
use crate::steps::time;
use crate::wire::{self, Command, Exclusive, Lane, Reply, Seen, Wire};

pub(crate) use single::Single;

/// Commands whose keys all have one tag.
#[derive(Debug)]
pub(crate) struct Batch {
    #[expect(dead_code, reason = "one node has all tags")]
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

    /// As [`Wire::read`]. A route that does not hand it to a node's wire asks for everything each time.
    fn read(&self, tag: SlotTag, command: Command) -> BoxFuture<'_, Result<Seen, Failure>> {
        Box::pin(async move {
            let commands = vec![command, wire::command::<&str>("TIME", []), epoch::read(tag)];
            let replies = self.send(tag, Lane::Main, commands).await?;
            let [reply, now, epoch] = wire::exactly(replies)?;
            let now = time(now)?;
            Ok(Seen {
                reply,
                epoch: epoch::decode(epoch)?,
                now,
                now_at_least: now,
            })
        })
    }

    /// Sends batches of any tags, in one trip to each node that has some of them. An answer for each
    /// batch, in their order.
    async fn send_each(&self, lane: Lane, batches: Vec<Batch>) -> Vec<Result<Vec<Reply>, Failure>>;

    /// A connection that nobody else uses, for a transaction on keys of one tag.
    async fn exclusive(&self, tag: SlotTag) -> Result<Box<dyn Exclusive>, Failure>;

    /// Whether one step may take keys of both tags.
    fn is_one_step(&self, one: SlotTag, other: SlotTag) -> bool;

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

//! One node has everything: one server, or whoever is primary by Sentinel.

use std::sync::Arc;

use async_trait::async_trait;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;

use super::{Batch, Nodes, Route};
use crate::failure::Failure;
use crate::wire::{Command, Exclusive, Lane, Reply, Seen, Wire};

/// The route to one node.
#[derive(Debug)]
pub(crate) struct Single(pub(crate) Arc<dyn Wire>);

#[async_trait]
impl Route for Single {
    async fn send(
        &self,
        _: SlotTag,
        lane: Lane,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, Failure> {
        self.0.send(lane, commands).await
    }

    fn read(&self, tag: SlotTag, command: Command) -> BoxFuture<'_, Result<Seen, Failure>> {
        self.0.read(tag, command)
    }

    async fn send_each(&self, lane: Lane, batches: Vec<Batch>) -> Vec<Result<Vec<Reply>, Failure>> {
        let count = batches.len();
        let commands = batches.into_iter().map(|batch| batch.commands).collect();
        match self.0.send_each(lane, commands).await {
            Ok(answers) => answers,
            Err(failure) => vec![Err(failure); count],
        }
    }

    async fn exclusive(&self, _: SlotTag) -> Result<Box<dyn Exclusive>, Failure> {
        self.0.exclusive().await
    }

    fn is_one_step(&self, _: SlotTag, _: SlotTag) -> bool {
        true
    }

    fn nodes(&self) -> Nodes {
        Nodes {
            wires: vec![Arc::clone(&self.0)],
            sign: 0,
        }
    }
}

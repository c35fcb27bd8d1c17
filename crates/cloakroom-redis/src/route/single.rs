//! One node has everything: one server, or whoever is primary by Sentinel.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;

use super::{Batch, Nodes, Route};
use crate::failure::Failure;
use crate::wire::{
    Answers, Begun, BegunRead, Command, Exclusive, Lane, Question, Reply, Seen, Wire,
};

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

    fn call(
        &self,
        _: SlotTag,
        lane: Lane,
        command: Command,
    ) -> BoxFuture<'_, Result<Reply, Failure>> {
        self.0.call(lane, command)
    }

    fn read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<Seen, Failure>> {
        self.0.read(tag, question)
    }

    fn begin_read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'_>,
        since: Instant,
    ) -> Option<BegunRead<'a>> {
        self.0.begin_read(tag, question, since)
    }

    fn begin_call<'a>(&'a self, lane: Lane, command: Command, since: Instant) -> Option<Begun<'a>> {
        self.0.begin_call(lane, command, since)
    }

    async fn send_each(&self, lane: Lane, batches: Vec<Batch>) -> Vec<Result<Vec<Reply>, Failure>> {
        send_each(&*self.0, lane, batches).await
    }

    async fn exclusive(
        &self,
        _: SlotTag,
        refused: Option<Failure>,
    ) -> Result<Box<dyn Exclusive>, Failure> {
        match refused {
            Some(failure) => Err(failure),
            None => self.0.exclusive().await,
        }
    }

    fn is_one_step(&self, _: SlotTag, _: SlotTag) -> bool {
        true
    }

    fn is_one_node(&self) -> bool {
        true
    }

    fn nodes(&self) -> Nodes {
        Nodes {
            wires: vec![Arc::clone(&self.0)],
            sign: 0,
        }
    }
}

/// Sends batches to one node in one trip.
pub(super) async fn send_each(
    node: &dyn Wire,
    lane: Lane,
    batches: Vec<Batch>,
) -> Vec<Result<Vec<Reply>, Failure>> {
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.commands.len()).collect();
    let commands = batches.into_iter().flat_map(|batch| batch.commands);
    match node.exchange(lane, commands.collect()).await {
        Ok(Answers { replies, confirmed }) => {
            let mut replies = replies.into_iter();
            let mut take = |_| {
                let reply = Answers::take(&mut replies, &confirmed);
                reply.map_err(|failure| node.named(failure))
            };
            let answers = sizes.into_iter().map(|size| {
                let own: Vec<_> = (0..size).map(&mut take).collect();
                own.into_iter().collect()
            });
            answers.collect()
        }
        Err(failure) => vec![Err(failure); sizes.len()],
    }
}

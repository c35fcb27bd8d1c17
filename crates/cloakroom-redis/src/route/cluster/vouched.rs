//! Connections whose answers count only while a majority vouches for the server ([`super::trust`]): for
//! transactions, and for what goes to a node as a whole.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;

use super::node::Node;
use super::scout::{Scout, unvouched};
use crate::failure::Failure;
use crate::wire::{Answers, Command, Exclusive, Lane, Question, Reply, Seen, Wire};

/// A connection for a transaction on keys of one tag.
pub(super) struct Vouched {
    pub(super) open: Box<dyn Exclusive>,
    pub(super) party: Party,
}

/// Who answers on it, and about what.
pub(super) struct Party {
    pub(super) scout: Arc<Scout>,
    pub(super) node: Arc<Node>,
    pub(super) tag: SlotTag,
    /// Whether the owner sends us there.
    pub(super) asked: bool,
}

impl Party {
    async fn check(&self) -> Result<(), Failure> {
        let belief = || self.scout.trust.belief(self.tag, &self.node, self.asked);
        self.scout.vouched(belief, Instant::now()).await
    }

    async fn answers<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match self.asked {
            true => call.await,
            false => self.scout.while_it_owns(&self.node, call).await.flatten(),
        }
    }

    async fn settle(&self) -> Result<(), Failure> {
        match self.asked || self.scout.trust.settled(&self.node).await {
            true => Ok(()),
            false => Err(unvouched()),
        }
    }
}

#[async_trait]
impl Exclusive for Vouched {
    async fn send(&mut self, commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        let sent = self.open.send(commands);
        let replies = self.party.answers(sent).await?;
        self.party.check().await?;
        Ok(replies)
    }

    async fn send_safe(
        &mut self,
        lane: Lane,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, Failure> {
        let sent = self.open.send_safe(lane, commands);
        let replies = self.party.answers(sent).await?;
        self.party.check().await?;
        if lane == Lane::Final {
            self.party.settle().await?;
        }
        Ok(replies)
    }

    fn release(self: Box<Self>) {
        self.open.release();
    }
}

/// A node, for what concerns all its tags.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) scout: Arc<Scout>,
    pub(super) node: Arc<Node>,
}

impl Whole {
    async fn check(&self) -> Result<(), Failure> {
        let belief = || self.scout.trust.belief_in(&self.node);
        self.scout.vouched(belief, Instant::now()).await
    }
}

#[async_trait]
impl Wire for Whole {
    fn read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<Seen, Failure>> {
        Box::pin(async move {
            let seen = self.node.wire.read(tag, question).await?;
            self.check().await?;
            Ok(seen)
        })
    }

    async fn exchange(&self, lane: Lane, commands: Vec<Command>) -> Result<Answers, Failure> {
        let answers = self.node.wire.exchange(lane, commands).await?;
        self.check().await?;
        Ok(answers)
    }

    fn call(&self, lane: Lane, command: Command) -> BoxFuture<'_, Result<Reply, Failure>> {
        Box::pin(async move {
            let reply = self.node.wire.call(lane, command).await?;
            self.check().await?;
            Ok(reply)
        })
    }

    async fn exclusive(&self) -> Result<Box<dyn Exclusive>, Failure> {
        // What is watched has a tag, and goes by that.
        self.node.wire.exclusive().await
    }

    fn named(&self, failure: Failure) -> Failure {
        self.node.wire.named(failure)
    }
}

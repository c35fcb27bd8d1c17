//! Independent nodes that share the sessions by their slot tags. While sessions move from one set of
//! nodes to another, a tag may have two: the owner, and the one that owned it before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use cloakroom_core::UnixMillis;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;

use super::ring::Ring;
use super::single::send_each;
use super::{Batch, Nodes, Route};
use crate::failure::Failure;
use crate::settings::Moving;
use crate::wire::{Command, Exclusive, Lane, Question, Reply, Seen, Wire};

/// By how much the clocks of processes may differ.
const SKEW: Duration = Duration::from_secs(60);

/// The route to the owners of tags.
#[derive(Debug)]
pub(crate) struct Shards {
    /// By the number that the rings know them by.
    nodes: Vec<Arc<dyn Wire>>,
    ring: Ring,
    moving: Option<Move>,
}

#[derive(Debug)]
struct Move {
    plan: Moving,
    /// Somebody whose clock is ahead of this one's has moved a session already.
    begun: AtomicBool,
}

impl Shards {
    pub(crate) fn new(nodes: Vec<Arc<dyn Wire>>, ring: Ring, moving: Option<Moving>) -> Self {
        let begun = AtomicBool::new(false);
        let moving = moving.map(|plan| Move { plan, begun });
        Self {
            nodes,
            ring,
            moving,
        }
    }

    fn owner(&self, tag: SlotTag) -> u16 {
        match &self.moving {
            Some(moving) if !moving.has_begun() => moving.plan.before.owner(tag),
            _ => self.ring.owner(tag),
        }
    }

    /// The other node that may have sessions of a tag while they move.
    fn other(&self, tag: SlotTag) -> Option<u16> {
        let moving = self.moving.as_ref().filter(|moving| !moving.is_over())?;
        let both = [moving.plan.before.owner(tag), self.ring.owner(tag)];
        let owner = self.owner(tag);
        both.into_iter().find(|number| *number != owner)
    }

    /// Sends batches where they go, in one trip to each node. A batch that goes nowhere is answered
    /// with nothing.
    async fn spread(
        &self,
        lane: Lane,
        batches: Vec<Batch>,
        to: impl Fn(SlotTag) -> Option<u16> + Send,
    ) -> Vec<Result<Vec<Reply>, Failure>> {
        let mut shares: Vec<(Vec<usize>, Vec<Batch>)> = Vec::new();
        shares.resize_with(self.nodes.len(), Default::default);
        let mut all: Vec<_> = batches.iter().map(|_| Ok(Vec::new())).collect();
        for (place, batch) in batches.into_iter().enumerate() {
            if let Some(number) = to(batch.tag) {
                let share = &mut shares[usize::from(number)];
                share.0.push(place);
                share.1.push(batch);
            }
        }
        let asked = self
            .nodes
            .iter()
            .zip(shares)
            .map(|(node, (places, batches))| async move {
                let answers = match places.is_empty() {
                    true => Vec::new(),
                    false => send_each(&**node, lane, batches).await,
                };
                (places, answers)
            });
        for (places, answers) in futures_util::future::join_all(asked).await {
            for (place, answer) in places.into_iter().zip(answers) {
                all[place] = answer;
            }
        }
        all
    }

    fn node(&self, number: u16) -> &Arc<dyn Wire> {
        &self.nodes[usize::from(number)]
    }
}

impl Move {
    /// Nobody looks at the old owners any more, by any process's clock.
    fn is_over(&self) -> bool {
        now() >= self.plan.end.saturating_add(SKEW)
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed) || now() >= self.plan.start
    }
}

#[async_trait]
impl Route for Shards {
    async fn send(
        &self,
        tag: SlotTag,
        lane: Lane,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, Failure> {
        self.node(self.owner(tag)).send(lane, commands).await
    }

    fn call(
        &self,
        tag: SlotTag,
        lane: Lane,
        command: Command,
    ) -> BoxFuture<'_, Result<Reply, Failure>> {
        self.node(self.owner(tag)).call(lane, command)
    }

    fn read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<Seen, Failure>> {
        self.node(self.owner(tag)).read(tag, question)
    }

    async fn send_each(&self, lane: Lane, batches: Vec<Batch>) -> Vec<Result<Vec<Reply>, Failure>> {
        self.spread(lane, batches, |tag| Some(self.owner(tag)))
            .await
    }

    async fn send_each_elsewhere(
        &self,
        lane: Lane,
        batches: Vec<Batch>,
    ) -> Vec<Result<Vec<Reply>, Failure>> {
        self.spread(lane, batches, |tag| self.other(tag)).await
    }

    async fn exclusive(
        &self,
        tag: SlotTag,
        refused: Option<Failure>,
    ) -> Result<Box<dyn Exclusive>, Failure> {
        match refused {
            Some(failure) => Err(failure),
            None => self.node(self.owner(tag)).exclusive().await,
        }
    }

    fn is_one_node(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Two tags of one node could share a step today, and be apart in the middle of it once sessions
    /// move.
    fn is_one_step(&self, one: SlotTag, other: SlotTag) -> bool {
        one == other || (self.moving.is_none() && self.owner(one) == self.owner(other))
    }

    fn nodes(&self) -> Nodes {
        let begun = self.moving.as_ref().map(Move::has_begun);
        let is_over = self.moving.as_ref().is_none_or(Move::is_over);
        // Then those that only were there before have nothing any more, and may be gone.
        let wires = self.nodes.iter().zip(0..);
        let wires = wires.filter(|(_, number)| !is_over || self.ring.has(*number));
        Nodes {
            wires: wires.map(|(wire, _)| Arc::clone(wire)).collect(),
            sign: begun.map_or(0, |begun| 1 + u8::from(begun) + u8::from(is_over)),
        }
    }

    fn before(&self, tag: SlotTag) -> Option<Arc<dyn Wire>> {
        let moving = self.moving.as_ref()?;
        let (before, owner) = (moving.plan.before.owner(tag), self.ring.owner(tag));
        let open = moving.has_begun() && now() < moving.plan.end;
        (open && before != owner).then(|| Arc::clone(self.node(before)))
    }

    fn ahead(&self, tag: SlotTag) -> Option<Arc<dyn Wire>> {
        let moving = self.moving.as_ref()?;
        let (before, owner) = (moving.plan.before.owner(tag), self.ring.owner(tag));
        let soon = !moving.has_begun() && now().saturating_add(SKEW) >= moving.plan.start;
        (soon && before != owner).then(|| Arc::clone(self.node(owner)))
    }

    fn begin(&self) -> bool {
        let begin = |moving: &Move| !moving.begun.swap(true, Ordering::Relaxed);
        self.moving.as_ref().is_some_and(begin)
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    UnixMillis::new(u64::try_from(millis).unwrap_or(u64::MAX))
}

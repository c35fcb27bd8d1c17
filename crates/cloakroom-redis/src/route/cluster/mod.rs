//! Redis Cluster: each tag's keys are in one slot, each slot on one primary. A [`Scout`] keeps the map
//! of them; here is what happens when the map turns out to be old, or slots are moving.
//!
//! While a slot moves, its keys are on two nodes. Each command is then sent again by itself to where
//! the old node says, so that "missing" is only believed of the node which would have the key.

mod asking;
mod chart;
mod map;
mod node;
mod run;
mod scout;
#[cfg(test)]
mod trial;
mod trust;
mod view;
mod vouched;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;

use super::{Batch, Nodes, Route};
use crate::epoch;
use crate::failure::{Class, Failure, Redirect};
use crate::settings::Settings;
use crate::steps::time;
use crate::wire::{self, Command, Exclusive, LEASE, Lane, Question, Reply, Seen, Shared, Wire};
use asking::Asking;
use map::slot;
use node::Node;
use run::Run;
use scout::Scout;
use trust::Belief;
use vouched::{Party, Vouched, Whole};

/// The route into a cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    scout: Arc<Scout>,
    watching: AbortHandle,
}

impl Cluster {
    /// Finds out about the cluster from the nodes in the settings. Must be called on the runtime that
    /// the connections shall live on.
    pub(crate) async fn open(settings: &Settings, shared: &Arc<Shared>) -> Result<Self, Failure> {
        let scout = Arc::new(Scout::new(settings, shared));
        scout.refresh().await?;
        let holes = scout.map().holes();
        if holes > 0 {
            let words = format!(
                "nobody has {holes} of our {} slots (redis-cli --cluster check tells which of Redis' 16384)",
                SlotTag::COUNT
            );
            return Err(Failure::new(Class::Down, words));
        }
        let watching = tokio::spawn(Arc::clone(&scout).watch()).abort_handle();
        let opened = Self { scout, watching };
        opened.scout.look_back().await;
        Ok(opened)
    }

    fn owner(&self, tag: SlotTag) -> Result<Arc<Node>, Failure> {
        let map = self.scout.map();
        let owner = map.owner(tag).cloned();
        owner.ok_or_else(|| Failure::new(Class::Down, "nobody has this slot"))
    }

    /// A connection to a node that is believed of the tag.
    async fn open_at(
        &self,
        tag: SlotTag,
        node: Arc<Node>,
        asked: bool,
    ) -> Result<Box<dyn Exclusive>, Failure> {
        if self.scout.trust.belief(tag, &node, asked) != Belief::Yes {
            return Err(self.scout.nobody_vouches());
        }
        let open = node.wire.exclusive().await?;
        let party = Party {
            scout: Arc::clone(&self.scout),
            node,
            tag,
            asked,
        };
        let open = if asked { Box::new(Asking(open)) } else { open };
        Ok(Box::new(Vouched { open, party }))
    }

    /// A connection to where a transaction may succeed that was refused.
    async fn exclusive_after(
        &self,
        tag: SlotTag,
        failure: Failure,
    ) -> Result<Box<dyn Exclusive>, Failure> {
        let owner = self.owner(tag)?;
        match failure.redirect() {
            Some(Redirect::Ask(to)) => {
                if let Some(to) = owner.address.there(to) {
                    return self.open_at(tag, self.scout.node(&to), true).await;
                }
            }
            Some(Redirect::Moved(to)) => {
                if let Some(to) = owner.address.there(to) {
                    // Who had nothing has more than this by now, which is learnt at once.
                    if !self.scout.trust.owns(&to) {
                        self.scout.news(run::PAUSE_MOST).await;
                    }
                    let moved = vec![(tag, Some(self.scout.node(&to)))];
                    self.scout.moved(moved).await;
                    return self.open_at(tag, self.owner(tag)?, false).await;
                }
            }
            None => {}
        }
        // The caller counts the tries; each waits for a moment.
        if !run::pause(&self.scout, &failure, 4, Instant::now()).await {
            return Err(failure);
        }
        self.open_at(tag, self.owner(tag)?, false).await
    }
}

#[async_trait]
impl Route for Cluster {
    async fn send(
        &self,
        tag: SlotTag,
        lane: Lane,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, Failure> {
        let began = Instant::now();
        let mut run = Run::new(&self.scout, lane, began);
        let trust = &self.scout.trust;
        let owner = self.owner(tag);
        let mut answers = None;
        if let Ok(owner) = &owner
            && trust.believes(tag, owner)
        {
            let exchange = owner.wire.exchange(lane, commands.clone());
            let answered = self.scout.while_it_owns(owner, exchange).await;
            match answered.flatten() {
                Ok(clean)
                    if clean.are_clean() && lane != Lane::Final && trust.believes(tag, owner) =>
                {
                    return clean.all();
                }
                answered => answers = Some((owner, answered)),
            }
        }
        let all: Vec<usize> = (0..commands.len()).collect();
        for command in commands {
            run.push(tag, command);
        }
        if let Some((owner, answers)) = answers {
            run.heard(owner, false, &all, answers).await;
        }
        run.finish().await.into_iter().collect()
    }

    fn call(
        &self,
        tag: SlotTag,
        lane: Lane,
        command: Command,
    ) -> BoxFuture<'_, Result<Reply, Failure>> {
        Box::pin(async move {
            let [reply] = wire::exactly(self.send(tag, lane, vec![command]).await?)?;
            Ok(reply)
        })
    }

    /// What the owner cannot answer, because slots are moving, it is gone or nobody vouches for it, is asked
    /// for in full: then each command goes where it has to.
    fn read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<Seen, Failure>> {
        Box::pin(async move {
            if let Ok(owner) = self.owner(tag) {
                let asked = owner.wire.read(tag, question);
                let asked = self.scout.while_it_owns(&owner, asked);
                match tokio::time::timeout(self.scout.timeout() / 2, asked).await {
                    Ok(Ok(Ok(seen))) if self.scout.trust.believes(tag, &owner) => return Ok(seen),
                    Ok(_) => {}
                    // It may hang, and somebody else own its slots by now.
                    Err(_) => self.scout.report(),
                }
            }
            let commands = vec![
                question(),
                wire::command::<&str>("TIME", []),
                epoch::read(tag),
            ];
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

    async fn send_each(&self, lane: Lane, batches: Vec<Batch>) -> Vec<Result<Vec<Reply>, Failure>> {
        let mut run = Run::new(&self.scout, lane, Instant::now());
        let mut sizes = Vec::with_capacity(batches.len());
        for batch in batches {
            sizes.push(batch.commands.len());
            for command in batch.commands {
                run.push(batch.tag, command);
            }
        }
        let mut answers = run.finish().await.into_iter();
        let batches = sizes.into_iter().map(|size| {
            let own: Vec<_> = answers.by_ref().take(size).collect();
            own.into_iter().collect()
        });
        batches.collect()
    }

    async fn exclusive(
        &self,
        tag: SlotTag,
        refused: Option<Failure>,
    ) -> Result<Box<dyn Exclusive>, Failure> {
        let began = Instant::now();
        let mut opened = match refused {
            Some(failure) => self.exclusive_after(tag, failure).await,
            None => self.open_at(tag, self.owner(tag)?, false).await,
        };
        for tries in 0.. {
            match opened {
                Err(failure) if failure.was_refused() => {
                    if !run::pause(&self.scout, &failure, tries, began).await {
                        return Err(failure);
                    }
                    opened = self.open_at(tag, self.owner(tag)?, false).await;
                }
                Err(failure) => {
                    self.scout.report();
                    return Err(failure);
                }
                Ok(_) => break,
            }
        }
        opened
    }

    fn is_one_step(&self, one: SlotTag, other: SlotTag) -> bool {
        slot(one) == slot(other)
    }

    fn is_one_node(&self) -> bool {
        false
    }

    /// Not longer than words are held for true: a node that too few know may not be settled for long.
    async fn settled(&self) {
        let settling = async {
            for owner in self.scout.map().owners() {
                self.scout.trust.settled(&owner).await;
            }
        };
        drop(tokio::time::timeout(LEASE, settling).await);
    }

    fn nodes(&self) -> Nodes {
        let map = self.scout.map();
        let owners = map.owners().into_iter();
        Nodes {
            wires: owners
                .map(|node| -> Arc<dyn Wire> {
                    let scout = Arc::clone(&self.scout);
                    Arc::new(Whole { scout, node })
                })
                .collect(),
            sign: map.sign(),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

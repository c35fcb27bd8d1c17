//! Redis Cluster: each tag's keys are in one slot, each slot on one primary. A [`Scout`] keeps the map
//! of them; here is what happens when the map turns out to be old, or slots are moving.
//!
//! While a slot moves, its keys are on two nodes. Each command is then sent again by itself to where
//! the old node says, so that "missing" is only believed of the node which would have the key.

mod asking;
mod map;
mod node;
mod run;
mod scout;

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
use crate::wire::{self, Command, Exclusive, Lane, Question, Reply, Seen, Shared, Wire};
use asking::Asking;
use map::slot;
use node::Node;
use run::Run;
use scout::Scout;

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
            let words = format!("nobody has {holes} of our {} slots", SlotTag::COUNT);
            return Err(Failure::new(Class::Down, words));
        }
        let watching = tokio::spawn(Arc::clone(&scout).watch()).abort_handle();
        Ok(Self { scout, watching })
    }

    fn owner(&self, tag: SlotTag) -> Result<Arc<Node>, Failure> {
        let map = self.scout.map();
        let owner = map.owner(tag).cloned();
        owner.ok_or_else(|| Failure::new(Class::Down, "nobody has this slot"))
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
                    let opened = self.scout.node(&to).wire.exclusive().await?;
                    return Ok(Box::new(Asking(opened)));
                }
            }
            Some(Redirect::Moved(to)) => {
                if let Some(to) = owner.address.there(to) {
                    let moved = vec![(tag, Some(self.scout.node(&to)))];
                    if self.scout.publish(moved).await.is_err() {
                        self.scout.report();
                    }
                    return self.owner(tag)?.wire.exclusive().await;
                }
            }
            None => {}
        }
        // The caller counts the tries; each waits for a moment.
        if !run::pause(&self.scout, &failure, 4, Instant::now()).await {
            return Err(failure);
        }
        self.owner(tag)?.wire.exclusive().await
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
        let owner = self.owner(tag);
        if let Ok(owner) = &owner {
            let answers = owner.wire.exchange(lane, commands.clone()).await;
            let answers = match answers {
                Ok(answers) if answers.are_clean() => return answers.all(),
                answers => answers,
            };
            let all: Vec<usize> = (0..commands.len()).collect();
            commands
                .into_iter()
                .for_each(|command| run.push(tag, command));
            run.heard(owner, &all, answers);
        } else {
            commands
                .into_iter()
                .for_each(|command| run.push(tag, command));
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

    /// What the owner cannot answer, because slots are moving or it is gone, is asked for in full: then
    /// each command goes where it has to.
    fn read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<Seen, Failure>> {
        Box::pin(async move {
            if let Ok(owner) = self.owner(tag) {
                let asked = owner.wire.read(tag, question);
                match tokio::time::timeout(self.scout.timeout() / 2, asked).await {
                    Ok(Ok(seen)) => return Ok(seen),
                    Ok(Err(_)) => {}
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
            None => self.owner(tag)?.wire.exclusive().await,
        };
        for tries in 0.. {
            match opened {
                Err(failure) if failure.was_refused() => {
                    if !run::pause(&self.scout, &failure, tries, began).await {
                        return Err(failure);
                    }
                    opened = self.owner(tag)?.wire.exclusive().await;
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

    fn nodes(&self) -> Nodes {
        let map = self.scout.map();
        let owners = map.owners().into_iter();
        Nodes {
            wires: owners
                .map(|node| -> Arc<dyn Wire> { Arc::<wire::RedisWire>::clone(&node.wire) })
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

//! Commands on their way through a cluster, until each is answered or time is over. A command that was
//! refused goes again by itself, because its neighbours may have been answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom_core::id::SlotTag;
use futures_util::future::join_all;

use super::asking;
use super::node::Node;
use super::scout::{Scout, unvouched};
use super::trust::Belief;
use crate::failure::{Class, Failure, Redirect};
use crate::wire::{Answers, Command, Lane, Reply, Wire};

/// Between two tries while slots move or a failover is under way.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
pub(super) const PAUSE_MOST: Duration = Duration::from_millis(50);
/// Redirections that are followed without a pause.
const AT_ONCE: u32 = 4;

/// Commands on their way.
pub(super) struct Run<'a> {
    scout: &'a Arc<Scout>,
    lane: Lane,
    units: Vec<Unit>,
    began: Instant,
    tries: u32,
}

/// One command.
struct Unit {
    tag: SlotTag,
    command: Command,
    /// Why it was not done the last time, and who refused it.
    refused: Option<(Failure, Arc<Node>)>,
    answer: Option<Result<Reply, Failure>>,
    /// Which owner acknowledged it, if it is an end.
    ended_at: Option<Arc<Node>>,
}

/// A node, whether its owner sends us there, and the commands for it.
type Group = (Arc<Node>, bool, Vec<usize>);

impl<'a> Run<'a> {
    pub(super) const fn new(scout: &'a Arc<Scout>, lane: Lane, began: Instant) -> Self {
        Self {
            scout,
            lane,
            units: Vec::new(),
            began,
            tries: 0,
        }
    }

    pub(super) fn push(&mut self, tag: SlotTag, command: Command) {
        self.units.push(Unit {
            tag,
            command,
            refused: None,
            answer: None,
            ended_at: None,
        });
    }

    /// What a node answered to these commands. `asked`: because the owner sent us there.
    pub(super) async fn heard(
        &mut self,
        from: &Arc<Node>,
        asked: bool,
        units: &[usize],
        answers: Result<Answers, Failure>,
    ) {
        let trust = &self.scout.trust;
        let belief = |at: &usize| trust.belief(self.units[*at].tag, from, asked);
        if answers.is_ok() {
            let least = || units.iter().map(belief).max().unwrap_or(Belief::Yes);
            // Whom not to believe is asked about below, one by one.
            drop(self.scout.vouched(least, self.began).await);
        }
        let believed: Vec<bool> = units.iter().map(|at| belief(at) == Belief::Yes).collect();
        let is_end = self.lane == Lane::Final && !asked;
        let (replies, confirmed) = match answers {
            Ok(Answers { replies, confirmed }) => (replies, confirmed),
            Err(failure) => (Vec::new(), Err(failure)),
        };
        let nothing = replies.is_empty();
        let mut replies = replies.into_iter();
        for (unit, believed) in units.iter().zip(believed) {
            let unit = &mut self.units[*unit];
            let answer = match &confirmed {
                Err(failure) if nothing => Err(failure.clone()),
                confirmed => Answers::take(&mut replies, confirmed),
            };
            let answer = answer.and_then(|reply| match believed {
                true => Ok(reply),
                false => Err(unvouched()),
            });
            unit.refused = None;
            match answer.map_err(|failure| from.wire.named(failure)) {
                Err(failure) if failure.was_refused() => {
                    unit.refused = Some((failure, Arc::clone(from)));
                }
                Err(failure) => {
                    if matches!(failure.class(), Class::Unreachable | Class::Timeout) {
                        self.scout.report();
                    }
                    unit.answer = Some(Err(failure));
                }
                Ok(reply) => {
                    unit.answer = Some(Ok(reply));
                    unit.ended_at = is_end.then(|| Arc::clone(from));
                }
            }
        }
    }

    /// An end is over when nobody believes who had the tag before.
    async fn settle(&mut self) {
        let owners = self.units.iter().filter_map(|unit| unit.ended_at.as_ref());
        let mut owners: Vec<Arc<Node>> = owners.cloned().collect();
        owners.sort_by(|one, other| one.address.cmp(&other.address));
        owners.dedup_by(|one, other| one.is(other));
        for owner in owners {
            if self.scout.trust.settled(&owner).await {
                continue;
            }
            for unit in &mut self.units {
                if unit.ended_at.as_ref().is_some_and(|at| at.is(&owner)) {
                    unit.answer = Some(Err(unvouched()));
                }
            }
        }
    }

    /// Sends what is not answered yet, as often as it takes and time allows.
    pub(super) async fn finish(mut self) -> Vec<Result<Reply, Failure>> {
        while self.goes_on().await {
            let groups = self.groups();
            let sending = groups.iter().map(|(node, ask, units)| {
                let commands = units.iter().map(|at| self.units[*at].command.clone());
                let commands: Vec<_> = commands.collect();
                exchange(self.scout, node, *ask, self.lane, commands)
            });
            let answers = join_all(sending).await;
            for ((node, asked, units), answers) in groups.iter().zip(answers) {
                self.heard(node, *asked, units, answers).await;
            }
        }
        self.settle().await;
        let units = self.units.into_iter();
        let answers = units.map(|unit| match (unit.answer, unit.refused) {
            (Some(answer), _) => answer,
            (None, Some((failure, _))) => Err(failure),
            (None, None) => Err(self.scout.nobody_vouches()),
        });
        answers.collect()
    }

    /// Whether to send again: something is not answered, and there is time.
    async fn goes_on(&mut self) -> bool {
        let open = || self.units.iter().filter(|unit| unit.answer.is_none());
        if open().next().is_none() {
            return false;
        }
        let map = self.scout.map();
        let (mut moved, mut promoted) = (Vec::new(), false);
        let mut worst = None;
        for unit in open() {
            match &unit.refused {
                Some((failure, from)) => match (failure.redirect(), self.tries < AT_ONCE) {
                    (Some(Redirect::Moved(to)), at_once) => match from.address.there(to) {
                        // Who had nothing was promoted, or is new, and has more than this by now: all
                        // that is learnt at once, and not tag by tag.
                        Some(to) if at_once && !self.scout.trust.owns(&to) => promoted = true,
                        Some(to) => moved.push((unit.tag, Some(self.scout.node(&to)))),
                        None => worst = Some(failure.clone()),
                    },
                    (Some(Redirect::Ask(_)), true) => {}
                    _ => worst = Some(failure.clone()),
                },
                None => match map.owner(unit.tag) {
                    None => worst = Some(Failure::new(Class::Down, "nobody has this slot")),
                    Some(owner) if !self.scout.trust.believes(unit.tag, owner) => {
                        worst = Some(self.scout.nobody_vouches());
                    }
                    Some(_) => {}
                },
            }
        }
        if self.tries >= AT_ONCE && worst.is_none() && !moved.is_empty() {
            worst = Some(Failure::new(Class::Moving, "the nodes disagree"));
        }
        if !moved.is_empty() {
            self.scout.moved(moved).await;
        }
        let tries = self.tries;
        self.tries += 1;
        match worst {
            None if promoted => {
                self.scout.news(PAUSE_MOST).await;
                self.began.elapsed() < budget(self.scout)
            }
            Some(failure) => pause(self.scout, &failure, tries, self.began).await,
            None => self.began.elapsed() < budget(self.scout),
        }
    }

    /// What is not answered yet, by where it goes.
    fn groups(&self) -> Vec<Group> {
        let map = self.scout.map();
        let mut groups: Vec<Group> = Vec::new();
        for (at, unit) in self.units.iter().enumerate() {
            if unit.answer.is_some() {
                continue;
            }
            let asked = match &unit.refused {
                Some((failure, from)) => match failure.redirect() {
                    Some(Redirect::Ask(to)) => from.address.there(to),
                    _ => None,
                },
                None => None,
            };
            let ask = asked.is_some();
            let node = match asked {
                Some(address) => self.scout.node(&address),
                None => match map.owner(unit.tag) {
                    Some(owner) if self.scout.trust.believes(unit.tag, owner) => Arc::clone(owner),
                    _ => continue,
                },
            };
            let same = |(known, asks, _): &&mut Group| Arc::ptr_eq(known, &node) && *asks == ask;
            match groups.iter_mut().find(same) {
                Some((_, _, units)) => units.push(at),
                None => groups.push((node, ask, vec![at])),
            }
        }
        groups
    }
}

async fn exchange(
    scout: &Scout,
    node: &Node,
    ask: bool,
    lane: Lane,
    commands: Vec<Command>,
) -> Result<Answers, Failure> {
    if !ask {
        let exchange = node.wire.exchange(lane, commands);
        return scout.while_it_owns(node, exchange).await.flatten();
    }
    let answers = node.wire.exchange(lane, asking::each(commands)).await?;
    Ok(Answers {
        replies: asking::replies(answers.replies),
        confirmed: answers.confirmed,
    })
}

/// Waits a little after a refusal, for news of the cluster if that may help; `false`: no time is left.
pub(super) async fn pause(scout: &Scout, failure: &Failure, tries: u32, began: Instant) -> bool {
    let pause = (PAUSE_FIRST * (1 << tries.min(8))).min(PAUSE_MOST);
    if began.elapsed() + pause >= budget(scout) {
        scout.report();
        return false;
    }
    if failure.class() == Class::Moving && failure.redirect().is_none() {
        tokio::time::sleep(pause).await;
    } else {
        scout.news(pause).await;
    }
    true
}

/// A little less than an operation may take, so that it ends with the reason and not with its time.
pub(super) fn budget(scout: &Scout) -> Duration {
    scout.timeout() * 7 / 8
}

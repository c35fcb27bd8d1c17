//! Making the map anew: who is named by most, unless the owner took the tag from that one, and telling new
//! owners. Whoever begins to tell them finishes it, whatever becomes of the call that needed it; and nodes
//! are asked meanwhile, so that one that hangs holds up only its own tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloakroom_core::id::SlotTag;
use futures_util::future::join_all;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

use super::super::map::{Election, Map};
use super::super::node::Node;
use super::super::run::PAUSE_MOST;
use super::super::view::Slots;
use super::{Scout, unvouched};
use crate::failure::{Class, Failure};
use crate::keys;
use crate::settings::Address;
use crate::wire::Holds;

/// Tags and who has them.
type Owners = Vec<(SlotTag, Option<Arc<Node>>)>;

impl Scout {
    /// Asks everybody, and makes a map of what most of them say.
    pub(in super::super) async fn refresh(self: &Arc<Self>) -> Result<(), Failure> {
        match self.election().await? {
            Some(owners) => self.publish(owners).await,
            None => Ok(()),
        }
    }

    /// The same, but a map that is being made is not waited for.
    pub(super) async fn look_around(self: &Arc<Self>) {
        match self.election().await {
            Ok(Some(owners)) => {
                for gain in self.gains(owners) {
                    if let Ok(turn) = Arc::clone(&gain.node.gaining).try_lock_owned() {
                        drop(self.begin_to_give(turn, gain));
                    }
                }
            }
            Ok(None) => {}
            Err(failure) => tracing::debug!(%failure, "the cluster's map cannot be made"),
        }
    }

    /// Who has which tag by most of the nodes; `None`: as the map says.
    async fn election(&self) -> Result<Option<Owners>, Failure> {
        let views = self.views().await?;
        if views.iter().all(|(_, agrees)| *agrees) {
            // A replica that joined since may be the one that is promoted, and is asked as well from now on.
            for address in views.iter().flat_map(|(slots, _)| &slots.nodes) {
                self.node(address);
            }
            return Ok(None);
        }
        let views: Vec<_> = views.into_iter().map(|(slots, _)| slots).collect();
        Ok(Some(self.elected(&views)))
    }

    /// Who is named by most of these. Those who have not heard yet of whoever took a tag may be most of them.
    fn elected(&self, views: &[Arc<Slots>]) -> Owners {
        let (present, claims) = (self.map(), self.trust.claims());
        let election = Election::of(views, &present);
        let named = election.nodes.iter().map(|address| self.node(address));
        let nodes: Vec<_> = named.collect();
        self.keep(&election.nodes);
        let owners = keys::tags().map(|tag| {
            let before = present.owner(tag);
            // News takes no longer than that, and an outsider may say old things for ever.
            let is_older = |owner: &Node| {
                before.is_some_and(|before| {
                    !before.is(owner)
                        && before.gained_lately()
                        && claims.came_after(tag, before, owner)
                })
            };
            let owner = election.owner(tag).map(|at| &nodes[at]);
            let owner = owner.filter(|owner| !is_older(owner)).or(before);
            (tag, owner.cloned())
        });
        owners.collect()
    }

    /// What a majority of the nodes say, or as many as answer in time. Who did not answer the last time is not
    /// waited for where somebody does.
    async fn views(&self) -> Result<Vec<(Arc<Slots>, bool)>, Failure> {
        let nodes: Vec<_> = self.nodes.lock().values().cloned().collect();
        let enough = nodes.len() / 2 + 1;
        let mut expected = nodes.iter().filter(|node| !node.is_silent()).count();
        let mut answers = self.ask(nodes);
        let mut views = Vec::new();
        let mut failed = Failure::new(Class::Unreachable, "no node answers in time");
        // Each is bounded.
        while let Some(answer) = answers.recv().await {
            expected = expected.saturating_sub(usize::from(answer.expected));
            match answer.view {
                Ok(view) => views.push(view),
                Err(failure) => failed = failure,
            }
            if views.len() >= enough || expected == 0 && !views.is_empty() {
                break;
            }
        }
        if views.is_empty() {
            return Err(failed);
        }
        Ok(views)
    }

    /// Forgets nodes that nobody names any more, but for the seeds and those that have tags.
    fn keep(&self, named: &[Address]) {
        let owners = self.map().owners();
        let seeds = &self.settings.addresses;
        let has_tags = |address: &Address| owners.iter().any(|node| node.address == *address);
        let is_known = |address: &Address| {
            named.contains(address) || seeds.contains(address) || has_tags(address)
        };
        self.nodes.lock().retain(|address, _| is_known(address));
        self.trust.keep(is_known);
    }

    /// Somebody sends us there. Who hangs is not waited for: the others that the caller asks are well.
    pub(in super::super) async fn moved(self: &Arc<Self>, owners: Owners) {
        let published = tokio::time::timeout(PAUSE_MOST, self.publish(owners)).await;
        if !matches!(published, Ok(Ok(()))) {
            self.report();
        }
    }

    /// Tags have these owners from now on. An owner who is new to a tag is told what was revoked of
    /// it; one who cannot be told is not the owner yet. A tag that nobody names stays where it was: somebody will
    /// have it again.
    async fn publish(self: &Arc<Self>, owners: Owners) -> Result<(), Failure> {
        let gains = self.gains(owners).into_iter().map(async |gain| {
            let turn = Arc::clone(&gain.node.gaining).lock_owned().await;
            let given = self.begin_to_give(turn, gain).await;
            given.unwrap_or_else(|_| Err(unvouched()))
        });
        join_all(gains).await.into_iter().collect()
    }

    /// Who is new to some of the tags that they have by this.
    fn gains(&self, owners: Owners) -> Vec<Gain> {
        let before = self.map();
        let mut gains: BTreeMap<Address, Gain> = BTreeMap::new();
        for (tag, owner) in owners {
            let Some(node) = owner.filter(|node| !before.is_owner(tag, node)) else {
                continue;
            };
            let gain = gains.entry(node.address.clone());
            let gain = gain.or_insert_with(|| Gain {
                node,
                tags: Holds::nothing(),
                before: Arc::clone(&before),
            });
            gain.tags.set(tag, true);
        }
        gains.into_values().collect()
    }

    /// Whoever begins it need not wait for its end.
    fn begin_to_give(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        gain: Gain,
    ) -> JoinHandle<Result<(), Failure>> {
        let scout = Arc::clone(self);
        tokio::spawn(async move {
            let given = scout.give(&gain).await;
            drop(turn);
            given
        })
    }

    async fn give(&self, gain: &Gain) -> Result<(), Failure> {
        let map = self.map();
        if gain.all().all(|tag| map.is_owner(tag, &gain.node)) {
            // Somebody else was faster.
            return Ok(());
        }
        let revoked = self.shared.revoked.count();
        self.shared.turn_over();
        gain.node.wire.retell(&gain.tags).await?;
        self.shared.recent.forget_tags(&|tag| gain.tags.has(tag));
        self.hand_over(gain);
        self.asked.send_modify(|count| *count += 1);
        // What was revoked while it was told went to the old owner.
        if self.shared.revoked.count() == revoked {
            return Ok(());
        }
        let told = gain.node.wire.retell(&gain.tags).await;
        if told.is_err() {
            self.take_back(gain);
        }
        told
    }

    /// Gives the new owner those of its tags that still are where they were.
    fn hand_over(&self, gain: &Gain) {
        // It may have been forgotten meanwhile by nodes that have not heard of it.
        let mut nodes = self.nodes.lock();
        nodes.insert(gain.node.address.clone(), Arc::clone(&gain.node));
        drop(nodes);
        gain.node.has_gained();
        let moves = gain.all();
        self.change(moves.map(|tag| (tag, gain.before.owner(tag), Some(&gain.node))));
    }

    /// Has its tags be where they were: it is told all again before it has them.
    fn take_back(&self, gain: &Gain) {
        let moves = gain.all();
        self.change(moves.map(|tag| (tag, Some(&gain.node), gain.before.owner(tag))));
    }

    /// Moves tags from one owner to another, those that are where they are said to be.
    fn change<'a>(
        &self,
        moves: impl Iterator<Item = (SlotTag, Option<&'a Arc<Node>>, Option<&'a Arc<Node>>)>,
    ) {
        let _one_changes_the_map = self.changing.lock();
        let mut map = Map::clone(&self.map());
        for (tag, from, to) in moves {
            let there = map.owner(tag);
            if there.map(|node| &node.address) != from.map(|node| &node.address) {
                continue;
            }
            if let Some(there) = there {
                there.holds.set(tag, false);
            }
            if let Some(to) = to {
                to.holds.set(tag, true);
            }
            map.set(tag, to.cloned());
        }
        self.trust.adopt(map);
    }
}

/// A node that is new to some tags.
struct Gain {
    node: Arc<Node>,
    tags: Holds,
    /// Who had what when that was found.
    before: Arc<Map>,
}

impl Gain {
    fn all(&self) -> impl Iterator<Item = SlotTag> {
        keys::tags().filter(|tag| self.tags.has(*tag))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::super::trial::{Trial, ago, first_tag, keys};
    use super::super::super::view::View;

    use crate::wire::LEASE;

    /// The first tag's owner and the last one's, by nodes that name these.
    fn elected(trial: &Trial, named: &[[usize; 3]]) -> [usize; 2] {
        let views = named.iter().map(|owners| trial.view(*owners, true).slots);
        let owners = trial.scout.elected(&views.collect::<Vec<_>>());
        [first_tag(), keys().last().expect("there are tags")].map(|wanted| {
            let mut owners = owners.iter();
            let owner = owners.find(|(tag, _)| *tag == wanted);
            let owner = owner.and_then(|(_, owner)| owner.as_ref());
            let owner = owner.expect("it has one");
            let place = trial.nodes.iter().position(|node| node.is(owner));
            place.expect("it is one of those")
        })
    }

    /// News travels from node to node: those who have not heard of the new owner yet do not bring back the old
    /// one, which may hang.
    #[test]
    fn who_took_a_tag_keeps_it_until_somebody_newer_comes() {
        let (before, after) = ([0, 1, 2], [3, 1, 2]);
        let trial = Trial::new();
        assert_eq!(elected(&trial, &[after, after, before]), [3, 2], "by most");
        trial.say(1, before, Instant::now());
        trial.say(3, after, Instant::now());
        trial.adopt(after);
        let late = [before, before, after];
        assert_eq!(elected(&trial, &late), [0, 2], "it has had them for long");
        trial.nodes[3].has_gained();
        assert_eq!(elected(&trial, &late), [3, 2], "two have not heard");
        trial.say(1, after, Instant::now());
        let later = [before, before, before];
        assert_eq!(elected(&trial, &later), [3, 2], "these answers came late");
        trial.say(1, before, Instant::now());
        trial.say(3, before, Instant::now());
        assert_eq!(elected(&trial, &late), [0, 2], "it says so no more");
        let trial = Trial::new();
        trial.say(1, before, Instant::now());
        trial.say(3, after, ago(LEASE));
        trial.adopt(after);
        trial.nodes[3].has_gained();
        assert_eq!(elected(&trial, &late), [0, 2], "nobody said so lately");
    }

    #[test]
    fn without_epochs_most_of_the_nodes_decide() {
        let (before, after) = ([0, 1, 2], [3, 1, 2]);
        let trial = Trial::new();
        trial.say(1, before, Instant::now());
        trial.adopt(after);
        trial.nodes[3].has_gained();
        let silent = View {
            epochs: Vec::new(),
            ..trial.view(after, true)
        };
        let node = &trial.nodes[3].address;
        trial.scout.trust.hear(node, Instant::now(), silent);
        assert_eq!(elected(&trial, &[before, before, after]), [0, 2]);
    }

    /// The old owner came back, and was promoted.
    #[test]
    fn the_greater_epoch_is_the_newer_owner() {
        let trial = Trial::new();
        trial.say(1, [0, 1, 2], Instant::now());
        trial.adopt([3, 1, 2]);
        trial.nodes[3].has_gained();
        trial.say(3, [3, 1, 2], Instant::now());
        let mut back = trial.view([0, 1, 2], true);
        back.epochs = vec![(0, 9)];
        let node = &trial.nodes[0].address;
        trial.scout.trust.hear(node, Instant::now(), back);
        assert_eq!(elected(&trial, &[[0, 1, 2], [0, 1, 2], [3, 1, 2]]), [0, 2]);
    }
}

//! Whom to believe in a cluster: a primary is believed of a tag while a majority of the primaries said,
//! less than a [`LEASE`] ago, that it has that tag. One that was cut off goes on answering, as long as
//! it has not noticed; what it says is refused here.
//!
//! A word is given when somebody is asked, by every process, in the background. Once enough of the
//! others know the new owner of a tag, the old one finds no majority any more, and words that were given
//! before are over a lease later ([`Trust::settled`]). So it does not matter how a replica was promoted.
//! A word of an owner for itself counts, but not for when all others are over: it knows first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use cloakroom_core::id::SlotTag;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::chart::{Chart, Tags};
use super::map::Map;
use super::node::Node;
use super::view::{Slots, View};
use crate::settings::Address;
use crate::wire::LEASE;

/// What the nodes say, and what follows from it.
#[derive(Debug)]
pub(super) struct Trust {
    words: Mutex<Words>,
    verdict: RwLock<Arc<Verdict>>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Words {
    by: BTreeMap<Address, Word>,
    /// Owners of which it is known that they came after nobody.
    first: BTreeSet<Address>,
}

/// What one node said last.
#[derive(Debug)]
struct Word {
    /// When it was asked; it cannot have answered earlier.
    asked: Instant,
    view: View,
    /// Whom it names as an owner, and since when at least it does.
    names: BTreeMap<Address, Instant>,
    /// Tags of which it says otherwise than the map.
    differs: Arc<Tags>,
}

/// What the words come to.
#[derive(Debug)]
struct Verdict {
    chart: Arc<Chart>,
    /// For tags of which all say the same.
    until: Option<Instant>,
    /// For the others, by what they have in common, and which of these is whose, by the tag's number.
    disputed: Vec<Option<Instant>>,
    kinds: BTreeMap<usize, usize>,
    nodes: BTreeMap<Address, Standing>,
}

/// Who claims what, and since which configuration epoch.
#[derive(Debug, Default)]
pub(super) struct Claims {
    slots: Vec<Arc<Slots>>,
    epochs: BTreeMap<Address, u64>,
}

/// What is known of an owner.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Until when it is believed of all its tags.
    until: Option<Instant>,
    /// When no process believes anybody who had its tags before.
    settled: Option<Instant>,
}

/// Whether a node may be believed; of several, the greatest tells what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Belief {
    Yes,
    /// The tag has another owner, and waiting does not help.
    Never,
    /// Too few have said so lately.
    NotNow,
}

impl Trust {
    pub(super) fn new() -> Self {
        let chart = Arc::new(Chart::new(Map::empty()));
        Self {
            words: Mutex::default(),
            verdict: RwLock::new(Arc::new(Verdict::of(&Words::default(), &chart))),
            changed: watch::channel(()).0,
        }
    }

    /// Who has which tag, as far as it is known here.
    pub(super) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.verdict.read().chart.map)
    }

    /// Tags have other owners from now on.
    pub(super) fn adopt(&self, map: Map) {
        let chart = Arc::new(Chart::new(map));
        let mut words = self.words.lock();
        words.first.retain(|node| chart.has(node));
        for word in words.by.values_mut() {
            word.differs = Arc::new(chart.differences(&word.view.slots));
        }
        self.decide(&words, &chart);
    }

    /// Takes the word of a node; whether it says the same as the map.
    pub(super) fn hear(&self, node: &Address, asked: Instant, view: View) -> bool {
        let mut words = self.words.lock();
        let before = words.by.get(node);
        if let Some(before) = before.filter(|before| before.asked > asked) {
            return before.differs.is_empty();
        }
        let now = Instant::now();
        let since = |owner: &Address| {
            let known = before.and_then(|before| before.names.get(owner));
            known.copied().unwrap_or(now)
        };
        let names = view
            .slots
            .named()
            .map(|owner| (owner.clone(), since(owner)));
        let names = names.collect();
        let chart = self.chart();
        let same = before.filter(|before| Arc::ptr_eq(&before.view.slots, &view.slots));
        let differs = match same {
            Some(before) => Arc::clone(&before.differs),
            None => Arc::new(chart.differences(&view.slots)),
        };
        let agrees = differs.is_empty();
        let word = Word {
            asked,
            names,
            differs,
            view,
        };
        words.by.insert(node.clone(), word);
        self.decide(&words, &chart);
        agrees
    }

    /// These owners came after nobody, so nobody believes an older one.
    pub(super) fn are_first(&self, nodes: Vec<Address>) {
        let mut words = self.words.lock();
        words.first.extend(nodes);
        self.decide(&words, &self.chart());
    }

    /// Forgets what these nodes did not say.
    pub(super) fn keep(&self, is_known: impl Fn(&Address) -> bool) {
        let mut words = self.words.lock();
        words.by.retain(|node, _| is_known(node));
    }

    /// Whether a node has tags, by the map.
    pub(super) fn owns(&self, node: &Address) -> bool {
        self.verdict.read().chart.has(node)
    }

    /// What is claimed by words that may be right.
    pub(super) fn claims(&self) -> Claims {
        let words = self.words.lock();
        let mut claims = Claims::default();
        for word in words.by.values() {
            if word.asked.elapsed() >= LEASE {
                continue;
            }
            let slots = &word.view.slots;
            for (place, epoch) in &word.view.epochs {
                let known = claims.epochs.entry(slots.nodes[*place].clone());
                let known = known.or_insert(*epoch);
                *known = (*known).max(*epoch);
            }
            claims.slots.push(Arc::clone(slots));
        }
        claims
    }

    /// How many tags have another owner than by the map, added up over the words of all owners.
    pub(super) fn objections(&self) -> usize {
        let words = self.words.lock();
        let chart = self.chart();
        let voters = chart.owners.iter();
        let words = voters.filter_map(|owner| words.by.get(&owner.address));
        words.map(|word| word.differs.count()).sum()
    }

    /// The owners that have said nothing lately.
    pub(super) fn silent(&self) -> Vec<Address> {
        let words = self.words.lock();
        let is_silent = |owner: &&Arc<Node>| {
            let word = words.by.get(&owner.address);
            word.is_none_or(|word| word.asked.elapsed() >= LEASE)
        };
        let chart = self.chart();
        let silent = chart.owners.iter().filter(is_silent);
        silent.map(|owner| owner.address.clone()).collect()
    }

    fn chart(&self) -> Arc<Chart> {
        Arc::clone(&self.verdict.read().chart)
    }

    /// Called with the words locked, so that the last verdict is about the last word.
    fn decide(&self, words: &Words, chart: &Arc<Chart>) {
        *self.verdict.write() = Arc::new(Verdict::of(words, chart));
        self.changed.send_replace(());
    }

    /// Whether to believe what a node answers of a tag. `asked`: because the owner sent us there.
    pub(super) fn belief(&self, tag: SlotTag, node: &Node, asked: bool) -> Belief {
        let verdict = self.verdict.read();
        let owns = verdict.chart.map.is_owner(tag, node);
        let until = match verdict.nodes.get(&node.address) {
            _ if owns || asked => verdict.until(tag),
            // The tag has moved on from a primary that still is one, so nobody took its place.
            Some(standing) => standing.until,
            None => return Belief::Never,
        };
        Belief::until(until)
    }

    pub(super) fn believes(&self, tag: SlotTag, node: &Node) -> bool {
        self.belief(tag, node, false) == Belief::Yes
    }

    /// Whether to believe what a node answers of all its tags.
    pub(super) fn belief_in(&self, node: &Node) -> Belief {
        match self.verdict.read().nodes.get(&node.address) {
            Some(standing) => Belief::until(standing.until),
            None => Belief::Never,
        }
    }

    /// To be told of every word.
    pub(super) fn listen(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until no process believes another server of this owner's tags; `false`: it has none.
    /// Bounded by the caller.
    pub(super) async fn settled(&self, owner: &Node) -> bool {
        let mut changed = self.listen();
        loop {
            let standing = self.verdict.read().nodes.get(&owner.address).copied();
            match standing {
                None => return false,
                Some(Standing { settled: None, .. }) => {}
                Some(Standing {
                    settled: Some(settled),
                    ..
                }) => {
                    if Instant::now() < settled {
                        tokio::time::sleep_until(settled.into()).await;
                    }
                    return true;
                }
            }
            if changed.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Whether somebody has to look closely: words are missing, or will be soon.
    pub(super) fn is_unsettled(&self) -> bool {
        let soon = Instant::now() + LEASE / 2;
        let verdict = self.verdict.read();
        let mut untils = verdict.nodes.values().map(|standing| standing.until);
        untils.any(|until| until.is_none_or(|until| until < soon))
    }

    /// Whether some tags have another owner by what was said lately, or none.
    pub(super) fn is_contested(&self) -> bool {
        let verdict = self.verdict.read();
        let now = Instant::now();
        let mut untils = verdict.disputed.iter();
        untils.any(|until| until.is_none_or(|until| until < now))
    }
}

impl Claims {
    /// Whether the owner of a tag took it from another: somebody says so, and of the two it has the greater
    /// configuration epoch. One that nobody names has none.
    pub(super) fn came_after(&self, tag: SlotTag, owner: &Node, other: &Node) -> bool {
        let number = usize::from(tag.number());
        let mut named = self.slots.iter().map(|slots| slots.owner(number));
        let epoch = |node: &Node| self.epochs.get(&node.address);
        epoch(owner) > epoch(other) && named.any(|named| named == Some(&owner.address))
    }
}

impl Belief {
    fn until(until: Option<Instant>) -> Self {
        match until {
            Some(until) if Instant::now() < until => Self::Yes,
            _ => Self::NotNow,
        }
    }
}

impl Verdict {
    fn of(words: &Words, chart: &Arc<Chart>) -> Self {
        let owners = chart.owners.iter();
        let voters = owners
            .clone()
            .filter_map(|owner| words.by.get(&owner.address));
        let voters: Vec<&Word> = voters.collect();
        // If somebody knows of more primaries, a majority is a majority of those.
        let fresh = voters.iter().filter(|word| word.asked.elapsed() < LEASE);
        let most = fresh.map(|word| word.names.len()).max();
        let all = chart.owners.len().max(most.unwrap_or_default());
        let majority = all / 2 + 1;
        let lend = |mut asked: Vec<Instant>| {
            asked.sort_by(|one, other| other.cmp(one));
            asked.get(majority - 1).map(|asked| *asked + LEASE)
        };
        let until = lend(voters.iter().map(|word| word.asked).collect());
        let mut nodes: BTreeMap<Address, Standing> = BTreeMap::new();
        for owner in owners {
            owner.wire.set_replicas(replicas(owner, &voters, majority));
            let settled = words.settled(&owner.address, &chart.owners, all - majority + 1);
            nodes.insert(owner.address.clone(), Standing { until, settled });
        }
        let mut differing = Tags::default();
        voters.iter().for_each(|word| differing.add(&word.differs));
        let (mut disputed, mut kinds) = (Vec::new(), BTreeMap::new());
        let mut known: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
        for number in differing.numbers() {
            let agreed = voters.iter().map(|word| !word.differs.has(number));
            let agreed: Vec<bool> = agreed.collect();
            let kind = *known.entry(agreed).or_insert_with_key(|agreed| {
                let said = voters.iter().zip(agreed).filter(|(_, agreed)| **agreed);
                disputed.push(lend(said.map(|(word, _)| word.asked).collect()));
                disputed.len() - 1
            });
            kinds.insert(number, kind);
            let owner = chart.owner(number).map(|owner| &owner.address);
            if let Some(owner) = owner.and_then(|owner| nodes.get_mut(owner)) {
                owner.until = owner.until.min(disputed[kind]);
            }
        }
        Self {
            chart: Arc::clone(chart),
            until,
            disputed,
            kinds,
            nodes,
        }
    }

    fn until(&self, tag: SlotTag) -> Option<Instant> {
        match self.kinds.get(&usize::from(tag.number())) {
            Some(kind) => self.disputed[*kind],
            None => self.until,
        }
    }
}

impl Words {
    /// When no process believes an older owner any more: `enough` of the others know this one, so that
    /// the rest is no majority, and a lease is over since.
    fn settled(&self, owner: &Address, owners: &[Arc<Node>], enough: usize) -> Option<Instant> {
        if self.first.contains(owner) {
            return Some(Instant::now());
        }
        // There may be no others.
        let is_other = |node: &&Arc<Node>| owners.len() == 1 || node.address != *owner;
        let others: Vec<_> = owners.iter().filter(is_other).collect();
        let words = others
            .iter()
            .filter_map(|node| self.by.get(&node.address)?.names.get(owner));
        let mut since: Vec<Instant> = words.copied().collect();
        since.sort();
        let since = since.get(enough.min(others.len()) - 1)?;
        Some(*since + LEASE)
    }
}

/// The replicas of an owner that could be promoted: one is excused if a majority says that it cannot.
fn replicas(owner: &Node, voters: &[&Word], majority: usize) -> u64 {
    let mut able: BTreeMap<&str, usize> = BTreeMap::new();
    let mut agreed = 0;
    for word in voters {
        let Some(place) = word.view.slots.place(&owner.address) else {
            continue;
        };
        if !word.names.contains_key(&owner.address) {
            continue;
        }
        agreed += 1;
        for replica in word.view.replicas.iter().filter(|one| one.of == place) {
            *able.entry(&replica.id).or_default() += usize::from(replica.able);
        }
    }
    let excused = |votes: &usize| agreed - *votes >= majority;
    able.values().filter(|votes| !excused(votes)).count() as u64
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;

//! What a node says of its cluster: who has which slots (`CLUSTER SLOTS`), and how the replicas are doing
//! (`CLUSTER NODES`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::map::{SLOTS, slot};
use crate::failure::Failure;
use crate::keys;
use crate::settings::Address;
use crate::wire::{self, Reply};

/// What one node says.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) slots: Arc<Slots>,
    /// The replicas of owners.
    pub(super) replicas: Vec<Replica>,
    /// Owners, by their places, and their configuration epochs, where they are known: of two that claim a
    /// slot, the cluster gives it to the greater one.
    pub(super) epochs: Vec<(usize, u64)>,
}

/// Who has which tags, as one node says.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Every node that was named, replicas too.
    pub(super) nodes: Vec<Address>,
    /// The owner of every tag, by its place among the nodes.
    pub(super) owners: Vec<Option<usize>>,
    /// Owners, by their places, and the names that the cluster has for them.
    pub(super) ids: Vec<(usize, String)>,
    /// Replicas, by their owners and by name.
    pub(super) replicas: BTreeSet<(usize, String)>,
}

/// A replica, as one node says.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    /// The place of its primary among the nodes.
    pub(super) of: usize,
    /// The name that the cluster has for it.
    pub(super) id: String,
    /// Whether it could be promoted, as far as that node can see.
    pub(super) able: bool,
}

impl View {
    /// `states` is the reply to `CLUSTER NODES`. Without it, because not everybody may ask for that, all
    /// replicas that the slots name could be promoted, and nobody is known to have come after another.
    pub(super) fn new(slots: Arc<Slots>, states: Option<Reply>) -> Result<Self, Failure> {
        let (mut replicas, mut epochs) = (Vec::new(), Vec::new());
        match states {
            None => replicas.extend(slots.replicas.iter().map(Replica::able)),
            Some(states) => {
                let text = wire::bytes(states)?.unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                for state in text.lines().filter_map(State::read) {
                    replicas.extend(Replica::of(&state, &slots));
                    epochs.extend(slots.place_of(state.id).zip(state.epoch));
                }
                excuse_who_has_nothing(&mut replicas, &slots);
            }
        }
        Ok(Self {
            slots,
            replicas,
            epochs,
        })
    }
}

impl Slots {
    /// Reads the reply to `CLUSTER SLOTS` of the node `asked`.
    pub(super) fn read(reply: Reply, asked: &Address) -> Result<Self, Failure> {
        let mut by_slot: Vec<Option<usize>> = vec![None; usize::from(SLOTS)];
        let mut read = Self::default();
        for range in wire::array(reply)? {
            let mut items = wire::array(range)?.into_iter();
            let mut bound = || {
                let bound = wire::integer(&items.next().unwrap_or_default())?;
                let bound = u16::try_from(bound).ok().filter(|bound| *bound < SLOTS);
                bound.ok_or_else(|| Failure::protocol("a slot is no slot"))
            };
            let (first, last) = (bound()?, bound()?);
            let mut owner = None;
            for node in items {
                let (address, id) = address(node, asked)?;
                let place = place(&mut read.nodes, address);
                match owner {
                    None => {
                        owner = Some(place);
                        if !read.ids.iter().any(|(known, _)| *known == place) {
                            read.ids.push((place, id));
                        }
                    }
                    Some(owner) => drop(read.replicas.insert((owner, id))),
                }
            }
            for slot in first..=last {
                by_slot[usize::from(slot)] = owner;
            }
        }
        let owners = keys::tags().map(|tag| by_slot[usize::from(slot(tag))]);
        read.owners = owners.collect();
        Ok(read)
    }

    /// The owners.
    pub(super) fn named(&self) -> impl Iterator<Item = &Address> {
        self.ids.iter().map(|(place, _)| &self.nodes[*place])
    }

    /// The place of a node among those that were named.
    pub(super) fn place(&self, node: &Address) -> Option<usize> {
        self.nodes.iter().position(|known| known == node)
    }

    /// The place of the owner with this name.
    fn place_of(&self, id: &str) -> Option<usize> {
        let owner = self.ids.iter().find(|(_, owner)| owner == id);
        owner.map(|(place, _)| *place)
    }

    /// The owner of the tag with this number.
    pub(super) fn owner(&self, number: usize) -> Option<&Address> {
        self.owners[number].map(|place| &self.nodes[place])
    }
}

/// A line of `CLUSTER NODES`.
struct State<'a> {
    id: &'a str,
    flags: &'a str,
    primary: &'a str,
    epoch: Option<u64>,
    link: &'a str,
}

impl<'a> State<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let &[id, _, flags, primary, _, _, epoch, link, ..] = words.as_slice() else {
            return None;
        };
        Some(Self {
            id,
            flags,
            primary,
            epoch: epoch.parse().ok(),
            link,
        })
    }
}

impl Replica {
    fn able((of, id): &(usize, String)) -> Self {
        Self {
            of: *of,
            id: id.clone(),
            able: true,
        }
    }

    /// A replica of one of these owners, if this is about one. One that just went away has a link that is
    /// broken.
    fn of(state: &State<'_>, slots: &Slots) -> Option<Self> {
        let out = ["fail", "fail?", "handshake", "noaddr"];
        let is_out = state.flags.split(',').any(|flag| out.contains(&flag));
        Some(Self {
            of: slots.place_of(state.primary)?,
            id: state.id.to_owned(),
            able: !is_out && state.link == "connected",
        })
    }
}

/// Whom `CLUSTER SLOTS` does not name has no data yet, or is being filled anew and has old data: it is promoted
/// only where there is none better.
fn excuse_who_has_nothing(replicas: &mut [Replica], slots: &Slots) {
    let has_data = |one: &Replica| slots.replicas.contains(&(one.of, one.id.clone()));
    let better = replicas.iter().filter(|one| one.able && has_data(one));
    let better: BTreeSet<usize> = better.map(|one| one.of).collect();
    for one in replicas {
        one.able &= has_data(one) || !better.contains(&one.of);
    }
}

/// The place of a node among others, where it is put if it is not there.
pub(super) fn place(nodes: &mut Vec<Address>, node: Address) -> usize {
    if let Some(at) = nodes.iter().position(|known| *known == node) {
        return at;
    }
    nodes.push(node);
    nodes.len() - 1
}

/// A node of a reply and its name: host (none or `?` is the host of who answers), port, name, and more.
fn address(node: Reply, asked: &Address) -> Result<(Address, String), Failure> {
    let mut items = wire::array(node)?.into_iter();
    let host = wire::bytes(items.next().unwrap_or_default())?.unwrap_or_default();
    let host = String::from_utf8_lossy(&host).into_owned();
    let port = wire::integer(&items.next().unwrap_or_default())?;
    let port = u16::try_from(port).map_err(|_| Failure::protocol("a port is no port"))?;
    let id = wire::bytes(items.next().unwrap_or_default())?.unwrap_or_default();
    let id = String::from_utf8_lossy(&id).into_owned();
    Ok((asked.beside(&host, port), id))
}

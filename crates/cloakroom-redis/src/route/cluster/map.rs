//! Which node has which tag: what nodes say (`CLUSTER SLOTS`), and what is made of their answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use cloakroom_core::id::SlotTag;

use super::node::Node;
use crate::failure::Failure;
use crate::keys;
use crate::settings::Address;
use crate::wire::{self, Reply};

/// Slots of a cluster.
const SLOTS: u16 = 16_384;
/// The slot of every tag, which is what Redis makes of the three digits in braces.
static SLOT_OF: [u16; SlotTag::COUNT] = slots();

/// The slot of a tag's keys.
pub(super) fn slot(tag: SlotTag) -> u16 {
    SLOT_OF[usize::from(tag.number())]
}

/// The owner of every tag.
#[derive(Clone, Debug)]
pub(super) struct Map(Vec<Option<Arc<Node>>>);

impl Map {
    pub(super) fn empty() -> Self {
        Self(vec![None; SlotTag::COUNT])
    }

    pub(super) fn owner(&self, tag: SlotTag) -> Option<&Arc<Node>> {
        self.0[usize::from(tag.number())].as_ref()
    }

    pub(super) fn set(&mut self, tag: SlotTag, owner: Option<Arc<Node>>) {
        self.0[usize::from(tag.number())] = owner;
    }

    /// Tags that nobody has.
    pub(super) fn holes(&self) -> usize {
        self.0.iter().filter(|owner| owner.is_none()).count()
    }

    /// All owners, in the order of their lowest tags.
    pub(super) fn owners(&self) -> Vec<Arc<Node>> {
        let mut owners: Vec<Arc<Node>> = Vec::new();
        for owner in self.0.iter().flatten() {
            if !owners.iter().any(|known| known.address == owner.address) {
                owners.push(Arc::clone(owner));
            }
        }
        owners
    }

    /// A number that, most likely, is another when any tag has another owner. The same in every
    /// process.
    pub(super) fn sign(&self) -> u8 {
        let mut sign = 0;
        let mut last = None;
        for (number, owner) in self.0.iter().enumerate() {
            let address = owner.as_ref().map(|owner| &owner.address);
            if number == 0 || address != last {
                let text = format!(
                    "{number} {}",
                    address.map_or(String::new(), Address::to_string)
                );
                sign = crc16(sign, text.as_bytes());
            }
            last = address;
        }
        sign.to_be_bytes()[1]
    }
}

/// Who has which tags, as one node says.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Every node that was named, replicas too.
    pub(super) nodes: Vec<Address>,
    /// The owner of every tag, by its place among the nodes.
    pub(super) owners: Vec<Option<usize>>,
    /// The replicas of owners.
    pub(super) replicas: Vec<Replica>,
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
    /// Reads the replies to `CLUSTER SLOTS` and `CLUSTER NODES` of the node `asked`. Without the latter,
    /// which not everybody may ask for, all replicas that are named could be promoted.
    pub(super) fn read(
        reply: Reply,
        states: Option<Reply>,
        asked: &Address,
    ) -> Result<Self, Failure> {
        let mut by_slot: Vec<Option<usize>> = vec![None; usize::from(SLOTS)];
        let mut nodes: Vec<Address> = Vec::new();
        let mut ids: Vec<(usize, String)> = Vec::new();
        let mut named: BTreeSet<(usize, String)> = BTreeSet::new();
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
                let place = place(&mut nodes, address);
                match owner {
                    None => {
                        owner = Some(place);
                        if !ids.iter().any(|(known, _)| *known == place) {
                            ids.push((place, id));
                        }
                    }
                    Some(owner) => drop(named.insert((owner, id))),
                }
            }
            for slot in first..=last {
                by_slot[usize::from(slot)] = owner;
            }
        }
        let owners = keys::tags().map(|tag| by_slot[usize::from(slot(tag))]);
        let replicas = match states {
            None => named.into_iter().map(Replica::able).collect(),
            Some(states) => {
                let text = wire::bytes(states)?.unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines = text.lines();
                let replicas = lines.filter_map(|line| Replica::read(line, &ids, &named));
                replicas.collect()
            }
        };
        Ok(Self {
            owners: owners.collect(),
            nodes,
            replicas,
        })
    }
}

impl View {
    /// The owners.
    pub(super) fn named(&self) -> impl Iterator<Item = &Address> {
        let places: BTreeSet<usize> = self.owners.iter().flatten().copied().collect();
        places.into_iter().map(|place| &self.nodes[place])
    }

    /// The place of a node among those that were named.
    pub(super) fn place(&self, node: &Address) -> Option<usize> {
        self.nodes.iter().position(|known| known == node)
    }
}

impl Replica {
    fn able((of, id): (usize, String)) -> Self {
        Self { of, id, able: true }
    }

    /// Reads a line of `CLUSTER NODES`, if it is about a replica of one of these owners. Which of them
    /// `CLUSTER SLOTS` names as well have data, and have not failed by the word of a majority; one that
    /// just went away has a link that is broken.
    fn read(
        line: &str,
        owners: &[(usize, String)],
        named: &BTreeSet<(usize, String)>,
    ) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let &[id, _, flags, primary, _, _, _, link, ..] = words.as_slice() else {
            return None;
        };
        let (of, _) = owners.iter().find(|(_, owner)| owner == primary)?;
        let (of, id) = (*of, id.to_owned());
        let out = ["fail", "fail?", "handshake", "noaddr"];
        let is_out = flags.split(',').any(|flag| out.contains(&flag));
        let able = !is_out && link == "connected" && named.contains(&(of, id.clone()));
        Some(Self { of, id, able })
    }
}

/// What most of some views say.
#[derive(Debug)]
pub(super) struct Election {
    /// Every node that was named, replicas too.
    pub(super) nodes: Vec<Address>,
    /// The owner of every tag, by its place among the nodes.
    owners: Vec<Option<usize>>,
}

impl Election {
    /// Who has each tag by most of the views. Of two that are named as often it is the one that is
    /// news.
    pub(super) fn of(views: &[View], present: &Map) -> Self {
        let mut nodes = Vec::new();
        let places: Vec<Vec<usize>> = views
            .iter()
            .map(|view| {
                let known = view.nodes.iter();
                known.map(|node| place(&mut nodes, node.clone())).collect()
            })
            .collect();
        let mut votes = vec![0; nodes.len()];
        let mut owners = Vec::with_capacity(SlotTag::COUNT);
        for tag in keys::tags() {
            votes.fill(0);
            for (view, places) in views.iter().zip(&places) {
                if let Some(owner) = view.owners[usize::from(tag.number())] {
                    votes[places[owner]] += 1;
                }
            }
            let before = present.owner(tag).map(|node| &node.address);
            let rank = |at: &usize| (votes[*at], Some(&nodes[*at]) != before);
            let named = (0..nodes.len()).filter(|at| votes[*at] > 0);
            owners.push(named.max_by_key(rank));
        }
        Self { nodes, owners }
    }

    /// The owner of a tag, by its place among the nodes.
    pub(super) fn owner(&self, tag: SlotTag) -> Option<usize> {
        self.owners[usize::from(tag.number())]
    }
}

/// The place of a node among others, where it is put if it is not there.
fn place(nodes: &mut Vec<Address>, node: Address) -> usize {
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

const fn slots() -> [u16; SlotTag::COUNT] {
    let mut slots = [0; SlotTag::COUNT];
    let digits = b"0123456789abcdef";
    let mut tag = 0;
    while tag < SlotTag::COUNT {
        let name = [digits[tag >> 8], digits[tag >> 4 & 15], digits[tag & 15]];
        slots[tag] = crc16(0, &name) % SLOTS;
        tag += 1;
    }
    slots
}

/// CRC-16 as Redis Cluster has it (XMODEM).
const fn crc16(start: u16, bytes: &[u8]) -> u16 {
    let (mut crc, mut at) = (start, 0);
    while at < bytes.len() {
        crc ^= (bytes[at] as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x1021
            };
            bit += 1;
        }
        at += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the cluster specification.
    #[test]
    fn crc16_is_the_one_of_redis() {
        assert_eq!(crc16(0, b"123456789"), 0x31c3);
    }

    #[test]
    fn most_of_the_views_decide() {
        let node = |port| Address::Tcp {
            host: "h".to_owned(),
            port,
            tls: false,
        };
        let view = |port| View {
            owners: vec![Some(0); SlotTag::COUNT],
            nodes: vec![node(port)],
            replicas: Vec::new(),
        };
        let tag = SlotTag::new(7).expect("a tag");
        let winner = |views: &[View]| {
            let election = Election::of(views, &Map::empty());
            let owner = election.owner(tag).expect("somebody is named");
            election.nodes[owner].clone()
        };
        assert_eq!(winner(&[view(1), view(2), view(2)]), node(2));
        assert_eq!(winner(&[view(1), view(2), view(1)]), node(1));
        assert_eq!(Election::of(&[], &Map::empty()).owner(tag), None);
    }
}

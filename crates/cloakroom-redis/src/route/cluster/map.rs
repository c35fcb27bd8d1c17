//! Which node has which tag, and what is made of the answers of several nodes.

use std::sync::Arc;

use cloakroom_core::id::SlotTag;

use super::node::Node;
use super::view::{Slots, place};
use crate::keys;
use crate::settings::Address;

/// Slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;
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

    pub(super) fn is_owner(&self, tag: SlotTag, node: &Node) -> bool {
        self.owner(tag).is_some_and(|owner| owner.is(node))
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
    pub(super) fn of(views: &[Arc<Slots>], present: &Map) -> Self {
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
        let view = |port| {
            Arc::new(Slots {
                owners: vec![Some(0); SlotTag::COUNT],
                nodes: vec![node(port)],
                ..Slots::default()
            })
        };
        let tag = SlotTag::new(7).expect("a tag");
        let winner = |views: &[Arc<Slots>]| {
            let election = Election::of(views, &Map::empty());
            let owner = election.owner(tag).expect("somebody is named");
            election.nodes[owner].clone()
        };
        assert_eq!(winner(&[view(1), view(2), view(2)]), node(2));
        assert_eq!(winner(&[view(1), view(2), view(1)]), node(1));
        assert_eq!(Election::of(&[], &Map::empty()).owner(tag), None);
    }
}

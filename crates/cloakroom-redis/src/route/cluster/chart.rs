//! The map, with its owners numbered, so that what a node says is compared with it quickly.

use std::sync::Arc;

use cloakroom_core::id::SlotTag;

use super::map::Map;
use super::node::Node;
use super::view::Slots;
use crate::keys;
use crate::settings::Address;

/// The map of a cluster and its owners.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) map: Arc<Map>,
    pub(super) owners: Vec<Arc<Node>>,
    /// The owner of every tag, by its place among the owners.
    places: Vec<Option<usize>>,
}

impl Chart {
    pub(super) fn new(map: Map) -> Self {
        let owners = map.owners();
        let place = |node: &Arc<Node>| owners.iter().position(|owner| owner.is(node));
        let places = keys::tags().map(|tag| map.owner(tag).and_then(place));
        Self {
            places: places.collect(),
            map: Arc::new(map),
            owners,
        }
    }

    /// Whether a node has tags.
    pub(super) fn has(&self, node: &Address) -> bool {
        self.owners.iter().any(|owner| owner.address == *node)
    }

    /// The owner of the tag with this number.
    pub(super) fn owner(&self, number: usize) -> Option<&Arc<Node>> {
        self.places[number].map(|place| &self.owners[place])
    }

    /// The tags that have another owner as a node says.
    pub(super) fn differences(&self, slots: &Slots) -> Tags {
        let owner = |node: &Address| self.owners.iter().position(|owner| owner.address == *node);
        // One that has nothing here is nobody of this map, and not the same as no owner.
        let places = slots
            .nodes
            .iter()
            .map(|node| owner(node).unwrap_or(usize::MAX));
        let places: Vec<usize> = places.collect();
        let mut differ = Tags::default();
        for (number, (ours, theirs)) in self.places.iter().zip(&slots.owners).enumerate() {
            if *ours != theirs.map(|at| places[at]) {
                differ.0[number / 64] |= 1 << (number % 64);
            }
        }
        differ
    }
}

/// Some of the tags, by their numbers.
#[derive(Clone, Debug)]
pub(super) struct Tags(pub(super) [u64; SlotTag::COUNT / 64]);

impl Default for Tags {
    fn default() -> Self {
        Self([0; SlotTag::COUNT / 64])
    }
}

impl Tags {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn count(&self) -> usize {
        let words = self.0.iter().map(|word| word.count_ones() as usize);
        words.sum()
    }

    pub(super) fn has(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    pub(super) fn add(&mut self, other: &Self) {
        let pairs = self.0.iter_mut().zip(&other.0);
        pairs.for_each(|(word, more)| *word |= more);
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate().filter(|(_, word)| **word != 0);
        let bits = words.flat_map(|(at, _)| at * 64..(at + 1) * 64);
        bits.filter(|number| self.has(*number))
    }
}

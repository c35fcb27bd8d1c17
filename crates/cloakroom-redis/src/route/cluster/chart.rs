//! The map, with its owners numbered, so that what a node says is compared with it quickly.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::map::{Map, View};
use super::node::Node;
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
    pub(super) fn owner(&self, number: u16) -> Option<&Arc<Node>> {
        self.places[usize::from(number)].map(|place| &self.owners[place])
    }

    /// The numbers of the tags that have another owner as a node says.
    pub(super) fn differences(&self, view: &View) -> BTreeSet<u16> {
        let owner = |node: &Address| self.owners.iter().position(|owner| owner.address == *node);
        // One that has nothing here is nobody of this map, and not the same as no owner.
        let places: Vec<usize> = view
            .nodes
            .iter()
            .map(|node| owner(node).unwrap_or(usize::MAX))
            .collect();
        let pairs = self.places.iter().zip(&view.owners).zip(0..);
        let differ = pairs.filter(|((ours, theirs), _)| **ours != theirs.map(|at| places[at]));
        differ.map(|(_, number)| number).collect()
    }
}

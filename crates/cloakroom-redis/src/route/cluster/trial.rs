//! A cluster in words alone, for tests: three owners, `0`, `1` and `2`, of a third of the tags each; a fourth
//! node is promoted in place of the first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom_core::id::SlotTag;
use futures_util::FutureExt as _;

use super::map::Map;
use super::node::Node;
use super::scout::Scout;
use super::trust::Belief;
use super::view::{Replica, Slots, View};
use crate::settings::Settings;
use crate::wire::Shared;

const TAGS: usize = SlotTag::COUNT;

pub(super) struct Trial {
    pub(super) scout: Arc<Scout>,
    pub(super) nodes: Vec<Arc<Node>>,
}

impl Trial {
    pub(super) fn new() -> Self {
        let settings = Settings::parse("redis+cluster://127.0.0.1:7000").expect("a URL");
        let shared = Arc::new(Shared::new(&settings).expect("no CA"));
        let scout = Arc::new(Scout::new(&settings, &shared));
        let node = |number: u16| {
            let address = settings.addresses[0].beside("127.0.0.1", 7000 + number);
            scout.node(&address)
        };
        let trial = Self {
            nodes: (0..4).map(node).collect(),
            scout,
        };
        trial.adopt([0, 1, 2]);
        trial
    }

    /// The map names these owners, of a third of the tags each.
    pub(super) fn adopt(&self, owners: [usize; 3]) {
        let mut map = Map::empty();
        for tag in keys() {
            let owner = owners[usize::from(tag.number()) * 3 / TAGS];
            map.set(tag, Some(Arc::clone(&self.nodes[owner])));
        }
        self.scout.trust.adopt(map);
    }

    /// `node` names these owners.
    pub(super) fn say(&self, node: usize, owners: [usize; 3], asked: Instant) {
        self.say_with(node, owners, asked, true);
    }

    /// The same, and whether the replica of the first could be promoted.
    pub(super) fn say_with(&self, node: usize, owners: [usize; 3], asked: Instant, able: bool) {
        let view = self.view(owners, able);
        self.scout
            .trust
            .hear(&self.nodes[node].address, asked, view);
    }

    /// Epochs grow with the numbers.
    pub(super) fn view(&self, owners: [usize; 3], able: bool) -> View {
        let addresses = self.nodes.iter().map(|node| node.address.clone());
        let slots = Slots {
            nodes: addresses.collect(),
            owners: (0..TAGS).map(|tag| Some(owners[tag * 3 / TAGS])).collect(),
            ids: owners.map(|owner| (owner, owner.to_string())).into(),
            ..Slots::default()
        };
        let replica = Replica {
            of: owners[0],
            id: "replica".to_owned(),
            able,
        };
        View {
            slots: Arc::new(slots),
            replicas: vec![replica],
            epochs: owners.map(|owner| (owner, owner as u64 + 1)).into(),
        }
    }

    /// What is believed of a node that has the first tag.
    pub(super) fn belief(&self, node: usize) -> Belief {
        self.scout
            .trust
            .belief(first_tag(), &self.nodes[node], false)
    }

    pub(super) fn is_settled(&self, node: usize) -> bool {
        self.scout.trust.settled(&self.nodes[node]).now_or_never() == Some(true)
    }
}

pub(super) fn keys() -> impl Iterator<Item = SlotTag> {
    crate::keys::tags()
}

pub(super) fn first_tag() -> SlotTag {
    keys().next().expect("there are tags")
}

pub(super) fn ago(time: Duration) -> Instant {
    let then = Instant::now().checked_sub(time);
    then.expect("the machine is up")
}

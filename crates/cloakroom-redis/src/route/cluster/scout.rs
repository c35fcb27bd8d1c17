//! Finding out who has which tag, again whenever there is trouble, from whatever nodes answer. A new
//! owner is told what was revoked before anybody is sent to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom_core::id::SlotTag;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::map::{Election, Map, View};
use super::node::Node;
use crate::failure::{Class, Failure};
use crate::keys;
use crate::settings::{Address, Settings};
use crate::wire::{self, Holds, Lane, Shared, Wire};

/// The longest that one node is waited for, so that a dead one does not hold up the others' news.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often nodes are asked while there is trouble, and for how long after the last of it.
const OFTEN: Duration = Duration::from_millis(50);
const WARY: Duration = Duration::from_secs(5);

/// What is known of a cluster.
#[derive(Debug)]
pub(super) struct Scout {
    settings: Settings,
    shared: Arc<Shared>,
    map: RwLock<Arc<Map>>,
    /// Everybody who may know about the cluster.
    nodes: Mutex<BTreeMap<Address, Arc<Node>>>,
    publishing: tokio::sync::Mutex<()>,
    trouble: Notify,
    /// Counts the times that nodes were asked.
    asked: watch::Sender<u64>,
}

impl Scout {
    pub(super) fn new(settings: &Settings, shared: &Arc<Shared>) -> Self {
        let scout = Self {
            settings: settings.clone(),
            shared: Arc::clone(shared),
            map: RwLock::new(Arc::new(Map::empty())),
            nodes: Mutex::default(),
            publishing: tokio::sync::Mutex::default(),
            trouble: Notify::new(),
            asked: watch::channel(0).0,
        };
        for seed in &settings.addresses {
            scout.node(seed);
        }
        scout
    }

    pub(super) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.read())
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// The node at an address.
    pub(super) fn node(&self, address: &Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let node = nodes.entry(address.clone()).or_insert_with(|| {
            let node = Node::new(&self.settings, address.clone(), &self.shared);
            Arc::new(node)
        });
        Arc::clone(node)
    }

    /// Something did not go as the map says.
    pub(super) fn report(&self) {
        self.trouble.notify_one();
    }

    /// Waits until nodes were asked again, but not longer than `longest`.
    pub(super) async fn news(&self, longest: Duration) {
        let mut asked = self.asked.subscribe();
        self.report();
        drop(tokio::time::timeout(longest, asked.changed()).await);
    }

    /// Asks whenever there is trouble, until it is over for a while.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            self.trouble.notified().await;
            let mut last = Instant::now();
            while last.elapsed() < WARY {
                if let Err(failure) = self.refresh().await {
                    tracing::debug!(%failure, "the cluster's map cannot be made");
                }
                self.asked.send_modify(|count| *count += 1);
                tokio::time::sleep(OFTEN).await;
                let more = tokio::time::timeout(Duration::ZERO, self.trouble.notified());
                if more.await.is_ok() {
                    last = Instant::now();
                }
            }
        }
    }

    /// Asks everybody, and makes a map of what most of them say.
    pub(super) async fn refresh(&self) -> Result<(), Failure> {
        let views = self.views().await?;
        let election = Election::of(&views, &self.map());
        let named = election.nodes.iter().map(|address| self.node(address));
        let nodes: Vec<_> = named.collect();
        self.keep(&election.nodes);
        let owners = keys::tags().map(|tag| (tag, election.owner(tag)));
        let owners = owners.map(|(tag, owner)| (tag, owner.map(|at| Arc::clone(&nodes[at]))));
        self.publish(owners.collect()).await
    }

    /// What a majority of the nodes say, or as many as answer in time.
    async fn views(&self) -> Result<Vec<View>, Failure> {
        let nodes: Vec<_> = self.nodes.lock().values().cloned().collect();
        let enough = nodes.len() / 2 + 1;
        let mut asking = JoinSet::new();
        for node in nodes {
            asking.spawn(async move {
                let answer = ask(&node).await;
                answer.map_err(|failure| failure.at(&node.address.to_string()))
            });
        }
        let mut views = Vec::new();
        let mut failed = Failure::new(Class::Unreachable, "no node answers in time");
        let late = tokio::time::sleep(PATIENCE.min(self.settings.timeout / 2));
        tokio::pin!(late);
        loop {
            let answer = tokio::select! {
                answer = asking.join_next() => answer,
                () = &mut late => None,
            };
            match answer {
                Some(Ok(Ok(view))) => views.push(view),
                Some(Ok(Err(failure))) => failed = failure,
                Some(Err(_)) => {}
                None => break,
            }
            if views.len() >= enough {
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
        let mut nodes = self.nodes.lock();
        nodes.retain(|address, _| {
            named.contains(address) || seeds.contains(address) || has_tags(address)
        });
    }

    /// Tags have these owners from now on. An owner who is new to a tag is told what was revoked of
    /// it; one who cannot be told is not the owner yet.
    pub(super) async fn publish(
        &self,
        owners: Vec<(SlotTag, Option<Arc<Node>>)>,
    ) -> Result<(), Failure> {
        let _one_publishes = self.publishing.lock().await;
        let present = self.map();
        let mut next = Map::clone(&present);
        let mut gained: BTreeMap<Address, (Arc<Node>, Holds)> = BTreeMap::new();
        for (tag, owner) in owners {
            let before = present.owner(tag).map(|node| &node.address);
            match &owner {
                Some(node) if before != Some(&node.address) => {
                    let gains = gained.entry(node.address.clone());
                    let gains = gains.or_insert_with(|| (Arc::clone(node), Holds::nothing()));
                    gains.1.set(tag, true);
                }
                // A tag that nobody names stays where it was: somebody will have it again.
                _ => continue,
            }
            next.set(tag, owner);
        }
        if gained.is_empty() {
            return Ok(());
        }
        let before = self.shared.revoked.count();
        self.shared.turn_over();
        let mut failed = None;
        for (node, gains) in gained.values() {
            if let Err(failure) = node.wire.retell(gains).await {
                for tag in keys::tags().filter(|tag| gains.has(*tag)) {
                    next.set(tag, present.owner(tag).cloned());
                }
                failed = Some(failure);
            }
            self.shared.recent.forget_tags(&|tag| gains.has(tag));
        }
        for tag in keys::tags() {
            let (old, new) = (present.owner(tag), next.owner(tag));
            if let (Some(old), Some(new)) = (old, new)
                && old.address != new.address
            {
                old.holds.set(tag, false);
            }
            if let Some(new) = new {
                new.holds.set(tag, true);
            }
        }
        *self.map.write() = Arc::new(next);
        // What was revoked while the others were told went to the old owner.
        if self.shared.revoked.count() != before {
            for (node, gains) in gained.values() {
                node.wire.retell(gains).await?;
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

async fn ask(node: &Node) -> Result<View, Failure> {
    let question = wire::command("CLUSTER", ["SLOTS"]);
    let replies = node.wire.send(Lane::Bulk, vec![question]).await?;
    let [reply] = wire::exactly(replies)?;
    View::read(reply, &node.address)
}

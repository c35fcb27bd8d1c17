//! Opening a store: connect, find out what the server allows, and say clearly what is wrong.

use std::sync::Arc;

use cloakroom_core::Error;
use cloakroom_core::observe::Concern;

use super::{RedisStore, rights};
use crate::epoch;
use crate::failure::{Class, Failure};
use crate::keys;
use crate::route::{Batch, Cluster, Route, Shards, Single};
use crate::settings::{Address, LayoutName, Settings};
use crate::steps::{Compared, Scripted, Steps, Watched, probe_compare_and_set};
use crate::wire::{self, Durability, Holds, Lane, RedisWire, Shared, Wire};

impl RedisStore {
    /// Opens the store that a URL names ([`Settings`]).
    ///
    /// # Errors
    /// `InvalidSetting` for what is wrong in the URL. If the server cannot be reached or refuses, an
    /// error whose source is a [`Failure`] that names the server, what it answered and what to do.
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::connect(&Settings::parse(url)?).await
    }

    /// As [`RedisStore::open`], with settings that were read before.
    ///
    /// # Errors
    /// As [`RedisStore::open`].
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(settings)?);
        let opening = async {
            let route = route(settings, &shared).await?;
            let abilities = probe(&*route, settings).await?;
            Ok::<_, Failure>((route, abilities))
        };
        // Whoever is asked has the time of an operation, and so can be named if there is no answer.
        let opened = tokio::time::timeout(2 * settings.timeout, opening).await;
        let silent = |_| Err(Failure::new(Class::Timeout, "no answer in time"));
        let opened = opened.unwrap_or_else(silent);
        let (route, abilities) = opened.map_err(|failure| {
            let first = &settings.addresses[0];
            let tls = matches!(first, Address::Tcp { tls: true, .. });
            failure.at(&first.to_string()).of_a_stranger(tls)
        })?;
        let Abilities {
            scripts,
            swaps,
            durability,
        } = abilities;
        shared.set_durability(durability);
        route.settled().await;
        if let Some(script) = settings.layout.introduce() {
            if !scripts {
                let address = settings.addresses[0].to_string();
                let words =
                    "ids=plain needs scripts (EVAL and EVALSHA), and the server allows none";
                return Err(Failure::new(Class::Permission, words).at(&address).into());
            }
            for node in route.nodes().wires {
                node.send(Lane::Main, vec![script.clone()]).await?;
            }
            shared.concerns.tell_of_all(Concern::PlainIds);
        }
        shared.concerns.settled().await;
        let mut steps: Arc<dyn Steps> = if scripts {
            Arc::new(Scripted::new(Arc::clone(&route), settings.layout))
        } else {
            Arc::new(Watched::new(Arc::clone(&route), settings.layout))
        };
        if swaps {
            steps = Arc::new(Compared::new(Arc::clone(&route), steps, scripts));
        }
        Ok(Self {
            route,
            steps,
            layout: settings.layout,
            shared,
            turns: Arc::default(),
            moves: Arc::default(),
            deadline: settings.timeout,
        })
    }
}

/// The way to the servers that the settings name.
async fn route(settings: &Settings, shared: &Arc<Shared>) -> Result<Arc<dyn Route>, Failure> {
    if settings.cluster {
        return Ok(Arc::new(Cluster::open(settings, shared).await?));
    }
    let wire = |settings: &Settings| -> Arc<dyn Wire> {
        let (first, holds) = (&settings.addresses[0], Arc::new(Holds::everything()));
        Arc::new(RedisWire::new(settings, first, holds, Arc::clone(shared)))
    };
    Ok(match &settings.shards {
        None => Arc::new(Single(wire(settings))),
        Some(shards) => {
            let nodes = shards.nodes.iter().map(|node| wire(&node.settings));
            let (ring, moving) = (shards.ring.clone(), shards.moving.clone());
            Arc::new(Shards::new(nodes.collect(), ring, moving))
        }
    })
}

/// What the servers can do for us.
struct Abilities {
    scripts: bool,
    /// Whether sessions can be saved by `SET .. IFEQ`.
    swaps: bool,
    durability: Durability,
}

/// Scripts are used where all nodes allow them, and replicas must confirm where any node has some.
async fn probe(route: &dyn Route, settings: &Settings) -> Result<Abilities, Failure> {
    let mut all = Abilities {
        scripts: true,
        swaps: false,
        durability: Durability::Alone,
    };
    // A read of keys of ours: rights, and a cluster that is not whole, show here already.
    let batch = |tag| Batch {
        tag,
        commands: vec![epoch::read(tag)],
    };
    let first = keys::tags().take(1).map(batch).collect();
    for answer in route.send_each(Lane::Main, first).await {
        answer?;
    }
    for node in route.nodes().wires {
        let node = probe_node(&*node, settings).await?;
        all.scripts &= node.scripts;
        all.durability = all.durability.max(node.durability);
    }
    rights::check(route, settings.layout, all.scripts).await?;
    all.swaps = settings.layout == LayoutName::Packed && probe_compare_and_set(route).await?;
    if !all.scripts {
        let saves = if all.swaps { "IFEQ" } else { "WATCH" };
        tracing::info!(saves, "no scripts are used here: how sessions are saved");
    }
    Ok(all)
}

async fn probe_node(node: &dyn Wire, settings: &Settings) -> Result<Abilities, Failure> {
    let replicated = settings.master.is_some() || has_replicas(node).await?;
    let durability = match (settings.safe, replicated) {
        (Some(true), _) | (None, true) => Durability::All,
        (Some(false), true) => Durability::Ends,
        (Some(false) | None, false) => Durability::Alone,
    };
    if !settings.scripts {
        return Ok(Abilities {
            scripts: false,
            swaps: false,
            durability,
        });
    }
    let mut script = wire::command("EVAL", ["return 1"]);
    script.arg(0);
    let scripts = match node.send(Lane::Main, vec![script]).await {
        Ok(_) => true,
        Err(failure) if matches!(failure.class(), Class::Permission | Class::Protocol) => false,
        Err(failure) => return Err(failure),
    };
    Ok(Abilities {
        scripts,
        swaps: false,
        durability,
    })
}

async fn has_replicas(wire: &dyn Wire) -> Result<bool, Failure> {
    let asked = wire
        .send(Lane::Main, vec![wire::command("INFO", ["replication"])])
        .await;
    let [info] = match asked {
        Err(failure) if failure.class() == Class::Permission => return Ok(false),
        answer => wire::exactly(answer?)?,
    };
    let info = wire::bytes(info)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&info);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("connected_slaves:"));
    Ok(line.is_some_and(|count| count.trim() != "0"))
}

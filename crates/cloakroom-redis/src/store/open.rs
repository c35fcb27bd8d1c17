//! Opening a store: connect, find out what the server allows, and say clearly what is wrong.

use std::sync::Arc;

use cloakroom_core::Error;

use super::RedisStore;
use crate::epoch;
use crate::failure::{Class, Failure};
use crate::keys;
use crate::route::{Batch, Route, Single};
use crate::settings::Settings;
use crate::steps::{Scripted, Steps, Watched};
use crate::turns::Turns;
use crate::wire::{self, Lane, RedisWire, Shared, Wire};

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
        let shared = Arc::new(Shared::new(settings));
        let redis = RedisWire::new(settings, Arc::clone(&shared))?;
        let route: Arc<dyn Route> = Arc::new(Single(Arc::new(redis)));
        let probing = probe(&*route, settings);
        let Abilities { scripts, safe } =
            match tokio::time::timeout(settings.timeout, probing).await {
                Ok(Ok(abilities)) => abilities,
                Ok(Err(failure)) if failure.class() != Class::Timeout => {
                    return Err(failure.at(&settings.addresses[0].to_string()).into());
                }
                Ok(Err(_)) | Err(_) => {
                    let silent = Failure::new(Class::Unreachable, "no answer in time");
                    return Err(silent.at(&settings.addresses[0].to_string()).into());
                }
            };
        shared.set_safe(safe);
        let steps: Box<dyn Steps> = if scripts {
            Box::new(Scripted::new(Arc::clone(&route), settings.layout))
        } else {
            Box::new(Watched::new(Arc::clone(&route), settings.layout))
        };
        Ok(Self {
            route,
            steps,
            layout: settings.layout,
            shared,
            turns: Turns::default(),
            deadline: settings.timeout,
        })
    }
}

/// What the servers can do for us.
struct Abilities {
    scripts: bool,
    safe: bool,
}

/// Scripts are used where all nodes allow them, and replicas must confirm where any node has some.
async fn probe(route: &dyn Route, settings: &Settings) -> Result<Abilities, Failure> {
    let mut all = Abilities {
        scripts: true,
        safe: false,
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
        all.safe |= node.safe;
    }
    if settings.scripts && !all.scripts {
        tracing::info!("the server allows no scripts: writes go by WATCH, in two trips");
    }
    Ok(all)
}

async fn probe_node(node: &dyn Wire, settings: &Settings) -> Result<Abilities, Failure> {
    let safe = match settings.safe {
        Some(safe) => safe,
        None => settings.master.is_some() || has_replicas(node).await?,
    };
    if !settings.scripts {
        return Ok(Abilities {
            scripts: false,
            safe,
        });
    }
    let mut script = wire::command("EVAL", ["return 1"]);
    script.arg(0);
    let scripts = match node.send(Lane::Main, vec![script]).await {
        Ok(_) => true,
        Err(failure) if matches!(failure.class(), Class::Permission | Class::Protocol) => false,
        Err(failure) => return Err(failure),
    };
    Ok(Abilities { scripts, safe })
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

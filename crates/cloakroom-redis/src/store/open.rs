//! Opening a store: connect, find out what the server allows, and say clearly what is wrong.

use std::sync::Arc;

use cloakroom_core::Error;
use cloakroom_core::observe::Concern;

use super::RedisStore;
use crate::failure::{Class, Failure};
use crate::keys::EPOCH;
use crate::recent::Recent;
use crate::revoked::Revoked;
use crate::settings::Settings;
use crate::steps::{Scripted, Steps, Watched};
use crate::turns::Turns;
use crate::wire::{self, Concerns, Lane, RedisWire, Wire};

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
        let revoked = Arc::new(Revoked::new(settings.layout));
        let recent = Arc::new(Recent::default());
        let redis = Arc::new(RedisWire::new(
            settings,
            Arc::clone(&revoked),
            Arc::clone(&recent),
        )?);
        let wire: Arc<dyn Wire> = Arc::<RedisWire>::clone(&redis);
        let probing = probe(&*wire, settings);
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
        redis.set_safe(safe);
        if let Some(script) = settings.layout.introduce() {
            let address = settings.addresses[0].to_string();
            if !scripts {
                let words =
                    "ids=plain needs scripts (EVAL and EVALSHA), and the server allows none";
                return Err(Failure::new(Class::Permission, words).at(&address).into());
            }
            wire.send(Lane::Main, vec![script]).await?;
            Concerns::new(Arc::clone(&settings.observer)).tell(Concern::PlainIds, &address);
        }
        let steps: Box<dyn Steps> = if scripts {
            Box::new(Scripted::new(Arc::clone(&wire), settings.layout))
        } else {
            Box::new(Watched::new(Arc::clone(&wire), settings.layout))
        };
        Ok(Self {
            wire,
            steps,
            layout: settings.layout,
            recent,
            revoked,
            turns: Turns::default(),
            deadline: settings.timeout,
        })
    }
}

/// What the server can do for us.
struct Abilities {
    scripts: bool,
    safe: bool,
}

async fn probe(wire: &dyn Wire, settings: &Settings) -> Result<Abilities, Failure> {
    // A read of a key of ours: rights, and a cluster that is not whole, show here already.
    wire.send(Lane::Main, vec![wire::command("GET", [EPOCH])])
        .await?;
    let safe = match settings.safe {
        Some(safe) => safe,
        None => settings.master.is_some() || has_replicas(wire).await?,
    };
    if !settings.scripts {
        return Ok(Abilities {
            scripts: false,
            safe,
        });
    }
    let mut script = wire::command("EVAL", ["return 1"]);
    script.arg(0);
    let scripts = match wire.send(Lane::Main, vec![script]).await {
        Ok(_) => true,
        Err(failure) if matches!(failure.class(), Class::Permission | Class::Protocol) => {
            tracing::info!("the server allows no scripts: writes go by WATCH, in two trips");
            false
        }
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

//! Opening a store: connect, find out what the server allows, and say clearly what is wrong.

use std::sync::Arc;

use cloakroom_core::Error;

use super::RedisStore;
use crate::failure::{Class, Failure};
use crate::keys::EPOCH;
use crate::recent::Recent;
use crate::settings::Settings;
use crate::steps::{Scripted, Steps, Watched};
use crate::turns::Turns;
use crate::wire::{self, Lane, RedisWire, Wire};

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
        let wire: Arc<dyn Wire> = Arc::new(RedisWire::new(settings)?);
        let probing = probe(&*wire, settings.scripts);
        let scripts = match tokio::time::timeout(settings.timeout, probing).await {
            Ok(Ok(scripts)) => scripts,
            Ok(Err(failure)) if failure.class() != Class::Timeout => {
                return Err(failure.at(&settings.address.to_string()).into());
            }
            Ok(Err(_)) | Err(_) => {
                let silent = Failure::new(Class::Unreachable, "no answer in time");
                return Err(silent.at(&settings.address.to_string()).into());
            }
        };
        let steps: Box<dyn Steps> = if scripts {
            Box::new(Scripted::new(Arc::clone(&wire), settings.layout))
        } else {
            Box::new(Watched::new(Arc::clone(&wire), settings.layout))
        };
        Ok(Self {
            wire,
            steps,
            layout: settings.layout,
            recent: Recent::default(),
            turns: Turns::default(),
            deadline: settings.timeout,
        })
    }
}

/// Whether scripts can be used.
async fn probe(wire: &dyn Wire, wanted: bool) -> Result<bool, Failure> {
    // A read of a key of ours: rights, and a cluster that is not whole, show here already.
    wire.send(Lane::Main, vec![wire::command("GET", [EPOCH])])
        .await?;
    if !wanted {
        return Ok(false);
    }
    let mut script = wire::command("EVAL", ["return 1"]);
    script.arg(0);
    match wire.send(Lane::Main, vec![script]).await {
        Ok(_) => Ok(true),
        Err(failure) if matches!(failure.class(), Class::Permission | Class::Protocol) => {
            tracing::info!("the server allows no scripts: writes go by WATCH, in two trips");
            Ok(false)
        }
        Err(failure) => Err(failure),
    }
}

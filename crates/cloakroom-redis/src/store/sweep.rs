//! After a mass revocation, the sessions of the plain layout: an epoch ends them for us, and other
//! programs know of no epoch, so their hashes are deleted one by one. It goes on when nobody waits.

use std::sync::Arc;

use cloakroom_core::{Error, ErrorKind};

use super::RedisStore;
use crate::failure::Failure;
use crate::keys::{self, SESSIONS};
use crate::scripts::{By, SWEEP_PLAIN, Words};
use crate::settings::LayoutName;
use crate::wire::{self, Lane, Wire};

/// Keys that one step of the scan looks at.
const BATCH: usize = 500;

impl RedisStore {
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        if self.layout != LayoutName::Plain {
            return Ok(());
        }
        let sweeping = tokio::spawn(sweep(self.route.nodes().wires));
        match sweeping.await {
            Ok(swept) => Ok(swept?),
            Err(_) => Err(ErrorKind::StoreUnavailable.into()),
        }
    }
}

async fn sweep(nodes: Vec<Arc<dyn Wire>>) -> Result<(), Failure> {
    for node in nodes {
        sweep_node(&*node).await?;
    }
    Ok(())
}

async fn sweep_node(wire: &dyn Wire) -> Result<(), Failure> {
    let mut at = 0;
    loop {
        let mut scan = wire::command("SCAN", [at]);
        scan.arg("MATCH").arg(SESSIONS).arg("COUNT").arg(BATCH);
        let [reply] = wire::exactly(wire.send(Lane::Bulk, vec![scan]).await?)?;
        let [next, found] = wire::exactly(wire::array(reply)?)?;
        let mut commands: Vec<wire::Command> = Vec::new();
        for name in wire::array(found)? {
            let name = wire::bytes(name)?.unwrap_or_default();
            if let Some(key) = keys::parse_session(&name) {
                let name = keys::session(&key);
                let epoch = keys::epoch_of(&name);
                // The first tells the server the script; the others call it.
                let (keys, args) = ([name, epoch].into_iter().collect(), Words::default());
                commands.push(if commands.is_empty() {
                    SWEEP_PLAIN.call(By::Text, &keys, &args)
                } else {
                    SWEEP_PLAIN.call(By::Hash, &keys, &args)
                });
            }
        }
        if !commands.is_empty() {
            wire.send(Lane::Bulk, commands).await?;
        }
        at = wire::integer(&next)?;
        if at == 0 {
            return Ok(());
        }
    }
}

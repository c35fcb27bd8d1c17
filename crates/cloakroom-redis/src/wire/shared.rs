//! What all nodes of one store share: a session may move between them, and so does what was seen and
//! ended of it.

use std::sync::{Arc, OnceLock};

use super::Concerns;
use crate::recent::Recent;
use crate::revoked::Revoked;
use crate::settings::Settings;
use crate::wire::Lane;

/// What all nodes of a store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) revoked: Revoked,
    pub(crate) recent: Recent,
    pub(crate) concerns: Concerns,
    durability: OnceLock<Durability>,
}

/// What replicas must confirm before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    /// Nothing: there are none.
    Alone,
    /// That sessions end, so that no failover revives them.
    Ends,
    /// All that must not be lost.
    All,
}

impl Shared {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            revoked: Revoked::new(settings.layout),
            recent: Recent::default(),
            concerns: Concerns::new(Arc::clone(&settings.observer)),
            durability: OnceLock::new(),
        }
    }

    /// Says once, when the store is opened, what replicas must confirm.
    pub(crate) fn set_durability(&self, durability: Durability) {
        self.durability.get_or_init(|| durability);
    }

    fn durability(&self) -> Durability {
        self.durability.get().copied().unwrap_or(Durability::Alone)
    }

    /// Whether replicas must confirm what goes over this lane.
    pub(super) fn confirms(&self, lane: Lane) -> bool {
        match lane {
            Lane::Main | Lane::Write | Lane::Bulk => false,
            Lane::Safe => self.durability() == Durability::All,
            Lane::Final => self.durability() >= Durability::Ends,
        }
    }

    /// How many replicas must confirm at least, where they must.
    pub(super) fn least(&self) -> u64 {
        u64::from(self.durability() == Durability::All)
    }

    pub(super) fn counts_replicas(&self) -> bool {
        self.durability() > Durability::Alone
    }
}

//! What all nodes of one store share: a session may move between them, and so does what was seen and
//! ended of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use cloakroom_core::Error;
use cloakroom_core::id::SlotTag;

use super::Concerns;
use super::client::certificates;
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
    /// The CA to trust, as PEM.
    pub(super) ca: Option<Vec<u8>>,
    /// Whether independent nodes share the sessions.
    has_shards: bool,
    durability: OnceLock<Durability>,
    turnovers: AtomicU64,
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
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            revoked: Revoked::new(settings.layout),
            recent: Recent::default(),
            concerns: Concerns::new(
                Arc::clone(&settings.observer),
                settings.addresses[0].to_string(),
            ),
            ca: certificates(settings)?,
            has_shards: settings.shards.is_some(),
            durability: OnceLock::new(),
            turnovers: AtomicU64::new(0),
        })
    }

    /// A server was met that may know less than another.
    pub(crate) fn turn_over(&self) {
        self.turnovers.fetch_add(1, Ordering::SeqCst);
    }

    /// How often that happened.
    pub(crate) fn turnovers(&self) -> u64 {
        self.turnovers.load(Ordering::SeqCst)
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

    /// How many replicas must confirm at least, where they must. Of independent nodes some may have
    /// none, as far as no sentinels say otherwise.
    pub(super) fn least(&self, has_sentinels: bool) -> u64 {
        let all = self.durability() == Durability::All;
        u64::from(all && (has_sentinels || !self.has_shards))
    }

    pub(super) fn counts_replicas(&self) -> bool {
        self.durability() > Durability::Alone
    }
}

/// The tags whose keys a node has.
#[derive(Debug)]
pub(crate) struct Holds([AtomicU64; SlotTag::COUNT / 64]);

impl Holds {
    pub(crate) fn everything() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(u64::MAX)))
    }

    pub(crate) fn nothing() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn set(&self, tag: SlotTag, has: bool) {
        let (word, bit) = Self::place(tag);
        if has {
            self.0[word].fetch_or(bit, Ordering::SeqCst);
        } else {
            self.0[word].fetch_and(!bit, Ordering::SeqCst);
        }
    }

    pub(crate) fn has(&self, tag: SlotTag) -> bool {
        let (word, bit) = Self::place(tag);
        self.0[word].load(Ordering::SeqCst) & bit != 0
    }

    fn place(tag: SlotTag) -> (usize, u64) {
        let number = usize::from(tag.number());
        (number / 64, 1 << (number % 64))
    }
}

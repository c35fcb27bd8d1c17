//! What all nodes of one store share: a session may move between them, and so does what was seen and
//! ended of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cloakroom_core::Error;
use cloakroom_core::id::SlotTag;

use super::open::certificates;
use crate::recent::Recent;
use crate::revoked::Revoked;
use crate::settings::Settings;

/// What all nodes of a store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) revoked: Revoked,
    pub(crate) recent: Recent,
    /// The CA to trust, as PEM.
    pub(super) ca: Option<Vec<u8>>,
    /// Whether replicas must confirm what must not be lost.
    safe: AtomicBool,
    turnovers: AtomicU64,
}

impl Shared {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            revoked: Revoked::new(settings.layout),
            recent: Recent::default(),
            ca: certificates(settings)?,
            safe: AtomicBool::new(false),
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

    /// From now on replicas must confirm what must not be lost, or need not.
    pub(crate) fn set_safe(&self, safe: bool) {
        self.safe.store(safe, Ordering::Relaxed);
    }

    pub(super) fn is_safe(&self) -> bool {
        self.safe.load(Ordering::Relaxed)
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

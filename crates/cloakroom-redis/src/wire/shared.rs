//! What all nodes of one store share: a session may move between them, and so does what was seen and
//! ended of it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::recent::Recent;
use crate::revoked::Revoked;
use crate::settings::Settings;

/// What all nodes of a store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) revoked: Revoked,
    pub(crate) recent: Recent,
    /// Whether replicas must confirm what must not be lost.
    safe: AtomicBool,
}

impl Shared {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            revoked: Revoked::new(settings.layout),
            recent: Recent::default(),
            safe: AtomicBool::new(false),
        }
    }

    /// From now on replicas must confirm what must not be lost, or need not.
    pub(crate) fn set_safe(&self, safe: bool) {
        self.safe.store(safe, Ordering::Relaxed);
    }

    pub(super) fn is_safe(&self) -> bool {
        self.safe.load(Ordering::Relaxed)
    }
}

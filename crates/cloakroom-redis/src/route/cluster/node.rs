//! One node of a cluster, and which tags it has by what is known here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::view::{Slots, View};
use crate::failure::{Class, Failure};
use crate::settings::{Address, Settings};
use crate::wire::{self, Answers, Holds, LEASE, RedisWire, Reply, Shared};

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: Address,
    pub(super) wire: Arc<RedisWire>,
    /// What is told again to the node when it turns out to be another run.
    pub(super) holds: Arc<Holds>,
    /// Held while it is told what was revoked of tags that it gets.
    pub(super) gaining: Arc<tokio::sync::Mutex<()>>,
    /// When it last got a tag.
    gained: Mutex<Option<Instant>>,
    /// Whether it did not answer when it was asked last.
    is_silent: AtomicBool,
    /// The slots as it said last, which seldom change: read once.
    said: Mutex<Option<(Reply, Arc<Slots>)>>,
}

impl Node {
    pub(super) fn new(settings: &Settings, address: Address, shared: &Arc<Shared>) -> Self {
        let holds = Arc::new(Holds::nothing());
        let wire = RedisWire::new(settings, &address, Arc::clone(&holds), Arc::clone(shared));
        Self {
            address,
            wire: Arc::new(wire),
            holds,
            gaining: Arc::default(),
            gained: Mutex::default(),
            is_silent: AtomicBool::new(false),
            said: Mutex::default(),
        }
    }

    /// Asks the node what it knows of the cluster.
    pub(super) async fn ask(&self, patience: Duration) -> Result<View, Failure> {
        let questions = ["SLOTS", "NODES"].map(|what| wire::command("CLUSTER", [what]));
        let answers = self.wire.question(patience, questions.into()).await;
        self.is_silent.store(answers.is_err(), Ordering::Relaxed);
        let mut answers = answers?.into_iter();
        let mut next = || Answers::take(&mut answers, &Ok(()));
        let slots = self.slots(next()?)?;
        match next() {
            Ok(states) => View::new(slots, Some(states)),
            Err(failure) if failure.class() == Class::Permission => View::new(slots, None),
            Err(failure) => Err(failure),
        }
    }

    fn slots(&self, reply: Reply) -> Result<Arc<Slots>, Failure> {
        let mut said = self.said.lock();
        if let Some((known, slots)) = said.as_ref()
            && *known == reply
        {
            return Ok(Arc::clone(slots));
        }
        let slots = Arc::new(Slots::read(reply.clone(), &self.address)?);
        *said = Some((reply, Arc::clone(&slots)));
        Ok(slots)
    }

    /// It has another tag from now on.
    pub(super) fn has_gained(&self) {
        *self.gained.lock() = Some(Instant::now());
    }

    /// Whether it got a tag so lately that some may not have heard of it.
    pub(super) fn gained_lately(&self) -> bool {
        let gained = *self.gained.lock();
        gained.is_some_and(|gained| gained.elapsed() < LEASE)
    }

    /// Whether its answer is not worth waiting for.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }

    /// Whether both are one server.
    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.address == other.address
    }
}

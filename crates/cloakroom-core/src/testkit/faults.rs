//! Stores that misbehave on order: they count, fail, lose the acknowledgement, wait, hang.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::around::{Around, Wrapped};
use super::poll::yield_now;
use crate::observe::Operation;
use crate::store::Store;
use crate::{Error, ErrorKind};

/// A store that counts the calls of each operation: the trip budget as a test.
pub type CountingStore = Wrapped<Counts>;

/// A store in which chosen calls go wrong. It counts them, too.
pub type FaultyStore = Wrapped<Faults>;

/// A store that lets everybody else go first before and after each operation, so that interleavings
/// and dropped futures can be shown with a store that never waits.
pub type YieldingStore = Wrapped<Yields>;

impl CountingStore {
    /// `store`, counted.
    #[must_use]
    pub fn counting(store: Arc<dyn Store>) -> Arc<Self> {
        Self::new(store, Counts::default())
    }

    /// How often `operation` was called.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> usize {
        self.around().of(operation)
    }

    /// How often any operation was called since the last time that this was asked.
    pub fn take_trips(&self) -> usize {
        self.around().0.lock().drain().map(|(_, calls)| calls).sum()
    }
}

impl FaultyStore {
    /// `store`, in which nothing goes wrong yet.
    #[must_use]
    pub fn faulty(store: Arc<dyn Store>) -> Arc<Self> {
        Self::new(store, Faults::default())
    }

    /// The `nth` call of `operation` from now on, from 1, goes wrong in this way.
    pub fn fail(&self, operation: Operation, nth: usize, fault: Fault) {
        let nth = self.around().counts.of(operation) + nth;
        self.around().planned.lock().push((operation, nth, fault));
    }

    /// How often `operation` was called.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> usize {
        self.around().counts.of(operation)
    }
}

impl YieldingStore {
    /// `store`, with points to wait at.
    #[must_use]
    pub fn yielding(store: Arc<dyn Store>) -> Arc<Self> {
        Self::new(store, Yields)
    }
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store cannot be reached: an error, and no effect.
    Refused,
    /// The acknowledgement is lost: an error, after the effect.
    LostReply,
    /// No answer ever comes, and no effect.
    HangsBefore,
    /// No answer ever comes, after the effect.
    HangsAfter,
    /// The answer takes so many polls.
    Slow(usize),
}

/// Counts calls.
#[derive(Debug, Default)]
pub struct Counts(Mutex<HashMap<Operation, usize>>);

impl Counts {
    fn count(&self, operation: Operation) -> usize {
        let mut counts = self.0.lock();
        let calls = counts.entry(operation).or_default();
        *calls += 1;
        *calls
    }

    fn of(&self, operation: Operation) -> usize {
        self.0.lock().get(&operation).copied().unwrap_or_default()
    }
}

#[async_trait]
impl Around for Counts {
    async fn before(&self, operation: Operation) -> Result<(), Error> {
        self.count(operation);
        Ok(())
    }

    async fn after(&self, _: Operation) -> Result<(), Error> {
        Ok(())
    }
}

/// What goes wrong, and when.
#[derive(Debug, Default)]
pub struct Faults {
    counts: Counts,
    planned: Mutex<Vec<(Operation, usize, Fault)>>,
    /// Faults of calls whose effect has to happen first.
    afterwards: Mutex<Vec<(Operation, Fault)>>,
}

#[async_trait]
impl Around for Faults {
    async fn before(&self, operation: Operation) -> Result<(), Error> {
        let nth = self.counts.count(operation);
        let fault = {
            let planned = self.planned.lock();
            let fault = planned
                .iter()
                .find(|plan| (plan.0, plan.1) == (operation, nth));
            fault.map(|(_, _, fault)| *fault)
        };
        match fault {
            None => {}
            Some(Fault::Refused) => return Err(ErrorKind::StoreUnavailable.into()),
            Some(Fault::HangsBefore) => std::future::pending().await,
            Some(Fault::Slow(polls)) => {
                for _ in 0..polls {
                    yield_now().await;
                }
            }
            Some(fault @ (Fault::LostReply | Fault::HangsAfter)) => {
                self.afterwards.lock().push((operation, fault));
            }
        }
        Ok(())
    }

    async fn after(&self, operation: Operation) -> Result<(), Error> {
        let fault = {
            let mut afterwards = self.afterwards.lock();
            let place = afterwards.iter().position(|(which, _)| *which == operation);
            place.map(|place| afterwards.remove(place).1)
        };
        match fault {
            Some(Fault::LostReply) => Err(ErrorKind::StoreUnavailable.into()),
            Some(Fault::HangsAfter) => std::future::pending().await,
            Some(Fault::Refused | Fault::HangsBefore | Fault::Slow(_)) | None => Ok(()),
        }
    }
}

/// Waits once before and once after.
#[derive(Clone, Copy, Debug)]
pub struct Yields;

#[async_trait]
impl Around for Yields {
    async fn before(&self, _: Operation) -> Result<(), Error> {
        yield_now().await;
        Ok(())
    }

    async fn after(&self, _: Operation) -> Result<(), Error> {
        yield_now().await;
        Ok(())
    }
}

//! A store that counts what is asked of it, fails where a test says so, and can be held up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use cloakroom::core::observe::Operation;
use cloakroom::core::record::{Changes, Condition, NewSession, Record, Rotation, Subject};
use cloakroom::core::store::{Applied, Cursor, Lookup, Page, Rotated, Stats};
use cloakroom::core::{Error, StoredKey};
use cloakroom::{ErrorKind, Handle, SessionInfo, Store};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(crate) struct Probe {
    inner: Arc<dyn Store>,
    calls: Mutex<BTreeMap<&'static str, usize>>,
    broken: Mutex<Option<(Operation, ErrorKind)>>,
    /// How many sessions were touched.
    pub(crate) touched: AtomicUsize,
    /// `apply` waits for the one permit.
    pub(crate) gate: Semaphore,
}

impl Probe {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            calls: Mutex::default(),
            broken: Mutex::default(),
            touched: AtomicUsize::new(0),
            gate: Semaphore::new(1),
        }
    }

    /// From now on `operation` fails.
    pub(crate) fn break_down(&self, operation: Operation, kind: ErrorKind) {
        *self.broken.lock() = Some((operation, kind));
    }

    /// Nothing fails any more.
    pub(crate) fn mend(&self) {
        *self.broken.lock() = None;
    }

    /// What was asked since the last time, as `"load 1, apply 1"`.
    pub(crate) fn take_calls(&self) -> String {
        let calls = std::mem::take(&mut *self.calls.lock());
        let words: Vec<_> = calls
            .iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        words.join(", ")
    }

    fn called(&self, operation: Operation) -> Result<(), Error> {
        *self.calls.lock().entry(operation.name()).or_default() += 1;
        match &*self.broken.lock() {
            Some((broken, kind)) if *broken == operation => Err(kind.clone().into()),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Probe {
    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        self.called(Operation::Create)?;
        self.inner.create(key, new).await
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        self.called(Operation::Load)?;
        self.inner.load(key).await
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        self.called(Operation::Touch)?;
        self.touched.fetch_add(keys.len(), Ordering::Relaxed);
        self.inner.touch(keys).await
    }

    async fn apply(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        self.called(Operation::Apply)?;
        let _permit = self.gate.acquire().await;
        self.inner.apply(key, changes, condition).await
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        self.called(Operation::Rotate)?;
        self.inner.rotate(old, new, rotation).await
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        self.called(Operation::Destroy)?;
        self.inner.destroy(key).await
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        self.called(Operation::OfSubject)?;
        self.inner.of_subject(subject).await
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        self.called(Operation::Revoke)?;
        self.inner.revoke(subject, handle).await
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        self.called(Operation::Revoke)?;
        self.inner.revoke_subject(subject, except).await
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        self.called(Operation::RevokeAll)?;
        self.inner.revoke_all().await
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        self.inner.scan(cursor, limit).await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.inner.stats().await
    }
}

//! Any store, watched: every operation has a deadline, is timed, and is counted by its result. When
//! the store fails, and when it is well again, the log says so.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cloakroom_core::error::{Error, ErrorKind};
use cloakroom_core::id::{Handle, KeyForm, StoredKey};
use cloakroom_core::observe::{Event, Observer, Operation};
use cloakroom_core::record::{
    Changes, Condition, NewSession, Record, Rotation, SessionInfo, Subject,
};
use cloakroom_core::store::{Applied, Cursor, Lookup, Page, Rotated, Stats, Store};

use crate::availability::{Availability, News};
use crate::open::reason;
use crate::serve::http::Metrics;

/// A store that answers in time or says that it did not.
pub(crate) struct Observed {
    store: Arc<dyn Store>,
    /// What the log calls it.
    name: String,
    deadline: Duration,
    metrics: Arc<Metrics>,
    observer: Arc<dyn Observer>,
    answers: Availability,
    has_room: Availability,
}

impl Observed {
    /// Watches `store`, which the log calls `name`.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        name: String,
        deadline: Duration,
        metrics: Arc<Metrics>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            store,
            name,
            deadline,
            metrics,
            observer,
            answers: Availability::default(),
            has_room: Availability::default(),
        }
    }

    async fn run<T>(
        &self,
        operation: Operation,
        future: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let result = match tokio::time::timeout(self.deadline, future).await {
            Ok(result) => result,
            Err(_) => Err(ErrorKind::DeadlineExceeded.into()),
        };
        let outcome = match &result {
            Ok(_) => "ok",
            Err(error) => self.failed(operation, error.kind()),
        };
        self.tell(operation, result.as_ref().err());
        self.metrics
            .store_operation(operation, outcome, began.elapsed());
        result
    }

    /// Logs what is new of the store's health: one line when it is lost, one when it is back.
    fn tell(&self, operation: Operation, error: Option<&Error>) {
        let (store, now) = (&self.name, Instant::now());
        let kind = error.map(Error::kind);
        if kind == Some(&ErrorKind::StoreFull) {
            if let Some(News::Lost | News::StillLost(..)) = self.has_room.failed(now) {
                let reason = error.map(reason);
                tracing::error!(store, reason, "the store is full: writes get 503");
            }
        } else if let (None, Operation::Create | Operation::Apply) = (kind, operation)
            && let Some(News::Back(lasted, failures)) = self.has_room.answered(now)
        {
            let seconds = lasted.as_secs();
            tracing::warn!(store, seconds, failures, "the store has room again");
        }
        let news = match error {
            Some(error) if is_outage(error.kind()) => self.answers.failed(now),
            _ => self.answers.answered(now),
        };
        let operation = operation.name();
        let reason = error.map(reason);
        match news {
            None => {}
            Some(News::Lost) => {
                self.metrics.store_up(false);
                let what = "the store is lost: requests that need it get 503";
                tracing::error!(store, operation, reason, "{what}");
            }
            Some(News::StillLost(lasted, failures)) => {
                let seconds = lasted.as_secs();
                let what = "the store is still lost";
                tracing::error!(store, seconds, failures, reason, "{what}");
            }
            Some(News::Back(lasted, failures)) => {
                self.metrics.store_up(true);
                let seconds = lasted.as_secs();
                tracing::warn!(store, seconds, failures, "the store is back");
            }
        }
    }

    /// Reports an error as the event it is, and names it for the metrics. A caller's own mistake is
    /// no failure of the store.
    fn failed(&self, operation: Operation, kind: &ErrorKind) -> &'static str {
        let (outcome, event) = match kind {
            ErrorKind::Limit { what, .. } => ("refused", Some(Event::LimitExceeded(what))),
            ErrorKind::TooManySessions { .. } => ("refused", Some(Event::LoginRefused)),
            ErrorKind::NotAnInteger { .. }
            | ErrorKind::Invalid { .. }
            | ErrorKind::Conflict
            | ErrorKind::Collision => ("refused", None),
            ErrorKind::DeadlineExceeded => (
                "deadline",
                Some(Event::StoreFailed(operation, kind.clone())),
            ),
            kind => ("failed", Some(Event::StoreFailed(operation, kind.clone()))),
        };
        if let Some(event) = event {
            self.observer.observe(&event);
        }
        outcome
    }
}

/// Whether the store failed, and not its caller.
fn is_outage(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StoreUnavailable | ErrorKind::StoreRefused | ErrorKind::DeadlineExceeded
    )
}

#[async_trait]
impl Store for Observed {
    fn key_form(&self) -> KeyForm {
        self.store.key_form()
    }

    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        self.run(Operation::Create, self.store.create(key, new))
            .await
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        self.run(Operation::Load, self.store.load(key)).await
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        self.run(Operation::Touch, self.store.touch(keys)).await
    }

    async fn apply(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        let applied = self.store.apply(key, changes, condition);
        self.run(Operation::Apply, applied).await
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        let rotated = self.store.rotate(old, new, rotation);
        self.run(Operation::Rotate, rotated).await
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        self.run(Operation::Destroy, self.store.destroy(key)).await
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        self.run(Operation::OfSubject, self.store.of_subject(subject))
            .await
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        let revoked = self.store.revoke(subject, handle);
        self.run(Operation::Revoke, revoked).await
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        let revoked = self.store.revoke_subject(subject, except);
        self.run(Operation::Revoke, revoked).await
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        self.run(Operation::RevokeAll, self.store.revoke_all())
            .await
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        self.run(Operation::Scan, self.store.scan(cursor, limit))
            .await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.run(Operation::Stats, self.store.stats()).await
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed")
            .field("store", &self.store)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

//! Any store, watched: every operation has a deadline, is timed, and is counted by its result. When
//! the store fails, and when it is well again, the log says so.

use std::error::Error as _;
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
use cloakroom_redis::{Class, Failure};

use crate::availability::{Health, News, Shown};
use crate::logs::often;
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
    health: Health,
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
            health: Health::default(),
        }
    }

    async fn run<T>(
        &self,
        operation: Operation,
        future: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.run_write(operation, future, |_| false).await
    }

    /// As [`Observed::run`]; `wrote` says whether what came of it shows that something was written.
    async fn run_write<T>(
        &self,
        operation: Operation,
        future: impl Future<Output = Result<T, Error>> + Send,
        wrote: impl Fn(&T) -> bool + Send,
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
        let shown = match &result {
            Ok(done) if wrote(done) => Shown::TakesWrites,
            Ok(_) => Shown::Answers,
            Err(error) => shown(error),
        };
        self.tell(operation, shown, result.as_ref().err());
        if let Err(error) = &result
            && class(error) == Some(Class::Foreign)
            && often::FOREIGN.has_a_line()
        {
            let (store, operation) = (&self.name, operation.name());
            tracing::warn!(
                store,
                operation,
                reason = reason(error),
                "a key of the store holds no session"
            );
        }
        self.metrics
            .store_operation(operation, outcome, began.elapsed());
        result
    }

    /// Logs what is new of the store's health: one line when something is amiss, one when it is over.
    fn tell(&self, operation: Operation, shown: Shown, error: Option<&Error>) {
        let news = self.health.shown(shown, Instant::now());
        if news == [None, None] {
            return;
        }
        self.metrics.store_up(self.health.is_well());
        let (store, operation) = (&self.name, operation.name());
        let reason = error.map(reason);
        let words = [
            [
                "the store is lost: requests that need it get 503",
                "the store is still lost",
                "the store is back",
            ],
            [
                "the store takes no writes: they get 503",
                "the store still takes no writes",
                "the store takes writes again",
            ],
        ];
        for (news, [lost, still, back]) in news.into_iter().zip(words) {
            match news {
                None => {}
                Some(News::Lost) => tracing::error!(store, operation, reason, "{lost}"),
                Some(News::StillLost(lasted, failures)) => {
                    let seconds = lasted.as_secs();
                    tracing::error!(store, seconds, failures, reason, "{still}");
                }
                Some(News::Back(lasted, failures)) => {
                    let seconds = lasted.as_secs();
                    tracing::warn!(store, seconds, failures, "{back}");
                }
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

/// What an error shows of the store. A caller's own mistake was answered.
fn shown(error: &Error) -> Shown {
    match (error.kind(), class(error)) {
        (_, Some(Class::Foreign)) => Shown::Answers,
        (ErrorKind::StoreFull, _)
        | (_, Some(Class::CannotSave | Class::ReadOnly | Class::NoReplicas)) => {
            Shown::RefusesWrites
        }
        (
            ErrorKind::StoreUnavailable | ErrorKind::StoreRefused | ErrorKind::DeadlineExceeded,
            _,
        ) => Shown::Lost,
        _ => Shown::Answers,
    }
}

fn class(error: &Error) -> Option<Class> {
    let failure = error.source().and_then(|source| source.downcast_ref());
    failure.map(Failure::class)
}

#[async_trait]
impl Store for Observed {
    fn key_form(&self) -> KeyForm {
        self.store.key_form()
    }

    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        let created = self.store.create(key, new);
        self.run_write(Operation::Create, created, |_| true).await
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
        let wrote = |applied: &Applied| matches!(applied, Applied::Done { .. });
        self.run_write(Operation::Apply, applied, wrote).await
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        let rotated = self.store.rotate(old, new, rotation);
        let wrote = |rotated: &Rotated| matches!(rotated, Rotated::Done(_));
        self.run_write(Operation::Rotate, rotated, wrote).await
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

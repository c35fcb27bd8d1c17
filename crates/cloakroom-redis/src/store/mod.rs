//! The store: which steps each operation of the contract takes, in which order.

mod carry;
mod list;
mod load;
mod moves;
mod open;
mod refused;
mod revoke_all;
mod rights;
mod rotate;
mod scan;
mod sweep;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cloakroom_core::id::{Handle, KeyForm, SlotTag, StoredKey};
use cloakroom_core::record::{Changes, Condition, NewSession, Rotation, SessionInfo, Subject};
use cloakroom_core::store::{Absence, Applied, Cursor, Lookup, Page, Rotated, Stats, Store};
use cloakroom_core::{Error, Record, UnixMillis};

use crate::failure::{Class, Failure};
use crate::layout::Present;
use crate::route::Route;
use crate::settings::LayoutName;
use crate::steps::{Steps, Tried};
use crate::turns::Turns;
use crate::wire::Shared;
use moves::Moves;

/// What an operation came to that was begun at once.
enum AtOnce<T, S> {
    /// It is done.
    Done(Result<T, Error>),
    /// More has to be done; this was seen.
    Seen(S),
    /// It was not begun, or nothing came of it.
    Not,
}

/// What is under a key, and the server's time.
type Seen = (Present, UnixMillis);

/// Sessions in Redis or Valkey.
///
/// Cheap to share by `Arc`. It opens its connections on the tokio runtime that first uses them.
#[derive(Debug)]
pub struct RedisStore {
    route: Arc<dyn Route>,
    steps: Arc<dyn Steps>,
    layout: LayoutName,
    shared: Arc<Shared>,
    turns: Arc<Turns>,
    moves: Arc<Moves>,
    deadline: Duration,
}

impl RedisStore {
    /// The same store, for a task that may outlive its caller.
    fn another(&self) -> Self {
        Self {
            route: Arc::clone(&self.route),
            steps: Arc::clone(&self.steps),
            layout: self.layout,
            shared: Arc::clone(&self.shared),
            turns: Arc::clone(&self.turns),
            moves: Arc::clone(&self.moves),
            deadline: self.deadline,
        }
    }

    /// Runs an operation on a session that is not moving, within the deadline.
    async fn at_rest<T>(
        &self,
        key: &StoredKey,
        operation: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.within(async {
            self.moves.of(key).await;
            operation.await
        })
        .await
    }

    /// As [`RedisStore::load`], whatever has to be waited for; `first` is what was seen already.
    async fn load_surely(
        &self,
        key: &StoredKey,
        first: Option<Seen>,
        since: Instant,
    ) -> Result<Lookup, Error> {
        if first.is_some() {
            return self.until(since, self.load_one(key, first)).await;
        }
        let missed = |lookup: &Lookup| matches!(lookup, Lookup::Absent(Absence::Unknown));
        let load = async {
            self.moves.of(key).await;
            let load = || self.load_one(key, None);
            self.following(key, load, missed).await
        };
        self.until(since, load).await
    }

    /// As [`RedisStore::apply`], whatever has to be waited for; `first` is what was tried already.
    async fn apply_surely(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
        first: Option<Tried>,
        since: Instant,
    ) -> Result<Applied, Error> {
        if first.is_some() {
            let apply = self.apply_one(key, changes, condition, first);
            return self.until(since, apply).await;
        }
        let missed = |applied: &Applied| matches!(applied, Applied::Absent(Absence::Unknown));
        let apply = async {
            self.moves.of(key).await;
            let apply = || self.apply_one(key, changes, condition, None);
            self.following(key, apply, missed).await
        };
        self.until(since, apply).await
    }

    /// Runs an operation on the sessions of a subject, none of which is moving, within the deadline.
    async fn all_at_rest<T>(
        &self,
        subject: &Subject,
        operation: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.within(async {
            self.moves.in_tag(SlotTag::of_subject(subject)).await;
            operation.await
        })
        .await
    }

    /// Runs an operation within the deadline.
    async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.until(Instant::now(), operation).await
    }

    /// Runs the rest of an operation that began at `since` within the deadline.
    async fn until<T>(
        &self,
        since: Instant,
        operation: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        match tokio::time::timeout_at((since + self.deadline).into(), operation).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(Class::Timeout, "the operation took too long").into()),
        }
    }
}

#[async_trait]
impl Store for RedisStore {
    fn key_form(&self) -> KeyForm {
        match self.layout {
            LayoutName::Packed | LayoutName::Fields => KeyForm::Hashed,
            LayoutName::Plain => KeyForm::Plain,
        }
    }

    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        let create = || self.create_one(key, new);
        match &new.subject {
            Some(subject) => self.within(self.following_all(subject, create)).await,
            None => self.within(create()).await,
        }
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        let since = Instant::now();
        let first = match self.load_at_once(key, since).await {
            AtOnce::Done(done) => return done,
            AtOnce::Seen(first) => Some(first),
            AtOnce::Not => None,
        };
        Box::pin(self.load_surely(key, first, since)).await
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        self.within(self.touch_all(keys)).await
    }

    async fn apply(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        let since = Instant::now();
        let first = match self.apply_at_once(key, changes, condition, since).await {
            AtOnce::Done(done) => return done,
            AtOnce::Seen(first) => Some(first),
            AtOnce::Not => None,
        };
        Box::pin(self.apply_surely(key, changes, condition, first, since)).await
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        if self.route.is_one_node() {
            return self.within(self.rotate_one(old, new, rotation)).await;
        }
        let rotate = async || {
            // What is left of it at an old owner must not be carried once this id is over.
            self.carry(old).await?;
            self.rotate_apart(old, new, rotation).await
        };
        let missed = |rotated: &Rotated| matches!(rotated, Rotated::Absent(Absence::Unknown));
        let follow = || self.following(old, rotate, missed);
        match &rotation.login {
            // Their number may be limited, so all must be where they are counted.
            Some(login) => {
                let follow = self.following_all(&login.subject, follow);
                self.at_rest(old, follow).await
            }
            None => self.at_rest(old, follow()).await,
        }
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        let destroy = async || {
            // What is left of it at an old owner must not be carried once it is over.
            self.carry(key).await?;
            self.destroy_one(key).await
        };
        let missed = |found: &bool| !found;
        self.at_rest(key, self.following(key, destroy, missed))
            .await
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        let list = self.following_all(subject, || self.list(subject));
        self.all_at_rest(subject, list).await
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        let revoke = self.following_all(subject, || self.revoke_one(subject, handle));
        self.all_at_rest(subject, revoke).await
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        let revoke = self.following_all(subject, || self.revoke_many(subject, except));
        self.all_at_rest(subject, revoke).await
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        self.revoke_everything().await?;
        self.sweep().await
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        self.within(self.scan_page(cursor, limit)).await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.within(self.numbers()).await
    }
}

//! The store: which steps each operation of the contract takes, in which order.

mod list;
mod load;
mod open;
mod revoke_all;
mod scan;
mod write;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloakroom_core::id::{Handle, StoredKey};
use cloakroom_core::record::{Changes, Condition, NewSession, Rotation, SessionInfo, Subject};
use cloakroom_core::store::{Applied, Cursor, Lookup, Page, Rotated, Stats, Store};
use cloakroom_core::{Error, Record};

use crate::failure::{Class, Failure};
use crate::route::Route;
use crate::settings::LayoutName;
use crate::steps::Steps;
use crate::turns::Turns;
use crate::wire::Shared;

/// Sessions in Redis or Valkey.
///
/// Cheap to share by `Arc`. It opens its connections on the tokio runtime that first uses them.
#[derive(Debug)]
pub struct RedisStore {
    route: Arc<dyn Route>,
    steps: Box<dyn Steps>,
    layout: LayoutName,
    shared: Arc<Shared>,
    turns: Turns,
    deadline: Duration,
}

impl RedisStore {
    /// Runs an operation within the deadline.
    async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.deadline, operation).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(Class::Timeout, "the operation took too long").into()),
        }
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        self.within(self.create_one(key, new)).await
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        self.within(self.load_one(key)).await
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
        self.within(self.apply_one(key, changes, condition)).await
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        self.within(self.rotate_one(old, new, rotation)).await
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        self.within(self.destroy_one(key)).await
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        self.within(self.list(subject)).await
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        self.within(self.revoke_one(subject, handle)).await
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        self.within(self.revoke_many(subject, except)).await
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        self.revoke_everything().await
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        self.within(self.scan_page(cursor, limit)).await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.within(self.numbers()).await
    }
}

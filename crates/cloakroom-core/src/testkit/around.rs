//! A store around another one: the same operations, with something before and after each. What that
//! is, makes the difference: counting, failing, waiting.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Error;
use crate::id::{Handle, KeyForm, StoredKey};
use crate::observe::Operation;
use crate::record::{Changes, Condition, NewSession, Record, Rotation, SessionInfo, Subject};
use crate::store::{Applied, Cursor, Lookup, Page, Rotated, Stats, Store};

/// What happens around each operation of a store.
#[async_trait]
pub trait Around: Send + Sync + fmt::Debug + 'static {
    /// Before the store is asked. An error means that it is not asked at all.
    ///
    /// # Errors
    /// Whatever the caller shall get in place of an answer.
    async fn before(&self, operation: Operation) -> Result<(), Error>;

    /// After the store has answered. An error takes the answer's place: the effect stays.
    ///
    /// # Errors
    /// Whatever the caller shall get in place of the answer.
    async fn after(&self, operation: Operation) -> Result<(), Error>;
}

/// A store with `A` around each operation.
#[derive(Debug)]
pub struct Wrapped<A> {
    around: A,
    inner: Arc<dyn Store>,
}

impl<A: Around> Wrapped<A> {
    /// `inner` with `around` around it.
    pub fn new(inner: Arc<dyn Store>, around: A) -> Arc<Self> {
        Arc::new(Self { around, inner })
    }

    /// What is around the store.
    pub const fn around(&self) -> &A {
        &self.around
    }
}

/// One operation with something around it.
macro_rules! wrap {
    ($self:ident, $operation:ident, $call:expr) => {{
        $self.around.before(Operation::$operation).await?;
        let answer = $call.await;
        $self.around.after(Operation::$operation).await?;
        answer
    }};
}

#[async_trait]
impl<A: Around> Store for Wrapped<A> {
    fn key_form(&self) -> KeyForm {
        self.inner.key_form()
    }

    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        wrap!(self, Create, self.inner.create(key, new))
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        wrap!(self, Load, self.inner.load(key))
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        wrap!(self, Touch, self.inner.touch(keys))
    }

    async fn apply(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        wrap!(self, Apply, self.inner.apply(key, changes, condition))
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        wrap!(self, Rotate, self.inner.rotate(old, new, rotation))
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        wrap!(self, Destroy, self.inner.destroy(key))
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        wrap!(self, OfSubject, self.inner.of_subject(subject))
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        wrap!(self, Revoke, self.inner.revoke(subject, handle))
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        wrap!(self, Revoke, self.inner.revoke_subject(subject, except))
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        wrap!(self, RevokeAll, self.inner.revoke_all())
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        wrap!(self, Scan, self.inner.scan(cursor, limit))
    }

    async fn stats(&self) -> Result<Stats, Error> {
        wrap!(self, Stats, self.inner.stats())
    }
}

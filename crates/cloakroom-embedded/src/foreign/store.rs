//! A store with the sessions of other frameworks beside its own, so that whoever lists or revokes sees
//! all there are.

use std::sync::Arc;

use async_trait::async_trait;
use cloakroom_core::record::{
    Changes, Condition, NewSession, Record, Rotation, SessionInfo, Subject,
};
use cloakroom_core::store::{Applied, Cursor, Lookup, Page, Rotated, Stats, Store};
use cloakroom_core::{Error, Handle, KeyForm, StoredKey, limits};

use super::{Foreign, Found};
use crate::engine::{DATABASES, Db, Engine};
use crate::store::EmbeddedStore;

/// The embedded store and, beside its sessions, those of other frameworks in its engine. They can be listed and
/// revoked; they are read and written by their clients alone.
#[derive(Debug)]
pub struct WithForeign {
    own: EmbeddedStore,
    engine: Engine,
    foreign: Arc<Foreign>,
}

/// A cursor of theirs: this bit, the keyspace, the engine's own cursor.
const THEIRS: u64 = 1 << 63;
const DB_AT: u32 = 58;

impl WithForeign {
    /// Both together.
    #[must_use]
    pub fn new(own: EmbeddedStore, foreign: Arc<Foreign>) -> Self {
        Self {
            engine: own.engine(),
            own,
            foreign,
        }
    }

    /// Whoever keeps theirs.
    #[must_use]
    pub fn keeper(&self) -> Arc<Foreign> {
        Arc::clone(&self.foreign)
    }

    /// As [`Foreign::knows_cookie`].
    #[must_use]
    pub fn knows_cookie(&self, name: &str) -> bool {
        self.foreign.knows_cookie(name)
    }

    /// As [`Foreign::of_cookie`].
    #[must_use]
    pub fn of_cookie(&self, name: &str, value: &str) -> Option<Found> {
        self.foreign.of_cookie(&self.engine, name, value)
    }

    fn theirs(&self, cursor: u64, limit: usize) -> Page {
        let db = ((cursor & !THEIRS) >> DB_AT) as Db;
        let inner = cursor & ((1 << DB_AT) - 1);
        let (sessions, next) = self.foreign.page(&self.engine, db, inner, limit);
        let next = match next {
            0 => self.theirs_from(db + 1),
            next => Some(theirs_at(db, next)),
        };
        Page { sessions, next }
    }

    /// Where theirs begin in the first keyspace from this one on that has any.
    fn theirs_from(&self, db: Db) -> Option<Cursor> {
        let mut dbs = db..DATABASES;
        let with_some = self
            .engine
            .with_all(|tx| dbs.find(|db| tx.count_marked(*db) > 0));
        with_some.map(|db| theirs_at(db, 0))
    }
}

#[async_trait]
impl Store for WithForeign {
    fn key_form(&self) -> KeyForm {
        self.own.key_form()
    }

    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        self.own.create(key, new).await
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        self.own.load(key).await
    }

    fn load_at_once(&self, key: &StoredKey) -> Option<Lookup> {
        self.own.load_at_once(key)
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        self.own.touch(keys).await
    }

    async fn apply(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        self.own.apply(key, changes, condition).await
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        self.own.rotate(old, new, rotation).await
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        self.own.destroy(key).await
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        let mut sessions = self.own.of_subject(subject).await?;
        sessions.extend(self.foreign.of_subject(&self.engine, subject));
        let since = |info: &SessionInfo| info.times.authenticated_at;
        sessions.sort_by_key(|info| std::cmp::Reverse(since(info)));
        Ok(sessions)
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        if self.foreign.revoke(&self.engine, subject, handle) {
            // As any end: nobody is told of it before a crash could not undo it.
            self.own.0.synced().await?;
            return Ok(true);
        }
        self.own.revoke(subject, handle).await
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        let theirs = self.foreign.revoke_subject(&self.engine, subject, except);
        Ok(theirs + self.own.revoke_subject(subject, except).await?)
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        self.foreign.revoke_all(&self.engine);
        self.own.revoke_all().await
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        if cursor.0 & THEIRS != 0 {
            return Ok(self.theirs(cursor.0, limit.min(limits::SCAN_PAGE)));
        }
        let mut page = self.own.scan(cursor, limit).await?;
        if page.next.is_some() {
            return Ok(page);
        }
        page.next = self.theirs_from(0);
        let room = limit.saturating_sub(page.sessions.len());
        if let Some(first) = page.next.filter(|_| room > 0) {
            let theirs = self.theirs(first.0, room);
            page.sessions.extend(theirs.sessions);
            page.next = theirs.next;
        }
        Ok(page)
    }

    async fn stats(&self) -> Result<Stats, Error> {
        let mut stats = self.own.stats().await?;
        stats.of_frameworks = self.engine.count_marked() as u64;
        stats.sessions += stats.of_frameworks;
        Ok(stats)
    }
}

fn theirs_at(db: Db, inner: u64) -> Cursor {
    Cursor(THEIRS | u64::from(db) << DB_AT | inner)
}

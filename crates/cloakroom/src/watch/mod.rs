//! Sessions on connections that outlive their request: a web socket, a stream of events. Who was
//! let in when the connection was made must be let out when the session ends, so somebody has to
//! look again: one task for all watched sessions of an application, which asks the store about all
//! of them together. It asks with `Store::load`, so every store can be watched.

mod rounds;

use std::fmt;
use std::sync::Arc;

use cloakroom_core::record::Subject;
use cloakroom_core::{Error, ErrorKind, Handle};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::SessionConfig;
use crate::session::Session;

use rounds::Watch;
pub(crate) use rounds::Watches;

/// A session on a connection that outlives its request, made by [`Session::watch`]. Clones are the
/// same one.
///
/// ```
/// use cloakroom::{Result, Session, WatchedSession};
/// # async fn next_move() -> Option<i64> { None }
///
/// /// What a handler does before it upgrades the connection: a 401 is still possible here.
/// async fn join(session: Session) -> Result<WatchedSession> {
///     session.watch().await
/// }
///
/// /// What the task of the connection does.
/// async fn play(session: WatchedSession) -> Result<()> {
///     loop {
///         tokio::select! {
///             _ = session.ended() => return Ok(()),
///             steps = next_move() => match steps {
///                 Some(steps) => session.increment("steps", steps).await?,
///                 None => return Ok(()),
///             },
///         };
///     }
/// }
/// # let _ = (join, play);
/// ```
///
/// Each of its operations acts on what the store has at that moment, in one trip. It has none that
/// gives the session a new id, because no response is left that could tell the browser.
#[derive(Clone)]
pub struct WatchedSession {
    config: SessionConfig,
    watch: Arc<Watch>,
}

/// Why a connection has to end with its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// There is no session any more under the id that the connection was made with: logged out,
    /// revoked, expired, or signed in anew. A browser that has a newer id may connect again.
    Gone,
    /// Nobody can say: the store has not answered for
    /// [`limits::WATCH_BLIND`](crate::limits::WATCH_BLIND), or the runtime of the task that asks has
    /// ended.
    Unknown,
}

impl Session {
    /// Watches the session for a connection that outlives this request. Saves first what was set,
    /// so that the connection sees it.
    ///
    /// # Errors
    /// [`ErrorKind::SessionEnded`] if there is no session; [`ErrorKind::Limit`] above
    /// [`limits::WATCHED`](crate::limits::WATCHED); as `save`. Outside a tokio runtime
    /// [`ErrorKind::Invalid`].
    pub async fn watch(&self) -> crate::Result<WatchedSession> {
        self.save().await?;
        let (Some(key), Some(handle)) = (self.key().await?, self.handle().await?) else {
            return Err(Error::new(ErrorKind::SessionEnded).into());
        };
        let who = (handle, self.subject().await?);
        let config = self.config().clone();
        let parts = config.parts();
        let watch = parts
            .watches
            .add(key, who, &parts.sessions, parts.watch_interval)?;
        Ok(WatchedSession { config, watch })
    }
}

impl WatchedSession {
    /// Waits until the connection has to end. May be asked again, and dropped, at any time.
    ///
    /// The store is asked once per [`SessionConfig::watch_interval`]. A plain rotation ends nothing
    /// as long as the old id leads to the new one ([`SessionConfig::rotation_grace`]); after that
    /// the connection ends, and the browser, which has the newer id, may connect again.
    pub async fn ended(&self) -> End {
        self.watch.ended().await
    }

    /// The session's public name. May be logged and shown.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.watch.who.0
    }

    /// Who was signed in when the connection was made; a login ends it.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.watch.who.1.as_ref()
    }

    /// The visitor did something: the idle limit slides. Off the path, and only when due, so it may
    /// be called for every message. Reading and waiting are no activity; neither is a ping, which
    /// browsers answer without anybody there. Writes count by themselves.
    pub fn touch(&self) {
        if self.watch.take_touch() {
            let parts = self.config.parts();
            parts.touches.push(self.watch.key, &parts.sessions);
        }
    }

    /// The value of the field `name`, as the store has it now.
    ///
    /// # Errors
    /// [`ErrorKind::SessionEnded`]; as [`cloakroom_core::Session::get`].
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let session = self.reopen();
        let value = session.get(name).await;
        self.unless_ended(&session, value)
    }

    /// The field `name` gets `value`, now.
    ///
    /// # Errors
    /// [`ErrorKind::SessionEnded`]; as [`cloakroom_core::Session::set`].
    pub async fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Error> {
        let session = self.reopen();
        session.set(name, value)?;
        let saved = session.save().await;
        self.unless_ended(&session, saved)
    }

    /// Adds `by` to the integer in the field `name`, and returns the sum.
    ///
    /// # Errors
    /// As [`cloakroom_core::Session::increment`].
    pub async fn increment(&self, name: &str, by: i64) -> Result<i64, Error> {
        let session = self.reopen();
        let sum = session.increment(name, by).await;
        self.unless_ended(&session, sum)
    }

    /// Replaces the value of the field `name` by what `change` makes of it, provided that nobody
    /// changed it in between; else `change` is asked again.
    ///
    /// # Errors
    /// As [`cloakroom_core::Session::update`].
    pub async fn update<T, F>(&self, name: &str, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> T,
    {
        let session = self.reopen();
        let stored = session.update(name, change).await;
        self.unless_ended(&session, stored)
    }

    /// Ends the session: on all its connections, and for all requests.
    ///
    /// # Errors
    /// The store's errors; the session may then be alive.
    pub async fn logout(&self) -> Result<(), Error> {
        self.reopen().logout().await?;
        self.watch.tell(End::Gone);
        Ok(())
    }

    fn reopen(&self) -> cloakroom_core::Session {
        self.config.parts().sessions.reopen(self.watch.key)
    }

    /// An operation that found the session ended tells all connections of it at once.
    fn unless_ended<T>(
        &self,
        session: &cloakroom_core::Session,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        if session.has_ended() {
            self.watch.tell(End::Gone);
            return Err(ErrorKind::SessionEnded.into());
        }
        result
    }
}

impl fmt::Debug for WatchedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchedSession({})", self.handle())
    }
}

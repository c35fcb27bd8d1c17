//! The session as an application holds it during one request.
//!
//! Opening one costs nothing. The first read loads it, in one trip. [`Session::set`] and
//! [`Session::remove`] gather; they are written together, in one trip, before the first byte of the
//! response. Everything that has an answer - login, logout, rotation, increment, compare-and-set -
//! happens when it is awaited. What the browser is told of the id follows what the store
//! acknowledged ([`Cookie`]).

mod detached;
mod fields;
mod identity;
mod sessions;
mod state;
mod write;

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

pub use detached::{BoxFuture, Spawn};
pub use identity::LoginOptions;
pub use sessions::Sessions;
pub use state::Cookie;

use crate::error::{Error, ErrorKind};
use crate::id::StoredKey;
use crate::observe::{Event, Operation};
use crate::store::{Absence, Lookup};
use sessions::Config;
use state::{Known, State, Ticket};

/// A visitor's session. Clones are the same session.
///
/// Its operations on the store run one after another, however many clones wait for them.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    config: Sessions,
    state: Mutex<State>,
    /// Held during operations on the store, so that clones do not load or create twice.
    gate: async_lock::Mutex<()>,
}

/// How a request ended for its session: what a middleware needs to finish the response.
#[derive(Debug)]
pub struct Outcome {
    /// What the browser has to be told.
    pub cookie: Cookie,
    /// Whether the response depends on the session (`Vary: Cookie`).
    pub accessed: bool,
    /// Activity to be recorded, off the request's path.
    pub touch: Option<StoredKey>,
    /// Whether everything that was set is stored. If not, the response must not claim it.
    pub saved: Result<(), Error>,
}

impl Session {
    /// Writes what is still to be written and closes the handle. To be called once, by whoever
    /// opened the session, before the first byte of the response.
    pub async fn finish(&self) -> Outcome {
        loop {
            let saved = self.save().await;
            // Clones may be waiting for the store: what it answers them is part of the response.
            let _gate = self.0.gate.lock().await;
            let mut state = self.lock();
            if saved.is_err() || !state.is_unsaved() {
                return state.close(saved);
            }
            // A clone has set something since; it was told that this would be written.
        }
    }

    /// [`Session::finish`] without waiting, if nothing is left to be written or answered: then a middleware
    /// needs no future for it. `None`: nothing was done, and [`Session::finish`] has to be awaited.
    #[must_use]
    pub fn finish_now(&self) -> Option<Outcome> {
        let mut state = self.lock();
        state.is_settled().then(|| state.close(Ok(())))
    }

    /// Whether the handle was not used at all, so that there is nothing to finish.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        !self.lock().accessed
    }

    /// What the store knows the session by, if it exists: it opens nothing. For
    /// [`Sessions::reopen`]. Save first what is to be saved: a rotation gives another key.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn key(&self) -> Result<Option<StoredKey>, Error> {
        self.load().await?;
        let state = self.lock();
        Ok(state.was_alive().then(|| state.key()).flatten())
    }

    /// Whether the store has told this handle that the session is no more. Asks nobody.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.lock().ticket, Ticket::Gone(_))
    }

    fn config(&self) -> &Config {
        &self.0.config.0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    fn observe(&self, event: &Event) {
        self.config().observer.observe(event);
    }

    /// Reports a failure of the store, and passes the result on.
    fn noting<T>(&self, operation: Operation, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            match error.kind() {
                ErrorKind::Limit { what, .. } => self.observe(&Event::LimitExceeded(what)),
                ErrorKind::TooManySessions { .. } => self.observe(&Event::LoginRefused),
                ErrorKind::Collision | ErrorKind::NotAnInteger { .. } => {}
                kind => self.observe(&Event::StoreFailed(operation, kind.clone())),
            }
        }
        result
    }

    /// Looks for the presented session, unless that was done.
    async fn load(&self) -> Result<(), Error> {
        {
            let mut state = self.lock();
            state.accessed = true;
            if !state.is_unread() {
                return Ok(());
            }
        }
        let _gate = self.0.gate.lock().await;
        // A clone may have been faster. The key is a hash: it is made once, here.
        let Some(key) = self.lock().unread() else {
            return Ok(());
        };
        self.reload(key).await
    }

    /// Reads the session anew. The gate is held.
    async fn reload(&self, key: StoredKey) -> Result<(), Error> {
        let store = &self.config().store;
        let lookup = match store.load_at_once(&key) {
            Some(lookup) => Ok(lookup),
            None => store.load(&key).await,
        };
        match self.noting(Operation::Load, lookup)? {
            Lookup::Found(loaded) => {
                let mut state = self.lock();
                if loaded.touch_due && !loaded.forwarded {
                    state.touch = Some(key);
                }
                state.ticket = Ticket::Live(key, Known::told(loaded.record));
            }
            // It was there a moment ago: it ended meanwhile, and nothing begins in its place.
            Lookup::Absent(_) if self.lock().was_alive() => self.note_absence(Absence::Ended),
            Lookup::Absent(absence) => self.note_absence(absence),
        }
        Ok(())
    }

    /// The presented id leads nowhere. Only an unknown one is cleared: if the session ended a
    /// moment ago, another response tells the browser, and may have told it a newer id.
    fn note_absence(&self, absence: Absence) {
        let mut state = self.lock();
        state.ticket = Ticket::Gone(absence);
        state.touch = None;
        match absence {
            Absence::Unknown => {
                state.cookie = Cookie::Clear;
                drop(state);
                self.observe(&Event::UnknownId);
            }
            Absence::Ended => {
                // An id that this request got meanwhile is as dead as the rest.
                state.cookie = Cookie::Keep;
                drop(state);
                self.observe(&Event::UseAfterEnd);
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lock().record() {
            Some(record) => write!(f, "Session({})", record.handle),
            None => f.write_str("Session"),
        }
    }
}

//! THE contract between sessions and whatever keeps them. What is said here in words,
//! [`crate::testkit`] says in code; a store is right when it passes the kit.
//!
//! # What every store promises
//!
//! 1. **No lost update.** [`Store::apply`] and [`Store::rotate`] carry changes of fields. Two that
//!    change different fields both take effect, whatever the store's own layout is. They are
//!    atomic: all of their changes, or none.
//! 2. **No zombie.** [`Store::create`] happens only if the key is absent, every other write only if
//!    the session is present and alive. Once a destroy, a revocation or an expiry was acknowledged,
//!    no operation, late or repeated, brings the session back.
//! 3. **Acknowledged is stored**, at the durability that the store is configured for. A rotation
//!    never deletes before it has written.
//! 4. **Expiry is decided on reading**, by the store's clock, with [`expiry::decide`]. An expired
//!    session is absent for every operation, swept or not. No operation extends the absolute limit;
//!    a login restarts it.
//! 5. **Ended is not unknown.** For [`limits::TOMBSTONE`] after a destroy, a revocation of one
//!    session, or a rotation without a forward, the old key answers [`Absence::Ended`], so that a
//!    late response does not touch the browser's cookie. [`Store::revoke_all`] and expiry need not.
//! 6. **Cancellation is safe.** Dropping a future of this trait at any point leaves the store as if
//!    the call had happened, or had not; never in between.
//!
//! Missing is not an error: errors say that the store could not do its work.
//!
//! [`expiry::decide`]: crate::expiry::decide
//! [`limits::TOMBSTONE`]: crate::limits::TOMBSTONE

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::Error;
use crate::id::{Handle, KeyForm, StoredKey};
use crate::record::{Changes, Condition, NewSession, Record, Rotation, SessionInfo, Subject};

/// Keeps sessions. See the [module](self) for the contract.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// What this store wants to know of an id; all keys that it is given are made so. Only a store
    /// that shares its sessions with other programs wants more than the hash. A store around another
    /// one answers as that one does.
    fn key_form(&self) -> KeyForm {
        KeyForm::Hashed
    }

    /// Creates a session, only if `key` is absent; enforces `new.max_sessions` in the same step.
    /// Returns the record as it was stored, with the store's times in it.
    ///
    /// # Errors
    /// `Collision` if the key is taken, alive or ended; `TooManySessions`; `Invalid` if the session
    /// has a subject and the key another tag; limits.
    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error>;

    /// Reads a session and what is left of its life, in one trip. Follows a superseded key to its
    /// successor while it forwards.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error>;

    /// What [`Store::load`] would answer, if the store knows it without waiting for anything; else `None`,
    /// and `load` is to be asked. Every request reads its session, so a store in this process saves it the
    /// allocation of a future; others leave this as it is.
    fn load_at_once(&self, key: &StoredKey) -> Option<Lookup> {
        let _ = key;
        None
    }

    /// Records activity in these sessions, where alive, and returns how many were. At most
    /// [`limits::TOUCH_BATCH`](crate::limits::TOUCH_BATCH) keys.
    ///
    /// # Errors
    /// If the store cannot do it; some may then be touched.
    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error>;

    /// Changes fields of a session, only if it is present and `condition` holds. Counts as
    /// activity.
    ///
    /// # Errors
    /// Limits, increments of what is no integer; then nothing changed.
    async fn apply(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error>;

    /// Moves a session to a new key, atomically, with changes and perhaps a login. After a login
    /// the old key is dead; else it forwards to `new` for `rotation.grace`. Enforces
    /// `login.max_sessions` in the same step.
    ///
    /// If `old` was itself superseded and still forwards: a login moves the successor (the visitor
    /// signs in with the data they have), anything else does nothing and answers
    /// [`Absence::Ended`] (the session has just got a new id).
    ///
    /// # Errors
    /// As [`Store::create`] and [`Store::apply`]; then nothing changed.
    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error>;

    /// Ends a session. Returns whether it was alive. A superseded key that still forwards ends its
    /// successor: it is the same session.
    ///
    /// # Errors
    /// If the store cannot do it; the session may then be alive.
    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error>;

    /// The sessions of a subject that are alive, the last signed in first.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error>;

    /// Ends the session `handle` of `subject`. Returns whether it was alive; a handle of another
    /// subject is as unknown as any.
    ///
    /// # Errors
    /// If the store cannot do it.
    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error>;

    /// Ends all sessions of a subject, in one step, but for the one named `except`. Returns how
    /// many were alive.
    ///
    /// # Errors
    /// If the store cannot do it.
    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error>;

    /// Ends all sessions that exist, in constant time.
    ///
    /// # Errors
    /// If the store cannot do it.
    async fn revoke_all(&self) -> Result<(), Error>;

    /// A page of all sessions, for tools: at most `limit` (and [`limits::SCAN_PAGE`]) of them. A
    /// session that is there under one key during the whole scan is seen at least once; one that
    /// rotates meanwhile may be missed, or seen twice.
    ///
    /// [`limits::SCAN_PAGE`]: crate::limits::SCAN_PAGE
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error>;

    /// Numbers about the store.
    ///
    /// # Errors
    /// If the store cannot answer.
    async fn stats(&self) -> Result<Stats, Error>;
}

/// What [`Store::load`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The session.
    Found(Loaded),
    /// No session.
    Absent(Absence),
}

/// A session as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The session.
    pub record: Record,
    /// What is left of its life if nothing more happens.
    pub remaining: Duration,
    /// Whether this read is activity that should be recorded by [`Store::touch`].
    pub touch_due: bool,
    /// Whether the key was superseded and led here: the visitor has, or is about to get, a newer
    /// id.
    pub forwarded: bool,
}

/// Why there is no session under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// There was none, as far as the store remembers.
    Unknown,
    /// It ended, or moved on, a moment ago. Whoever did that has told the browser.
    Ended,
}

/// What [`Store::apply`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The changes are made.
    Done {
        /// The record's version now.
        version: u64,
        /// What each increment made of its field, in the order of the changes.
        increments: Vec<i64>,
    },
    /// The condition does not hold; nothing changed.
    Conflict {
        /// The record's version.
        version: u64,
    },
    /// No session; nothing was created.
    Absent(Absence),
}

/// What [`Store::rotate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The session lives under the new key.
    Done(Box<Record>),
    /// No session under the old key; nothing was created.
    Absent(Absence),
}

/// Where a [`Store::scan`] goes on. Starts with `Cursor::default()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor(
    /// A number that only the store understands; 0 is the start.
    pub u64,
);

/// One page of [`Store::scan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Sessions, in no order.
    pub sessions: Vec<SessionInfo>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// Numbers about a store. Counters count from the store's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions kept now; expired ones that are not swept yet may be among them.
    pub sessions: u64,
    /// Those of them that other frameworks keep here, where a store has such. One that ended and that its framework
    /// still reads for a while is among them.
    pub of_frameworks: u64,
    /// Bytes of memory or storage that the sessions take.
    pub bytes: u64,
    /// The limit of `bytes`, if there is one.
    pub bytes_limit: Option<u64>,
    /// Sessions that reached a limit and were removed.
    pub expired: u64,
    /// Sessions that were removed to make room.
    pub evicted: u64,
}

//! Sessions of other frameworks: keys that a layout recognises, held to what a session promises,
//! whatever their clients do.
//!
//! - One that ended is not written back by a request that was on its way: such a write is answered as if
//!   it had happened, and dropped, for [`limits::TOMBSTONE`].
//! - It has a deadline always, and never one beyond its absolute limit.
//! - Whom it belongs to is read from it when it is written, so a subject's sessions can be listed and
//!   revoked.
//!
//! What has to be known for that is a [`head`]: the mark of the session's key, in the same entry, so that
//! nothing of it can leak. When the session goes it stands as a tombstone for a while, in a keyspace
//! that has no number for people, in the same shard.
//!
//! Every write of a key has to come by here; of other keys it is one look at their first bytes.

mod head;
mod list;
mod seal;
mod start;
mod store;
mod usual;
mod write;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::layout::{Layout, Layouts, Tombstones};
use cloakroom_core::observe::{Observer, Unobserved};
use cloakroom_core::{Error, ErrorKind, Event, Lifetimes, OsEntropy, UnixMillis, limits};

use self::head::Head;
use self::seal::{Of, Sealer};
use crate::engine::{Db, KeyError, Tx};

pub use list::Found;
pub use seal::SealKeys;
pub use start::TakenUp;
pub use store::WithForeign;
pub use usual::Text;
pub use write::Written;

/// How sessions of other frameworks are held.
#[derive(Clone, Debug)]
pub struct ForeignConfig {
    layouts: Layouts,
    absolute: Duration,
    idle: Option<Duration>,
    unstated: Duration,
    keys: Option<SealKeys>,
    observer: Arc<dyn Observer>,
}

impl Default for ForeignConfig {
    /// All layouts, 14 days at most, a day for what is written without a deadline.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            layouts: Layouts::standard(),
            absolute: 14 * DAY,
            idle: None,
            unstated: DAY,
            keys: None,
            observer: Arc::new(Unobserved),
        }
    }
}

impl ForeignConfig {
    /// Which keys are sessions.
    #[must_use]
    pub fn layouts(mut self, layouts: Layouts) -> Self {
        self.layouts = layouts;
        self
    }

    /// How long a session lives at most, counted from its first write.
    #[must_use]
    pub const fn absolute(mut self, absolute: Duration) -> Self {
        self.absolute = absolute;
        self
    }

    /// How far ahead of now a deadline may be at most; `None`: as the client says.
    #[must_use]
    pub const fn idle(mut self, idle: Option<Duration>) -> Self {
        self.idle = idle;
        self
    }

    /// How long a session lives that is written without a deadline.
    #[must_use]
    pub const fn unstated(mut self, unstated: Duration) -> Self {
        self.unstated = unstated;
        self
    }

    /// The keys that seal values, where a layout asks for it ([`Layouts::at_rest`]).
    #[must_use]
    pub fn seal_keys(mut self, keys: Option<SealKeys>) -> Self {
        self.keys = keys;
        self
    }

    /// Who is told of what happens to them.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }
}

/// The keeper of other frameworks' sessions in an engine.
pub struct Foreign {
    layouts: Layouts,
    lifetimes: Lifetimes,
    unstated: Duration,
    observer: Arc<dyn Observer>,
    sealer: Option<Sealer>,
}

thread_local! {
    /// Ends of sessions that this thread has brought about.
    static ENDS: Cell<u64> = const { Cell::new(0) };
}

impl Foreign {
    /// A keeper, of an engine that has no such sessions yet; [`Foreign::reindex`] looks for some.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`] for a time outside of [`limits::LIFETIME_MIN`] to
    /// [`limits::LIFETIME`], and if values are to be sealed and there is no key.
    pub fn new(config: ForeignConfig) -> Result<Self, Error> {
        let lifetimes = match config.idle {
            Some(idle) => Lifetimes::new(idle, config.absolute)?,
            None => Lifetimes::fixed(config.absolute)?,
        };
        if !(limits::LIFETIME_MIN..=limits::LIFETIME).contains(&config.unstated) {
            return Err(ErrorKind::InvalidSetting {
                setting: "unstated",
                value: format!("{:?}", config.unstated),
                fix: "a time from 1s to 400d",
            }
            .into());
        }
        if config.layouts.any_sealed() && config.keys.is_none() {
            return Err(ErrorKind::InvalidSetting {
                setting: "layout-seal-key-file",
                value: String::new(),
                fix: "values are to be sealed: name a file with a key",
            }
            .into());
        }
        let sealer = config.keys.map(|keys| Sealer::new(&keys, &OsEntropy));
        Ok(Self {
            layouts: config.layouts,
            lifetimes,
            unstated: config.unstated,
            observer: config.observer,
            sealer: sealer.transpose()?,
        })
    }

    /// Which keys are sessions.
    #[must_use]
    pub const fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    /// How many ends of sessions this thread has brought about. Whoever is told of one waits for
    /// [`Engine::synced`] first, in every mode of the journal: a logout that a crash undoes is noticed by
    /// nobody. By thread, so that a caller tells its own from others', for which it need not wait.
    ///
    /// [`Engine::synced`]: crate::Engine::synced
    #[must_use]
    pub fn ends_here() -> u64 {
        ENDS.get()
    }

    fn note_end() {
        ENDS.set(ENDS.get() + 1);
    }

    /// Whether values under this key are sealed: whoever writes some calls [`Foreign::seal`] first, and
    /// whoever reads some [`Foreign::open`].
    #[must_use]
    pub fn seals(&self, key: &[u8]) -> bool {
        self.sealer.is_some() && self.layout(key).is_some_and(Layout::seals_values)
    }

    /// Seals a string, or a field of a hash, for its place under `key`; it stands in `into` then.
    pub fn seal(&self, key: &[u8], field: Option<&[u8]>, value: &[u8], into: &mut Vec<u8>) {
        match &self.sealer {
            Some(sealer) => sealer.seal(key, Of::field(field), value, into),
            None => {
                into.clear();
                into.extend_from_slice(value);
            }
        }
    }

    /// Opens what is stored under `key` as a string, or in a field of a hash; it stands in `into` then. What is
    /// not sealed is taken as it is.
    ///
    /// # Errors
    /// [`KeyError::Sealed`] if no key opens it.
    pub fn open(
        &self,
        key: &[u8],
        field: Option<&[u8]>,
        stored: &[u8],
        into: &mut Vec<u8>,
    ) -> Result<(), KeyError> {
        seal::open(self.sealer.as_ref(), key, Of::field(field), stored, into)
    }

    fn layout(&self, key: &[u8]) -> Option<&Layout> {
        let (number, _) = self.layouts.find(key)?;
        self.layouts.get(number)
    }

    /// The latest deadline that a session may have now, of which this is the first write.
    fn latest(&self, first: UnixMillis, now: UnixMillis) -> UnixMillis {
        let absolute = first.saturating_add(self.lifetimes.absolute());
        let idle = self.lifetimes.idle().map(|idle| now.saturating_add(idle));
        idle.map_or(absolute, |idle| idle.min(absolute))
    }

    /// Its client ends a session: its key may go now, and its tombstone stands, where the layout has any. One that
    /// stands from a revocation stays.
    fn end(tx: &mut Tx<'_>, db: Db, key: &[u8], layout: &Layout) {
        match layout.tombstones() {
            Tombstones::Never => Self::note_end(),
            Tombstones::Always | Tombstones::Adopted => Self::bury(tx, db, key),
        }
    }

    /// A session's key may go now, and its tombstone stands.
    fn bury(tx: &mut Tx<'_>, db: Db, key: &[u8]) {
        Head::ended(tx.now()).bury(tx, db, key);
        Self::note_end();
    }

    fn observe(&self, event: &Event) {
        self.observer.observe(event);
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign")
            .field("layouts", &self.layouts.iter().count())
            .finish_non_exhaustive()
    }
}

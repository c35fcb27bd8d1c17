//! Who wants to know of every change: keyspace events, WATCH, client tracking.

use std::fmt;

use super::kinds::Db;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// A string was written.
    Set,
    /// It was removed, by a command or because it became empty.
    Del,
    /// Its deadline passed, and it was removed: on reading or by the sweep, whichever was first.
    Expired,
    /// It left because there was no room.
    Evicted,
    /// It got another deadline.
    Expire,
    /// It lost its deadline.
    Persist,
    /// It was taken from under this name.
    RenameFrom,
    /// It was put under this name, by a rename.
    RenameTo,
    /// It was put under this name, by a copy.
    CopyTo,
    /// A field was written.
    HashSet,
    /// A field was removed.
    HashDel,
    /// A field got another deadline, or lost it.
    HashExpire,
    /// Fields' deadlines passed, and they were removed.
    HashExpired,
    /// A member came.
    SetAdd,
    /// A member went.
    SetRemove,
    /// A member came or got another score.
    SortedSetAdd,
    /// Members went.
    SortedSetRemove,
}

/// Hears of changes. Called under the lock of the key's shard, so it must be quick, must not wait
/// and must not use the engine.
pub trait Watcher: Send + Sync {
    /// A key changed.
    fn changed(&self, db: Db, key: &[u8], change: Change);

    /// All keys of a keyspace go at once, or of all of them. Keys are not told one by one; `there` says
    /// which are.
    fn flushed(&self, db: Option<Db>, there: &mut There<'_>);

    /// Two keyspaces are about to change places.
    fn swapped(&self, one: Db, other: Db, there: &mut There<'_>);
}

/// Whether a key is there.
pub type There<'a> = dyn FnMut(Db, &[u8]) -> bool + 'a;

impl fmt::Debug for dyn Watcher + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

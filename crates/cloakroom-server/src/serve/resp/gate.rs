//! The one way from a command to the keys: reads go through as they are, and every write of a key passes a
//! method of this type. Whatever has to look at writes (what a key's layout asks for, rights, a journal)
//! is put here and cannot be gone around, because commands see no [`Tx`].
//! Sealed values are opened and sealed in `sealed`, so commands see what clients wrote.

mod looks;
mod sealed;

use std::ops::Range;

use cloakroom_embedded::{Db, KeyError, Kind, LexRange, Packing, ScoreRange, Tx, Written};

pub(crate) use self::looks::Looks;
use self::looks::Seen;
use super::events::Class;
use super::hub::Hub;

/// What a key answers, or why not.
pub(crate) type Answer<T> = Result<T, KeyError>;

/// A step on keys of one keyspace, whose shards are locked.
pub(crate) struct Gate<'a, 'e> {
    tx: &'a mut Tx<'e>,
    hub: &'a Hub,
    /// The keyspace that commands mean if they name none.
    pub(crate) db: Db,
    /// The step's time, in milliseconds since 1970.
    pub(crate) now: i64,
    /// A value as it was opened last, or as it is to be stored.
    scratch: Vec<u8>,
    seen: Seen,
    /// Lookups that were counted.
    pub(crate) counted: Looks,
}

/// Methods that only pass on: `db` is filled in.
macro_rules! passed_on {
    ($($(#[$doc:meta])* fn $name:ident($($word:ident: $of:ty),*) -> $answer:ty;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name(&mut self, key: &[u8] $(, $word: $of)*) -> $answer {
            self.tx.$name(self.db, key $(, $word)*)
        })*
    };
}

/// Methods that count what a key holds.
macro_rules! told {
    ($(fn $name:ident();)*) => {
        $(pub(crate) fn $name(&mut self, key: &[u8]) -> Answer<usize> {
            let len = self.tx.$name(self.db, key);
            self.seen.note(len != Ok(0));
            len
        })*
    };
}

/// Methods that write a key: what it is that is written, and what is answered if it comes too late.
macro_rules! kept {
    ($($(#[$doc:meta])* fn $name:ident($($word:ident: $of:ty),*) -> $answer:ty : $written:expr, $dropped:expr;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name(&mut self, key: &[u8] $(, $word: $of)*) -> Answer<$answer> {
            self.written(key, $written, $dropped, |tx, db| tx.$name(db, key $(, $word)*))
        })*
    };
}

impl<'a, 'e> Gate<'a, 'e> {
    pub(crate) fn new(tx: &'a mut Tx<'e>, hub: &'a Hub, db: Db) -> Self {
        let now = millis(tx.now());
        Self {
            tx,
            hub,
            db,
            now,
            scratch: Vec::new(),
            seen: Seen::default(),
            counted: Looks::default(),
        }
    }

    /// The same step in another keyspace.
    pub(crate) fn in_db(&mut self, db: Db) -> Gate<'_, 'e> {
        Gate {
            tx: self.tx,
            hub: self.hub,
            db,
            now: self.now,
            scratch: Vec::new(),
            seen: Seen::default(),
            counted: Looks::default(),
        }
    }

    /// Tells subscribers of keyspace events, if they asked for this class.
    pub(crate) fn event(&self, class: Class, name: &str, key: &[u8]) {
        self.hub.event(self.db, class, name, key);
    }

    // Reads that tell whether the key is there: what is empty is not.
    told! {
        fn hash_len();
        fn set_len();
        fn sorted_len();
    }

    // Other reads.
    passed_on! {
        fn packing() -> Option<Packing>;
        fn bytes_of() -> Option<usize>;
        fn set_contains(member: &[u8]) -> Answer<bool>;
        fn set_each(each: &mut dyn FnMut(&[u8])) -> Answer<()>;
        fn set_at(index: usize) -> Answer<Option<&[u8]>>;
        fn set_scan(cursor: u64, count: usize, each: &mut dyn FnMut(&[u8])) -> Answer<u64>;
        fn sorted_score(member: &[u8]) -> Answer<Option<f64>>;
        fn sorted_rank(member: &[u8]) -> Answer<Option<usize>>;
        fn sorted_ranks_by_score(range: ScoreRange) -> Answer<Range<usize>>;
        fn sorted_ranks_by_lex(range: LexRange<'_>) -> Answer<Range<usize>>;
        fn sorted_range(
            ranks: Range<usize>,
            reverse: bool,
            each: &mut dyn FnMut(&[u8], f64)
        ) -> Answer<()>;
        fn sorted_scan(cursor: u64, count: usize, each: &mut dyn FnMut(&[u8], f64)) -> Answer<u64>;
    }

    // Writes. What stands last is answered when the key is that of a session that ended, and
    // nothing is written.
    kept! {
        fn hash_remove(field: &[u8]) -> bool : Written::Part, false;
        fn set_add(member: &[u8]) -> bool : Written::Part, true;
        fn set_remove(member: &[u8]) -> bool : Written::Part, false;
        fn sorted_remove(member: &[u8]) -> bool : Written::Part, false;
        fn sorted_remove_range(ranks: Range<usize>) -> usize : Written::Part, 0;
    }

    /// Gives a member this score; returns the one that it had.
    pub(crate) fn sorted_put(
        &mut self,
        key: &[u8],
        member: &[u8],
        score: f64,
    ) -> Answer<Option<f64>> {
        // A sum with 0 makes a 0 of -0, as the packed sets of Redis do.
        let score = score + 0.0;
        self.written(key, Written::Part, None, |tx, db| {
            tx.sorted_put(db, key, member, score)
        })
    }

    /// What a key holds; nothing if it is not there.
    pub(crate) fn kind(&mut self, key: &[u8]) -> Option<Kind> {
        let kind = self.tx.kind(self.db, key);
        self.seen.note(kind.is_some());
        kind
    }

    /// Removes a key, whatever it holds.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        match self.hub.foreign.get() {
            Some(foreign) => foreign.remove(self.tx, self.db, key),
            None => self.tx.remove(self.db, key),
        }
    }

    /// A key's deadline in milliseconds since 1970, `Some(None)` if it has none.
    pub(crate) fn deadline(&mut self, key: &[u8]) -> Option<Option<i64>> {
        let deadline = self.tx.deadline(self.db, key);
        self.seen.note(deadline.is_some());
        deadline.map(|deadline| deadline.map(millis))
    }

    /// Sets or clears a key's deadline; one that has passed removes the key.
    pub(crate) fn set_deadline(&mut self, key: &[u8], deadline: Option<i64>) -> bool {
        let deadline = deadline.map(moment);
        match self.hub.foreign.get() {
            Some(foreign) => foreign.set_deadline(self.tx, self.db, key, deadline),
            None => self.tx.set_deadline(self.db, key, deadline),
        }
    }

    /// A field's deadline, `Some(None)` if it has none.
    pub(crate) fn field_deadline(
        &mut self,
        key: &[u8],
        field: &[u8],
    ) -> Answer<Option<Option<i64>>> {
        let deadline = self.tx.hash_field_deadline(self.db, key, field)?;
        Ok(deadline.map(|deadline| deadline.map(millis)))
    }

    pub(crate) fn set_field_deadline(
        &mut self,
        key: &[u8],
        field: &[u8],
        deadline: Option<i64>,
    ) -> Answer<bool> {
        self.written(key, Written::Part, false, |tx, db| {
            tx.hash_set_field_deadline(db, key, field, deadline.map(moment))
        })
    }

    /// Puts what is under one key under another, in place of what was there.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> Answer<bool> {
        self.renamed((self.db, from), (self.db, to))
    }

    /// Takes a key into another keyspace.
    pub(crate) fn carry(&mut self, key: &[u8], to: Db) -> Answer<bool> {
        self.renamed((self.db, key), (to, key))
    }

    /// Copies a key, perhaps into another keyspace.
    pub(crate) fn copy(&mut self, from: &[u8], to: (Db, &[u8])) -> Answer<bool> {
        match self.hub.foreign.get() {
            Some(foreign) => foreign.copy(self.tx, (self.db, from), to),
            None => self.tx.copy((self.db, from), to),
        }
    }

    fn renamed(&mut self, from: (Db, &[u8]), to: (Db, &[u8])) -> Answer<bool> {
        match self.hub.foreign.get() {
            Some(foreign) => foreign.rename(self.tx, from, to),
            None => self.tx.rename(from, to),
        }
    }

    /// A write of a key, unless it comes too late for the session that the key was.
    fn written<T>(
        &mut self,
        key: &[u8],
        written: Written<'_>,
        dropped: T,
        work: impl FnOnce(&mut Tx<'_>, Db) -> Answer<T>,
    ) -> Answer<T> {
        let db = self.db;
        match self.hub.foreign.get() {
            Some(foreign) => foreign.write(self.tx, db, key, written, dropped, |tx| work(tx, db)),
            None => work(self.tx, db),
        }
    }

    /// Whether a write of a key that is not there would be dropped: the session that it was has ended,
    /// and whoever asks for a new key is to take another.
    pub(crate) fn is_ended(&mut self, key: &[u8], written: Written<'_>) -> bool {
        let foreign = self.hub.foreign.get();
        foreign.is_some_and(|foreign| foreign.drops(self.tx, self.db, key, written))
    }

    /// Removes all keys of a keyspace, or of all. The step must have locked everything.
    pub(crate) fn flush(&mut self, db: Option<Db>) {
        match self.hub.foreign.get() {
            Some(foreign) => foreign.flush(self.tx, db),
            None => self.tx.flush(db),
        }
    }

    /// Has two keyspaces change places. The step must have locked everything.
    pub(crate) fn swap(&mut self, one: Db, other: Db) {
        self.tx.swap(one, other);
    }
}

fn millis(moment: cloakroom_core::UnixMillis) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}

/// What is before 1970 has passed all the same.
fn moment(millis: i64) -> cloakroom_core::UnixMillis {
    cloakroom_core::UnixMillis::new(u64::try_from(millis).unwrap_or(0))
}

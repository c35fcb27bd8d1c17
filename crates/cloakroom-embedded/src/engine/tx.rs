//! A step in progress: what holds for all kinds of values, and strings.

use cloakroom_core::UnixMillis;

use super::changes::Change;
use super::kinds::{DATABASES, Db, KEY_BYTES, KeyError, Kind, Packing, VALUE_BYTES};
use super::simple::{Entry, Simple, Value};
use crate::shard::Shard;
use crate::store::Inner;

/// An atomic step on keys whose shards are locked. The time stands still meanwhile.
///
/// A key that is over is absent, and removed when it is noticed. A collection that becomes empty is
/// removed. Touching a key that was not named when the step began is a programming error and
/// panics.
pub struct Tx<'a> {
    inner: &'a Inner,
    locked: Locked<'a>,
    named: Named,
    now: UnixMillis,
}

/// The shards of a step.
pub(super) enum Locked<'a> {
    One(usize, &'a mut Shard),
    /// In the order of their numbers.
    Some(Vec<(usize, &'a mut Shard)>),
}

/// The key that a step was begun for, with its hash: it is borrowed as long as the step runs, so
/// the same place and length mean the same bytes, and it need not be hashed again.
#[derive(Default)]
pub(super) struct Named(usize, usize, u64);

impl Named {
    pub(super) fn one(key: &[u8], hash: u64) -> Self {
        Self(key.as_ptr().addr(), key.len(), hash)
    }
}

impl<'a> Tx<'a> {
    pub(super) fn new(inner: &'a Inner, locked: Locked<'a>, named: Named) -> Self {
        let now = inner.at().now;
        Self {
            inner,
            locked,
            named,
            now,
        }
    }

    /// The time of this step.
    #[must_use]
    pub const fn now(&self) -> UnixMillis {
        self.now
    }

    /// What a key holds; `None` if it is not there.
    pub fn kind(&mut self, db: Db, key: &[u8]) -> Option<Kind> {
        let (keys, db) = self.settled(db, key);
        keys.get(db, key).map(|entry| entry.value.kind())
    }

    /// How a key's value lies in memory; `None` if it is not there.
    pub fn packing(&mut self, db: Db, key: &[u8]) -> Option<Packing> {
        self.kind(db, key).map(|_| Packing::Packed)
    }

    /// Bytes that a key takes: its entry, with what the value has elsewhere.
    pub fn bytes_of(&mut self, db: Db, key: &[u8]) -> Option<usize> {
        self.kind(db, key).map(|_| key.len() + 64)
    }

    /// A key's deadline, `Some(None)` if it has none; `None` if it is not there.
    #[expect(
        clippy::option_option,
        reason = "a key that is not there is not one without deadline"
    )]
    pub fn deadline(&mut self, db: Db, key: &[u8]) -> Option<Option<UnixMillis>> {
        let (keys, db) = self.settled(db, key);
        keys.get(db, key).map(|entry| entry.deadline)
    }

    /// Sets or clears a key's deadline. One that has passed removes the key. Returns whether the
    /// key is there.
    pub fn set_deadline(&mut self, db: Db, key: &[u8], deadline: Option<UnixMillis>) -> bool {
        let now = self.now;
        let (keys, physical) = self.settled(db, key);
        let Some(entry) = keys.get_mut(physical, key) else {
            return false;
        };
        let had = std::mem::replace(&mut entry.deadline, deadline);
        if deadline.is_some_and(|deadline| deadline <= now) {
            return self.remove(db, key) || true;
        }
        match deadline {
            Some(_) => self.tell(db, key, Change::Expire),
            None if had.is_some() => self.tell(db, key, Change::Persist),
            None => {}
        }
        true
    }

    /// Removes a key. Returns whether it was there.
    pub fn remove(&mut self, db: Db, key: &[u8]) -> bool {
        let (keys, physical) = self.settled(db, key);
        let there = keys.take(physical, key).is_some();
        if there {
            self.tell(db, key, Change::Del);
        }
        there
    }

    /// Puts what is under one key, with its deadline, under another, in place of what was there.
    /// Returns whether it was there; if both are the same, nothing else happens.
    ///
    /// # Errors
    /// [`KeyError::Full`], [`KeyError::TooLarge`].
    pub fn rename(&mut self, from: (Db, &[u8]), to: (Db, &[u8])) -> Result<bool, KeyError> {
        check_key(to.1)?;
        let (keys, db) = self.settled(from.0, from.1);
        if keys.get(db, from.1).is_none() {
            return Ok(false);
        }
        if (from.0 % DATABASES, from.1) == (to.0 % DATABASES, to.1) {
            return Ok(true);
        }
        let entry = keys.take(db, from.1).expect("it was just there");
        self.tell(from.0, from.1, Change::RenameFrom);
        let (keys, db) = self.settled(to.0, to.1);
        keys.put(db, to.1, entry);
        self.tell(to.0, to.1, Change::RenameTo);
        Ok(true)
    }

    /// Puts a copy of what is under one key, with its deadline, under another, in place of what was
    /// there. Returns whether it was there.
    ///
    /// # Errors
    /// [`KeyError::Full`], [`KeyError::TooLarge`].
    pub fn copy(&mut self, from: (Db, &[u8]), to: (Db, &[u8])) -> Result<bool, KeyError> {
        check_key(to.1)?;
        let (keys, db) = self.settled(from.0, from.1);
        let Some(entry) = keys.get(db, from.1).cloned() else {
            return Ok(false);
        };
        let (keys, db) = self.settled(to.0, to.1);
        keys.put(db, to.1, entry);
        self.tell(to.0, to.1, Change::CopyTo);
        Ok(true)
    }

    /// A string's bytes; `None` if the key is not there.
    ///
    /// # Errors
    /// [`KeyError::WrongType`].
    pub fn string(&mut self, db: Db, key: &[u8]) -> Result<Option<&[u8]>, KeyError> {
        let (keys, db) = self.settled(db, key);
        keys.string(db, key)
    }

    /// Writes a string with this deadline, in place of whatever was there. A deadline that has
    /// passed leaves the key absent.
    ///
    /// # Errors
    /// [`KeyError::Full`], [`KeyError::TooLarge`].
    pub fn set_string(
        &mut self,
        db: Db,
        key: &[u8],
        value: &[u8],
        deadline: Option<UnixMillis>,
    ) -> Result<(), KeyError> {
        check_key(key)?;
        check_value(value.len())?;
        let (keys, physical) = self.settled(db, key);
        let value = Value::String(value.into());
        keys.put(physical, key, Entry { deadline, value });
        self.tell(db, key, Change::Set);
        if let Some(deadline) = deadline {
            self.set_deadline(db, key, Some(deadline));
        }
        Ok(())
    }

    /// Writes a string and keeps the deadline that the key has, if it is there.
    ///
    /// # Errors
    /// [`KeyError::WrongType`], [`KeyError::Full`], [`KeyError::TooLarge`].
    pub fn update_string(&mut self, db: Db, key: &[u8], value: &[u8]) -> Result<(), KeyError> {
        check_key(key)?;
        check_value(value.len())?;
        let (keys, physical) = self.settled(db, key);
        keys.string(physical, key)?;
        let deadline = keys.get(physical, key).and_then(|entry| entry.deadline);
        let value = Value::String(value.into());
        keys.put(physical, key, Entry { deadline, value });
        self.tell(db, key, Change::Set);
        Ok(())
    }

    /// Writes `bytes` into a string at `offset`, with zeros in front if it was shorter; it is
    /// created if it was not there, and keeps its deadline. Returns its length.
    ///
    /// # Errors
    /// [`KeyError::WrongType`], [`KeyError::Full`], [`KeyError::TooLarge`].
    pub fn write_string(
        &mut self,
        db: Db,
        key: &[u8],
        offset: usize,
        bytes: &[u8],
    ) -> Result<usize, KeyError> {
        let end = offset.saturating_add(bytes.len());
        check_value(end)?;
        let mut value = self.string(db, key)?.unwrap_or_default().to_vec();
        if bytes.is_empty() {
            return Ok(value.len());
        }
        value.resize(value.len().max(end), 0);
        value[offset..end].copy_from_slice(bytes);
        self.update_string(db, key, &value)?;
        Ok(value.len())
    }

    /// Removes all keys of a keyspace, or of all of them. The step must have locked everything.
    pub fn flush(&mut self, db: Option<Db>) {
        let db = db.map(|db| db % DATABASES);
        for number in 0..self.inner.shards.len() {
            let keys = &mut self.shard(number).simple.0;
            keys.retain(|(known, _), _| db.is_some_and(|db| *known != db));
        }
        if let Some(changes) = self.inner.changes.get() {
            changes.flushed(db);
        }
    }

    /// Has two keyspaces change places. The step must have locked everything.
    pub fn swap(&mut self, one: Db, other: Db) {
        let (one, other) = (one % DATABASES, other % DATABASES);
        for number in 0..self.inner.shards.len() {
            let keys = &mut self.shard(number).simple.0;
            *keys = std::mem::take(keys)
                .into_iter()
                .map(|((db, key), entry)| match db {
                    db if db == one => ((other, key), entry),
                    db if db == other => ((one, key), entry),
                    db => ((db, key), entry),
                })
                .collect();
        }
        if let Some(changes) = self.inner.changes.get() {
            changes.swapped(one, other);
        }
    }

    /// The map that a key is in, without what of the key is over, and the keyspace.
    pub(super) fn settled(&mut self, db: Db, key: &[u8]) -> (&mut Simple, Db) {
        let (now, db) = (self.now, db % DATABASES);
        let number = self.number_of(key);
        let over = self.shard(number).simple.settle(now, db, key);
        if over.key {
            self.tell(db, key, Change::Expired);
        } else if over.fields {
            self.tell(db, key, Change::HashExpired);
            if self.shard(number).simple.get(db, key).is_none() {
                self.tell(db, key, Change::Del);
            }
        }
        (&mut self.shard(number).simple, db)
    }

    /// Removes the key if it has become empty.
    pub(super) fn drop_empty(&mut self, db: Db, key: &[u8]) {
        let number = self.number_of(key);
        let empty = self.shard(number).simple.drop_empty(db % DATABASES, key);
        if empty {
            self.tell(db, key, Change::Del);
        }
    }

    pub(super) fn tell(&self, db: Db, key: &[u8], change: Change) {
        if let Some(changes) = self.inner.changes.get() {
            changes.changed(db % DATABASES, key, change);
        }
    }

    fn number_of(&self, key: &[u8]) -> usize {
        let Named(place, len, hash) = self.named;
        let hash = if (place, len) == (key.as_ptr().addr(), key.len()) {
            hash
        } else {
            self.inner.hash_of_name(key)
        };
        self.inner.shard_of_hash(hash)
    }

    fn shard(&mut self, number: usize) -> &mut Shard {
        const NAMED: &str = "a step touches keys that were named when it began";
        match &mut self.locked {
            Locked::One(known, shard) => {
                assert!(*known == number, "{NAMED}");
                shard
            }
            Locked::Some(shards) => {
                let at = shards.binary_search_by_key(&number, |(known, _)| *known);
                shards[at.expect(NAMED)].1
            }
        }
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

pub(super) const fn check_key(key: &[u8]) -> Result<(), KeyError> {
    if key.len() > KEY_BYTES {
        return Err(KeyError::TooLarge);
    }
    Ok(())
}

pub(super) const fn check_value(len: usize) -> Result<(), KeyError> {
    if len > VALUE_BYTES {
        return Err(KeyError::TooLarge);
    }
    Ok(())
}

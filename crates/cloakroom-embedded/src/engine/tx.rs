//! A step in progress: what holds for all kinds of values, and strings.

use cloakroom_core::UnixMillis;

use super::ahead::Reach;
use super::changes::Change;
use super::kinds::{Db, KEY_BYTES, KeyError, Kind, Packing, SPACES, VALUE_BYTES};
use crate::shard::{At, KeyView, MARK_BYTES, Mark, Name, Shard, deadline_of, hash_in, time_of};
use crate::store::Inner;

/// How often others make room for one write: a page each time.
const GIFTS: usize = 40;

/// An atomic step on keys whose shards are locked. The time stands still meanwhile.
///
/// A key that is over is absent, and removed when it is noticed. A collection that becomes empty is
/// removed. Touching a key that was not named when the step began is a programming error and
/// panics.
pub struct Tx<'a> {
    inner: &'a Inner,
    locked: Locked<'a>,
    named: Named,
    at: At<'a>,
    /// Whether keyspaces are meant by their numbers in memory, as a journal has them.
    by_number: bool,
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
        Self {
            inner,
            locked,
            named,
            at: inner.at(),
            by_number: false,
        }
    }

    /// From now on keyspaces are meant by their numbers in memory.
    pub(super) const fn by_number(&mut self) {
        self.by_number = true;
    }

    #[inline]
    pub(super) fn number_of(&self, db: Db) -> u8 {
        if self.by_number {
            db
        } else {
            self.at.ears.number_of(db)
        }
    }

    /// The time of this step.
    #[must_use]
    pub const fn now(&self) -> UnixMillis {
        self.at.now
    }

    /// What a key holds; `None` if it is not there.
    pub fn kind(&mut self, db: Db, key: &[u8]) -> Option<Kind> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.live(name, at)?;
        Some(shard.key(slot).kind())
    }

    /// How a key's value lies in memory; `None` if it is not there.
    pub fn packing(&mut self, db: Db, key: &[u8]) -> Option<Packing> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.live(name, at)?;
        Some(if shard.key(slot).is_spread() {
            Packing::Spread
        } else {
            Packing::Packed
        })
    }

    /// Bytes that a key takes: its entry, with what the value has elsewhere.
    pub fn bytes_of(&mut self, db: Db, key: &[u8]) -> Option<usize> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.live(name, at)?;
        Some(shard.bytes_of(slot))
    }

    /// A key's deadline, `Some(None)` if it has none; `None` if it is not there.
    pub fn deadline(&mut self, db: Db, key: &[u8]) -> Option<Option<UnixMillis>> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.live(name, at)?;
        Some(deadline_of(shard.key(slot).deadline()))
    }

    /// Sets or clears a key's deadline. One that has passed removes the key. Returns whether the
    /// key was there. Never refused: at the worst the memory limit is passed by a page.
    pub fn set_deadline(&mut self, db: Db, key: &[u8], deadline: Option<UnixMillis>) -> bool {
        self.move_deadline(db, key, Reach::Head, |_, _| Some(deadline)) == Some(true)
    }

    /// As [`Tx::set_deadline`], by what the key is, of which so much is read; `None` if that makes no deadline, and then
    /// nothing is done.
    #[inline]
    pub(crate) fn move_deadline(
        &mut self,
        db: Db,
        key: &[u8],
        reach: Reach,
        decide: impl FnOnce(KeyView<'_>, UnixMillis) -> Option<Option<UnixMillis>>,
    ) -> Option<bool> {
        let now = self.now();
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.look(name, reach, at) else {
            return Some(false);
        };
        let deadline = decide(shard.key(slot), now)?;
        if deadline.is_some_and(|deadline| deadline <= now) {
            shard.delete(slot, at);
            return Some(true);
        }
        let had = deadline_of(shard.key(slot).deadline());
        shard.set_deadline(slot, name, time_of(deadline), at);
        match deadline {
            Some(_) => at.ears.tell(name.db, key, Change::Expire),
            None if had.is_some() => at.ears.tell(name.db, key, Change::Persist),
            None => {}
        }
        Some(true)
    }

    /// A key's mark, if it has one ([`crate::shard`]'s `marks` say what that is).
    #[inline]
    pub(crate) fn mark(&mut self, db: Db, key: &[u8]) -> Option<&[u8]> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.live(name, at)?;
        shard.key(slot).mark()
    }

    /// Gives a key this mark, of at least eight bytes; none if it is empty. Nothing happens if the key is not
    /// there.
    pub(crate) fn set_mark(&mut self, db: Db, key: &[u8], mark: &[u8]) -> Result<(), KeyError> {
        check_mark(mark)?;
        self.write(db, key, |shard, name, at| match shard.live(name, at) {
            Some(slot) => shard.set_mark(slot, name, mark, at),
            None => Ok(()),
        })
    }

    /// Removes a key. Returns whether it was there.
    pub fn remove(&mut self, db: Db, key: &[u8]) -> bool {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.live(name, at) else {
            return false;
        };
        shard.delete(slot, at);
        true
    }

    /// A string's bytes; `None` if the key is not there.
    ///
    /// # Errors
    /// [`KeyError::WrongType`].
    #[inline]
    pub fn string(&mut self, db: Db, key: &[u8]) -> Result<Option<&[u8]>, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        shard.string(name, at)
    }

    /// Has `read` see a string's bytes, and then sets its deadline as [`Tx::set_deadline`]. Returns whether the key was
    /// there.
    ///
    /// # Errors
    /// [`KeyError::WrongType`].
    pub fn string_until(
        &mut self,
        db: Db,
        key: &[u8],
        deadline: UnixMillis,
        read: impl FnOnce(&[u8]),
    ) -> Result<bool, KeyError> {
        let moved = self.read_and_move(db, key, read, |_, _| Some(Some(deadline)));
        moved.map(|moved| moved == Some(true))
    }

    /// As [`Tx::string_until`], by the key's mark; `None` if that makes no deadline, and then it was only read.
    #[inline]
    pub(crate) fn read_and_move(
        &mut self,
        db: Db,
        key: &[u8],
        read: impl FnOnce(&[u8]),
        decide: impl FnOnce(Option<&[u8]>, UnixMillis) -> Option<Option<UnixMillis>>,
    ) -> Result<Option<bool>, KeyError> {
        let mut is_string = true;
        let moved = self.move_deadline(db, key, Reach::Value, |view, now| {
            is_string = view.kind() == Kind::String;
            if !is_string {
                return None;
            }
            read(view.value());
            decide(view.mark(), now)
        });
        if is_string {
            Ok(moved)
        } else {
            Err(KeyError::WrongType)
        }
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
        self.put_string(db, key, value, deadline, Mark::Kept)
    }

    /// As [`Tx::set_string`] and then [`Tx::set_mark`], at once.
    pub(crate) fn set_marked_string(
        &mut self,
        db: Db,
        key: &[u8],
        value: &[u8],
        deadline: Option<UnixMillis>,
        mark: &[u8],
    ) -> Result<(), KeyError> {
        check_mark(mark)?;
        self.put_string(db, key, value, deadline, Mark::Set(mark))
    }

    fn put_string(
        &mut self,
        db: Db,
        key: &[u8],
        value: &[u8],
        deadline: Option<UnixMillis>,
        mark: Mark<'_>,
    ) -> Result<(), KeyError> {
        check_key(key)?;
        check_value(value.len())?;
        if deadline.is_some_and(|deadline| deadline <= self.now()) {
            self.remove(db, key);
            return Ok(());
        }
        self.write(db, key, |shard, name, at| {
            shard.set_string(name, value, time_of(deadline), mark, at)
        })?;
        self.tell(db, key, Change::Set);
        if deadline.is_some() {
            self.tell(db, key, Change::Expire);
        }
        Ok(())
    }

    /// As [`Tx::set_string`], of a key that is there: with a deadline by its mark, which stays, and by whether it has
    /// this value already. That has to be one to come. `Some(false)` if there is none, and then nothing is done; `None`
    /// if the key is not there.
    ///
    /// # Errors
    /// As [`Tx::set_string`].
    #[inline]
    pub(crate) fn save_string(
        &mut self,
        db: Db,
        key: &[u8],
        value: &[u8],
        mut decide: impl FnMut(Option<&[u8]>, bool, UnixMillis) -> Option<UnixMillis>,
    ) -> Result<Option<bool>, KeyError> {
        check_value(value.len())?;
        let now = self.now();
        let saved = self.write(db, key, |shard, name, at| {
            shard.save_string(name, value, at, |view, same| {
                decide(view.mark(), same, now).map(|deadline| time_of(Some(deadline)))
            })
        })?;
        if saved == Some(true) {
            self.tell(db, key, Change::Set);
            self.tell(db, key, Change::Expire);
        }
        Ok(saved)
    }

    /// Writes a string and keeps the deadline that the key has, if it is there.
    ///
    /// # Errors
    /// [`KeyError::WrongType`], [`KeyError::Full`], [`KeyError::TooLarge`].
    pub fn update_string(&mut self, db: Db, key: &[u8], value: &[u8]) -> Result<(), KeyError> {
        check_key(key)?;
        check_value(value.len())?;
        self.write(db, key, |shard, name, at| {
            let slot = shard.typed(name, Kind::String, at)?;
            let deadline = slot.map_or(time_of(None), |slot| shard.key(slot).deadline());
            shard.set_string(name, value, deadline, Mark::Kept, at)
        })?;
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
        let mut value = self.string(db, key)?.unwrap_or_default().to_vec();
        if bytes.is_empty() {
            return Ok(value.len());
        }
        check_value(end)?;
        value.resize(value.len().max(end), 0);
        value[offset..end].copy_from_slice(bytes);
        self.update_string(db, key, &value)?;
        Ok(value.len())
    }

    /// Does something that may find no room in the key's shard; then the shard that has most makes
    /// some, if it is at hand. Nothing was done when there was no room.
    pub(super) fn write<T>(
        &mut self,
        db: Db,
        key: &[u8],
        mut work: impl FnMut(&mut Shard, Name<'_>, At<'_>) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        for _ in 0..GIFTS {
            let (shard, name, at) = self.shard_of(db, key);
            match work(shard, name, at) {
                Err(KeyError::Full) if self.give_room() => {}
                done => return done,
            }
        }
        let (shard, name, at) = self.shard_of(db, key);
        work(shard, name, at)
    }

    /// Has a shard make room: the fullest first, but what that has may be what the policy leaves
    /// alone. Others' locks are only tried: whoever holds one may wait for one of ours.
    #[cold]
    fn give_room(&mut self) -> bool {
        if !self.inner.memory.evicts() {
            return false;
        }
        let mut shards: Vec<_> = (0..self.inner.shards.len())
            .filter_map(|number| Some((self.counted(number)?, number)))
            .collect();
        shards.sort_unstable_by_key(|(counted, _)| std::cmp::Reverse(*counted));
        shards
            .into_iter()
            .any(|(_, number)| self.gives_room(number))
    }

    /// What a shard takes; none if somebody else is in it.
    fn counted(&mut self, number: usize) -> Option<usize> {
        match self.locked_shard(number) {
            Some(shard) => Some(shard.counted()),
            None => Some(self.inner.shards[number].try_lock()?.counted()),
        }
    }

    fn gives_room(&mut self, number: usize) -> bool {
        let at = self.at;
        if let Some(shard) = self.locked_shard(number) {
            return shard.give_room(at);
        }
        let Some(mut shard) = self.inner.shards[number].try_lock() else {
            return false;
        };
        let given = shard.give_room(at);
        self.inner.finish(shard);
        given
    }

    pub(super) const fn at(&self) -> At<'a> {
        self.at
    }

    pub(super) const fn inner(&self) -> &'a Inner {
        self.inner
    }

    pub(super) fn tell(&self, db: Db, key: &[u8], change: Change) {
        self.at.ears.tell(self.number_of(db), key, change);
    }

    /// The shard that a key is in, the key with its hash, and what holds there.
    #[inline]
    pub(super) fn shard_of<'k>(&mut self, db: Db, key: &'k [u8]) -> (&mut Shard, Name<'k>, At<'a>) {
        let Named(place, len, hash) = self.named;
        let hash = if (place, len) == (key.as_ptr().addr(), key.len()) {
            hash
        } else {
            self.inner.hash_of_name(key)
        };
        let (number, at) = (self.inner.shard_of_hash(hash), self.at);
        let db = self.number_of(db);
        let name = Name {
            db,
            key,
            hash: hash_in(db, hash),
        };
        let shard = self
            .locked_shard(number)
            .expect("a step touches keys that were named when it began");
        (shard, name, at)
    }

    #[inline]
    pub(super) fn locked_shard(&mut self, number: usize) -> Option<&mut Shard> {
        match &mut self.locked {
            Locked::One(known, shard) => (*known == number).then_some(&mut **shard),
            Locked::Some(shards) => {
                let at = shards.binary_search_by_key(&number, |(known, _)| *known);
                Some(&mut *shards[at.ok()?].1)
            }
        }
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx")
            .field("now", &self.at.now)
            .finish_non_exhaustive()
    }
}

/// A keyspace by its number.
pub(super) const fn checked(db: Db) -> Db {
    db % SPACES
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

fn check_mark(mark: &[u8]) -> Result<(), KeyError> {
    if !mark.is_empty() && !MARK_BYTES.contains(&mark.len()) {
        return Err(KeyError::TooLarge);
    }
    Ok(())
}

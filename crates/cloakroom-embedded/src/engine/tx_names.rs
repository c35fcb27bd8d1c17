//! A step in progress: what concerns whole keys and keyspaces.

use std::ops::ControlFlow;

use super::changes::Change;
use super::kinds::{BESIDE, DATABASES, Db, KeyError};
use super::tx::{Tx, check_key, checked};
use crate::journal::Effect;
use crate::shard::{Head, KeyView, Spread};
use crate::table::SEGMENTS;

impl Tx<'_> {
    /// Puts what is under one key, with its deadline, under another, in place of what was there.
    /// Returns whether it was there; if both are the same, nothing else happens.
    ///
    /// # Errors
    /// [`KeyError::Full`], [`KeyError::TooLarge`].
    pub fn rename(&mut self, from: (Db, &[u8]), to: (Db, &[u8])) -> Result<bool, KeyError> {
        check_key(to.1)?;
        if self.kind(from.0, from.1).is_none() {
            return Ok(false);
        }
        if (checked(from.0), from.1) == (checked(to.0), to.1) {
            return Ok(true);
        }
        if !self.duplicate(from, to, true)? {
            return Ok(false);
        }
        let (shard, name, at) = self.shard_of(from.0, from.1);
        if let Some(slot) = shard.live(name, at) {
            shard.leave_name(slot, at);
        }
        self.note_all(to);
        self.tell(to.0, to.1, Change::RenameTo);
        Ok(true)
    }

    /// Puts a copy of what is under one key, with its deadline, under another, in place of what was
    /// there. Returns whether it was there; if both are the same, nothing else happens.
    ///
    /// # Errors
    /// [`KeyError::Full`], [`KeyError::TooLarge`].
    pub fn copy(&mut self, from: (Db, &[u8]), to: (Db, &[u8])) -> Result<bool, KeyError> {
        check_key(to.1)?;
        if (checked(from.0), from.1) == (checked(to.0), to.1) {
            return Ok(self.kind(from.0, from.1).is_some());
        }
        let done = self.duplicate(from, to, false)?;
        if done {
            self.note_all(to);
            self.tell(to.0, to.1, Change::CopyTo);
        }
        Ok(done)
    }

    fn note_all(&mut self, key: (Db, &[u8])) {
        let (shard, name, at) = self.shard_of(key.0, key.1);
        if let Some(slot) = shard.live(name, at) {
            shard.note_all(slot);
        }
    }

    /// Writes what is under one key under another as well; or, if it is large and the first is to
    /// go, moves it. Returns whether it was there.
    fn duplicate(
        &mut self,
        from: (Db, &[u8]),
        to: (Db, &[u8]),
        moves: bool,
    ) -> Result<bool, KeyError> {
        let (shard, name, at) = self.shard_of(from.0, from.1);
        let Some(slot) = shard.live(name, at) else {
            return Ok(false);
        };
        let head = shard.key(slot).head();
        if !head.spread {
            let value = shard.key(slot).value().to_vec();
            self.write(to.0, to.1, |shard, name, at| {
                let head = Head {
                    db: name.db,
                    ..head
                };
                let old = shard.live(name, at);
                shard.put(old, name, head, &value, at).map(drop)
            })?;
            return Ok(true);
        }
        let bytes = if moves { 0 } else { shard.bytes_of(slot) };
        self.write(to.0, to.1, |shard, name, at| {
            let head = Head {
                db: name.db,
                ..head
            };
            let old = shard.live(name, at);
            shard.room_for(old, bytes, at)?;
            shard.put_spread(old, name, head, Box::new(Spread::new(head.kind)), at)
        })?;
        let (shard, name, at) = self.shard_of(from.0, from.1);
        let value = shard.live(name, at).map(|slot| {
            if moves {
                shard.swap_spread(slot, Box::new(Spread::new(head.kind)))
            } else {
                shard.copy_of_spread(slot)
            }
        });
        let (shard, name, at) = self.shard_of(to.0, to.1);
        let slot = shard.live(name, at);
        if let (Some(slot), Some(value)) = (slot, value) {
            drop(shard.swap_spread(slot, value));
            return Ok(true);
        }
        // Making room for the one took the other.
        if let Some(slot) = slot {
            shard.delete(slot, at);
        }
        Ok(false)
    }

    /// Removes all keys of a keyspace, or of all of them. The step must have locked everything.
    /// Takes no time: what was there is swept later, and counts for the limit until then.
    pub fn flush(&mut self, db: Option<Db>) {
        let db = db.map(|db| db % DATABASES);
        if let Some(watcher) = self.at().ears.watcher.get() {
            watcher.flushed(db, &mut |db, key| self.kind(db, key).is_some());
        }
        for each in 0..DATABASES {
            if db.is_none_or(|db| db == each) {
                self.flush_one(each);
            }
        }
    }

    /// Calls `each` with the entries of all keys of a keyspace. The step must have locked everything.
    pub(crate) fn each_entry(&mut self, db: Db, each: &mut dyn FnMut(KeyView<'_>)) {
        let (number, at) = (self.number_of(db), self.at());
        for shard in 0..self.inner().shards.len() {
            let Some(shard) = self.locked_shard(shard) else {
                continue;
            };
            for segment in 0..SEGMENTS {
                shard.walk_names(number, (segment, 0), usize::MAX, at, &mut |view| {
                    each(view);
                    ControlFlow::Continue(())
                });
            }
        }
    }

    fn flush_one(&mut self, db: Db) {
        let ears = self.at().ears;
        let (old, shards) = (ears.number_of(db), self.inner().shards.len());
        if self.keys_under(old) == 0 {
            return;
        }
        let mut unused = ears.unused().filter(|number| number & BESIDE == 0);
        let new = unused.find(|number| self.keys_under(*number) == 0);
        let at = self.at();
        for number in 0..shards {
            if let Some(shard) = self.locked_shard(number) {
                shard.empty(old);
                shard.empty(old | BESIDE);
                // All numbers have keys that are still to be swept: then it takes its time.
                if new.is_none() {
                    shard.purge_all(at);
                }
            }
        }
        if let Some(new) = new {
            ears.renumber(db, new);
            self.note_numbers(new);
        }
    }

    /// Notes which number each keyspace has, in front of what else this step does: what is under a
    /// number that is new must not be taken for what was there before.
    fn note_numbers(&mut self, new: u8) {
        let numbers = self.at().ears.numbers();
        for number in 0..self.inner().shards.len() {
            if let Some(shard) = self.locked_shard(number) {
                shard.revive(new);
                shard.revive(new | BESIDE);
                if number == 0 {
                    shard.notes.push_first(&Effect::Keyspaces(numbers));
                }
            }
        }
    }

    /// Gives all keyspaces these numbers, as a journal says. What is under a number that was not
    /// used is not there: it was removed before, and the journal does not say so.
    pub(super) fn set_numbers(&mut self, numbers: [u8; DATABASES as usize]) {
        let at = self.at();
        for number in numbers {
            if !at.ears.is_used(number) {
                for shard in 0..self.inner().shards.len() {
                    if let Some(shard) = self.locked_shard(shard) {
                        shard.empty(number);
                        shard.empty(number | BESIDE);
                        shard.purge_all(at);
                    }
                }
            }
        }
        at.ears.set_numbers(numbers);
        self.forget_unused();
    }

    /// Has the sweep remove what is under numbers that no keyspace has.
    pub(super) fn forget_unused(&mut self) {
        let ears = self.at().ears;
        for shard in 0..self.inner().shards.len() {
            if let Some(shard) = self.locked_shard(shard) {
                for number in ears.unused() {
                    shard.empty(number);
                }
            }
        }
    }

    /// Keys of a keyspace and beside it.
    fn keys_under(&mut self, number: u8) -> usize {
        let shards = 0..self.inner().shards.len();
        shards
            .filter_map(|at| {
                let shard = self.locked_shard(at)?;
                Some(shard.count_of(number).keys + shard.count_of(number | BESIDE).keys)
            })
            .sum()
    }

    /// Has two keyspaces change places. The step must have locked everything.
    pub fn swap(&mut self, one: Db, other: Db) {
        let (one, other) = (one % DATABASES, other % DATABASES);
        let ears = self.at().ears;
        if let Some(watcher) = ears.watcher.get() {
            watcher.swapped(one, other, &mut |db, key| self.kind(db, key).is_some());
        }
        ears.swap(one, other);
        if let Some(shard) = self.locked_shard(0) {
            shard.notes.push_first(&Effect::Keyspaces(ears.numbers()));
        }
    }
}

//! A step in progress: what concerns whole keys and keyspaces.

use cloakroom_core::UnixMillis;

use super::changes::Change;
use super::kinds::{BESIDE, DATABASES, Db, KeyError};
use super::tx::{Tx, check_key, checked};
use crate::journal::Effect;
use crate::shard::{Head, Spread};

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

    /// Keys of a keyspace that have a mark; those that are over and not swept may be among them.
    pub(crate) fn count_marked(&mut self, db: Db) -> usize {
        let number = self.number_of(db);
        let shards = 0..self.inner().shards.len();
        let counts = shards.filter_map(|at| Some(self.locked_shard(at)?.count_of(number).marked));
        counts.sum()
    }

    /// The mark that a key has left which went when its keyspace was emptied, if it is not swept yet.
    pub(crate) fn mark_of_fallen(&mut self, db: Db, key: &[u8]) -> Option<Box<[u8]>> {
        let (shard, name, at) = self.shard_of(db, key);
        shard.mark_of_fallen(name, at)
    }

    fn flush_one(&mut self, db: Db) {
        let at = self.at();
        let old = at.ears.number_of(db);
        if self.keys_under(old) == 0 {
            return;
        }
        let new = self.free_number();
        for number in 0..self.inner().shards.len() {
            if let Some(shard) = self.locked_shard(number) {
                shard.empty(old);
                shard.empty(old | BESIDE);
                shard.revive(new);
                shard.revive(new | BESIDE);
            }
        }
        at.ears.renumber(db, new);
        at.ears.fall(old, new, at.now);
        if let Some(shard) = self.locked_shard(0) {
            let at = at.now;
            shard.notes.push_first(&Effect::Emptied { old, new, at });
        }
    }

    /// A number that no keyspace has, nor any key.
    fn free_number(&mut self) -> u8 {
        let at = self.at();
        loop {
            let mut unused = at.ears.unused().filter(|number| number & BESIDE == 0);
            if let Some(free) = unused.find(|number| self.keys_under(*number) == 0) {
                return free;
            }
            // All have keys that are still to be swept: then it takes its time.
            for number in 0..self.inner().shards.len() {
                if let Some(shard) = self.locked_shard(number) {
                    shard.purge_all(at);
                }
            }
        }
    }

    /// Empties the keyspace of a number, as a journal says, which then has another; or takes notice of that, if it has
    /// it already.
    pub(super) fn set_emptied(&mut self, old: u8, new: u8, when: UnixMillis) {
        let ears = self.at().ears;
        if !ears.is_used(new) {
            self.clear_number(new);
            if let Some(db) = ears.db_of(old) {
                ears.renumber(db, new);
            }
        }
        if ears.is_used(new) && !ears.is_used(old) {
            ears.fall(old, new, when);
        }
        self.forget_unused();
    }

    /// What is under this number, which is nobody's, was removed before, and a journal does not say so.
    fn clear_number(&mut self, number: u8) {
        let at = self.at();
        for shard in 0..self.inner().shards.len() {
            if let Some(shard) = self.locked_shard(shard) {
                shard.empty(number);
                shard.empty(number | BESIDE);
                shard.purge_all(at);
            }
        }
    }

    /// Gives all keyspaces these numbers, as a journal says. What is under a number that was not
    /// used is not there: it was removed before, and the journal does not say so.
    pub(super) fn set_numbers(&mut self, numbers: [u8; DATABASES as usize]) {
        let at = self.at();
        for number in numbers {
            if !at.ears.is_used(number) {
                self.clear_number(number);
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

    /// Has two keyspaces change places; one with itself is no change. The step must have locked everything.
    pub fn swap(&mut self, one: Db, other: Db) {
        let (one, other) = (one % DATABASES, other % DATABASES);
        if one == other {
            return;
        }
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

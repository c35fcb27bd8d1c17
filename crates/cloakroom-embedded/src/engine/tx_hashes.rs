//! A step in progress: hashes.

use cloakroom_core::UnixMillis;

use super::changes::Change;
use super::kinds::{Db, KeyError, Kind};
use super::tx::{Tx, check_key, check_value};
use crate::shard::{Member, deadline_of, time_of};

/// A field's name and value.
pub type FieldRef<'a> = (&'a [u8], &'a [u8]);

/// Hashes. A key that is not there is an empty hash; [`KeyError::WrongType`] if it is none.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Tx<'_> {
    /// The value of a field.
    pub fn hash_get(
        &mut self,
        db: Db,
        key: &[u8],
        field: &[u8],
    ) -> Result<Option<&[u8]>, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::Hash, at)? else {
            return Ok(None);
        };
        Ok(shard.member(slot, field).map(|member| member.value))
    }

    /// Writes a field, which loses its deadline. Returns whether it is new.
    /// Also fails with [`KeyError::Full`] and [`KeyError::TooLarge`].
    pub fn hash_set(
        &mut self,
        db: Db,
        key: &[u8],
        field: &[u8],
        value: &[u8],
    ) -> Result<bool, KeyError> {
        self.hash_put(db, key, (field, value), false)
    }

    /// Writes a field, which keeps its deadline (as HINCRBY does). Returns whether it is new.
    /// Also fails with [`KeyError::Full`] and [`KeyError::TooLarge`].
    pub fn hash_update(
        &mut self,
        db: Db,
        key: &[u8],
        field: &[u8],
        value: &[u8],
    ) -> Result<bool, KeyError> {
        self.hash_put(db, key, (field, value), true)
    }

    fn hash_put(
        &mut self,
        db: Db,
        key: &[u8],
        (field, value): FieldRef<'_>,
        keeps: bool,
    ) -> Result<bool, KeyError> {
        check_key(key)?;
        check_value(field.len())?;
        check_value(value.len())?;
        let new = self.write(db, key, |shard, name, at| {
            let slot = shard.typed(name, Kind::Hash, at)?;
            let mut member = Member {
                value,
                ..Member::new(field)
            };
            if keeps && let Some(slot) = slot {
                let known = shard.member(slot, member.name);
                member.deadline = known.map_or(member.deadline, |known| known.deadline);
            }
            shard.put_member(slot, name, Kind::Hash, &member, at)
        })?;
        self.tell(db, key, Change::HashSet);
        Ok(new)
    }

    /// Removes a field. Returns whether it was there.
    pub fn hash_remove(&mut self, db: Db, key: &[u8], field: &[u8]) -> Result<bool, KeyError> {
        self.remove_member(db, key, field, Kind::Hash, Change::HashDel)
    }

    /// Removes a member of any kind of collection.
    pub(super) fn remove_member(
        &mut self,
        db: Db,
        key: &[u8],
        member: &[u8],
        kind: Kind,
        change: Change,
    ) -> Result<bool, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, kind, at)? else {
            return Ok(false);
        };
        let removed = shard.remove_member(slot, name, member);
        if removed {
            at.ears.tell(name.db, key, change);
            if shard.live(name, at).is_none() {
                at.ears.tell(name.db, key, Change::Del);
            }
        }
        Ok(removed)
    }

    /// How many fields there are.
    pub fn hash_len(&mut self, db: Db, key: &[u8]) -> Result<usize, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.typed(name, Kind::Hash, at)?;
        Ok(slot.map_or(0, |slot| shard.members(slot)))
    }

    /// Calls `each` with every field and value, in the order in which they came while the hash is
    /// packed.
    pub fn hash_each(
        &mut self,
        db: Db,
        key: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        if let Some(slot) = shard.typed(name, Kind::Hash, at)? {
            shard.each_member(slot, &mut |member| each(member.name, member.value));
        }
        Ok(())
    }

    /// The field and value at an index below [`Tx::hash_len`], in an order that only changes with
    /// the hash: for choosing at random.
    pub fn hash_at(
        &mut self,
        db: Db,
        key: &[u8],
        index: usize,
    ) -> Result<Option<FieldRef<'_>>, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::Hash, at)? else {
            return Ok(None);
        };
        let member = shard.member_at(slot, index);
        Ok(member.map(|member| (member.name, member.value)))
    }

    /// Goes over the fields as [`Engine::scan`](super::Engine::scan) does over keys.
    pub fn hash_scan(
        &mut self,
        db: Db,
        key: &[u8],
        cursor: u64,
        count: usize,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<u64, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::Hash, at)? else {
            return Ok(0);
        };
        let mut each = |member: Member<'_>| each(member.name, member.value);
        Ok(shard.scan_members(slot, cursor, count, &mut each))
    }

    /// A field's deadline, `Some(None)` if it has none; `None` if it is not there.
    pub fn hash_field_deadline(
        &mut self,
        db: Db,
        key: &[u8],
        field: &[u8],
    ) -> Result<Option<Option<UnixMillis>>, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::Hash, at)? else {
            return Ok(None);
        };
        let member = shard.member(slot, field);
        Ok(member.map(|member| deadline_of(member.deadline)))
    }

    /// Sets or clears a field's deadline. One that has passed removes the field. Returns whether
    /// the field was there. Also fails with [`KeyError::Full`].
    pub fn hash_set_field_deadline(
        &mut self,
        db: Db,
        key: &[u8],
        field: &[u8],
        deadline: Option<UnixMillis>,
    ) -> Result<bool, KeyError> {
        if deadline.is_some_and(|deadline| deadline <= self.now()) {
            return self.hash_remove(db, key, field);
        }
        let there = self.write(db, key, |shard, name, at| {
            let Some(slot) = shard.typed(name, Kind::Hash, at)? else {
                return Ok(false);
            };
            let Some(member) = shard.member(slot, field) else {
                return Ok(false);
            };
            let value = member.value.to_vec();
            let member = Member {
                value: &value,
                deadline: time_of(deadline),
                ..Member::new(field)
            };
            shard.put_member(Some(slot), name, Kind::Hash, &member, at)?;
            Ok(true)
        })?;
        if there {
            self.tell(db, key, Change::HashExpire);
        }
        Ok(there)
    }
}

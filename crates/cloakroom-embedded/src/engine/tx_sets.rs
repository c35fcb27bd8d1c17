//! A step in progress: sets.

use super::changes::Change;
use super::kinds::{Db, KeyError, Kind};
use super::tx::{Tx, check_key, check_value};
use crate::shard::Member;

/// Sets. A key that is not there is an empty set; [`KeyError::WrongType`] if it is none.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Tx<'_> {
    /// Adds a member. Returns whether it is new.
    /// Also fails with [`KeyError::Full`] and [`KeyError::TooLarge`].
    pub fn set_add(&mut self, db: Db, key: &[u8], member: &[u8]) -> Result<bool, KeyError> {
        check_key(key)?;
        check_value(member.len())?;
        let new = self.write(db, key, |shard, name, at| {
            let slot = shard.typed(name, Kind::Set, at)?;
            if slot.is_some_and(|slot| shard.member(slot, member).is_some()) {
                return Ok(false);
            }
            shard.put_member(slot, name, Kind::Set, &Member::new(member), at)
        })?;
        if new {
            self.tell(db, key, Change::SetAdd);
        }
        Ok(new)
    }

    /// Removes a member. Returns whether it was there.
    pub fn set_remove(&mut self, db: Db, key: &[u8], member: &[u8]) -> Result<bool, KeyError> {
        self.remove_member(db, key, member, Kind::Set, Change::SetRemove)
    }

    /// Whether a member is there.
    pub fn set_contains(&mut self, db: Db, key: &[u8], member: &[u8]) -> Result<bool, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.typed(name, Kind::Set, at)?;
        Ok(slot.is_some_and(|slot| shard.member(slot, member).is_some()))
    }

    /// How many members there are.
    pub fn set_len(&mut self, db: Db, key: &[u8]) -> Result<usize, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.typed(name, Kind::Set, at)?;
        Ok(slot.map_or(0, |slot| shard.members(slot)))
    }

    /// Calls `each` with every member.
    pub fn set_each(
        &mut self,
        db: Db,
        key: &[u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        if let Some(slot) = shard.typed(name, Kind::Set, at)? {
            shard.each_member(slot, &mut |member| each(member.name));
        }
        Ok(())
    }

    /// The member at an index below [`Tx::set_len`], in an order that only changes with the set:
    /// for choosing at random.
    pub fn set_at(&mut self, db: Db, key: &[u8], index: usize) -> Result<Option<&[u8]>, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::Set, at)? else {
            return Ok(None);
        };
        Ok(shard.member_at(slot, index).map(|member| member.name))
    }

    /// Goes over the members as [`Engine::scan`](super::Engine::scan) does over keys.
    pub fn set_scan(
        &mut self,
        db: Db,
        key: &[u8],
        cursor: u64,
        count: usize,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<u64, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::Set, at)? else {
            return Ok(0);
        };
        let mut each = |member: Member<'_>| each(member.name);
        Ok(shard.scan_members(slot, cursor, count, &mut each))
    }
}

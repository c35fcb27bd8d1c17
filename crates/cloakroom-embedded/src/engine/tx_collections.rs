//! A step in progress: hashes, sets and sorted sets.

use std::ops::Range;

use cloakroom_core::UnixMillis;

use super::changes::Change;
use super::kinds::{Db, KeyError, LexRange, ScoreRange};
use super::simple::{ranks_by_lex, ranks_by_score, sorted_put, sorted_take};
use super::tx::{Tx, check_key, check_value};

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
        let (keys, db) = self.settled(db, key);
        let fields = keys.hash(db, key, false)?;
        let found = fields.and_then(|fields| fields.iter().find(|(name, ..)| **name == *field));
        Ok(found.map(|(_, value, _)| &**value))
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
        self.hash_put(db, key, field, value, false)
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
        self.hash_put(db, key, field, value, true)
    }

    fn hash_put(
        &mut self,
        db: Db,
        key: &[u8],
        field: &[u8],
        value: &[u8],
        keep: bool,
    ) -> Result<bool, KeyError> {
        check_key(key)?;
        check_value(field.len())?;
        check_value(value.len())?;
        let (keys, physical) = self.settled(db, key);
        let fields = keys.hash(physical, key, true)?.expect("it was created");
        let known = fields.iter_mut().find(|(name, ..)| **name == *field);
        let new = known.is_none();
        match known {
            Some((_, old, deadline)) => {
                *old = value.into();
                *deadline = deadline.filter(|_| keep);
            }
            None => fields.push((field.into(), value.into(), None)),
        }
        self.tell(db, key, Change::HashSet);
        Ok(new)
    }

    /// Removes a field. Returns whether it was there.
    pub fn hash_remove(&mut self, db: Db, key: &[u8], field: &[u8]) -> Result<bool, KeyError> {
        let (keys, physical) = self.settled(db, key);
        let Some(fields) = keys.hash(physical, key, false)? else {
            return Ok(false);
        };
        let before = fields.len();
        fields.retain(|(name, ..)| **name != *field);
        let removed = fields.len() < before;
        self.after(db, key, removed.then_some(Change::HashDel));
        Ok(removed)
    }

    /// How many fields there are.
    pub fn hash_len(&mut self, db: Db, key: &[u8]) -> Result<usize, KeyError> {
        let (keys, db) = self.settled(db, key);
        Ok(keys.hash(db, key, false)?.map_or(0, |fields| fields.len()))
    }

    /// Calls `each` with every field and value, in the order in which they came while the hash is
    /// packed.
    pub fn hash_each(
        &mut self,
        db: Db,
        key: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), KeyError> {
        let (keys, db) = self.settled(db, key);
        for (name, value, _) in keys.hash(db, key, false)?.into_iter().flatten() {
            each(name, value);
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
    ) -> Result<Option<(&[u8], &[u8])>, KeyError> {
        let (keys, db) = self.settled(db, key);
        let field = keys
            .hash(db, key, false)?
            .and_then(|fields| fields.get(index));
        Ok(field.map(|(name, value, _)| (&**name, &**value)))
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
        let _ = (cursor, count);
        self.hash_each(db, key, each)?;
        Ok(0)
    }

    /// A field's deadline, `Some(None)` if it has none; `None` if it is not there.
    #[expect(
        clippy::option_option,
        reason = "a field that is not there is not one without deadline"
    )]
    pub fn hash_field_deadline(
        &mut self,
        db: Db,
        key: &[u8],
        field: &[u8],
    ) -> Result<Option<Option<UnixMillis>>, KeyError> {
        let (keys, db) = self.settled(db, key);
        let fields = keys.hash(db, key, false)?;
        let found = fields.and_then(|fields| fields.iter().find(|(name, ..)| **name == *field));
        Ok(found.map(|(_, _, deadline)| *deadline))
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
        let (keys, physical) = self.settled(db, key);
        let fields = keys.hash(physical, key, false)?;
        let found = fields.and_then(|fields| fields.iter_mut().find(|(name, ..)| **name == *field));
        let Some((_, _, known)) = found else {
            return Ok(false);
        };
        *known = deadline;
        self.tell(db, key, Change::HashExpire);
        Ok(true)
    }

    /// Tells of a change and removes what became empty.
    fn after(&mut self, db: Db, key: &[u8], change: Option<Change>) {
        if let Some(change) = change {
            self.tell(db, key, change);
        }
        self.drop_empty(db, key);
    }
}

/// Sets. A key that is not there is an empty set; [`KeyError::WrongType`] if it is none.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Tx<'_> {
    /// Adds a member. Returns whether it is new.
    /// Also fails with [`KeyError::Full`] and [`KeyError::TooLarge`].
    pub fn set_add(&mut self, db: Db, key: &[u8], member: &[u8]) -> Result<bool, KeyError> {
        check_key(key)?;
        check_value(member.len())?;
        let (keys, physical) = self.settled(db, key);
        let members = keys.set(physical, key, true)?.expect("it was created");
        let new = members.iter().all(|known| **known != *member);
        if new {
            members.push(member.into());
            self.tell(db, key, Change::SetAdd);
        }
        Ok(new)
    }

    /// Removes a member. Returns whether it was there.
    pub fn set_remove(&mut self, db: Db, key: &[u8], member: &[u8]) -> Result<bool, KeyError> {
        let (keys, physical) = self.settled(db, key);
        let Some(members) = keys.set(physical, key, false)? else {
            return Ok(false);
        };
        let before = members.len();
        members.retain(|known| **known != *member);
        let removed = members.len() < before;
        self.after(db, key, removed.then_some(Change::SetRemove));
        Ok(removed)
    }

    /// Whether a member is there.
    pub fn set_contains(&mut self, db: Db, key: &[u8], member: &[u8]) -> Result<bool, KeyError> {
        let (keys, db) = self.settled(db, key);
        let members = keys.set(db, key, false)?;
        Ok(members.is_some_and(|members| members.iter().any(|known| **known == *member)))
    }

    /// How many members there are.
    pub fn set_len(&mut self, db: Db, key: &[u8]) -> Result<usize, KeyError> {
        let (keys, db) = self.settled(db, key);
        Ok(keys.set(db, key, false)?.map_or(0, |members| members.len()))
    }

    /// Calls `each` with every member.
    pub fn set_each(
        &mut self,
        db: Db,
        key: &[u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), KeyError> {
        let (keys, db) = self.settled(db, key);
        for member in keys.set(db, key, false)?.into_iter().flatten() {
            each(member);
        }
        Ok(())
    }

    /// The member at an index below [`Tx::set_len`], in an order that only changes with the set:
    /// for choosing at random.
    pub fn set_at(&mut self, db: Db, key: &[u8], index: usize) -> Result<Option<&[u8]>, KeyError> {
        let (keys, db) = self.settled(db, key);
        let member = keys
            .set(db, key, false)?
            .and_then(|members| members.get(index));
        Ok(member.map(|member| &**member))
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
        let _ = (cursor, count);
        self.set_each(db, key, each)?;
        Ok(0)
    }
}

/// Sorted sets. A key that is not there is an empty one; [`KeyError::WrongType`] if it is none.
/// Ranks count from 0 at the lowest score, members of equal score in the order of their bytes.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Tx<'_> {
    /// Gives a member this score, which is a number. Returns the score that it had, `None` if it
    /// is new. Also fails with [`KeyError::Full`] and [`KeyError::TooLarge`].
    pub fn sorted_put(
        &mut self,
        db: Db,
        key: &[u8],
        member: &[u8],
        score: f64,
    ) -> Result<Option<f64>, KeyError> {
        check_key(key)?;
        check_value(member.len())?;
        let (keys, physical) = self.settled(db, key);
        let members = keys.sorted(physical, key, true)?.expect("it was created");
        let old = sorted_put(members, member, score);
        if old != Some(score) {
            self.tell(db, key, Change::SortedSetAdd);
        }
        Ok(old)
    }

    /// Removes a member. Returns whether it was there.
    pub fn sorted_remove(&mut self, db: Db, key: &[u8], member: &[u8]) -> Result<bool, KeyError> {
        let (keys, physical) = self.settled(db, key);
        let members = keys.sorted(physical, key, false)?;
        let removed = members.is_some_and(|members| sorted_take(members, member).is_some());
        self.after(db, key, removed.then_some(Change::SortedSetRemove));
        Ok(removed)
    }

    /// Removes the members of these ranks. Returns how many there were.
    pub fn sorted_remove_range(
        &mut self,
        db: Db,
        key: &[u8],
        ranks: Range<usize>,
    ) -> Result<usize, KeyError> {
        let (keys, physical) = self.settled(db, key);
        let Some(members) = keys.sorted(physical, key, false)? else {
            return Ok(0);
        };
        let end = ranks.end.min(members.len());
        let removed = members.drain(ranks.start.min(end)..end).count();
        self.after(db, key, (removed > 0).then_some(Change::SortedSetRemove));
        Ok(removed)
    }

    /// A member's score.
    pub fn sorted_score(
        &mut self,
        db: Db,
        key: &[u8],
        member: &[u8],
    ) -> Result<Option<f64>, KeyError> {
        let (keys, db) = self.settled(db, key);
        let members = keys.sorted(db, key, false)?;
        let found =
            members.and_then(|members| members.iter().find(|(_, known)| **known == *member));
        Ok(found.map(|(score, _)| *score))
    }

    /// How many members there are.
    pub fn sorted_len(&mut self, db: Db, key: &[u8]) -> Result<usize, KeyError> {
        let (keys, db) = self.settled(db, key);
        Ok(keys
            .sorted(db, key, false)?
            .map_or(0, |members| members.len()))
    }

    /// A member's rank.
    pub fn sorted_rank(
        &mut self,
        db: Db,
        key: &[u8],
        member: &[u8],
    ) -> Result<Option<usize>, KeyError> {
        let (keys, db) = self.settled(db, key);
        let members = keys.sorted(db, key, false)?;
        Ok(members.and_then(|members| members.iter().position(|(_, known)| **known == *member)))
    }

    /// The ranks of the members with these scores.
    pub fn sorted_ranks_by_score(
        &mut self,
        db: Db,
        key: &[u8],
        range: ScoreRange,
    ) -> Result<Range<usize>, KeyError> {
        let (keys, db) = self.settled(db, key);
        let members = keys.sorted(db, key, false)?;
        Ok(members.map_or(0..0, |members| ranks_by_score(members, range)))
    }

    /// The ranks of the members between these, if all have the same score.
    pub fn sorted_ranks_by_lex(
        &mut self,
        db: Db,
        key: &[u8],
        range: LexRange<'_>,
    ) -> Result<Range<usize>, KeyError> {
        let (keys, db) = self.settled(db, key);
        let members = keys.sorted(db, key, false)?;
        Ok(members.map_or(0..0, |members| ranks_by_lex(members, range)))
    }

    /// Calls `each` with the members of these ranks and their scores, the lowest first, or if
    /// `reverse` the highest.
    pub fn sorted_range(
        &mut self,
        db: Db,
        key: &[u8],
        ranks: Range<usize>,
        reverse: bool,
        each: &mut dyn FnMut(&[u8], f64),
    ) -> Result<(), KeyError> {
        let (keys, db) = self.settled(db, key);
        let Some(members) = keys.sorted(db, key, false)? else {
            return Ok(());
        };
        let end = ranks.end.min(members.len());
        let chosen = members[ranks.start.min(end)..end].iter();
        let mut say = |(score, member): &(f64, Box<[u8]>)| each(member, *score);
        if reverse {
            chosen.rev().for_each(&mut say);
        } else {
            chosen.for_each(&mut say);
        }
        Ok(())
    }

    /// Goes over the members as [`Engine::scan`](super::Engine::scan) does over keys.
    pub fn sorted_scan(
        &mut self,
        db: Db,
        key: &[u8],
        cursor: u64,
        count: usize,
        each: &mut dyn FnMut(&[u8], f64),
    ) -> Result<u64, KeyError> {
        let _ = (cursor, count);
        self.sorted_range(db, key, 0..usize::MAX, false, each)?;
        Ok(0)
    }
}

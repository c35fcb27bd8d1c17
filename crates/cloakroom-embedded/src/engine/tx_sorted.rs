//! A step in progress: sorted sets.

use std::ops::{Bound, Range};

use super::changes::Change;
use super::kinds::{Db, KeyError, Kind, LexRange, ScoreRange};
use super::tx::{Tx, check_key, check_value};
use crate::shard::Member;

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
        let old = self.write(db, key, |shard, name, at| {
            let slot = shard.typed(name, Kind::SortedSet, at)?;
            let known = slot.and_then(|slot| shard.member(slot, member));
            let old = known.map(|known| known.score);
            if old.is_none_or(|old| old.to_bits() != score.to_bits()) {
                let member = Member {
                    score,
                    ..Member::new(member)
                };
                shard.put_member(slot, name, Kind::SortedSet, &member, at)?;
            }
            Ok(old)
        })?;
        if old != Some(score) {
            self.tell(db, key, Change::SortedSetAdd);
        }
        Ok(old)
    }

    /// Removes a member. Returns whether it was there.
    pub fn sorted_remove(&mut self, db: Db, key: &[u8], member: &[u8]) -> Result<bool, KeyError> {
        self.remove_member(db, key, member, Kind::SortedSet, Change::SortedSetRemove)
    }

    /// Removes the members of these ranks. Returns how many there were.
    pub fn sorted_remove_range(
        &mut self,
        db: Db,
        key: &[u8],
        ranks: Range<usize>,
    ) -> Result<usize, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::SortedSet, at)? else {
            return Ok(0);
        };
        let removed = shard.remove_ranked(slot, name, ranks);
        if removed > 0 {
            at.ears.tell(name.db, key, Change::SortedSetRemove);
            if shard.live(name, at).is_none() {
                at.ears.tell(name.db, key, Change::Del);
            }
        }
        Ok(removed)
    }

    /// A member's score.
    pub fn sorted_score(
        &mut self,
        db: Db,
        key: &[u8],
        member: &[u8],
    ) -> Result<Option<f64>, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::SortedSet, at)? else {
            return Ok(None);
        };
        Ok(shard.member(slot, member).map(|member| member.score))
    }

    /// How many members there are.
    pub fn sorted_len(&mut self, db: Db, key: &[u8]) -> Result<usize, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.typed(name, Kind::SortedSet, at)?;
        Ok(slot.map_or(0, |slot| shard.members(slot)))
    }

    /// A member's rank.
    pub fn sorted_rank(
        &mut self,
        db: Db,
        key: &[u8],
        member: &[u8],
    ) -> Result<Option<usize>, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let slot = shard.typed(name, Kind::SortedSet, at)?;
        Ok(slot.and_then(|slot| shard.rank(slot, member)))
    }

    /// The ranks of the members with these scores.
    pub fn sorted_ranks_by_score(
        &mut self,
        db: Db,
        key: &[u8],
        range: ScoreRange,
    ) -> Result<Range<usize>, KeyError> {
        let below = |member: &Member<'_>| match range.min {
            Bound::Included(min) => member.score < min,
            Bound::Excluded(min) => member.score <= min,
            Bound::Unbounded => false,
        };
        let within = |member: &Member<'_>| match range.max {
            Bound::Included(max) => member.score <= max,
            Bound::Excluded(max) => member.score < max,
            Bound::Unbounded => true,
        };
        self.ranks(db, key, below, within)
    }

    /// The ranks of the members between these, if all have the same score.
    pub fn sorted_ranks_by_lex(
        &mut self,
        db: Db,
        key: &[u8],
        range: LexRange<'_>,
    ) -> Result<Range<usize>, KeyError> {
        let below = |member: &Member<'_>| match range.min {
            Bound::Included(min) => member.name < min,
            Bound::Excluded(min) => member.name <= min,
            Bound::Unbounded => false,
        };
        let within = |member: &Member<'_>| match range.max {
            Bound::Included(max) => member.name <= max,
            Bound::Excluded(max) => member.name < max,
            Bound::Unbounded => true,
        };
        self.ranks(db, key, below, within)
    }

    /// The ranks from the first member that is not `below` to the last that is `within`.
    fn ranks(
        &mut self,
        db: Db,
        key: &[u8],
        below: impl Fn(&Member<'_>) -> bool,
        within: impl Fn(&Member<'_>) -> bool,
    ) -> Result<Range<usize>, KeyError> {
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::SortedSet, at)? else {
            return Ok(0..0);
        };
        let from = shard.count_before(slot, below);
        let to = shard.count_before(slot, within);
        Ok(from..to.max(from))
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
        let (shard, name, at) = self.shard_of(db, key);
        if let Some(slot) = shard.typed(name, Kind::SortedSet, at)? {
            let mut each = |member: Member<'_>| each(member.name, member.score);
            shard.each_ranked(slot, ranks, reverse, &mut each);
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
        let (shard, name, at) = self.shard_of(db, key);
        let Some(slot) = shard.typed(name, Kind::SortedSet, at)? else {
            return Ok(0);
        };
        let mut each = |member: Member<'_>| each(member.name, member.score);
        Ok(shard.scan_members(slot, cursor, count, &mut each))
    }
}

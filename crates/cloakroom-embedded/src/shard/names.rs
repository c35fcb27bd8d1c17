//! The keys of a shard: how one is found, written, moved, removed. What they hold is the business
//! of [`super::members`]; a string is its value as it is.
//!
//! Every step here leaves the shard whole: the table finds the slot, the wheel has it if it is
//! timed, and the counts are right.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use cloakroom_core::UnixMillis;
use hashbrown::DefaultHashBuilder;

use super::ahead::ask_for;
use super::marks::Mark;
use super::name::{self, Head, KeyView, NEVER};
use super::spread::Spread;
use super::{At, Shard};
use crate::engine::{Change, KeyError, Kind, Reach};
use crate::index::SubjectIndex;
use crate::pool::Pool;
use crate::slab::SlotRef;
use crate::table::Table;

/// A key, with the hash of it. The keyspace is the one in memory (`Spaces`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub(crate) db: u8,
    pub(crate) key: &'a [u8],
    pub(crate) hash: u64,
}

/// What a shard knows of its keys beside their slots.
#[derive(Debug)]
pub(crate) struct Names {
    pub(super) table: Table,
    /// Keys by the name in their mark.
    pub(super) marked: SubjectIndex,
    spreads: Vec<Option<Box<Spread>>>,
    free: Vec<u32>,
    spread_bytes: usize,
    counts: Vec<Count>,
    /// Bytes that a new value is put together in.
    pub(super) scratch: Vec<u8>,
    /// Keyspaces that were emptied, a bit each; their keys are still to be removed.
    dying: [u64; 4],
}

/// Keys of one keyspace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) keys: usize,
    pub(crate) expires: usize,
    /// Those with a mark.
    pub(crate) marked: usize,
}

/// A scratch that is larger is given back.
const SCRATCH: usize = 16 << 10;

impl Names {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        Self {
            table: Table::in_pool(pool),
            marked: SubjectIndex::new(),
            spreads: Vec::new(),
            free: Vec::new(),
            spread_bytes: 0,
            counts: Vec::new(),
            scratch: Vec::new(),
            dying: [0; 4],
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.table.bytes()
            + self.marked.bytes()
            + self.spread_bytes
            + self.spreads.capacity() * size_of::<Option<Box<Spread>>>()
            + self.free.capacity() * size_of::<u32>()
            + self.counts.capacity() * size_of::<Count>()
            + self.scratch.capacity()
    }

    pub(super) fn count(&self, db: u8) -> Count {
        self.counts
            .get(usize::from(db))
            .copied()
            .unwrap_or_default()
    }

    fn count_mut(&mut self, db: u8) -> &mut Count {
        if self.counts.len() <= usize::from(db) {
            self.counts
                .reserve_exact(counts_for(db) - self.counts.len());
            self.counts.resize(counts_for(db), Count::default());
        }
        &mut self.counts[usize::from(db)]
    }

    /// Bytes that a new key takes at most, beside its entry.
    pub(super) fn cost(&self, db: u8, hash: u64) -> usize {
        let counts = counts_for(db).saturating_sub(self.counts.len());
        self.table.cost(hash) + counts * size_of::<Count>()
    }

    /// Bytes that [`Names::keep`] takes at most, beside the value's.
    pub(super) fn cost_to_keep(&self) -> usize {
        if self.has_number() {
            0
        } else {
            more(self.spreads.len()) * (size_of::<Option<Box<Spread>>>() + size_of::<u32>())
        }
    }

    const fn has_number(&self) -> bool {
        !self.free.is_empty() || self.spreads.len() < self.spreads.capacity()
    }

    /// Gives the scratch back. Returns how many bytes that are.
    pub(super) fn drop_scratch(&mut self) -> usize {
        std::mem::take(&mut self.scratch).capacity()
    }

    /// Whether no key has a deadline.
    pub(super) fn none_expires(&self) -> bool {
        self.counts.iter().all(|count| count.expires == 0)
    }

    pub(super) const fn is_dying(&self, db: u8) -> bool {
        self.dying[db as usize / 64] & 1 << (db % 64) != 0
    }

    pub(super) const fn is_any_dying(&self) -> bool {
        let [a, b, c, d] = self.dying;
        a | b | c | d != 0
    }

    /// Takes notice that a keyspace is used again, of which no key is left.
    pub(super) fn revive(&mut self, db: u8) {
        debug_assert!(self.count(db).keys == 0);
        self.dying[usize::from(db) / 64] &= !(1 << (db % 64));
    }

    pub(super) const fn nothing_dies(&mut self) {
        self.dying = [0; 4];
    }

    pub(super) fn spread(&self, view: KeyView<'_>) -> &Spread {
        self.spreads[number_in(view)]
            .as_ref()
            .expect("a key's large value is there")
    }

    /// Does something to a large value, so that its bytes stay counted.
    pub(super) fn with_spread<T>(&mut self, number: u32, work: impl FnOnce(&mut Spread) -> T) -> T {
        let spread = self.spreads[number as usize]
            .as_mut()
            .expect("a key's large value is there");
        let before = spread.bytes();
        let result = work(spread);
        self.spread_bytes = self.spread_bytes + spread.bytes() - before;
        result
    }

    /// Keeps a large value, and returns its number.
    pub(super) fn keep(&mut self, spread: Box<Spread>) -> u32 {
        self.spread_bytes += spread.bytes();
        if !self.has_number() {
            // Both at once, so that letting go of a value takes nothing.
            let more = more(self.spreads.len());
            self.spreads.reserve_exact(more);
            self.free.reserve_exact(self.spreads.len() + more);
        }
        if let Some(number) = self.free.pop() {
            self.spreads[number as usize] = Some(spread);
            return number;
        }
        self.spreads.push(Some(spread));
        self.spreads.len() as u32 - 1
    }

    /// Puts a large value in place of another, which is returned.
    pub(super) fn swap(&mut self, number: u32, other: Box<Spread>) -> Box<Spread> {
        self.spread_bytes += other.bytes();
        let spread = self.spreads[number as usize].as_mut();
        let old = std::mem::replace(spread.expect("a key's large value is there"), other);
        self.spread_bytes -= old.bytes();
        old
    }

    /// Lets a large value go.
    pub(super) fn release(&mut self, number: u32) -> Option<Box<Spread>> {
        let spread = self.spreads[number as usize].take()?;
        self.spread_bytes -= spread.bytes();
        self.free.push(number);
        Some(spread)
    }
}

/// Counts that are kept so that a keyspace has one.
const fn counts_for(db: u8) -> usize {
    (db as usize + 1).next_multiple_of(16)
}

/// By how many the lists of large values grow.
const fn more(len: usize) -> usize {
    len / 2 + 4
}

pub(super) fn number_of(view: KeyView<'_>) -> u32 {
    let number = view.value().try_into();
    u32::from_le_bytes(number.expect("a number of four bytes"))
}

fn number_in(view: KeyView<'_>) -> usize {
    number_of(view) as usize
}

impl Shard {
    /// The slot of a key that lives, marked as used. What is over of it is removed.
    #[inline]
    pub(crate) fn live(&mut self, name: Name<'_>, at: At<'_>) -> Option<SlotRef> {
        self.look(name, Reach::Head, at)
    }

    /// As [`Shard::live`], for a step that goes on to the value.
    #[inline]
    pub(crate) fn look(&mut self, name: Name<'_>, reach: Reach, at: At<'_>) -> Option<SlotRef> {
        let slab = &self.slab;
        let slot = self.names.table.find(name.hash, |slot| {
            let entry = slab.get(*slot);
            ask_for(entry, reach);
            KeyView(entry).is(name.db, name.key)
        })?;
        let entry = self.slab.get_mut(slot);
        if KeyView(entry).due() <= at.now.as_millis() {
            return self.settle(slot, at);
        }
        name::set_referenced(entry);
        Some(slot)
    }

    /// As [`Shard::live`], for one kind only.
    pub(crate) fn typed(
        &mut self,
        name: Name<'_>,
        kind: Kind,
        at: At<'_>,
    ) -> Result<Option<SlotRef>, KeyError> {
        match self.look(name, Reach::Value, at) {
            Some(slot) if self.key(slot).kind() != kind => Err(KeyError::WrongType),
            slot => Ok(slot),
        }
    }

    #[inline]
    pub(crate) fn key(&self, slot: SlotRef) -> KeyView<'_> {
        KeyView(self.slab.get(slot))
    }

    /// Removes what is over of a key that is due.
    #[cold]
    pub(crate) fn settle(&mut self, slot: SlotRef, at: At<'_>) -> Option<SlotRef> {
        let now = at.now.as_millis();
        let view = self.key(slot);
        if view.deadline() <= now {
            at.ears.tell(view.db(), view.key(), Change::Expired);
            self.reaped.keys += 1;
            self.note_expired(at.now);
            let left = self.left_by(slot, at);
            self.remove_key(slot);
            if let Some(left) = left {
                self.leave_mark(&left, at);
            }
            return None;
        }
        if view.due() > now {
            return Some(slot);
        }
        self.settle_fields(slot, at)
    }

    /// Sets the deadline of a key that is there. This is never refused: at the worst it takes a
    /// page above the limit.
    pub(crate) fn set_deadline(
        &mut self,
        slot: SlotRef,
        name: Name<'_>,
        deadline: u64,
        at: At<'_>,
    ) {
        let head = self.key(slot).head();
        if head.deadline == deadline {
            return;
        }
        self.note_deadline(name, deadline);
        let simple = head.fields == NEVER && head.deadline != NEVER && deadline != NEVER;
        if simple {
            name::set_due(self.slab.get_mut(slot), deadline);
            // A later one is found out when the present bucket comes up.
            if deadline < head.deadline {
                self.wheel.remove(&mut self.slab, slot);
                self.wheel.insert(&mut self.slab, slot, deadline);
            }
            return;
        }
        let value = self.key(slot).value().to_vec();
        let head = Head { deadline, ..head };
        let need = self.need(name, head.len(name.key.len(), value.len()), Some(slot));
        let _ = self.make_room(&need, at);
        self.write(Some(slot), name, head, Mark::Kept, &value);
    }

    /// Removes a key, whatever it holds. Nobody is told.
    pub(crate) fn remove_key(&mut self, slot: SlotRef) {
        let view = self.key(slot);
        let (hash, timed) = (hash_of_entry(&self.hasher, view), view.is_timed());
        if view.is_spread() {
            let number = number_of(view);
            drop(self.names.release(number));
        }
        self.uncount(slot);
        self.names.table.remove(hash, slot);
        if let Some(hash) = self.hash_of_name_in(slot) {
            self.names.marked.remove(hash, slot);
        }
        if timed {
            self.wheel.remove(&mut self.slab, slot);
        }
        self.slab.free(slot);
    }

    pub(super) fn count(&mut self, head: Head) {
        let count = self.names.count_mut(head.db);
        count.keys += 1;
        count.expires += usize::from(head.deadline != NEVER);
        count.marked += usize::from(head.mark.is_some());
    }

    pub(super) fn uncount(&mut self, slot: SlotRef) {
        let view = KeyView(self.slab.get(slot));
        let (expires, marked) = (view.deadline() != NEVER, view.mark().is_some());
        let count = self.names.count_mut(view.db());
        count.keys -= 1;
        count.expires -= usize::from(expires);
        count.marked -= usize::from(marked);
    }

    /// Bytes that a key takes.
    pub(crate) fn bytes_of(&self, slot: SlotRef) -> usize {
        let view = self.key(slot);
        let spread = if view.is_spread() {
            self.names.spread(view).bytes()
        } else {
            0
        };
        self.slab.get(slot).len() + PLACE + spread
    }

    /// Keys of a keyspace in this shard.
    pub(crate) fn count_of(&self, db: u8) -> Count {
        self.names.count(db)
    }

    /// Takes notice that a keyspace was emptied.
    pub(crate) fn empty(&mut self, db: u8) {
        if self.names.count(db).keys > 0 {
            self.names.dying[usize::from(db) / 64] |= 1 << (db % 64);
            self.purged_to = Some(0);
        }
    }

    /// Takes notice that a keyspace is used again. Else the sweep would go on to remove its keys.
    pub(crate) fn revive(&mut self, db: u8) {
        self.names.revive(db);
    }

    /// A scratch for a new value; give it back.
    pub(super) fn take_scratch(&mut self) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.names.scratch);
        scratch.clear();
        scratch
    }

    pub(super) fn give_scratch(&mut self, scratch: Vec<u8>) {
        if scratch.capacity() <= SCRATCH {
            self.names.scratch = scratch;
        }
    }
}

/// A place in the table, which is 7/8 full at most and grows by half: as it is on average.
const PLACE: usize = 6;

/// The hash of a key, without its keyspace: by this a shard is chosen.
pub(crate) fn hash_of_key(hasher: &DefaultHashBuilder, key: &[u8]) -> u64 {
    hasher.hash_one(key)
}

/// The hash of a key in a keyspace. A sum, so that the first costs nothing.
pub(crate) const fn hash_in(db: u8, hash_of_key: u64) -> u64 {
    hash_of_key.wrapping_add((db as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub(super) fn hash_of_entry(hasher: &DefaultHashBuilder, view: KeyView<'_>) -> u64 {
    hash_in(view.db(), hash_of_key(hasher, view.key()))
}

/// A deadline as an entry has it.
pub(crate) fn time_of(deadline: Option<UnixMillis>) -> u64 {
    deadline.map_or(NEVER, |at| at.as_millis().min(NEVER - 1))
}

/// A deadline as an entry has it, for people.
pub(crate) fn deadline_of(time: u64) -> Option<UnixMillis> {
    (time != NEVER).then(|| UnixMillis::new(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_that_comes_into_use_takes_what_it_says() {
        let mut names = Names::new(&Arc::new(Pool::new()));
        for db in [3, 15, 16, 17, 200, 255, 0] {
            let (cost, before) = (names.cost(db, 0) - names.table.cost(0), names.bytes());
            names.count_mut(db).keys += 1;
            assert!(names.bytes() - before <= cost, "keyspace {db}");
        }
    }

    #[test]
    fn keeping_a_large_value_takes_what_it_says_and_letting_go_nothing() {
        let mut names = Names::new(&Arc::new(Pool::new()));
        let large = || Box::new(Spread::new(Kind::Set));
        for number in 0..1_000 {
            let (cost, before) = (names.cost_to_keep(), names.bytes());
            assert_eq!(names.keep(large()), number);
            assert!(names.bytes() - before <= cost + large().bytes());
        }
        let taken = names.bytes();
        (0..1_000).for_each(|number| drop(names.release(number)));
        assert_eq!(names.bytes(), taken - 1_000 * large().bytes());
        assert_eq!(names.cost_to_keep(), 0);
    }
}

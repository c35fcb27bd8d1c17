//! A large collection: each member an allocation of its own, found by a table, in any order but
//! that of a sorted set, which is kept beside.
//!
//! Members are numbered without gaps, so that choosing one at random is choosing a number.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::ops::{ControlFlow, Range};

use hashbrown::DefaultHashBuilder;

use super::name::NEVER;
use super::order::{Order, Place};
use super::record::{Member, Run};
use crate::engine::{KeyError, Kind, MEMBERS};
use crate::table::{END, SEGMENTS, Table};

/// What an allocation costs beside its bytes: the pointer, and glibc's notes and rounding.
const ALLOCATION: usize = size_of::<Box<[u8]>>() + 16;
/// A deadline of a field in a tree that is two thirds full, beside the field's name.
const DEADLINE: usize = 64;

/// The members of a large collection.
#[derive(Debug)]
pub(crate) struct Spread {
    kind: Kind,
    records: Vec<Box<[u8]>>,
    table: Table,
    order: Order,
    /// Fields with deadlines, the first to end first.
    deadlines: BTreeSet<(u64, Box<[u8]>)>,
    /// Bytes of records and deadlines.
    bytes: usize,
}

impl Spread {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            records: Vec::new(),
            table: Table::new(),
            order: Order::default(),
            deadlines: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// The members of a run.
    pub(crate) fn of_run(kind: Kind, run: &[u8], hasher: &DefaultHashBuilder) -> Self {
        let mut spread = Self::new(kind);
        for (member, _) in Run::new(kind, run) {
            spread.insert(&member, hasher);
        }
        spread
    }

    pub(crate) fn copy(&self, hasher: &DefaultHashBuilder) -> Self {
        let mut copy = Self::new(self.kind);
        for member in self.iter() {
            copy.insert(&member, hasher);
        }
        copy
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes taken, all in all.
    pub(crate) const fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.bytes
            + self.records.capacity() * size_of::<Box<[u8]>>()
            + self.table.bytes()
            + self.order.bytes()
    }

    /// Bytes that a member would take at most, if it is new; for its place in an order also if it is not.
    pub(crate) fn cost(&self, member: &Member<'_>, hasher: &DefaultHashBuilder) -> usize {
        let list = if self.records.len() == self.records.capacity() {
            more(self.records.len()) * size_of::<Box<[u8]>>()
        } else {
            0
        };
        let order = match self.kind {
            Kind::SortedSet => self.order.cost(self.place_of(member)),
            _ => 0,
        };
        member.most_bytes()
            + ALLOCATION
            + DEADLINE
            + list
            + order
            + self.table.cost(hasher.hash_one(member.name))
    }

    pub(crate) fn at(&self, index: usize) -> Option<Member<'_>> {
        let record = self.records.get(index)?;
        Some(Member::read(self.kind, record).0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        self.records
            .iter()
            .map(|record| Member::read(self.kind, record).0)
    }

    pub(crate) fn get(&self, name: &[u8], hasher: &DefaultHashBuilder) -> Option<Member<'_>> {
        let number = self.number(name, hasher)?;
        self.at(number as usize)
    }

    /// Puts a member in. Returns whether it is new.
    pub(crate) fn put(
        &mut self,
        member: &Member<'_>,
        hasher: &DefaultHashBuilder,
    ) -> Result<bool, KeyError> {
        if let Some(number) = self.number(member.name, hasher) {
            self.replace(number, member);
            return Ok(false);
        }
        if self.len() >= MEMBERS {
            return Err(KeyError::TooLarge);
        }
        self.insert(member, hasher);
        Ok(true)
    }

    /// Removes a member. Returns whether it was there.
    pub(crate) fn remove(&mut self, name: &[u8], hasher: &DefaultHashBuilder) -> bool {
        let Some(number) = self.number(name, hasher) else {
            return false;
        };
        self.unrank(number);
        self.undeadline(number);
        self.table.remove(hasher.hash_one(name), number);
        // The last one gets the number that is free now.
        let last = self.records.len() as u32 - 1;
        if last != number {
            let moved = Member::read(self.kind, &self.records[last as usize]).0;
            let hash = hasher.hash_one(moved.name);
            let place = (self.kind == Kind::SortedSet).then(|| self.place_of(&moved));
            self.table.replace(hash, last, number);
            if let Some(place) = place {
                self.order.renumber(place, number);
            }
        }
        let record = self.records.swap_remove(number as usize);
        self.bytes -= record.len() + ALLOCATION - size_of::<Box<[u8]>>();
        if self.records.len() < self.records.capacity() / 4 {
            self.records.shrink_to(self.records.len() * 2);
        }
        let (records, kind) = (&self.records, self.kind);
        self.table.shrink(|number| {
            hasher.hash_one(Member::read(kind, &records[*number as usize]).0.name)
        });
        true
    }

    /// The first moment at which a field ends, or [`NEVER`].
    pub(crate) fn first_deadline(&self) -> u64 {
        self.deadlines
            .first()
            .map_or(NEVER, |(deadline, _)| *deadline)
    }

    /// Whether there is a field that has not ended by `now`.
    pub(crate) fn lives_at(&self, now: u64) -> bool {
        self.deadlines.len() < self.len()
            || self.deadlines.last().is_some_and(|(last, _)| *last > now)
    }

    /// A field that has ended by `now`.
    pub(crate) fn ended(&self, now: u64) -> Option<Box<[u8]>> {
        let (deadline, name) = self.deadlines.first()?;
        (*deadline <= now).then(|| name.clone())
    }

    /// A member's rank.
    pub(crate) fn rank(&self, name: &[u8], hasher: &DefaultHashBuilder) -> Option<usize> {
        let member = self.get(name, hasher)?;
        Some(self.order.rank(self.place_of(&member)))
    }

    /// How many members are `before`, which holds for the first ones only.
    pub(crate) fn count_before(&self, mut before: impl FnMut(&Member<'_>) -> bool) -> usize {
        let before = |(_, number)| self.at(number as usize).is_some_and(|it| before(&it));
        self.order.rank(self.order.place(before))
    }

    /// The members of these ranks, in order.
    pub(crate) fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = Member<'_>> {
        let numbers = self.order.range(ranks);
        numbers.map(|(_, number)| Member::read(self.kind, &self.records[number as usize]).0)
    }

    /// Goes over members in portions; returns the cursor to go on with, 0 at the end.
    pub(crate) fn scan(
        &self,
        cursor: u64,
        count: usize,
        hasher: &DefaultHashBuilder,
        each: &mut dyn FnMut(Member<'_>),
    ) -> u64 {
        let (mut segment, mut from) = ((cursor >> 32) as usize, cursor & (END - 1));
        let mut left = count.max(1);
        let name = |number: &u32| Member::read(self.kind, &self.records[*number as usize]).0;
        while segment < SEGMENTS {
            let places = left.saturating_mul(8);
            let hash_of = |number: &u32| hasher.hash_one(name(number).name);
            from = self.table.walk(
                segment,
                from,
                places,
                |_| {},
                hash_of,
                |number| {
                    each(name(&number));
                    left = left.saturating_sub(1);
                    if left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            );
            if from == END {
                (segment, from) = (segment + 1, 0);
            }
            if left == 0 && segment < SEGMENTS {
                return (segment as u64) << 32 | from;
            }
        }
        0
    }

    fn number(&self, name: &[u8], hasher: &DefaultHashBuilder) -> Option<u32> {
        let is = |number: &u32| {
            Member::read(self.kind, &self.records[*number as usize])
                .0
                .name
                == name
        };
        self.table.find(hasher.hash_one(name), is)
    }

    fn insert(&mut self, member: &Member<'_>, hasher: &DefaultHashBuilder) {
        if self.records.len() == self.records.capacity() {
            self.records.reserve_exact(more(self.records.len()));
        }
        let number = self.records.len() as u32;
        self.records.push(record_of(member, self.kind));
        self.bytes += self.records[number as usize].len() + ALLOCATION - size_of::<Box<[u8]>>();
        let (records, kind) = (&self.records, self.kind);
        let hash_of =
            |number: &u32| hasher.hash_one(Member::read(kind, &records[*number as usize]).0.name);
        self.table
            .insert(hasher.hash_one(member.name), number, hash_of);
        self.rank_and_time(number, member);
    }

    fn replace(&mut self, number: u32, member: &Member<'_>) {
        self.unrank(number);
        self.undeadline(number);
        let record = record_of(member, self.kind);
        self.bytes += record.len();
        self.bytes -= std::mem::replace(&mut self.records[number as usize], record).len();
        self.rank_and_time(number, member);
    }

    fn rank_and_time(&mut self, number: u32, member: &Member<'_>) {
        if self.kind == Kind::SortedSet {
            let place = self.place_of(member);
            self.order.insert(place, (member.score, number));
        }
        if member.deadline != NEVER {
            self.bytes += DEADLINE + member.name.len();
            self.deadlines.insert((member.deadline, member.name.into()));
        }
    }

    fn undeadline(&mut self, number: u32) {
        let member = Member::read(self.kind, &self.records[number as usize]).0;
        if member.deadline != NEVER {
            self.bytes -= DEADLINE + member.name.len();
            self.deadlines
                .remove(&(member.deadline, member.name.into()));
        }
    }

    fn unrank(&mut self, number: u32) {
        if self.kind == Kind::SortedSet {
            let member = Member::read(self.kind, &self.records[number as usize]).0;
            let place = self.place_of(&member);
            self.order.remove(place);
        }
    }

    /// Where a member is, or would be.
    fn place_of(&self, member: &Member<'_>) -> Place {
        self.order.place(|(score, number)| {
            if score != member.score {
                return score < member.score;
            }
            let known = Member::read(self.kind, &self.records[number as usize]).0;
            known.order(member).is_lt()
        })
    }
}

fn record_of(member: &Member<'_>, kind: Kind) -> Box<[u8]> {
    let mut record = Vec::with_capacity(member.most_bytes());
    member.write(kind, &mut record);
    record.into_boxed_slice()
}

/// By how many a list of so many grows.
const fn more(len: usize) -> usize {
    len / 2 + 64
}

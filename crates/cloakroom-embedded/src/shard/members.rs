//! Hashes, sets and sorted sets: runs of records while they are small, and what is common to them
//! when they are large.

use std::ops::Range;

use super::marks::Mark;
use super::name::{Head, KeyView, NEVER};
use super::names::{Name, number_of};
use super::record::{Member, RUN_BYTES, RUN_MEMBERS, Run};
use super::room::Need;
use super::spread::Spread;
use super::{At, Shard};
use crate::engine::{Change, KeyError, Kind};
use crate::slab::SlotRef;

/// Bytes of a member beside its record when a run is spread: its allocation, its places in list,
/// table and order, at most.
const SPREAD_MEMBER: usize = 96;
/// Bytes of a spread beside its members, with the first block of an order.
const SPREAD_ITSELF: usize = 6 << 10;

impl Shard {
    /// The member of this name.
    pub(crate) fn member(&self, slot: SlotRef, name: &[u8]) -> Option<Member<'_>> {
        let view = self.key(slot);
        if view.is_spread() {
            return self.names.spread(view).get(name, &self.hasher);
        }
        let found = Run::new(view.kind(), view.value()).find_named(name);
        found.map(|(member, _)| member)
    }

    /// How many members there are.
    pub(crate) fn members(&self, slot: SlotRef) -> usize {
        let view = self.key(slot);
        if view.is_spread() {
            self.names.spread(view).len()
        } else {
            Run::new(view.kind(), view.value()).count()
        }
    }

    /// The member at an index, in no order that would mean something.
    pub(crate) fn member_at(&self, slot: SlotRef, index: usize) -> Option<Member<'_>> {
        let view = self.key(slot);
        if view.is_spread() {
            return self.names.spread(view).at(index);
        }
        let mut run = Run::new(view.kind(), view.value());
        run.nth(index).map(|(member, _)| member)
    }

    /// Every member.
    pub(crate) fn each_member(&self, slot: SlotRef, each: &mut dyn FnMut(Member<'_>)) {
        let view = self.key(slot);
        if view.is_spread() {
            self.names.spread(view).iter().for_each(each);
        } else {
            let run = Run::new(view.kind(), view.value());
            run.for_each(|(member, _)| each(member));
        }
    }

    /// Members in portions; all at once while they are few. Returns the cursor to go on with.
    pub(crate) fn scan_members(
        &self,
        slot: SlotRef,
        cursor: u64,
        count: usize,
        each: &mut dyn FnMut(Member<'_>),
    ) -> u64 {
        let view = self.key(slot);
        if view.is_spread() {
            return self
                .names
                .spread(view)
                .scan(cursor, count, &self.hasher, each);
        }
        self.each_member(slot, each);
        0
    }

    /// Puts a member in, and creates the collection if there is none. Returns whether it is new.
    pub(crate) fn put_member(
        &mut self,
        slot: Option<SlotRef>,
        name: Name<'_>,
        kind: Kind,
        member: &Member<'_>,
        at: At<'_>,
    ) -> Result<bool, KeyError> {
        let new = match slot {
            Some(slot) if self.key(slot).is_spread() => {
                self.put_in_spread(slot, name, member, at)?
            }
            Some(slot) if self.overwrite_field(slot, member) => false,
            slot => self.put_in_run(slot, name, kind, member, at)?,
        };
        self.note_member(name, kind, member, slot.is_none());
        Ok(new)
    }

    /// Removes members by name, and the key with the last. Returns how many were there.
    pub(crate) fn remove_member(&mut self, slot: SlotRef, name: Name<'_>, member: &[u8]) -> bool {
        let view = self.key(slot);
        let kind = view.kind();
        if view.is_spread() {
            let number = number_of(view);
            let hasher = &self.hasher;
            let removed = self
                .names
                .with_spread(number, |spread| spread.remove(member, hasher));
            if self.names.spread(self.key(slot)).len() == 0 {
                self.remove_key(slot);
            }
            if removed {
                self.note_no_member(name, kind, member);
            }
            return removed;
        }
        let found = Run::new(view.kind(), view.value()).find_named(member);
        let Some((_, range)) = found else {
            return false;
        };
        self.cut_run(slot, name, range);
        self.note_no_member(name, kind, member);
        true
    }

    /// Takes a part out of a run, and the key with the last.
    fn cut_run(&mut self, slot: SlotRef, name: Name<'_>, cut: Range<usize>) {
        let mut run = self.take_scratch();
        let view = self.key(slot);
        let (value, head) = (view.value(), view.head());
        run.extend_from_slice(&value[..cut.start]);
        run.extend_from_slice(&value[cut.end..]);
        if run.is_empty() {
            self.remove_key(slot);
        } else {
            let fields = soonest(&head, NEVER, &run);
            self.rewrite_smaller(slot, name, Head { fields, ..head }, &run);
        }
        self.give_scratch(run);
    }

    fn put_in_run(
        &mut self,
        slot: Option<SlotRef>,
        name: Name<'_>,
        kind: Kind,
        member: &Member<'_>,
        at: At<'_>,
    ) -> Result<bool, KeyError> {
        let mut run = self.take_scratch();
        let (value, head) = match slot.map(|slot| self.key(slot)) {
            Some(view) => (view.value(), view.head()),
            None => (&[][..], empty(kind, name.db)),
        };
        let (count, old) = put_together(kind, value, member, &mut run);
        let fields = soonest(&head, member.deadline, &run);
        let head = Head { fields, ..head };
        let put = if run.len() > RUN_BYTES || count > RUN_MEMBERS {
            self.spread_out(slot, name, head, &run, count, at)
        } else {
            self.put(slot, name, head, &run, at).map(drop)
        };
        self.give_scratch(run);
        put.map(|()| !old)
    }

    /// Turns a run into a large collection.
    fn spread_out(
        &mut self,
        slot: Option<SlotRef>,
        name: Name<'_>,
        head: Head,
        run: &[u8],
        count: usize,
        at: At<'_>,
    ) -> Result<(), KeyError> {
        self.room_for(slot, run.len() + count * SPREAD_MEMBER + SPREAD_ITSELF, at)?;
        let spread = Spread::of_run(head.kind, run, &self.hasher);
        self.put_spread(slot, name, head, Box::new(spread), at)
    }

    /// Puts a large collection under a key.
    pub(crate) fn put_spread(
        &mut self,
        slot: Option<SlotRef>,
        name: Name<'_>,
        head: Head,
        spread: Box<Spread>,
        at: At<'_>,
    ) -> Result<(), KeyError> {
        self.room_for(slot, self.names.cost_to_keep(), at)?;
        let number = self.names.keep(spread);
        let head = Head {
            spread: true,
            ..head
        };
        let put = self.put(slot, name, head, &number.to_le_bytes(), at);
        if put.is_err() {
            drop(self.names.release(number));
        }
        put.map(drop)
    }

    fn put_in_spread(
        &mut self,
        slot: SlotRef,
        name: Name<'_>,
        member: &Member<'_>,
        at: At<'_>,
    ) -> Result<bool, KeyError> {
        let view = self.key(slot);
        let (number, head) = (number_of(view), view.head());
        let cost = self.names.spread(view).cost(member, &self.hasher);
        self.room_for(Some(slot), cost, at)?;
        let fields = head.fields.min(member.deadline);
        if fields != head.fields {
            // First, because this can be refused.
            let head = Head { fields, ..head };
            self.put(Some(slot), name, head, &number.to_le_bytes(), at)?;
        }
        let hasher = &self.hasher;
        self.names
            .with_spread(number, |spread| spread.put(member, hasher))
    }

    /// Puts another large value in place of a key's.
    pub(crate) fn swap_spread(&mut self, slot: SlotRef, other: Box<Spread>) -> Box<Spread> {
        let number = number_of(self.key(slot));
        self.names.swap(number, other)
    }

    /// A copy of a key's large value.
    pub(crate) fn copy_of_spread(&self, slot: SlotRef) -> Box<Spread> {
        Box::new(self.names.spread(self.key(slot)).copy(&self.hasher))
    }

    /// Makes room for what is no slot.
    pub(crate) fn room_for(
        &mut self,
        spared: Option<SlotRef>,
        extra: usize,
        at: At<'_>,
    ) -> Result<(), KeyError> {
        let need = Need {
            len: 0,
            names: None,
            name: None,
            extra,
            spared,
            replaces: false,
        };
        self.make_room(&need, at).map_err(|_| KeyError::Full)
    }

    /// Writes a field in place, if it keeps its size and no deadline is concerned. Returns whether
    /// it did.
    fn overwrite_field(&mut self, slot: SlotRef, member: &Member<'_>) -> bool {
        let view = self.key(slot);
        if view.kind() != Kind::Hash || member.deadline != NEVER {
            return false;
        }
        let found = Run::new(Kind::Hash, view.value()).find_named(member.name);
        let Some((known, record)) = found else {
            return false;
        };
        if known.deadline != NEVER || known.value.len() != member.value.len() {
            return false;
        }
        let end = view.value_range().start + record.end;
        let bytes = self.slab.get_mut(slot);
        bytes[end - member.value.len()..end].copy_from_slice(member.value);
        true
    }

    /// Removes fields that are over.
    #[cold]
    pub(super) fn settle_fields(&mut self, slot: SlotRef, at: At<'_>) -> Option<SlotRef> {
        let now = at.now.as_millis();
        let view = self.key(slot);
        let (key, head) = (Box::<[u8]>::from(view.key()), view.head());
        let name = Name {
            db: head.db,
            key: &key,
            hash: super::names::hash_of_entry(&self.hasher, view),
        };
        let mut value = Vec::new();
        let (ended, fields, empty);
        if view.is_spread() {
            let (number, hasher) = (number_of(view), &self.hasher);
            value.extend_from_slice(view.value());
            (ended, fields, empty) = self.names.with_spread(number, |spread| {
                let mut ended = false;
                while let Some(field) = spread.ended(now) {
                    spread.remove(&field, hasher);
                    ended = true;
                }
                (ended, spread.first_deadline(), spread.len() == 0)
            });
        } else {
            let lives = Run::new(Kind::Hash, view.value()).filter(|(it, _)| it.deadline > now);
            for (_, range) in lives {
                value.extend_from_slice(&view.value()[range]);
            }
            ended = value.len() < view.value().len();
            fields = soonest(&head, NEVER, &value);
            empty = value.is_empty();
        }
        if ended {
            self.note_expired(at.now);
            at.ears.tell(head.db, &key, Change::HashExpired);
        }
        if empty {
            at.ears.tell(head.db, &key, Change::Del);
            self.remove_key(slot);
            return None;
        }
        Some(self.rewrite_smaller(slot, name, Head { fields, ..head }, &value))
    }

    /// How many members are `before`, which holds for the first ones of a sorted set only.
    pub(crate) fn count_before(
        &self,
        slot: SlotRef,
        mut before: impl FnMut(&Member<'_>) -> bool,
    ) -> usize {
        let view = self.key(slot);
        if view.is_spread() {
            return self.names.spread(view).count_before(before);
        }
        let run = Run::new(view.kind(), view.value());
        run.take_while(|(member, _)| before(member)).count()
    }

    /// A member's rank in a sorted set.
    pub(crate) fn rank(&self, slot: SlotRef, name: &[u8]) -> Option<usize> {
        let view = self.key(slot);
        if view.is_spread() {
            return self.names.spread(view).rank(name, &self.hasher);
        }
        Run::new(view.kind(), view.value()).position(|(member, _)| member.name == name)
    }

    /// Members of these ranks of a sorted set, from either end.
    pub(crate) fn each_ranked(
        &self,
        slot: SlotRef,
        ranks: Range<usize>,
        reverse: bool,
        each: &mut dyn FnMut(Member<'_>),
    ) {
        let view = self.key(slot);
        let len = ranks.end.saturating_sub(ranks.start);
        if view.is_spread() {
            let chosen = self.names.spread(view).range(ranks);
            if reverse {
                chosen.rev().for_each(each);
            } else {
                chosen.for_each(each);
            }
            return;
        }
        let run = Run::new(view.kind(), view.value()).map(|(member, _)| member);
        let chosen = run.skip(ranks.start).take(len);
        if reverse {
            let chosen: Vec<_> = chosen.collect();
            chosen.into_iter().rev().for_each(each);
        } else {
            chosen.for_each(each);
        }
    }

    /// Removes members of these ranks of a sorted set, and the key with the last. Returns how many.
    pub(crate) fn remove_ranked(
        &mut self,
        slot: SlotRef,
        name: Name<'_>,
        ranks: Range<usize>,
    ) -> usize {
        let mut chosen: Vec<Box<[u8]>> = Vec::new();
        self.each_ranked(slot, ranks, false, &mut |member| {
            chosen.push(member.name.into());
        });
        for member in &chosen {
            self.remove_member(slot, name, member);
        }
        chosen.len()
    }
}

/// A collection without members.
const fn empty(kind: Kind, db: u8) -> Head {
    Head {
        kind,
        db,
        spread: false,
        deadline: NEVER,
        fields: NEVER,
        mark: None,
    }
}

/// Appends `value` with a member put in, in place of the one of that name. Returns how many there
/// are then, and whether there was one.
fn put_together(kind: Kind, value: &[u8], member: &Member<'_>, out: &mut Vec<u8>) -> (usize, bool) {
    let (mut count, mut old, mut place) = (0, None, None);
    for (known, range) in Run::new(kind, value) {
        count += 1;
        if known.name == member.name {
            old = Some(range);
        } else if kind == Kind::SortedSet && place.is_none() && known.order(member).is_gt() {
            place = Some(range.start);
        }
    }
    let is_old = old.is_some();
    let old = old.unwrap_or(value.len()..value.len());
    let place = place.unwrap_or(match kind {
        Kind::SortedSet => value.len(),
        _ => old.start,
    });
    if place <= old.start {
        out.extend_from_slice(&value[..place]);
        member.write(kind, out);
        out.extend_from_slice(&value[place..old.start]);
        out.extend_from_slice(&value[old.end..]);
    } else {
        out.extend_from_slice(&value[..old.start]);
        out.extend_from_slice(&value[old.end..place]);
        member.write(kind, out);
        out.extend_from_slice(&value[place..]);
    }
    (count + usize::from(!is_old), is_old)
}

/// When the first field of a run ends, of a hash that may have such.
fn soonest(head: &Head, new: u64, run: &[u8]) -> u64 {
    if head.kind != Kind::Hash || (head.fields == NEVER && new == NEVER) {
        return NEVER;
    }
    let deadlines = Run::new(Kind::Hash, run).map(|(member, _)| member.deadline);
    deadlines.min().unwrap_or(NEVER)
}

impl Shard {
    /// Writes a value that is no larger than the present one, which cannot fail.
    fn rewrite_smaller(
        &mut self,
        slot: SlotRef,
        name: Name<'_>,
        head: Head,
        value: &[u8],
    ) -> SlotRef {
        debug_assert!(value.len() <= KeyView(self.slab.get(slot)).value().len());
        self.write_into(slot, name, head, Mark::Kept, value)
    }
}

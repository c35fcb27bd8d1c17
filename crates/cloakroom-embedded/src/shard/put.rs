//! The entry of a key, written: into the slot that it has, or into another. Its mark and its place in the wheel
//! and the lists follow it.

use super::marks::Mark;
use super::name::{self, Head, KeyView, NEVER};
use super::names::{Name, hash_of_entry, number_of};
use super::room::Need;
use super::{At, Shard};
use crate::engine::KeyError;
use crate::slab::SlotRef;

impl Shard {
    /// Puts a key's entry in place of the old one, whose mark it keeps, if there is one.
    pub(crate) fn put(
        &mut self,
        old: Option<SlotRef>,
        name: Name<'_>,
        head: Head,
        value: &[u8],
        at: At<'_>,
    ) -> Result<SlotRef, KeyError> {
        self.put_marked(old, name, head, Mark::Kept, value, at)
    }

    /// As [`Shard::put`], with a mark.
    pub(super) fn put_marked(
        &mut self,
        old: Option<SlotRef>,
        name: Name<'_>,
        head: Head,
        mark: Mark<'_>,
        value: &[u8],
        at: At<'_>,
    ) -> Result<SlotRef, KeyError> {
        let head = Head {
            mark: mark.name_len(old.map(|slot| self.key(slot))),
            ..head
        };
        let len = head.len(name.key.len(), value.len());
        let room = old.map_or(0, |slot| self.slab.get(slot).len());
        if !lies_well(len, room) {
            let need = self.need(name, len, old);
            let there = if len <= room {
                self.try_room(&need, at.memory)
            } else {
                self.make_room(&need, at).map_err(|_| KeyError::Full)?;
                true
            };
            if !there && let Some(slot) = old {
                return Ok(self.write_into(slot, name, head, mark, value));
            }
        }
        Ok(self.write(old, name, head, mark, value))
    }

    pub(super) const fn need<'a>(
        &self,
        name: Name<'_>,
        len: usize,
        old: Option<SlotRef>,
    ) -> Need<'a> {
        Need {
            len,
            names: None,
            name: if old.is_some() {
                None
            } else {
                Some((name.db, name.hash))
            },
            extra: 0,
            spared: old,
            replaces: false,
        }
    }

    /// Writes an entry for which there is room.
    pub(super) fn write(
        &mut self,
        old: Option<SlotRef>,
        name: Name<'_>,
        head: Head,
        mark: Mark<'_>,
        value: &[u8],
    ) -> SlotRef {
        let len = head.len(name.key.len(), value.len());
        if let Some(old) = old
            && lies_well(len, self.slab.get(old).len())
        {
            return self.write_into(old, name, head, mark, value);
        }
        let slot = self.slab.alloc(len);
        let (mark_at, at) = head.write(self.slab.get_mut(slot), name.key, value.len());
        self.slab.get_mut(slot)[at..at + value.len()].copy_from_slice(value);
        if head.mark.is_some() {
            let kept = old.and_then(|old| self.key(old).mark()).map(<[u8]>::to_vec);
            let mark = match mark {
                Mark::Set(mark) => mark,
                Mark::Kept => kept.as_deref().expect("a mark that is kept was there"),
            };
            self.slab.get_mut(slot)[mark_at..at].copy_from_slice(mark);
        }
        let before = old.and_then(|old| Some((self.hash_of_name_in(old)?, old)));
        let after = self.hash_of_name_in(slot).map(|hash| (hash, slot));
        self.follow_mark(before, after);
        if let Some(old) = old {
            self.names.table.replace(name.hash, old, slot);
            self.forget_value(old, &head, value);
            self.uncount(old);
            if self.key(old).is_timed() {
                self.wheel.remove(&mut self.slab, old);
            }
            self.slab.free(old);
            name::set_referenced(self.slab.get_mut(slot));
        } else {
            let (slab, hasher) = (&self.slab, &self.hasher);
            let hash_of = |slot: &SlotRef| hash_of_entry(hasher, KeyView(slab.get(*slot)));
            self.names.table.insert(name.hash, slot, hash_of);
        }
        if head.due() != NEVER {
            self.wheel.insert(&mut self.slab, slot, head.due());
        }
        self.count(head);
        slot
    }

    /// Writes another value and head into the slot of a key.
    pub(super) fn write_into(
        &mut self,
        slot: SlotRef,
        name: Name<'_>,
        head: Head,
        mark: Mark<'_>,
        value: &[u8],
    ) -> SlotRef {
        self.forget_value(slot, &head, value);
        self.uncount(slot);
        let before = self.key(slot).due();
        let due = head.due();
        // A later one is found out when the present bucket comes up.
        let stays = before != NEVER && due != NEVER && due >= before;
        if before != NEVER && !stays {
            self.wheel.remove(&mut self.slab, slot);
        }
        let named = match mark {
            Mark::Kept => {
                self.move_mark(slot, name, &head, value.len());
                None
            }
            Mark::Set(_) => self.hash_of_name_in(slot),
        };
        let bytes = self.slab.get_mut(slot);
        let (mark_at, at) = head.write(bytes, name.key, value.len());
        bytes[at..at + value.len()].copy_from_slice(value);
        name::set_referenced(bytes);
        if let Mark::Set(mark) = mark {
            if head.mark.is_some() {
                bytes[mark_at..at].copy_from_slice(mark);
            }
            let after = self.hash_of_name_in(slot).map(|hash| (hash, slot));
            self.follow_mark(named.map(|hash| (hash, slot)), after);
        }
        if due != NEVER && !stays {
            self.wheel.insert(&mut self.slab, slot, due);
        }
        self.count(head);
        slot
    }

    /// Puts the mark of a key where it belongs in an entry with this head in the same slot.
    fn move_mark(&mut self, slot: SlotRef, name: Name<'_>, head: &Head, value: usize) {
        let Some(range) = self.key(slot).mark_range() else {
            return;
        };
        let bytes = self.slab.get_mut(slot);
        let at = head.mark_at(bytes.len(), name.key.len(), value);
        if at != range.start {
            bytes.copy_within(range, at);
        }
    }

    /// Lets the large value of a key go that gets another one.
    fn forget_value(&mut self, slot: SlotRef, head: &Head, value: &[u8]) {
        let view = self.key(slot);
        if view.is_spread() && !(head.spread && view.value() == value) {
            let number = number_of(view);
            drop(self.names.release(number));
        }
    }
}

/// Whether an entry may lie in a slot: without leaving much of it empty.
const fn lies_well(len: usize, room: usize) -> bool {
    len <= room && (room - len < 16 || len * 4 >= room * 3)
}

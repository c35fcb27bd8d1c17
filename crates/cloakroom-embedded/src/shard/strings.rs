//! Strings: a value as it is, beside its key.

use super::marks::Mark;
use super::name::{Head, KeyView, NEVER};
use super::names::Name;
use super::{At, Shard};
use crate::engine::{KeyError, Kind, Reach};
use crate::slab::SlotRef;

impl Shard {
    /// What a string is, as bytes.
    pub(crate) fn string(&mut self, name: Name<'_>, at: At<'_>) -> Result<Option<&[u8]>, KeyError> {
        let slot = self.typed(name, Kind::String, at)?;
        Ok(slot.map(|slot| self.key(slot).value()))
    }

    /// Writes a string, with its mark.
    pub(crate) fn set_string(
        &mut self,
        name: Name<'_>,
        value: &[u8],
        deadline: u64,
        mark: Mark<'_>,
        at: At<'_>,
    ) -> Result<(), KeyError> {
        let old = self.look(name, Reach::Value, at);
        let same = |slot| self.is_string_of(slot, value) && mark.is_that_of(self.key(slot));
        let old = old.map(|slot| (slot, same(slot)));
        self.put_string(name, (value, mark), deadline, old, at)
    }

    /// Writes a string in place of a key that is there, by what the key is and whether it has this value already;
    /// its mark stays. `Some(false)` if that makes no deadline, `None` if the key is not there.
    #[inline]
    pub(crate) fn save_string(
        &mut self,
        name: Name<'_>,
        value: &[u8],
        at: At<'_>,
        mut decide: impl FnMut(KeyView<'_>, bool) -> Option<u64>,
    ) -> Result<Option<bool>, KeyError> {
        let Some(slot) = self.look(name, Reach::Value, at) else {
            return Ok(None);
        };
        let same = self.is_string_of(slot, value);
        let Some(deadline) = decide(self.key(slot), same) else {
            return Ok(Some(false));
        };
        self.put_string(name, (value, Mark::Kept), deadline, Some((slot, same)), at)?;
        Ok(Some(true))
    }

    #[inline]
    fn is_string_of(&self, slot: SlotRef, value: &[u8]) -> bool {
        let view = self.key(slot);
        view.kind() == Kind::String && view.value() == value
    }

    /// Puts a value and a mark under a key: `old` is the key's slot, if it is there, and whether it has both already.
    fn put_string(
        &mut self,
        name: Name<'_>,
        (value, mark): (&[u8], Mark<'_>),
        deadline: u64,
        old: Option<(SlotRef, bool)>,
        at: At<'_>,
    ) -> Result<(), KeyError> {
        if let Some((slot, true)) = old {
            // Many frameworks save what they have read: then only the deadline is news.
            self.set_deadline(slot, name, deadline, at);
            return Ok(());
        }
        let old = old.map(|(slot, _)| slot);
        let head = Head {
            kind: Kind::String,
            db: name.db,
            spread: false,
            deadline,
            fields: NEVER,
            mark: None,
        };
        self.room_for_mark(old, mark, at)?;
        self.put_marked(old, name, head, mark, value, at)?;
        self.note_string(name, value, deadline);
        self.note_mark(name, mark);
        Ok(())
    }
}

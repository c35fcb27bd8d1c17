//! Strings: a value as it is, beside its key.

use super::marks::Mark;
use super::name::{Head, NEVER};
use super::names::Name;
use super::{At, Shard};
use crate::engine::{KeyError, Kind, Reach};

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
        if let Some(slot) = old
            && self.key(slot).kind() == Kind::String
            && self.key(slot).value() == value
            && mark.is_that_of(self.key(slot))
        {
            // Many frameworks save what they have read: then only the deadline is news.
            self.set_deadline(slot, name, deadline, at);
            return Ok(());
        }
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

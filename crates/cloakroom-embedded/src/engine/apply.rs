//! The way back of keys: effects of a journal put into the keyspaces. Nothing expires on the way.

use cloakroom_core::UnixMillis;

use super::{BESIDE, Db, Engine, KeyError, Tx};
use crate::journal::{Effect, Refused};

impl Engine {
    /// Puts a string and the mark that was noted behind it into the keyspaces, at once: one after the other, nearly
    /// every session is written twice.
    pub(crate) fn apply_marked(
        &self,
        (db, key): (Db, &[u8]),
        value: &[u8],
        deadline: Option<UnixMillis>,
        mark: &[u8],
    ) -> Result<(), Refused> {
        let done = self.with_key(db, key, |tx| {
            tx.by_number();
            tx.set_marked_string(db, key, value, deadline, mark)
        });
        done.map_err(refused)
    }

    /// Puts an effect on a key into the keyspaces. One on a key of another kind replaces it.
    pub(crate) fn apply(&self, effect: &Effect<'_>) -> Result<(), Refused> {
        let done = match *effect {
            Effect::String { db, key, .. }
            | Effect::Remove { db, key }
            | Effect::Deadline { db, key, .. }
            | Effect::HashSet { db, key, .. }
            | Effect::HashRemove { db, key, .. }
            | Effect::SetAdd { db, key, .. }
            | Effect::SetRemove { db, key, .. }
            | Effect::SortedAdd { db, key, .. }
            | Effect::SortedRemove { db, key, .. }
            | Effect::Mark { db, key, .. } => self.with_key(db, key, |tx| {
                tx.by_number();
                apply(tx, effect).or_else(|error| match error {
                    KeyError::WrongType => {
                        tx.remove(db, key);
                        apply(tx, effect)
                    }
                    error => Err(error),
                })
            }),
            Effect::Keyspaces(numbers) => {
                self.with_all(|tx| tx.set_numbers(numbers));
                Ok(())
            }
            Effect::Emptied { old, new, .. } if old == new || (old | new) & BESIDE != 0 => {
                return Err(Refused::Damaged);
            }
            Effect::Emptied { old, new, at } => {
                self.with_all(|tx| tx.set_emptied(old, new, at));
                Ok(())
            }
            Effect::Flush { db } => {
                self.with_all(|tx| tx.flush(db));
                Ok(())
            }
            _ => return Err(Refused::Newer(0)),
        };
        done.map_err(refused)
    }
}

fn refused(error: KeyError) -> Refused {
    match error {
        KeyError::Full => Refused::NoRoom,
        _ => Refused::Damaged,
    }
}

fn apply(tx: &mut Tx<'_>, effect: &Effect<'_>) -> Result<(), KeyError> {
    match *effect {
        Effect::String {
            db,
            key,
            value,
            deadline,
        } => tx.set_string(db, key, value, deadline),
        Effect::Remove { db, key } => {
            tx.remove(db, key);
            Ok(())
        }
        Effect::Deadline { db, key, deadline } => {
            tx.set_deadline(db, key, deadline);
            Ok(())
        }
        Effect::HashSet {
            db,
            key,
            field,
            value,
            deadline,
        } => {
            tx.hash_set(db, key, field, value)?;
            tx.hash_set_field_deadline(db, key, field, deadline)?;
            Ok(())
        }
        Effect::HashRemove { db, key, field } => tx.hash_remove(db, key, field).map(drop),
        Effect::SetAdd { db, key, member } => tx.set_add(db, key, member).map(drop),
        Effect::SetRemove { db, key, member } => tx.set_remove(db, key, member).map(drop),
        Effect::SortedAdd {
            db,
            key,
            member,
            score,
        } => tx.sorted_put(db, key, member, score).map(drop),
        Effect::SortedRemove { db, key, member } => tx.sorted_remove(db, key, member).map(drop),
        Effect::Mark { db, key, mark } => tx.set_mark(db, key, mark),
        _ => Ok(()),
    }
}

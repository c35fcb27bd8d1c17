//! The way back of keys: effects of a journal put into the keyspaces. Nothing expires on the way.

use super::{BESIDE, Engine, KeyError, KeyHash, Tx};
use crate::journal::{Effect, Refused};

impl Engine {
    /// Puts an effect on a key into the keyspaces, with the key's hash and the mark that was noted behind a string. One
    /// on a key of another kind replaces it.
    pub(crate) fn apply(
        &self,
        effect: &Effect<'_>,
        hash: KeyHash,
        mark: Option<&[u8]>,
    ) -> Result<(), Refused> {
        let done = match *effect {
            // A later version's.
            Effect::Tombstone { .. } => return Err(Refused::Newer(0)),
            _ if let Some((db, key)) = effect.key() => self.with_hashed(db, key, hash, |tx| {
                tx.by_number();
                apply(tx, effect, mark).or_else(|error| match error {
                    KeyError::WrongType => {
                        tx.remove(db, key);
                        apply(tx, effect, mark)
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
        done.map_err(|error| match error {
            KeyError::Full => Refused::NoRoom,
            _ => Refused::Damaged,
        })
    }
}

fn apply(tx: &mut Tx<'_>, effect: &Effect<'_>, mark: Option<&[u8]>) -> Result<(), KeyError> {
    match *effect {
        Effect::String {
            db,
            key,
            value,
            deadline,
        } => match mark {
            // One after the other, nearly every session would be written twice.
            Some(mark) => tx.set_marked_string(db, key, value, deadline, mark),
            None => tx.set_string(db, key, value, deadline),
        },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmbeddedConfig;

    /// A snapshot may have a later mark than the record that is applied over it; what it says holds all the same.
    #[test]
    fn the_same_string_with_another_mark_has_that_one() {
        let engine = Engine::new(EmbeddedConfig::new()).unwrap();
        let (db, key, hash) = (0, &b"sess:1"[..], engine.hash_of(b"sess:1"));
        let string = Effect::String {
            db,
            key,
            value: b"{}",
            deadline: None,
        };
        for (mark, of) in [
            (&b"01234567alice"[..], [1, 0]),
            (b"01234567bob", [0, 1]),
            (b"", [0, 0]),
            (b"01234567bob", [0, 1]),
        ] {
            engine.apply(&string, hash, Some(mark)).unwrap();
            let named = [&b"alice"[..], b"bob"].map(|name| engine.named(name).len());
            assert_eq!(named, of);
            let kept = engine.with_key(db, key, |tx| tx.mark(db, key).map(<[u8]>::to_vec));
            assert_eq!(kept.unwrap_or_default(), mark);
        }
    }
}

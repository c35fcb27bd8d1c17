//! Effects out of a record's payload. It comes from a disk: nothing is believed of it.

use std::borrow::Cow;

use cloakroom_core::id::SlotTag;

use super::bytes::In;
use super::{
    DEADLINE, EMPTIED, Effect, FLUSH, GENERATION, HASH_REMOVE, HASH_SET, KEY, KEYSPACES, MARK,
    REMOVE, SESSION_END, SESSION_FIELDS, SESSION_PUT, SESSION_REMOVE, SESSION_SEEN, SET_ADD,
    SET_REMOVE, SORTED_ADD, SORTED_REMOVE, STRING, TIME, TOMBSTONE, session,
};
use crate::journal::recover::Refused;

/// The effects of a record's payload, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Effects<'a> {
    rest: In<'a>,
    key: Option<(u8, &'a [u8])>,
}

impl<'a> Effects<'a> {
    /// The effects in these bytes.
    #[must_use]
    pub const fn of(record: &'a [u8]) -> Self {
        Self {
            rest: In(record),
            key: None,
        }
    }

    fn parse(&mut self) -> Result<Effect<'a>, Refused> {
        let mut tag = self.rest.byte()?;
        while tag == KEY {
            self.key = Some((self.rest.byte()?, self.rest.bytes()?));
            tag = self.rest.byte()?;
        }
        let input = &mut self.rest;
        match tag {
            SESSION_PUT => Ok(Effect::SessionPut {
                key: input.stored_key()?,
                generation: input.small()?,
                record: Cow::Owned(session::read(input)?),
            }),
            SESSION_FIELDS => Ok(Effect::SessionFields {
                key: input.stored_key()?,
                version: input.number()?,
                seen_at: input.time()?,
                changes: Cow::Owned(session::read_changes(input)?),
            }),
            SESSION_SEEN => Ok(Effect::SessionSeen {
                key: input.stored_key()?,
                seen_at: input.time()?,
            }),
            SESSION_END => Ok(Effect::SessionEnd {
                key: input.stored_key()?,
                ended_at: input.time()?,
                forward: match input.deadline()? {
                    Some(until) => Some((input.stored_key()?, until)),
                    None => None,
                },
            }),
            SESSION_REMOVE => Ok(Effect::SessionRemove {
                key: input.stored_key()?,
            }),
            GENERATION => Ok(Effect::Generation(input.small()?)),
            TIME => Ok(Effect::Time(input.time()?)),
            KEYSPACES => {
                let mut numbers = [0; 16];
                for number in &mut numbers {
                    *number = input.byte()?;
                }
                Ok(Effect::Keyspaces(numbers))
            }
            EMPTIED => Ok(Effect::Emptied {
                old: input.byte()?,
                new: input.byte()?,
                at: input.time()?,
            }),
            FLUSH => Ok(Effect::Flush {
                db: match input.number()? {
                    0 => None,
                    number => Some(u8::try_from(number - 1).map_err(|_| Refused::Damaged)?),
                },
            }),
            tag => self.parse_keyed(tag),
        }
    }

    fn parse_keyed(&mut self, tag: u8) -> Result<Effect<'a>, Refused> {
        let input = &mut self.rest;
        if !(STRING..=MARK).contains(&tag) {
            return Err(Refused::Newer(tag.into()));
        }
        let (db, key) = self.key.ok_or(Refused::Damaged)?;
        Ok(match tag {
            STRING => Effect::String {
                db,
                key,
                deadline: input.deadline()?,
                value: input.bytes()?,
            },
            REMOVE => Effect::Remove { db, key },
            DEADLINE => Effect::Deadline {
                db,
                key,
                deadline: input.deadline()?,
            },
            HASH_SET => Effect::HashSet {
                db,
                key,
                deadline: input.deadline()?,
                field: input.bytes()?,
                value: input.bytes()?,
            },
            HASH_REMOVE => Effect::HashRemove {
                db,
                key,
                field: input.bytes()?,
            },
            SET_ADD => Effect::SetAdd {
                db,
                key,
                member: input.bytes()?,
            },
            SET_REMOVE => Effect::SetRemove {
                db,
                key,
                member: input.bytes()?,
            },
            SORTED_ADD => Effect::SortedAdd {
                db,
                key,
                score: input.score()?,
                member: input.bytes()?,
            },
            SORTED_REMOVE => Effect::SortedRemove {
                db,
                key,
                member: input.bytes()?,
            },
            TOMBSTONE => Effect::Tombstone {
                db,
                key,
                until: input.time()?,
            },
            MARK => Effect::Mark {
                db,
                key,
                mark: input.bytes()?,
            },
            tag => return Err(Refused::Newer(tag.into())),
        })
    }
}

impl<'a> Iterator for Effects<'a> {
    type Item = Result<Effect<'a>, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.0.is_empty() {
            return None;
        }
        let effect = self.parse();
        if effect.is_err() {
            self.rest = In(&[]);
        }
        Some(effect)
    }
}

/// What an effect is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern<'a> {
    /// The session under a key of this tag.
    Session(SlotTag),
    /// The key of this name, in any keyspace.
    Key(&'a [u8]),
    /// Nothing in particular, and in no particular order.
    Nothing,
    /// Everything.
    All,
}

impl<'a> Effect<'a> {
    /// The key that it is about, and the number in memory of its keyspace; `None` for sessions and what is about
    /// no key.
    pub(crate) const fn key(&self) -> Option<(u8, &'a [u8])> {
        match *self {
            Effect::String { db, key, .. }
            | Effect::Remove { db, key }
            | Effect::Deadline { db, key, .. }
            | Effect::HashSet { db, key, .. }
            | Effect::HashRemove { db, key, .. }
            | Effect::SetAdd { db, key, .. }
            | Effect::SetRemove { db, key, .. }
            | Effect::SortedAdd { db, key, .. }
            | Effect::SortedRemove { db, key, .. }
            | Effect::Tombstone { db, key, .. }
            | Effect::Mark { db, key, .. } => Some((db, key)),
            _ => None,
        }
    }

    pub(crate) const fn concern(&self) -> Concern<'a> {
        match self {
            Effect::SessionPut { key, .. }
            | Effect::SessionFields { key, .. }
            | Effect::SessionSeen { key, .. }
            | Effect::SessionEnd { key, .. }
            | Effect::SessionRemove { key } => Concern::Session(key.tag()),
            // Both only go up. A session of a generation that is over is dead whenever that is known.
            Effect::Generation(_) | Effect::Time(_) => Concern::Nothing,
            Effect::Keyspaces(_) | Effect::Emptied { .. } | Effect::Flush { .. } => Concern::All,
            keyed => match keyed.key() {
                Some((_, key)) => Concern::Key(key),
                None => Concern::Nothing,
            },
        }
    }
}

impl<'a> Effects<'a> {
    /// What each effect is about. Sessions are passed over, not read.
    pub(crate) fn concerns(mut self) -> impl Iterator<Item = Result<Concern<'a>, Refused>> {
        std::iter::from_fn(move || {
            if self.rest.0.is_empty() {
                return None;
            }
            let concern = self.pass();
            if concern.is_err() {
                self.rest = In(&[]);
            }
            Some(concern)
        })
    }

    fn pass(&mut self) -> Result<Concern<'a>, Refused> {
        let input = &mut self.rest;
        match input.0.first() {
            Some(&SESSION_PUT) => {
                input.byte()?;
                let key = input.stored_key()?;
                input.small()?;
                session::skip(input)?;
                Ok(Concern::Session(key.tag()))
            }
            Some(&SESSION_FIELDS) => {
                input.byte()?;
                let key = input.stored_key()?;
                input.number()?;
                input.time()?;
                session::skip_changes(input)?;
                Ok(Concern::Session(key.tag()))
            }
            _ => Ok(self.parse()?.concern()),
        }
    }
}

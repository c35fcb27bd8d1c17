//! What a step did, and its bytes in a journal's record (`docs/formats/journal.md`).
//!
//! Every effect assigns: it says what a session, a key or a part of a key *is* from now on, never
//! what is added to it or moved from elsewhere. So effects may be applied to a state that has some
//! of them already, as long as all that came later are applied too. That is what a snapshot rests
//! on, which is taken while writes go on (`journal::snapshot`). A rename is therefore the whole key
//! under its new name and the removal of the old one; a whole hash is a [`Effect::Remove`] and then
//! its fields. An effect on a key of another kind replaces it.
//!
//! A tag's number is never used for anything else. A tag that is not known is a later version's,
//! and the record is refused.

mod bytes;
mod read;
mod session;

use std::borrow::Cow;

use cloakroom_core::record::Changes;
use cloakroom_core::{Record, StoredKey, UnixMillis};

use self::bytes::Out;
pub(crate) use self::read::Concern;
pub use self::read::Effects;

/// One assignment. Numbered databases are 0 to 15.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect<'a> {
    /// A session is this, under this key.
    SessionPut {
        /// Its key.
        key: StoredKey,
        /// How many `revoke_all` there were when it was created.
        generation: u32,
        /// All of it.
        record: Cow<'a, Record>,
    },
    /// A session's fields changed; without increments, which are sets by now. To a session of this
    /// version or a later one only the activity applies.
    SessionFields {
        /// Its key.
        key: StoredKey,
        /// Its version after the change.
        version: u64,
        /// Its last activity.
        seen_at: UnixMillis,
        /// Fields set and removed.
        changes: Cow<'a, Changes>,
    },
    /// A session was active.
    SessionSeen {
        /// Its key.
        key: StoredKey,
        /// When.
        seen_at: UnixMillis,
    },
    /// A session ended or moved, and that is remembered; a session under this key goes.
    SessionEnd {
        /// Its key.
        key: StoredKey,
        /// When.
        ended_at: UnixMillis,
        /// Where requests may follow to, and until when.
        forward: Option<(StoredKey, UnixMillis)>,
    },
    /// A session left without a trace: it was evicted.
    SessionRemove {
        /// Its key.
        key: StoredKey,
    },
    /// There were so many `revoke_all`; sessions of fewer are dead.
    Generation(u32),
    /// The number in memory that each keyspace has from now on. Effects on keys mean keyspaces by
    /// that number. What is under a number that no keyspace had before is not there.
    Keyspaces([u8; 16]),
    /// The keyspace that had the one number was emptied then, and has the other since. What is under that one, if no
    /// keyspace had it before, is not there.
    Emptied {
        /// The number that it had.
        old: u8,
        /// The number that it has.
        new: u8,
        /// When.
        at: UnixMillis,
    },
    /// It was this time: what ended before it has ended, even if the clock is put back.
    Time(UnixMillis),
    /// A key is this string.
    String {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// When it ends.
        deadline: Option<UnixMillis>,
    },
    /// A key, of whatever kind, is not there.
    Remove {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
    },
    /// A key ends then, or never.
    Deadline {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// When.
        deadline: Option<UnixMillis>,
    },
    /// A hash has this field.
    HashSet {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// The field's name.
        field: &'a [u8],
        /// The field's value.
        value: &'a [u8],
        /// When the field ends.
        deadline: Option<UnixMillis>,
    },
    /// A hash has not this field.
    HashRemove {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// The field's name.
        field: &'a [u8],
    },
    /// A set has this member.
    SetAdd {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// The member.
        member: &'a [u8],
    },
    /// A set has not this member.
    SetRemove {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// The member.
        member: &'a [u8],
    },
    /// A sorted set has this member with this score.
    SortedAdd {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// The member.
        member: &'a [u8],
        /// The score.
        score: f64,
    },
    /// A sorted set has not this member.
    SortedRemove {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// The member.
        member: &'a [u8],
    },
    /// A database, or all, is empty; native sessions are in none.
    Flush {
        /// Which; `None` for all.
        db: Option<u8>,
    },
    /// A key that is not there cannot be written until then.
    Tombstone {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// Until when.
        until: UnixMillis,
    },
    /// A key has this mark. A string that is written over another, and a member, leave it as it is.
    Mark {
        /// Its database.
        db: u8,
        /// Its name.
        key: &'a [u8],
        /// The mark; empty for none.
        mark: &'a [u8],
    },
}

const KEY: u8 = 0;
const SESSION_PUT: u8 = 1;
const SESSION_FIELDS: u8 = 2;
const SESSION_SEEN: u8 = 3;
const SESSION_END: u8 = 4;
const SESSION_REMOVE: u8 = 5;
const GENERATION: u8 = 6;
const TIME: u8 = 7;
const KEYSPACES: u8 = 8;
const EMPTIED: u8 = 9;
const STRING: u8 = 16;
const REMOVE: u8 = 17;
const DEADLINE: u8 = 18;
const HASH_SET: u8 = 19;
const HASH_REMOVE: u8 = 20;
const SET_ADD: u8 = 21;
const SET_REMOVE: u8 = 22;
const SORTED_ADD: u8 = 23;
const SORTED_REMOVE: u8 = 24;
const FLUSH: u8 = 25;
const TOMBSTONE: u8 = 26;
const MARK: u8 = 27;

/// The effects of one step as a record's payload. A key is said once for all effects in a row that
/// concern it.
#[derive(Clone, Debug, Default)]
pub struct Step {
    out: Out,
    /// Where the present key is, in the bytes.
    key: Option<(u8, std::ops::Range<usize>)>,
}

impl Step {
    /// A step without effects.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an effect.
    pub fn push(&mut self, effect: &Effect<'_>) {
        match *effect {
            Effect::SessionPut {
                key,
                generation,
                ref record,
            } => {
                self.out
                    .tag(SESSION_PUT)
                    .stored_key(&key)
                    .number(generation.into());
                session::write(&mut self.out, record);
            }
            Effect::SessionFields {
                key,
                version,
                seen_at,
                ref changes,
            } => {
                let out = self.out.tag(SESSION_FIELDS).stored_key(&key);
                session::write_changes(out.number(version).time(seen_at), changes);
            }
            Effect::SessionSeen { key, seen_at } => {
                self.out.tag(SESSION_SEEN).stored_key(&key).time(seen_at);
            }
            Effect::SessionEnd {
                key,
                ended_at,
                forward,
            } => {
                let out = self.out.tag(SESSION_END).stored_key(&key).time(ended_at);
                out.deadline(forward.map(|(_, until)| until));
                if let Some((to, _)) = forward {
                    out.stored_key(&to);
                }
            }
            Effect::SessionRemove { key } => {
                self.out.tag(SESSION_REMOVE).stored_key(&key);
            }
            Effect::Generation(number) => {
                self.out.tag(GENERATION).number(number.into());
            }
            Effect::Time(at) => {
                self.out.tag(TIME).time(at);
            }
            Effect::Keyspaces(numbers) => {
                let out = self.out.tag(KEYSPACES);
                numbers
                    .into_iter()
                    .fold(out, |out, number| out.byte(number));
            }
            Effect::Emptied { old, new, at } => {
                self.out.tag(EMPTIED).byte(old).byte(new).time(at);
            }
            Effect::Flush { db } => {
                self.out
                    .tag(FLUSH)
                    .number(db.map_or(0, |db| u64::from(db) + 1));
            }
            ref keyed => self.push_keyed(keyed),
        }
    }

    fn push_keyed(&mut self, effect: &Effect<'_>) {
        match *effect {
            Effect::String {
                db,
                key,
                value,
                deadline,
            } => {
                self.about(db, key)
                    .tag(STRING)
                    .deadline(deadline)
                    .bytes(value);
            }
            Effect::Remove { db, key } => {
                self.about(db, key).tag(REMOVE);
            }
            Effect::Deadline { db, key, deadline } => {
                self.about(db, key).tag(DEADLINE).deadline(deadline);
            }
            Effect::HashSet {
                db,
                key,
                field,
                value,
                deadline,
            } => {
                let out = self.about(db, key).tag(HASH_SET).deadline(deadline);
                out.bytes(field).bytes(value);
            }
            Effect::HashRemove { db, key, field } => {
                self.about(db, key).tag(HASH_REMOVE).bytes(field);
            }
            Effect::SetAdd { db, key, member } => {
                self.about(db, key).tag(SET_ADD).bytes(member);
            }
            Effect::SetRemove { db, key, member } => {
                self.about(db, key).tag(SET_REMOVE).bytes(member);
            }
            Effect::SortedAdd {
                db,
                key,
                member,
                score,
            } => {
                self.about(db, key)
                    .tag(SORTED_ADD)
                    .score(score)
                    .bytes(member);
            }
            Effect::SortedRemove { db, key, member } => {
                self.about(db, key).tag(SORTED_REMOVE).bytes(member);
            }
            Effect::Tombstone { db, key, until } => {
                self.about(db, key).tag(TOMBSTONE).time(until);
            }
            Effect::Mark { db, key, mark } => {
                self.about(db, key).tag(MARK).bytes(mark);
            }
            _ => debug_assert!(false, "every other effect is without a key"),
        }
    }

    /// Says which key what follows is about.
    fn about(&mut self, db: u8, key: &[u8]) -> &mut Out {
        let known = self.key.clone();
        if known.is_none_or(|(known, at)| known != db || self.out.as_bytes()[at] != *key) {
            self.out.tag(KEY).byte(db).bytes(key);
            let end = self.out.as_bytes().len();
            self.key = Some((db, end - key.len()..end));
        }
        &mut self.out
    }

    /// The record's payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.out.as_bytes()
    }

    /// Whether there are no effects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Takes all effects out, so that the memory is used again.
    pub fn clear(&mut self) {
        self.out.clear();
        self.key = None;
    }

    /// Adds the effects of another step, which happened with these as one.
    pub fn join(&mut self, other: &Self) {
        self.out.raw(other.as_bytes());
        self.key = None;
    }
}

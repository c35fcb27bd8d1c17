//! The contract as the simplest store that keeps it: one map, one lock, no cleverness. Read it to
//! learn what an operation means; use it in tests, where its slowness does not matter.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::expiry::{Verdict, decide};
use crate::id::{Handle, SlotTag, StoredKey};
use crate::policy::{MaxSessions, OnExcess};
use crate::record::{Changes, Condition, NewSession, Record, Rotation, SessionInfo, Subject};
use crate::store::{Absence, Applied, Cursor, Loaded, Lookup, Page, Rotated, Stats, Store};
use crate::time::{Clock, UnixMillis};
use crate::{Error, ErrorKind, limits};

use super::clock::ManualClock;
use super::kit::{Fresh, StoreFactory, Time};
use crate::session::BoxFuture;

/// The reference store. Every operation looks at everything it keeps: for tests alone.
#[derive(Debug)]
pub struct ReferenceStore {
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

/// All that the store keeps. Whoever holds the lock has seen to it that nothing in here is expired.
#[derive(Debug, Default)]
struct Kept {
    keys: BTreeMap<StoredKey, Entry>,
    /// How many sessions were ever created; the place of the next one in a scan.
    created: u64,
    expired: u64,
}

/// What a key leads to.
#[derive(Debug)]
enum Entry {
    /// A session, and its place in a scan: it keeps it when it rotates.
    Alive { record: Record, place: u64 },
    /// A session was here until a moment ago.
    Ended {
        /// When that is forgotten.
        forgotten_at: UnixMillis,
        /// Where it went, and until when that is told.
        forward: Option<(StoredKey, UnixMillis)>,
    },
}

impl ReferenceStore {
    /// An empty store with this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            kept: Mutex::default(),
        }
    }

    /// An empty store, and the clock that moves it.
    #[must_use]
    pub fn manual() -> (Arc<Self>, ManualClock) {
        let clock = ManualClock::new();
        (Arc::new(Self::new(Arc::new(clock.clone()))), clock)
    }

    /// Runs one operation: alone, at one time, on what is not expired.
    fn step<T>(&self, operation: impl FnOnce(&mut Kept, UnixMillis) -> T) -> T {
        let mut kept = self.kept.lock();
        let now = self.clock.now();
        kept.sweep(now);
        operation(&mut kept, now)
    }
}

#[async_trait]
impl Store for ReferenceStore {
    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        self.step(|kept, now| {
            kept.check_free(key, new.subject.as_ref())?;
            let record = Record::create(new, now);
            if let (Some(subject), Some(most)) = (&new.subject, new.max_sessions) {
                kept.make_room(subject, most, None, now)?;
            }
            kept.created += 1;
            let place = kept.created;
            let alive = Entry::Alive {
                record: record.clone(),
                place,
            };
            kept.keys.insert(*key, alive);
            Ok(record)
        })
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        self.step(|kept, now| {
            let found = match kept.follow(key) {
                Ok(found) => found,
                Err(absence) => return Ok(Lookup::Absent(absence)),
            };
            let record = kept.record(&found).clone();
            let Verdict::Alive {
                remaining,
                touch_due,
            } = decide(&record.times, now)
            else {
                return Ok(Lookup::Absent(Absence::Unknown));
            };
            Ok(Lookup::Found(Loaded {
                record,
                remaining,
                touch_due,
                forwarded: found != *key,
            }))
        })
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        if keys.len() > limits::TOUCH_BATCH {
            return Err(ErrorKind::Limit {
                what: "touch batch",
                limit: limits::TOUCH_BATCH,
                size: keys.len(),
            }
            .into());
        }
        self.step(|kept, now| {
            let mut touched = 0;
            for key in keys {
                if let Ok(found) = kept.follow(key) {
                    kept.record(&found).touch(now);
                    touched += 1;
                }
            }
            Ok(touched)
        })
    }

    async fn apply(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        self.step(|kept, now| {
            let found = match kept.follow(key) {
                Ok(found) => found,
                Err(absence) => return Ok(Applied::Absent(absence)),
            };
            let record = kept.record(&found);
            if !record.meets(condition) {
                let version = record.version;
                return Ok(Applied::Conflict { version });
            }
            let increments = record.apply(changes, now)?;
            Ok(Applied::Done {
                version: record.version,
                increments,
            })
        })
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        self.step(|kept, now| {
            let found = match kept.follow(old) {
                Ok(found) => found,
                Err(absence) => return Ok(Rotated::Absent(absence)),
            };
            if found != *old && rotation.login.is_none() {
                return Ok(Rotated::Absent(Absence::Ended));
            }
            let mut record = kept.record(&found).clone();
            record.rotate(rotation, now)?;
            kept.check_free(new, record.subject.as_ref())?;
            let grace = rotation.grace.min(limits::ROTATION_GRACE);
            let mut forward = Some((*new, now.saturating_add(grace)));
            if let Some(login) = &rotation.login {
                forward = None;
                if let Some(most) = login.max_sessions {
                    kept.make_room(&login.subject, most, Some(found), now)?;
                }
            }
            let place = kept.end(&found, forward, now).map_or(0, |(_, place)| place);
            let alive = Entry::Alive {
                record: record.clone(),
                place,
            };
            kept.keys.insert(*new, alive);
            Ok(Rotated::Done(Box::new(record)))
        })
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        self.step(|kept, now| {
            let found = kept.follow(key);
            Ok(found.is_ok_and(|found| kept.end(&found, None, now).is_some()))
        })
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        self.step(|kept, now| {
            let mut keys = kept.keys_of(subject);
            keys.reverse();
            Ok(keys.iter().map(|key| kept.record(key).info(now)).collect())
        })
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        self.step(|kept, now| {
            let mut keys = kept.keys_of(subject);
            keys.retain(|key| kept.record(key).handle == *handle);
            Ok(kept.end_all(&keys, now) > 0)
        })
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        self.step(|kept, now| {
            let mut keys = kept.keys_of(subject);
            keys.retain(|key| Some(&kept.record(key).handle) != except);
            Ok(kept.end_all(&keys, now))
        })
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        self.step(|kept, _| {
            kept.keys
                .retain(|_, entry| matches!(entry, Entry::Ended { .. }));
        });
        Ok(())
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, limits::SCAN_PAGE);
        self.step(|kept, now| {
            let mut ahead: Vec<(u64, &Record)> = kept
                .alive()
                .map(|(_, record, place)| (place, record))
                .filter(|(place, _)| *place > cursor.0)
                .collect();
            ahead.sort_by_key(|(place, _)| *place);
            let more = ahead.len() > limit;
            ahead.truncate(limit);
            let last = ahead.last().map(|(place, _)| Cursor(*place));
            Ok(Page {
                sessions: ahead.iter().map(|(_, record)| record.info(now)).collect(),
                next: last.filter(|_| more),
            })
        })
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.step(|kept, _| {
            Ok(Stats {
                sessions: kept.alive().count() as u64,
                bytes: kept
                    .alive()
                    .map(|(_, record, _)| record.fields.as_bytes().len() as u64)
                    .sum(),
                expired: kept.expired,
                ..Stats::default()
            })
        })
    }
}

impl Kept {
    /// Removes what is over at `now`. Done before every operation, so that what was once told to be
    /// over stays so when the clock goes back.
    fn sweep(&mut self, now: UnixMillis) {
        let before = self.alive().count();
        self.keys.retain(|_, entry| match entry {
            Entry::Alive { record, .. } => {
                matches!(decide(&record.times, now), Verdict::Alive { .. })
            }
            Entry::Ended {
                forgotten_at,
                forward,
            } => {
                *forward = forward.filter(|(_, until)| now < *until);
                *forgotten_at > now
            }
        });
        self.expired += (before - self.alive().count()) as u64;
    }

    /// The key under which the session of `key` lives now.
    fn follow(&self, key: &StoredKey) -> Result<StoredKey, Absence> {
        let mut at = *key;
        for hop in 0..=limits::FORWARD_HOPS {
            match self.keys.get(&at) {
                Some(Entry::Alive { .. }) => return Ok(at),
                Some(Entry::Ended {
                    forward: Some((next, _)),
                    ..
                }) => at = *next,
                None if hop == 0 => return Err(Absence::Unknown),
                Some(Entry::Ended { .. }) | None => return Err(Absence::Ended),
            }
        }
        Err(Absence::Ended)
    }

    /// The record under a key that [`Kept::follow`] or [`Kept::keys_of`] gave.
    fn record(&mut self, key: &StoredKey) -> &mut Record {
        match self.keys.get_mut(key) {
            Some(Entry::Alive { record, .. }) => record,
            Some(Entry::Ended { .. }) | None => {
                unreachable!("the key was found alive in this step")
            }
        }
    }

    fn alive(&self) -> impl Iterator<Item = (&StoredKey, &Record, u64)> {
        self.keys.iter().filter_map(|(key, entry)| match entry {
            Entry::Alive { record, place } => Some((key, record, *place)),
            Entry::Ended { .. } => None,
        })
    }

    /// The keys of a subject's sessions, the one that signed in longest ago first.
    fn keys_of(&self, subject: &Subject) -> Vec<StoredKey> {
        let mut keys: Vec<_> = self
            .alive()
            .filter(|(_, record, _)| record.subject.as_ref() == Some(subject))
            .map(|(key, record, place)| (record.times.authenticated_at, place, *key))
            .collect();
        keys.sort();
        keys.into_iter().map(|(_, _, key)| key).collect()
    }

    /// Whether a session of `subject` may begin under `key`.
    fn check_free(&self, key: &StoredKey, subject: Option<&Subject>) -> Result<(), Error> {
        if subject.is_some_and(|subject| SlotTag::of_subject(subject) != key.tag()) {
            return Err(ErrorKind::Invalid {
                what: "the key has not the slot tag of the session's subject",
            }
            .into());
        }
        if self.keys.contains_key(key) {
            return Err(ErrorKind::Collision.into());
        }
        Ok(())
    }

    /// Sees to it that one more session of `subject` has room, not counting the one at `own`.
    fn make_room(
        &mut self,
        subject: &Subject,
        most: MaxSessions,
        own: Option<StoredKey>,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let mut others = self.keys_of(subject);
        others.retain(|key| Some(*key) != own);
        let excess = (others.len() + 1).saturating_sub(most.limit.max(1));
        if excess > 0 && most.on_excess == OnExcess::Refuse {
            return Err(ErrorKind::TooManySessions { limit: most.limit }.into());
        }
        others.truncate(excess);
        self.end_all(&others, now);
        Ok(())
    }

    fn end_all(&mut self, keys: &[StoredKey], now: UnixMillis) -> usize {
        let ended = keys.iter().filter(|key| self.end(key, None, now).is_some());
        ended.count()
    }

    /// Ends the session under `key`, and remembers that for a while.
    fn end(
        &mut self,
        key: &StoredKey,
        forward: Option<(StoredKey, UnixMillis)>,
        now: UnixMillis,
    ) -> Option<(Record, u64)> {
        let ended = Entry::Ended {
            forgotten_at: now.saturating_add(limits::TOMBSTONE),
            forward,
        };
        match self.keys.insert(*key, ended) {
            Some(Entry::Alive { record, place }) => Some((record, place)),
            Some(Entry::Ended { .. }) | None => None,
        }
    }
}

/// Makes reference stores whose clock stands still until it is moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceFactory;

impl StoreFactory for ReferenceFactory {
    fn fresh(&self) -> BoxFuture<Fresh> {
        let (store, clock) = ReferenceStore::manual();
        Box::pin(async move {
            Fresh {
                store,
                time: Time::Driven(clock),
            }
        })
    }
}

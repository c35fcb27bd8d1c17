//! What a broken store keeps. It is shaped like the reference store's, with the flaws of looking
//! sessions up in it.

use std::collections::BTreeMap;

use super::Flaw;
use crate::expiry::{Times, Verdict, decide};
use crate::id::{Handle, SlotTag, StoredKey};
use crate::policy::{MaxSessions, OnExcess};
use crate::record::{Record, Subject};
use crate::store::{Absence, Loaded};
use crate::time::UnixMillis;
use crate::{Error, ErrorKind, limits};

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) flaw: Flaw,
    pub(super) now: UnixMillis,
    pub(super) keys: BTreeMap<StoredKey, Entry>,
    pub(super) created: u64,
    /// Sessions that a leaking index shows, and whose they are said to be.
    pub(super) ghosts: Vec<(Subject, Record)>,
    /// Sessions that rotated.
    pub(super) rotated: Vec<Handle>,
    /// The session that signed in last.
    pub(super) newest: Option<Handle>,
    /// Ends that are acknowledged and not done, and how many operations they wait for.
    pub(super) late: Vec<(StoredKey, u8)>,
    pub(super) revoked_at: Option<UnixMillis>,
    /// What was told of sessions when they were last read.
    pub(super) told: BTreeMap<StoredKey, Loaded>,
}

#[derive(Debug)]
pub(super) enum Entry {
    Alive {
        record: Record,
        place: u64,
    },
    Ended {
        forgotten_at: UnixMillis,
        forward: Option<(StoredKey, UnixMillis)>,
        body: Option<Record>,
    },
}

impl Kept {
    pub(super) fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// Begins an operation at `now`.
    pub(super) fn begin(&mut self, now: UnixMillis) {
        self.now = now;
        for (_, wait) in &mut self.late {
            *wait -= 1;
        }
        let due: Vec<_> = self.late.extract_if(.., |late| late.1 == 0).collect();
        for (key, _) in due {
            self.end(&key, None);
        }
        let not_swept = self.is(Flaw::ServedUntilSwept) || self.is(Flaw::ClockRevives);
        let over: Vec<_> = self
            .alive()
            .filter(|(_, record, _)| !not_swept && !self.lives(&record.times))
            .map(|(key, _, _)| *key)
            .collect();
        for key in over {
            self.keys.remove(&key);
        }
        let for_ever = self.is(Flaw::ForwardsForEver);
        let keep = self.is(Flaw::TombstoneForEver) || for_ever;
        self.keys.retain(|_, entry| match entry {
            Entry::Alive { .. } => true,
            Entry::Ended {
                forgotten_at,
                forward,
                ..
            } => {
                *forward = forward.filter(|(_, until)| for_ever || now < *until);
                keep || *forgotten_at > now
            }
        });
    }

    pub(super) fn lives(&self, times: &Times) -> bool {
        let late = self.is(Flaw::OneMillisecondMore);
        let now = if late {
            UnixMillis::new(self.now.as_millis() - 1)
        } else {
            self.now
        };
        let of_the_future = self.is(Flaw::ClockLogsOut) && times.seen_at > now;
        let revoked = self.is(Flaw::RevokeAllByTime) && Some(times.created_at) <= self.revoked_at;
        let alive = matches!(decide(times, now), Verdict::Alive { .. });
        alive && !of_the_future && !revoked
    }

    /// Whether a session that is kept is also told of.
    pub(super) fn is_seen(&self, times: &Times) -> bool {
        !self.is(Flaw::ClockRevives) || self.lives(times)
    }

    pub(super) fn follow(&self, key: &StoredKey) -> Result<StoredKey, Absence> {
        let hops = match self.flaw {
            Flaw::ForwardsOneHop => 1,
            _ => limits::FORWARD_HOPS,
        };
        let mut at = *key;
        for hop in 0..=hops {
            match self.keys.get(&at) {
                Some(Entry::Alive { record, .. }) => {
                    let seen = self.is_seen(&record.times);
                    return if seen { Ok(at) } else { Err(Absence::Unknown) };
                }
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

    pub(super) fn record(&mut self, key: &StoredKey) -> &mut Record {
        match self.keys.get_mut(key) {
            Some(Entry::Alive { record, .. }) => record,
            Some(Entry::Ended { .. }) | None => {
                unreachable!("the key was found alive in this step")
            }
        }
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = (&StoredKey, &Record, u64)> {
        self.keys.iter().filter_map(|(key, entry)| match entry {
            Entry::Alive { record, place } => Some((key, record, *place)),
            Entry::Ended { .. } => None,
        })
    }

    /// The keys of a subject's sessions, as far as the index knows them.
    pub(super) fn keys_of(&self, subject: &Subject) -> Vec<StoredKey> {
        let unknown = |handle: &Handle| match self.flaw {
            Flaw::IndexMissesRotated => self.rotated.contains(handle),
            Flaw::IndexIsLate => self.newest == Some(*handle),
            _ => false,
        };
        let mut keys: Vec<_> = self
            .alive()
            .filter(|(_, record, _)| record.subject.as_ref() == Some(subject))
            .filter(|(_, record, _)| !unknown(&record.handle))
            .filter(|(_, record, _)| self.is_seen(&record.times))
            .map(|(key, record, place)| (record.times.authenticated_at, place, *key))
            .collect();
        keys.sort();
        keys.into_iter().map(|(_, _, key)| key).collect()
    }

    pub(super) fn check_free(
        &self,
        key: &StoredKey,
        subject: Option<&Subject>,
        over: Flaw,
    ) -> Result<(), Error> {
        let foreign = subject.is_some_and(|subject| SlotTag::of_subject(subject) != key.tag());
        if foreign && !self.is(Flaw::TagNotChecked) {
            let what = "the key has not the slot tag of the session's subject";
            return Err(ErrorKind::Invalid { what }.into());
        }
        let taken = match self.keys.get(key) {
            Some(Entry::Alive { .. }) => !self.is(over),
            Some(Entry::Ended { .. }) => !self.is(over) && !self.is(Flaw::CreateOverTombstone),
            None => false,
        };
        if taken {
            return Err(ErrorKind::Collision.into());
        }
        Ok(())
    }

    pub(super) fn make_room(
        &mut self,
        subject: &Subject,
        most: MaxSessions,
        own: Option<StoredKey>,
    ) -> Result<(), Error> {
        let mut others = self.keys_of(subject);
        if !self.is(Flaw::CapCountsItself) {
            others.retain(|key| Some(*key) != own);
        }
        let excess = (others.len() + 1).saturating_sub(most.limit.max(1));
        if excess > 0 && most.on_excess == OnExcess::Refuse {
            return Err(ErrorKind::TooManySessions { limit: most.limit }.into());
        }
        others.retain(|key| Some(*key) != own);
        if self.is(Flaw::CapEndsTheNewest) {
            others.reverse();
        }
        others.truncate(excess);
        for key in others {
            self.end(&key, None);
        }
        Ok(())
    }

    /// Ends the session under `key`; gives its place.
    pub(super) fn end(
        &mut self,
        key: &StoredKey,
        forward: Option<(StoredKey, UnixMillis)>,
    ) -> Option<u64> {
        let (record, place) = match self.keys.remove(key) {
            Some(Entry::Alive { record, place }) => (record, place),
            Some(ended @ Entry::Ended { .. }) => {
                self.keys.insert(*key, ended);
                return None;
            }
            None => return None,
        };
        if let (Flaw::IndexLeaks, Some(subject), None) = (self.flaw, &record.subject, forward) {
            self.ghosts.push((subject.clone(), record.clone()));
        }
        if !self.is(Flaw::NoTombstone) || forward.is_some() {
            let ended = Entry::Ended {
                forgotten_at: self.now.saturating_add(limits::TOMBSTONE),
                forward,
                body: Some(record),
            };
            self.keys.insert(*key, ended);
        }
        Some(place)
    }
}

//! A store with one flaw: the reference store's operations, and in each the ways to get it wrong.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::Flaw;
use super::kept::{Entry, Kept};
use super::steps::{apply_to, arrive, go_on, leave, restart, rotate_record};
use crate::expiry::{Verdict, decide};
use crate::id::{Handle, StoredKey};
use crate::record::{Changes, Condition, NewSession, Record, Rotation, SessionInfo, Subject};
use crate::store::{Absence, Applied, Cursor, Loaded, Lookup, Page, Rotated, Stats, Store};
use crate::testkit::poll::yield_now;
use crate::time::{Clock, UnixMillis};
use crate::{Error, limits};

/// A store that is wrong in one way. Never to be used for anything but testing tests.
#[derive(Debug)]
pub struct BrokenStore {
    pub(super) flaw: Flaw,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

impl BrokenStore {
    /// An empty store with this flaw.
    #[must_use]
    pub fn new(flaw: Flaw, clock: Arc<dyn Clock>) -> Self {
        let kept = Kept {
            flaw,
            now: UnixMillis::default(),
            keys: std::collections::BTreeMap::new(),
            created: 0,
            ghosts: Vec::new(),
            rotated: Vec::new(),
            newest: None,
            late: Vec::new(),
            revoked_at: None,
            told: std::collections::BTreeMap::new(),
        };
        Self {
            flaw,
            clock,
            kept: Mutex::new(kept),
        }
    }

    pub(super) fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    pub(super) fn step<T>(&self, operation: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.kept.lock();
        kept.begin(self.clock.now());
        operation(&mut kept)
    }

    async fn end_found(&self, keys: Vec<StoredKey>) -> usize {
        if self.is(Flaw::RevokeMissesTheRotating) {
            yield_now().await;
        }
        self.step(|kept| {
            keys.iter()
                .filter(|key| kept.end(key, None).is_some())
                .count()
        })
    }
}

#[async_trait]
impl Store for BrokenStore {
    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        let room = |kept: &mut Kept| match (&new.subject, new.max_sessions) {
            (Some(subject), Some(most)) => kept.make_room(subject, most, None),
            _ => Ok(()),
        };
        if self.is(Flaw::CapOutsideTheStep) {
            self.step(room)?;
            yield_now().await;
        }
        self.step(|kept| {
            kept.check_free(key, new.subject.as_ref(), Flaw::CreateOverwrites)?;
            if !self.is(Flaw::CapOutsideTheStep) {
                room(kept)?;
            }
            let record = Record::create(new, kept.now);
            kept.created += 1;
            let place = kept.created;
            kept.newest = Some(record.handle);
            let alive = Entry::Alive {
                record: record.clone(),
                place,
            };
            kept.keys.insert(*key, alive);
            Ok(record)
        })
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        self.step(|kept| {
            let found = match kept.follow(key) {
                Ok(found) => found,
                Err(absence) => return Ok(Lookup::Absent(absence)),
            };
            let now = kept.now;
            let (mut remaining, mut touch_due) = match decide(&kept.record(&found).times, now) {
                Verdict::Alive {
                    remaining,
                    touch_due,
                } => (remaining, touch_due),
                Verdict::Expired(_) => (Duration::ZERO, false),
            };
            if self.is(Flaw::ReadsSlide) {
                kept.record(&found).touch(now);
                touch_due = false;
            }
            let record = kept.record(&found).clone();
            if self.is(Flaw::RemainingIsIdleAlone) {
                remaining = record.times.lifetimes.idle().unwrap_or(remaining);
            }
            let loaded = Loaded {
                record,
                remaining,
                touch_due,
                forwarded: found != *key,
            };
            kept.told.insert(*key, loaded.clone());
            Ok(Lookup::Found(loaded))
        })
    }

    fn load_at_once(&self, key: &StoredKey) -> Option<Lookup> {
        if !self.is(Flaw::TellsAtOnceWhatWas) {
            return None;
        }
        let told = self.kept.lock().told.get(key).cloned();
        told.map(Lookup::Found)
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        self.step(|kept| {
            let mut touched = 0;
            for key in keys {
                if let (
                    Flaw::TouchRevives,
                    Some(Entry::Ended {
                        body,
                        forward: None,
                        ..
                    }),
                ) = (self.flaw, kept.keys.get_mut(key))
                    && let Some(record) = body.take()
                {
                    kept.keys.insert(*key, Entry::Alive { record, place: 0 });
                }
                let Ok(found) = kept.follow(key) else {
                    continue;
                };
                touched += 1;
                let now = kept.now;
                let record = kept.record(&found);
                match self.flaw {
                    Flaw::TouchDoesNothing => {}
                    Flaw::TouchMovesAbsolute => {
                        record.touch(now);
                        restart(record, now);
                    }
                    _ => record.touch(now),
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
        match self.flaw {
            Flaw::WholeRecordOverwrite
            | Flaw::WriteBackRevives
            | Flaw::IncrementReadsAndSets
            | Flaw::ConditionOutsideTheStep => self.read_then_write(key, changes, condition).await,
            Flaw::WriteInSteps => self.write_in_steps(key, changes, condition).await,
            Flaw::HalfOfAFailedWrite => self.step(|kept| {
                let mut told = apply_to(kept, key, &Changes::new(), condition)?;
                for (name, change) in changes.iter() {
                    let mut one = Changes::new();
                    one.push(name.clone(), change.clone());
                    go_on(kept, key, &one, &mut told)?;
                }
                Ok(told)
            }),
            _ => self.step(|kept| apply_to(kept, key, changes, condition)),
        }
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        let outside = [Flaw::CapOutsideTheStep, Flaw::CapIgnoresRotation].contains(&self.flaw);
        let room = |kept: &mut Kept, own| match &rotation.login {
            Some(login) => login
                .max_sessions
                .map_or(Ok(()), |most| kept.make_room(&login.subject, most, own)),
            None => Ok(()),
        };
        if self.is(Flaw::CapOutsideTheStep) {
            self.step(|kept| {
                let own = kept.follow(old).ok();
                room(kept, own)
            })?;
            yield_now().await;
        }
        let moved = self.step(|kept| {
            let found = match kept.follow(old) {
                Ok(found) => found,
                Err(absence) => return Ok(Err(absence)),
            };
            let login = rotation.login.as_ref();
            if found != *old && login.is_none() && !self.is(Flaw::SupersededRotates) {
                return Ok(Err(Absence::Ended));
            }
            let record = rotate_record(kept, &found, rotation)?;
            kept.check_free(new, record.subject.as_ref(), Flaw::RotateOverwrites)?;
            if !outside {
                room(kept, Some(found))?;
            }
            let place = leave(kept, &found, new, rotation);
            if !self.is(Flaw::RotateDeletesFirst) {
                arrive(kept, new, &record, place);
            }
            Ok::<_, Error>(Ok((record, place)))
        })?;
        let (record, place) = match moved {
            Ok(moved) => moved,
            Err(absence) => return Ok(Rotated::Absent(absence)),
        };
        if self.is(Flaw::RotateDeletesFirst) {
            yield_now().await;
            self.step(|kept| arrive(kept, new, &record, place));
        }
        Ok(Rotated::Done(Box::new(record)))
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        self.step(|kept| {
            let Ok(found) = kept.follow(key) else {
                return Ok(false);
            };
            if self.is(Flaw::DestroyDoesNotFollow) && found != *key {
                return Ok(false);
            }
            if self.is(Flaw::DestroyIsLate) {
                kept.late.push((found, 2));
                return Ok(true);
            }
            Ok(kept.end(&found, None).is_some())
        })
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        self.step(|kept| {
            let now = kept.now;
            let mut keys = kept.keys_of(subject);
            if !self.is(Flaw::ListedBackwards) {
                keys.reverse();
            }
            let mut listed: Vec<_> = keys.iter().map(|key| kept.record(key).info(now)).collect();
            let ghosts = kept.ghosts.iter().filter(|(owner, _)| owner == subject);
            listed.extend(ghosts.map(|(_, record)| record.info(now)));
            kept.newest = None;
            Ok(listed)
        })
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        let keys = self.step(|kept| {
            let mut keys = kept.keys_of(subject);
            if self.is(Flaw::RevokeIgnoresTheOwner) {
                keys = kept.alive().map(|(key, _, _)| *key).collect();
            }
            keys.retain(|key| kept.record(key).handle == *handle);
            keys
        });
        Ok(self.end_found(keys).await > 0)
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        let keys = self.step(|kept| {
            let mut keys = kept.keys_of(subject);
            if !self.is(Flaw::RevokeSparesNobody) {
                keys.retain(|key| Some(&kept.record(key).handle) != except);
            }
            keys
        });
        if self.is(Flaw::RevokeMissesTheRotating) {
            return Ok(self.end_found(keys).await);
        }
        Ok(self.step(|kept| {
            keys.iter()
                .filter(|key| kept.end(key, None).is_some())
                .count()
        }))
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        self.step(|kept| {
            if self.is(Flaw::RevokeAllByTime) {
                kept.revoked_at = Some(kept.now);
                return Ok(());
            }
            let spared = match self.flaw {
                Flaw::RevokeAllMissesRotated => kept.rotated.clone(),
                _ => Vec::new(),
            };
            kept.keys.retain(|_, entry| match entry {
                Entry::Alive { record, .. } => spared.contains(&record.handle),
                Entry::Ended { .. } => true,
            });
            Ok(())
        })
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, limits::SCAN_PAGE);
        self.step(|kept| {
            let mut all: Vec<(u64, &Record)> = kept
                .alive()
                .filter(|(_, record, _)| kept.is_seen(&record.times))
                .map(|(_, record, place)| (place, record))
                .collect();
            all.sort_by_key(|(place, _)| *place);
            if self.is(Flaw::ScanCountsPlaces) {
                for (number, (place, _)) in all.iter_mut().enumerate() {
                    *place = number as u64 + 1;
                }
            }
            all.retain(|(place, _)| *place > cursor.0);
            let more = all.len() > limit;
            all.truncate(limit);
            let last = all.last().map(|(place, _)| Cursor(*place));
            Ok(Page {
                sessions: all
                    .iter()
                    .map(|(_, record)| record.info(kept.now))
                    .collect(),
                next: last.filter(|_| more),
            })
        })
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.step(|kept| {
            Ok(Stats {
                sessions: kept.alive().count() as u64,
                ..Stats::default()
            })
        })
    }
}

//! What the operations of a broken store do, one step at a time, and the flaws in these steps.

use std::time::Duration;

use super::Flaw;
use super::kept::{Entry, Kept};
use super::store::BrokenStore;
use crate::expiry::Lifetimes;
use crate::id::{Handle, StoredKey};
use crate::record::{Change, Changes, Condition, Fields, NewSession, Record, Rotation, Value};
use crate::store::{Absence, Applied};
use crate::testkit::poll::yield_now;
use crate::time::UnixMillis;
use crate::{Error, limits};

impl BrokenStore {
    /// A read of the record and, in another step, a write of what was made of it.
    pub(super) async fn read_then_write(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        let read = self.step(|kept| {
            let found = kept.follow(key)?;
            Ok((found, kept.record(&found).clone()))
        });
        let (found, mut record) = match read {
            Ok(read) => read,
            Err(absence) => return Ok(Applied::Absent(absence)),
        };
        let version = record.version;
        if !record.meets(condition) {
            return Ok(Applied::Conflict { version });
        }
        yield_now().await;
        self.step(|kept| {
            match self.flaw {
                Flaw::ConditionOutsideTheStep => {
                    return apply_to(kept, key, changes, &Condition::Always);
                }
                Flaw::IncrementReadsAndSets => {
                    let increments = record.apply(changes, kept.now)?;
                    let mut sets = Changes::new();
                    let mut sums = increments.iter();
                    for (name, change) in changes.iter() {
                        let change = match (change, &mut sums) {
                            (Change::Increment(_), sums) => {
                                Change::Set(Value::integer(*sums.next().unwrap_or(&0)))
                            }
                            (other, _) => other.clone(),
                        };
                        sets.push(name.clone(), change);
                    }
                    return Ok(match apply_to(kept, key, &sets, condition)? {
                        Applied::Done { version, .. } => Applied::Done {
                            version,
                            increments,
                        },
                        other => other,
                    });
                }
                _ => {}
            }
            let increments = record.apply(changes, kept.now)?;
            let version = record.version;
            let there = matches!(kept.keys.get(&found), Some(Entry::Alive { .. }));
            if !there && !self.is(Flaw::WriteBackRevives) {
                return Ok(Applied::Absent(Absence::Ended));
            }
            if there && self.is(Flaw::WriteBackRevives) {
                return apply_to(kept, key, changes, condition);
            }
            kept.created += 1;
            let place = kept.created;
            kept.keys.insert(found, Entry::Alive { record, place });
            Ok(Applied::Done {
                version,
                increments,
            })
        })
    }

    /// A write that changes one field after the other, and lets others in between.
    pub(super) async fn write_in_steps(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        let mut told = self.step(|kept| apply_to(kept, key, &Changes::new(), condition))?;
        for (name, change) in changes.iter() {
            yield_now().await;
            let mut one = Changes::new();
            one.push(name.clone(), change.clone());
            self.step(|kept| go_on(kept, key, &one, &mut told))?;
        }
        Ok(told)
    }
}

/// A write in one step.
pub(super) fn apply_to(
    kept: &mut Kept,
    key: &StoredKey,
    changes: &Changes,
    condition: &Condition,
) -> Result<Applied, Error> {
    let (flaw, now) = (kept.flaw, kept.now);
    let found = match kept.follow(key) {
        Ok(found) => found,
        Err(_) if flaw == Flaw::WriteCreates => {
            kept.keys.insert(*key, blank(now));
            *key
        }
        Err(absence) => return Ok(Applied::Absent(absence)),
    };
    let record = kept.record(&found);
    let version = record.version;
    if !record.meets(condition) && flaw != Flaw::ConditionIgnored {
        return Ok(Applied::Conflict { version });
    }
    let increments = record.apply(changes, now)?;
    match flaw {
        Flaw::WriteMovesAbsolute => restart(record, now),
        Flaw::WriteForgetsLifetimes => {
            record.times.lifetimes = crate::Policy::default().lifetimes();
        }
        Flaw::VersionNotCounted => record.version = version,
        _ => {}
    }
    Ok(Applied::Done {
        version: record.version,
        increments,
    })
}

/// One more change of a write that has begun, if it has: the version was counted then.
pub(super) fn go_on(
    kept: &mut Kept,
    key: &StoredKey,
    change: &Changes,
    told: &mut Applied,
) -> Result<(), Error> {
    let Applied::Done {
        version,
        increments,
    } = told
    else {
        return Ok(());
    };
    if let Applied::Done {
        increments: more, ..
    } = apply_to(kept, key, change, &Condition::Always)?
    {
        increments.extend(more);
        let found = kept.follow(key);
        if let Ok(found) = found {
            let record = kept.record(&found);
            record.version -= 1;
            *version = record.version;
        }
    }
    Ok(())
}

/// What a rotation makes of a record.
pub(super) fn rotate_record(
    kept: &mut Kept,
    found: &StoredKey,
    rotation: &Rotation,
) -> Result<Record, Error> {
    let (flaw, now) = (kept.flaw, kept.now);
    let before = kept.record(found).clone();
    let mut record = before.clone();
    record.rotate(rotation, now)?;
    match flaw {
        Flaw::RotateMovesAbsolute if rotation.login.is_none() => restart(&mut record, now),
        Flaw::LoginRestartsNothing => record.times.authenticated_at = before.times.authenticated_at,
        Flaw::LoginKeepsEverything => {
            (record.fields, _) = before.fields.changed(&rotation.changes)?;
        }
        _ => {}
    }
    if let (Flaw::IndexKeepsTheFormerOwner, Some(owner)) = (flaw, &before.subject)
        && record.subject.as_ref() != Some(owner)
    {
        kept.ghosts.push((owner.clone(), before));
    }
    Ok(record)
}

/// What a rotation leaves under the old key; gives the session's place.
pub(super) fn leave(
    kept: &mut Kept,
    found: &StoredKey,
    new: &StoredKey,
    rotation: &Rotation,
) -> u64 {
    let mut grace = rotation.grace;
    if kept.flaw != Flaw::GraceNotLimited {
        grace = grace.min(limits::ROTATION_GRACE);
    }
    let mut forward = Some((*new, kept.now.saturating_add(grace)));
    if rotation.login.is_some() {
        forward = None;
    }
    match kept.flaw {
        Flaw::RotateCopies => return kept.created,
        Flaw::RotateForgetsTheOld => forward = None,
        Flaw::LoginForwards => {
            let until = kept.now.saturating_add(grace.max(Duration::from_secs(30)));
            forward = Some((*new, until));
        }
        _ => {}
    }
    kept.end(found, forward).unwrap_or_default()
}

/// The session under its new key.
pub(super) fn arrive(kept: &mut Kept, new: &StoredKey, record: &Record, place: u64) {
    let alive = Entry::Alive {
        record: record.clone(),
        place,
    };
    kept.keys.insert(*new, alive);
    kept.rotated.push(record.handle);
    kept.newest = Some(record.handle);
}

pub(super) fn restart(record: &mut Record, now: UnixMillis) {
    record.times.created_at = now;
    record.times.authenticated_at = record.times.authenticated_at.map(|_| now);
}

fn blank(now: UnixMillis) -> Entry {
    let new = NewSession {
        handle: Handle::from_bytes([0; Handle::BYTES]),
        lifetimes: Lifetimes::constant(None, 3600),
        subject: None,
        label: None,
        max_sessions: None,
        fields: Fields::default(),
    };
    Entry::Alive {
        record: Record::create(&new, now),
        place: 0,
    }
}

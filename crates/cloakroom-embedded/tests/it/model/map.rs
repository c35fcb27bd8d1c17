//! The store as a map, changed by the core's own pure steps: too simple to be wrong.

use std::collections::BTreeMap;

use cloakroom_core::expiry::{Verdict, decide};
use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::{Changes, Condition, NewSession, Rotation, Subject};
use cloakroom_core::store::{Absence, Applied, Rotated};
use cloakroom_core::{Error, ErrorKind, Handle, Record, StoredKey, UnixMillis, limits};

use crate::kit;

/// A store as a map. `keys` of ended sessions stay in `ended`, with where they lead and until when.
#[derive(Default)]
pub(super) struct Model {
    pub(super) alive: BTreeMap<StoredKey, Record>,
    ended: BTreeMap<StoredKey, (UnixMillis, Option<(StoredKey, UnixMillis)>)>,
    pub(super) handles: u64,
}

pub(super) enum Found {
    Here(StoredKey, bool),
    Not(Absence),
}

impl Model {
    /// Forgets what is over, as reading does.
    pub(super) fn settle(&mut self, now: UnixMillis) {
        self.alive
            .retain(|_, record| matches!(decide(&record.times, now), Verdict::Alive { .. }));
        self.ended
            .retain(|_, (at, _)| now.since(*at) < limits::TOMBSTONE);
        for (_, forward) in self.ended.values_mut() {
            forward.take_if(|(_, until)| now >= *until);
        }
    }

    pub(super) fn find(&self, key: &StoredKey) -> Found {
        let mut key = *key;
        for hop in 0..=limits::FORWARD_HOPS {
            if self.alive.contains_key(&key) {
                return Found::Here(key, hop > 0);
            }
            match self.ended.get(&key) {
                Some((_, Some((to, _)))) => key = *to,
                Some((_, None)) => return Found::Not(Absence::Ended),
                None if hop == 0 => return Found::Not(Absence::Unknown),
                None => return Found::Not(Absence::Ended),
            }
        }
        Found::Not(Absence::Ended)
    }

    pub(super) fn end(&mut self, key: &StoredKey, now: UnixMillis) {
        self.alive.remove(key);
        self.ended.insert(*key, (now, None));
    }

    pub(super) fn of(&self, subject: &Subject) -> Vec<StoredKey> {
        let mut keys: Vec<_> = self
            .alive
            .iter()
            .filter(|(_, record)| record.subject.as_ref() == Some(subject))
            .map(|(key, _)| *key)
            .collect();
        keys.sort_by_key(|key| {
            let record = &self.alive[key];
            std::cmp::Reverse((record.times.authenticated_at, record.handle))
        });
        keys
    }

    /// What stands against putting `record` under `key`, or the sessions that have to go for it.
    fn admit(
        &self,
        key: &StoredKey,
        subject: Option<&Subject>,
        max: Option<MaxSessions>,
        moved: Option<&StoredKey>,
    ) -> Result<Vec<StoredKey>, ErrorKind> {
        if self.alive.contains_key(key) || self.ended.contains_key(key) {
            return Err(ErrorKind::Collision);
        }
        let Some((subject, max)) = subject.zip(max) else {
            return Ok(Vec::new());
        };
        let mut others = self.of(subject);
        others.retain(|key| Some(key) != moved);
        if others.len() < max.limit {
            return Ok(Vec::new());
        }
        match max.on_excess {
            OnExcess::Refuse => Err(ErrorKind::TooManySessions { limit: max.limit }),
            OnExcess::RevokeOldest => {
                others.sort_by_key(|key| std::cmp::Reverse(self.age(key)));
                Ok(others.split_off(max.limit - 1))
            }
        }
    }

    fn age(&self, key: &StoredKey) -> (Option<UnixMillis>, UnixMillis, Handle) {
        let record = &self.alive[key];
        let times = record.times;
        (times.authenticated_at, times.created_at, record.handle)
    }
}

pub(super) fn create(
    model: &mut Model,
    key: &StoredKey,
    new: &NewSession,
    at: UnixMillis,
) -> Result<Record, ErrorKind> {
    if let Found::Here(..) | Found::Not(Absence::Ended) = model.find(key) {
        return Err(ErrorKind::Collision);
    }
    if new.subject.is_some() && kit::tag_of(new.subject.as_ref()) != key.tag() {
        let what = "the key of a session with a subject must have the subject's tag";
        return Err(ErrorKind::Invalid { what });
    }
    for oldest in model.admit(key, new.subject.as_ref(), new.max_sessions, None)? {
        model.end(&oldest, at);
    }
    let record = Record::create(new, at);
    model.alive.insert(*key, record.clone());
    Ok(record)
}

pub(super) fn apply(
    record: &mut Record,
    changes: &Changes,
    condition: &Condition,
    at: UnixMillis,
) -> Result<Applied, ErrorKind> {
    if !record.meets(condition) {
        let version = record.version;
        return Ok(Applied::Conflict { version });
    }
    let increments = record
        .apply(changes, at)
        .map_err(|error| error.kind().clone())?;
    let version = record.version;
    Ok(Applied::Done {
        version,
        increments,
    })
}

pub(super) fn rotate(
    model: &mut Model,
    old: &StoredKey,
    new: &StoredKey,
    rotation: &Rotation,
    at: UnixMillis,
) -> Result<Rotated, Error> {
    let from = match model.find(old) {
        Found::Not(absence) => return Ok(Rotated::Absent(absence)),
        Found::Here(_, true) if rotation.login.is_none() => {
            return Ok(Rotated::Absent(Absence::Ended));
        }
        Found::Here(key, _) => key,
    };
    let mut record = model.alive[&from].clone();
    record.rotate(rotation, at)?;
    let login = rotation.login.as_ref();
    let max = login.and_then(|login| login.max_sessions);
    let subject = login.map(|login| &login.subject);
    for oldest in model.admit(new, subject, max, Some(&from))? {
        model.end(&oldest, at);
    }
    let forward = login.is_none() && !rotation.grace.is_zero();
    model.end(&from, at);
    let forward = forward.then(|| (*new, at.saturating_add(rotation.grace)));
    model.ended.insert(from, (at, forward));
    model.alive.insert(*new, record.clone());
    Ok(Rotated::Done(Box::new(record)))
}

pub(super) fn revoke(
    model: &mut Model,
    owner: u64,
    chosen: impl Fn(Handle) -> bool,
    at: UnixMillis,
) -> usize {
    let mut keys = model.of(&kit::subject(owner));
    keys.retain(|key| chosen(model.alive[key].handle));
    keys.iter().for_each(|key| model.end(key, at));
    keys.len()
}

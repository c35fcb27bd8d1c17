//! A store around the store under simulation that sees every question and every answer, and holds
//! them against the truth.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::Summary;
use super::call::{Call, Seen};
use super::truth::{Key, Known, Span, Truth, as_changes, is_in_time};
use crate::Error;
use crate::id::{Handle, KeyForm, StoredKey};
use crate::record::{
    Changes, Condition, Login, NewSession, Record, Rotation, SessionInfo, Subject,
};
use crate::store::{Applied, Cursor, Lookup, Page, Rotated, Stats, Store};
use crate::testkit::clock::ManualClock;
use crate::time::Clock;

#[derive(Debug)]
pub(super) struct Watch {
    inner: Arc<dyn Store>,
    pub(super) clock: ManualClock,
    pub(super) seen: Mutex<Seen>,
}

impl Watch {
    pub(super) fn new(inner: Arc<dyn Store>, clock: ManualClock) -> Arc<Self> {
        let seen = Seen {
            times: vec![clock.now()],
            ..Seen::default()
        };
        Arc::new(Self {
            inner,
            clock,
            seen: Mutex::new(seen),
        })
    }

    pub(super) fn clock_moved(&self) {
        let now = self.clock.now();
        let mut seen = self.seen.lock();
        let seen = &mut *seen;
        seen.times.push(now);
        for flight in seen.flights.values() {
            seen.truth.may_happen_now(flight, now);
        }
    }

    pub(super) fn broken(&self) -> Option<String> {
        self.seen.lock().broken.clone()
    }

    pub(super) fn count(&self, summary: &mut Summary) {
        let seen = self.seen.lock();
        summary.operations = seen.operations;
        summary.dropped = seen.operations - seen.finished;
        summary.ended = seen.ended;
        let sessions = seen.truth.sessions.values();
        summary.created = sessions.filter(|known| known.created.is_some()).count();
    }

    /// When nobody does anything any more: listings, scan and keys tell the same story, and nobody
    /// who must be there is missing.
    pub(super) async fn check_at_rest(
        &self,
        subjects: &[Subject],
        cap: Option<usize>,
        stormy: bool,
    ) -> Result<(), String> {
        let failed = |error: Error| format!("the store failed at rest: {error}");
        let keys: Vec<StoredKey> = self.seen.lock().truth.keys.keys().copied().collect();
        let mut alive: Vec<Record> = Vec::new();
        for key in keys {
            if let Lookup::Found(loaded) = self.load(&key).await.map_err(failed)?
                && !loaded.forwarded
            {
                alive.push(loaded.record);
            }
        }
        let handles: BTreeSet<Handle> = alive.iter().map(|record| record.handle).collect();
        if handles.len() != alive.len() {
            return Err("a session lives under two ids".to_owned());
        }
        for subject in subjects {
            let listed = self.of_subject(subject).await.map_err(failed)?;
            let listed: Vec<Handle> = listed.iter().map(|info| info.handle).collect();
            let owned = alive
                .iter()
                .filter(|record| record.subject.as_ref() == Some(subject));
            let owned: BTreeSet<Handle> = owned.map(|record| record.handle).collect();
            if listed.len() != owned.len() || !listed.iter().all(|handle| owned.contains(handle)) {
                return Err(format!("{listed:?} are listed and {owned:?} are there"));
            }
            if cap.is_some_and(|cap| owned.len() > cap) {
                return Err(format!("{} sessions of one subject", owned.len()));
            }
        }
        let page = self.scan(Cursor::default(), 1000).await.map_err(failed)?;
        let scanned: BTreeSet<Handle> = page.sessions.iter().map(|info| info.handle).collect();
        if page.next.is_none() && scanned != handles {
            return Err(format!("{scanned:?} are scanned and {handles:?} are there"));
        }
        if !stormy && cap.is_none() {
            let seen = self.seen.lock();
            let must = seen.truth.sessions.iter();
            let mut must = must.filter(|(_, known)| known.created.is_some() && !known.end_tried);
            if let Some((handle, _)) = must.find(|(handle, _)| !handles.contains(handle)) {
                return Err(format!("session {handle} is missing, and nobody ended it"));
            }
        }
        Ok(())
    }

    fn owner(&self, key: &StoredKey) -> Option<Handle> {
        self.seen.lock().truth.keys.get(key).map(|key| key.owner)
    }

    fn call(&self) -> Call<'_> {
        let mut seen = self.seen.lock();
        seen.operations += 1;
        Call {
            watch: self,
            began: seen.truth.tick(),
            times: seen.times.len() - 1,
            mass_end: false,
            write: None,
        }
    }
}

#[async_trait]
impl Store for Watch {
    fn key_form(&self) -> KeyForm {
        self.inner.key_form()
    }

    async fn create(&self, key: &StoredKey, new: &NewSession) -> Result<Record, Error> {
        let mut call = self.call();
        call.note(|truth| {
            let end_tried = truth.mass_ends > 0;
            let known = truth.sessions.entry(new.handle).or_default();
            known.end_tried |= end_tried;
            truth.keys.insert(*key, opening(new.handle));
        });
        call.makes_active(Some(new.handle), Some(new.lifetimes));
        call.writes(new.handle, &as_changes(&new.fields));
        let answer = self.inner.create(key, new).await;
        if answer.is_ok() {
            call.wrote();
        }
        call.answered(|truth, _| {
            let now = truth.now;
            if let (Ok(_), Some(known)) = (&answer, truth.sessions.get_mut(&new.handle)) {
                known.created = Some(now);
                known.subject = Some((new.subject.clone(), now));
            }
            Ok(())
        });
        answer
    }

    async fn load(&self, key: &StoredKey) -> Result<Lookup, Error> {
        let call = self.call();
        let answer = self.inner.load(key).await;
        call.answered(|truth, span| match &answer {
            Ok(Lookup::Found(loaded)) => {
                truth.may_open(key, span)?;
                is_in_time(&loaded.record.times, span)?;
                truth.may_read(&loaded.record, span)
            }
            Ok(Lookup::Absent(_)) | Err(_) => Ok(()),
        });
        answer
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        let call = self.call();
        let owner = keys.first().and_then(|key| self.owner(key));
        call.makes_active(owner, None);
        let answer = self.inner.touch(keys).await;
        call.answered(|truth, span| match (&answer, keys) {
            (Ok(1), [key]) => {
                truth.may_open(key, span)?;
                let owner = truth.keys.get(key).map(|known| known.owner);
                owner.map_or(Ok(()), |owner| truth.may_live(&owner, span))
            }
            _ => Ok(()),
        });
        answer
    }

    async fn apply(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Applied, Error> {
        let mut call = self.call();
        let owner = self.owner(key);
        call.makes_active(owner, None);
        if let Some(owner) = owner {
            call.writes(owner, changes);
        }
        let answer = self.inner.apply(key, changes, condition).await;
        if let Ok(Applied::Done { .. }) = &answer {
            call.wrote();
        }
        call.answered(|truth, span| {
            if let Ok(Applied::Done { .. }) = &answer {
                truth.may_open(key, span)?;
                let Some(owner) = owner else {
                    return Err("a write to a key that nobody had was acknowledged".to_owned());
                };
                truth.may_live(&owner, span)?;
            }
            Ok(())
        });
        answer
    }

    async fn rotate(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        let mut call = self.call();
        let owner = self.owner(old);
        if let Some(owner) = owner {
            call.writes(owner, &rotation.changes);
        }
        call.note(|truth| {
            let Some(known) = truth.session_of(old) else {
                return;
            };
            if let Some(login) = &rotation.login {
                login_began(known, login);
            }
            if let Some(owner) = owner {
                truth.keys.insert(*new, opening(owner));
            }
        });
        let restarts = rotation.login.as_ref().map(|login| login.lifetimes);
        call.makes_active(owner, restarts);
        let answer = self.inner.rotate(old, new, rotation).await;
        if let Ok(Rotated::Done(_)) = &answer {
            call.wrote();
        }
        call.answered(|truth, span| match &answer {
            Ok(Rotated::Done(record)) => {
                truth.may_open(old, span)?;
                truth.may_read(record, span)?;
                moved(truth, old, new, rotation, record, span);
                Ok(())
            }
            Ok(Rotated::Absent(_)) | Err(_) => Ok(()),
        });
        answer
    }

    async fn destroy(&self, key: &StoredKey) -> Result<bool, Error> {
        let call = self.call();
        call.note(|truth| {
            if let Some(known) = truth.session_of(key) {
                known.end_tried = true;
            }
        });
        let answer = self.inner.destroy(key).await;
        if let Ok(true) = &answer {
            self.seen.lock().ended += 1;
        }
        call.answered(|truth, span| {
            let now = truth.now;
            if let (Ok(true), Some(owner)) = (&answer, truth.keys.get(key).map(|key| key.owner)) {
                truth.may_open(key, span)?;
                truth.may_live(&owner, span)?;
                end(truth, &owner, now);
            }
            Ok(())
        });
        answer
    }

    async fn of_subject(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        let call = self.call();
        let answer = self.inner.of_subject(subject).await;
        call.answered(|truth, span| {
            for info in answer.iter().flatten() {
                truth.may_live(&info.handle, span)?;
                if info.subject.as_ref() != Some(subject) {
                    return Err(format!("{} is listed as somebody else's", info.handle));
                }
            }
            Ok(())
        });
        answer
    }

    async fn revoke(&self, subject: &Subject, handle: &Handle) -> Result<bool, Error> {
        let call = self.call();
        call.note(|truth| {
            if let Some(known) = truth.sessions.get_mut(handle) {
                known.end_tried = true;
            }
        });
        let answer = self.inner.revoke(subject, handle).await;
        call.answered(|truth, span| {
            let now = truth.now;
            if let Ok(true) = &answer {
                truth.may_live(handle, span)?;
                end(truth, handle, now);
            }
            Ok(())
        });
        answer
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        let mut call = self.call();
        call.ends_many();
        let answer = self.inner.revoke_subject(subject, except).await;
        call.answered(|truth, span| {
            let now = truth.now;
            if answer.is_err() {
                return Ok(());
            }
            let owned = |known: &Known| match &known.subject {
                Some((owner, since)) => owner.as_ref() == Some(subject) && *since <= span.began,
                None => false,
            };
            let ended = truth.sessions.iter().filter(|(handle, known)| {
                owned(known) && Some(*handle) != except && known.ended.is_none()
            });
            let ended: Vec<Handle> = ended.map(|(handle, _)| *handle).collect();
            ended.iter().for_each(|handle| end(truth, handle, now));
            Ok(())
        });
        answer
    }

    async fn revoke_all(&self) -> Result<(), Error> {
        let mut call = self.call();
        call.ends_many();
        let answer = self.inner.revoke_all().await;
        call.answered(|truth, span| {
            let now = truth.now;
            for known in truth.sessions.values_mut() {
                let was_there = known.created.is_some_and(|created| created <= span.began);
                if answer.is_ok() && was_there {
                    known.ended = known.ended.or(Some(now));
                }
            }
            Ok(())
        });
        answer
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        let call = self.call();
        let answer = self.inner.scan(cursor, limit).await;
        call.answered(|truth, span| {
            let sessions = answer.iter().flat_map(|page| &page.sessions);
            let mut handles = sessions.map(|info| &info.handle);
            handles.try_for_each(|handle| truth.may_live(handle, span))
        });
        answer
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.inner.stats().await
    }
}

const fn opening(owner: Handle) -> Key {
    Key {
        owner,
        dead_since: None,
        superseded: None,
    }
}

/// A login is on its way: whose the session is, is open until it is acknowledged.
fn login_began(known: &mut Known, login: &Login) {
    let same = match &known.subject {
        Some((Some(owner), _)) => *owner == login.subject,
        Some((None, _)) => true,
        None => false,
    };
    known.emptied |= !same;
    known.subject = None;
}

/// A rotation was acknowledged.
fn moved(
    truth: &mut Truth,
    old: &StoredKey,
    new: &StoredKey,
    rotation: &Rotation,
    record: &Record,
    span: &Span,
) {
    let now = truth.now;
    let owner = record.handle;
    if rotation.login.is_some() {
        let keys = truth.keys.iter_mut();
        for (key, known) in keys.filter(|(key, known)| known.owner == owner && *key != new) {
            // A key that another rotation is just making is not known to be dead.
            if key == old || known.superseded.is_some() {
                known.dead_since = known.dead_since.or(Some(now));
            }
        }
    } else if let Some(key) = truth.keys.get_mut(old) {
        let grace = rotation.grace.min(crate::limits::ROTATION_GRACE);
        key.superseded = Some((now, span.latest.saturating_add(grace)));
    }
    truth.keys.insert(*new, opening(owner));
    if let (Some(known), Some(_)) = (truth.sessions.get_mut(&owner), &rotation.login) {
        known.subject = Some((record.subject.clone(), now));
    }
}

fn end(truth: &mut Truth, handle: &Handle, now: u64) {
    if let Some(known) = truth.sessions.get_mut(handle) {
        known.ended = known.ended.or(Some(now));
    }
}

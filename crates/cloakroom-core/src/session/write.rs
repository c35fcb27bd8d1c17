//! The writes of a session: creating it, saving what was set, and what to do when the session is no
//! longer there. Each write that began is finished ([`super::detached`]).

use std::sync::Arc;
use std::time::Duration;

use super::Session;
use super::detached::Detached;
use super::state::{Cookie, Known, State, Ticket};
use crate::error::{Error, ErrorKind};
use crate::id::{Handle, SessionId, SlotTag, StoredKey};
use crate::limits;
use crate::observe::{Event, Operation};
use crate::record::{
    Change, Changes, Condition, Fields, Login, NewSession, Record, Rotation, Subject,
};
use crate::store::{Absence, Applied, Rotated};

impl Session {
    /// Writes what was set and removed so far, now. Middleware does it before the response; call it
    /// where the handler must know.
    ///
    /// If the session ended since it was presented, the changes are dropped: there is nothing left
    /// to change, and nothing may bring it back.
    ///
    /// # Errors
    /// [`ErrorKind::Finished`]; a limit; the store's errors. The changes are kept for another try.
    pub async fn save(&self) -> Result<(), Error> {
        {
            let state = self.lock();
            if !state.is_unsaved() {
                return Ok(());
            }
            if state.finished {
                return Err(ErrorKind::Finished.into());
            }
        }
        let _gate = self.0.gate.lock().await;
        let (key, changes, rotate) = {
            let mut state = self.lock();
            let changes = std::mem::take(&mut state.overlay);
            (state.key(), changes, std::mem::take(&mut state.rotate))
        };
        let (changes, result) = match key {
            Some(key) if rotate => self.write_under_new_id(key, changes).await,
            Some(key) => self.write(key, changes).await,
            None => self.write_without_session(changes).await,
        };
        if result.is_err() {
            self.put_back(changes);
            self.lock().rotate |= rotate;
        }
        result
    }

    async fn write(&self, key: StoredKey, changes: Changes) -> (Changes, Result<(), Error>) {
        let was_alive = self.lock().was_alive();
        let (changes, applied) = self.apply(key, changes, Condition::Always).await;
        match applied {
            Ok(Applied::Done { version, .. }) => {
                let mut state = self.lock();
                state.acknowledge(changes, version);
                state.touch = None;
                drop(state);
                (Changes::new(), Ok(()))
            }
            Ok(Applied::Absent(absence)) => self.write_after(absence, was_alive, changes).await,
            Ok(Applied::Conflict { .. }) => (changes, Err(ErrorKind::Conflict.into())),
            Err(error) => (changes, Err(error)),
        }
    }

    async fn write_under_new_id(
        &self,
        key: StoredKey,
        changes: Changes,
    ) -> (Changes, Result<(), Error>) {
        let was_alive = self.lock().was_alive();
        let rotation = Rotation {
            changes: changes.clone(),
            login: None,
            grace: self.config().grace,
        };
        match self.move_to_new_id(key, key.tag(), rotation).await {
            Ok(None) => {
                // Not in one expression: observers are not called under a lock.
                let handle = self.lock().record().map(|record| record.handle);
                if let Some(handle) = handle {
                    self.observe(&Event::Renewed(handle));
                }
                (changes, Ok(()))
            }
            Ok(Some(Absence::Ended)) if changes.is_empty() => (changes, Ok(())),
            // Another request has just rotated: the old key leads to where the session is now.
            Ok(Some(Absence::Ended)) => self.write(key, changes).await,
            Ok(Some(absence)) => self.write_after(absence, was_alive, changes).await,
            Err(error) => (changes, Err(error)),
        }
    }

    /// There is no session where one was to be written.
    async fn write_after(
        &self,
        absence: Absence,
        was_alive: bool,
        changes: Changes,
    ) -> (Changes, Result<(), Error>) {
        if absence == Absence::Unknown && !was_alive {
            self.note_absence(Absence::Unknown);
            return self.write_without_session(changes).await;
        }
        self.note_absence(Absence::Ended);
        if !changes.is_empty() {
            self.observe(&Event::LateWriteDropped);
        }
        (changes, Ok(()))
    }

    async fn write_without_session(&self, changes: Changes) -> (Changes, Result<(), Error>) {
        if !changes
            .iter()
            .any(|(_, change)| matches!(change, Change::Set(_)))
        {
            return (changes, Ok(()));
        }
        if matches!(self.lock().ticket, Ticket::Gone(Absence::Ended)) {
            self.observe(&Event::LateWriteDropped);
            return (changes, Ok(()));
        }
        let created = self.create(&changes, None).await;
        (changes, created)
    }

    /// Creates the session under a new id, with a login or without.
    pub(super) async fn create(
        &self,
        changes: &Changes,
        login: Option<&Login>,
    ) -> Result<(), Error> {
        let config = self.config();
        let (fields, _) = self.noting(Operation::Create, Fields::default().changed(changes))?;
        let new = Arc::new(NewSession {
            handle: Handle::generate(&*config.entropy)?,
            lifetimes: login.map_or(config.policy.lifetimes(), |login| login.lifetimes),
            subject: login.map(|login| login.subject.clone()),
            label: login.and_then(|login| login.label.clone()),
            max_sessions: login.and_then(|login| login.max_sessions),
            fields,
        });
        let tag = match login {
            Some(login) => SlotTag::of_subject(&login.subject),
            None => SlotTag::random(&*config.entropy)?,
        };
        let mut tries = 0;
        let (id, record) = loop {
            tries += 1;
            let id = SessionId::generate(tag, &*config.entropy)?;
            let (store, new) = (Arc::clone(&config.store), Arc::clone(&new));
            let key = id.key_as(store.key_form());
            let created = self
                .answer(async move { store.create(&key, &new).await })
                .await;
            match self.noting(Operation::Create, created) {
                Ok(record) => break (id, record),
                Err(error) if is_collision(&error) && tries < limits::COLLISION_TRIES => {}
                Err(error) => return Err(error),
            }
        };
        self.observe(&Event::Created(record.handle));
        self.moved_to(id, record);
        Ok(())
    }

    /// Takes the session from `old` to a new id under `tag`. `None`: there was no session to take.
    pub(super) async fn move_to_new_id(
        &self,
        old: StoredKey,
        tag: SlotTag,
        rotation: Rotation,
    ) -> Result<Option<Absence>, Error> {
        let config = self.config();
        let rotation = Arc::new(rotation);
        let mut tries = 0;
        loop {
            tries += 1;
            let id = SessionId::generate(tag, &*config.entropy)?;
            let (store, plan) = (Arc::clone(&config.store), Arc::clone(&rotation));
            let new = id.key_as(store.key_form());
            let rotated = self.answer(async move { store.rotate(&old, &new, &plan).await });
            match self.noting(Operation::Rotate, rotated.await) {
                Ok(Rotated::Done(record)) => {
                    self.moved_to(id, *record);
                    return Ok(None);
                }
                Ok(Rotated::Absent(absence)) => return Ok(Some(absence)),
                Err(error) if is_collision(&error) && tries < limits::COLLISION_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Changes fields in the store; gives the changes back.
    pub(super) async fn apply(
        &self,
        key: StoredKey,
        changes: Changes,
        condition: Condition,
    ) -> (Changes, Result<Applied, Error>) {
        let store = Arc::clone(&self.config().store);
        let applied = self.answer(async move {
            let applied = store.apply(&key, &changes, &condition).await;
            (changes, applied)
        });
        let (changes, applied) = applied.await;
        (changes, self.noting(Operation::Apply, applied))
    }

    pub(super) async fn destroy(&self, key: StoredKey) -> Result<bool, Error> {
        let store = Arc::clone(&self.config().store);
        let destroyed = self.answer(async move { store.destroy(&key).await });
        self.noting(Operation::Destroy, destroyed.await)
    }

    pub(super) async fn revoke_subject(
        &self,
        subject: Subject,
        except: Option<Handle>,
    ) -> Result<usize, Error> {
        let config = self.config();
        let store = Arc::clone(&config.store);
        let revoked = Detached::new(&config.spawn, async move {
            store.revoke_subject(&subject, except.as_ref()).await
        });
        let revoked = self.noting(Operation::Revoke, revoked.await)?;
        self.observe(&Event::Revoked(revoked));
        Ok(revoked)
    }

    pub(super) async fn revoke_one(&self, subject: Subject, handle: Handle) -> Result<bool, Error> {
        let config = self.config();
        let store = Arc::clone(&config.store);
        let revoked = Detached::new(&config.spawn, async move {
            store.revoke(&subject, &handle).await
        });
        let revoked = self.noting(Operation::Revoke, revoked.await)?;
        self.observe(&Event::Revoked(usize::from(revoked)));
        Ok(revoked)
    }

    /// What the store answers to a write. The gate is held. If nobody waits for it to the end, the
    /// write is finished elsewhere, and this session remembers that it does not know.
    async fn answer<T: Send + 'static>(
        &self,
        write: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.lock().unanswered += 1;
        let answer = Detached::new(&self.config().spawn, write).await;
        self.lock().unanswered -= 1;
        answer
    }

    /// Puts changes back that could not be written, under anything that was said since.
    pub(super) fn put_back(&self, mut changes: Changes) {
        let mut state = self.lock();
        for (name, change) in state.overlay.iter() {
            changes.push(name.clone(), change.clone());
        }
        state.overlay = changes;
    }

    fn moved_to(&self, id: SessionId, record: Record) {
        let remember = self.config().policy.remember_lifetimes();
        let form = self.config().store.key_form();
        let mut state = self.lock();
        let state: &mut State = &mut state;
        state.cookie = Cookie::Set {
            absolute_left: absolute_left(&record),
            remembered: remember == Some(record.times.lifetimes),
            id,
        };
        if let Cookie::Set { id, .. } = &state.cookie {
            state.ticket = Ticket::Live(id.key_as(form), Known::told(record));
        }
        state.touch = None;
    }
}

/// What is left of the absolute limit at the record's last activity, which is the write that the
/// record comes from.
fn absolute_left(record: &Record) -> Duration {
    record.times.absolute_deadline().since(record.times.seen_at)
}

fn is_collision(error: &Error) -> bool {
    *error.kind() == ErrorKind::Collision
}

//! Moving a session to a new key. Where one step reaches both keys, it is one step. In a cluster the
//! two may be in different slots, and then it is two:
//!
//! 1. The new session is created, with its entry in the subject's index and within the cap.
//! 2. The old one ends, if it still is what was copied. If it is not, the new one is taken back, and
//!    what is there now is copied instead; or there is nothing, and nothing was moved.
//!
//! So no write that races the move is lost, and there are never two sessions that somebody can reach.
//! Between the two steps the new session is listed, but nobody has its id; a process that dies there
//! leaves it so until it expires. Within this process others wait for both steps, and a caller who
//! goes away in between does not stop the second.

use cloakroom_core::id::StoredKey;
use cloakroom_core::limits;
use cloakroom_core::record::Rotation;
use cloakroom_core::store::{Absence, Rotated};
use cloakroom_core::{Error, ErrorKind, Record};

use super::RedisStore;
use super::carry::unless_left;
use super::refused::is_about_fields;
use super::write::{TRIES, check_tag, ended_if, limit};
use crate::failure::{Class, Failure};
use crate::layout::Present;
use crate::steps::{Ending, Left, Old, Place, Placed};

impl RedisStore {
    /// Moves a session where that may take two steps.
    pub(super) async fn rotate_apart(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        let moving = self.moves.begin(*old, *new);
        let (store, old, new) = (self.another(), *old, *new);
        let rotation = rotation.clone();
        let whole = tokio::spawn(async move {
            let rotated = store.rotate_one(&old, &new, &rotation).await;
            drop(moving);
            rotated
        });
        match whole.await {
            Ok(rotated) => rotated,
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            Err(_) => Err(Failure::new(Class::Unreachable, "the runtime is shutting down").into()),
        }
    }

    pub(super) async fn rotate_one(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<Rotated, Error> {
        let turnovers = self.shared.turnovers();
        let mut at = *old;
        let mut known = self.shared.recent.get(old);
        for _ in 0..TRIES {
            let before = match known.take() {
                Some(record) => record,
                None => match self.present(&mut at, *old).await? {
                    Ok(record) => *record,
                    Err(absence) => return Ok(Rotated::Absent(absence)),
                },
            };
            if at != *old && rotation.login.is_none() {
                return Ok(Rotated::Absent(Absence::Ended));
            }
            match self.rotate_from(&at, &before, new, rotation).await {
                Ok((Placed::Done(_), record)) => {
                    if rotation.login.is_some() {
                        self.forget_before_login(&at, turnovers).await?;
                    }
                    self.shared.recent.forget(&at);
                    self.shared.recent.see(new, &record);
                    return Ok(Rotated::Done(Box::new(record)));
                }
                Ok((Placed::Stale(Present::Alive(record)), _)) => known = Some(*record),
                Ok((Placed::Stale(present), _)) => {
                    self.shared.recent.forget(&at);
                    match present {
                        Present::Forward(target) => {
                            unless_left(&at, &target)?;
                            at = target;
                        }
                        Present::Absent(absence) => {
                            return Ok(Rotated::Absent(ended_if(at != *old, absence)));
                        }
                        Present::Alive(_) => {}
                    }
                }
                Ok(_) => return Err(ErrorKind::Collision.into()),
                // It may be the fault of a record that was seen too long ago.
                Err(error) if is_about_fields(&error) && self.shared.recent.get(&at).is_some() => {
                    self.shared.recent.forget(&at);
                }
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    async fn rotate_from(
        &self,
        at: &StoredKey,
        before: &Record,
        new: &StoredKey,
        rotation: &Rotation,
    ) -> Result<(Placed, Record), Error> {
        let mut record = before.clone();
        record.rotate(rotation, before.times.seen_at)?;
        check_tag(new, record.subject.as_ref())?;
        let grace = rotation.grace.min(limits::ROTATION_GRACE).as_millis();
        let most = rotation.login.as_ref().and_then(|login| login.max_sessions);
        let old = Old {
            key: at,
            record: before,
            grace: u64::try_from(grace)
                .ok()
                .filter(|_| rotation.login.is_none()),
            elsewhere: !self.route.is_one_step(at.tag(), new.tag()),
        };
        let place = Place {
            key: new,
            record: &record,
            old: Some(old),
            login: rotation.login.is_some(),
            limit: limit(most),
            candidates: Vec::new(),
        };
        match self.place(place, most).await {
            Ok((Placed::Done(now), record)) if old.elsewhere => {
                let left = self.leave(new, &old, &record).await?;
                Ok((left.unwrap_or(Placed::Done(now)), record))
            }
            Err(error) if old.elsewhere => {
                // It may have been placed and not confirmed.
                self.take_back(new, &record).await;
                Err(error)
            }
            placed => placed,
        }
    }

    /// The id from before a login may not come back, even if the login itself gets lost. It is noted
    /// only now, because a login that failed ends nothing; and a server that was met meanwhile was
    /// not told of it.
    async fn forget_before_login(&self, old: &StoredKey, turnovers: u64) -> Result<(), Error> {
        self.shared.revoked.note([*old]);
        if self.shared.turnovers() != turnovers {
            let ending = Ending {
                key: *old,
                entry: None,
            };
            self.steps.end(old.tag(), None, &[ending], None).await?;
        }
        Ok(())
    }

    /// Ends the old session of a move between nodes. If that cannot be, the new one is taken back:
    /// nobody has its id yet. Gives what is there instead of the old session.
    async fn leave(
        &self,
        new: &StoredKey,
        old: &Old<'_>,
        placed: &Record,
    ) -> Result<Option<Placed>, Error> {
        let mut left = self.steps.leave(new, old).await;
        if matches!(&left, Err(error) if is_broken(error)) {
            // Whether it was done is not known; doing it twice is doing it once.
            left = self.steps.leave(new, old).await;
        }
        match left {
            Ok(Left::Done) => Ok(None),
            Ok(Left::Stale(present)) => {
                self.steps.undo(new, placed).await?;
                Ok(Some(Placed::Stale(present)))
            }
            Err(error) => {
                self.take_back(new, placed).await;
                Err(error)
            }
        }
    }

    async fn take_back(&self, new: &StoredKey, placed: &Record) {
        if let Err(undone) = self.steps.undo(new, placed).await {
            tracing::debug!(%undone, "a session that nobody has the id of is left behind");
        }
    }
}

/// Whether a connection broke.
fn is_broken(error: &Error) -> bool {
    Failure::class_of(error) == Some(Class::Unreachable)
}

//! Writing a session: create, apply, destroy, touch, and placing one that begins or moves. Each is one atomic step; what is around
//! the step finds the session's present key and prepares another try when somebody was faster.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::limits;
use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::{Changes, Condition, NewSession, Subject};
use cloakroom_core::store::{Absence, Applied};
use cloakroom_core::{Error, ErrorKind, Record, UnixMillis};

use super::carry::unless_left;
use super::list::{Listed, STEP};
use super::refused::is_about_fields;
use super::{AtOnce, RedisStore};
use crate::keys::{self, Entry};
use crate::layout::Present;
use crate::settings::LayoutName;
use crate::steps::{Asked, Done, Ending, Found, Hint, Place, Placed, There, Tried, at_time};

/// Tries of one step before others are reported to be always faster.
pub(super) const TRIES: usize = 64;
/// How often to see whether a mass revocation is over, for which a login waits.
const CLOSING: Duration = Duration::from_millis(20);

impl RedisStore {
    pub(super) async fn create_one(
        &self,
        key: &StoredKey,
        new: &NewSession,
    ) -> Result<Record, Error> {
        check_tag(key, new.subject.as_ref())?;
        let record = Record::create(new, UnixMillis::default());
        let place = Place {
            key,
            record: &record,
            old: None,
            login: new.subject.is_some(),
            limit: limit(new.max_sessions),
            candidates: Vec::new(),
        };
        match self.place(place, new.max_sessions).await? {
            (Placed::Done(_), record) => {
                self.shared.recent.see(key, &record);
                Ok(record)
            }
            _ => Err(ErrorKind::Collision.into()),
        }
    }

    /// Changes a session if nothing has to be waited for but the answer.
    pub(super) async fn apply_at_once(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
        since: Instant,
    ) -> AtOnce<Applied, Tried> {
        if self.moves.are_under_way() {
            return AtOnce::Not;
        }
        let asked = Asked {
            key,
            changes,
            condition,
            since,
        };
        let begun = match self.layout {
            LayoutName::Packed => self.shared.recent.with(key, |record, place, buffer| {
                let hint = Hint { record, buffer };
                let begun = self.steps.begin_apply(&asked, Some(hint))?;
                Some((begun, Some(place)))
            }),
            LayoutName::Fields | LayoutName::Plain => {
                let begun = self.steps.begin_apply(&asked, None);
                begun.map(|begun| (begun, None))
            }
        };
        let Some((mut begun, place)) = begun else {
            return AtOnce::Not;
        };
        match begun.tried().await {
            Ok(Some(Tried::Done(done))) => {
                if let (There::Changed(now), Some(place)) = (&done.there, place) {
                    self.shared.recent.saved(key, place, changes, *now);
                    return AtOnce::Done(Ok(applied(done)));
                }
                AtOnce::Done(Ok(self.noted_done(key, done)))
            }
            Ok(Some(tried)) => AtOnce::Seen(tried),
            Ok(None) => AtOnce::Not,
            Err(error) => AtOnce::Done(Err(error)),
        }
    }

    /// What was done is remembered, if it is known what is there now.
    fn noted_done(&self, key: &StoredKey, done: Done) -> Applied {
        match &done.there {
            There::Record(record) => self.shared.recent.see(key, record),
            // What was seen before stays: whoever relies on it is told by the server that it is old, and what
            // is there, which is no trip more than to ask. Where moving takes several steps it is.
            _ if self.layout == LayoutName::Fields && self.route.is_one_node() => {}
            There::Changed(_) | There::Unknown => self.shared.recent.forget(key),
        }
        applied(done)
    }

    /// Changes a session. `first` is what came of a try, if one was made already.
    pub(super) async fn apply_one(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
        mut first: Option<Tried>,
    ) -> Result<Applied, Error> {
        let mut at = *key;
        let mut hint = self.shared.recent.get(key);
        let (mut turn, mut asked) = (None, false);
        for _ in 0..TRIES {
            let apply = || self.steps.apply(&at, hint.as_ref(), changes, condition);
            let tried = match first.take() {
                Some(tried) => tried,
                None => match apply().await {
                    // It may be the fault of what was seen too long ago; a packed session was looked at.
                    Err(error)
                        if hint.is_some()
                            && !asked
                            && self.layout != LayoutName::Packed
                            && is_about_fields(&error) =>
                    {
                        Tried::NeedsHint
                    }
                    tried => tried?,
                },
            };
            match tried {
                Tried::Done(done) => return Ok(self.noted_done(&at, done)),
                Tried::Conflict { version } => return Ok(Applied::Conflict { version }),
                Tried::NeedsHint => match Box::pin(self.present(&mut at, *key)).await? {
                    Ok(record) => (hint, asked) = (Some(*record), true),
                    Err(absence) => return Ok(Applied::Absent(absence)),
                },
                Tried::Stale(Present::Alive(record)) => {
                    self.shared.recent.see(&at, &record);
                    hint = Some(*record);
                    if turn.is_none() {
                        // Others write this session: those of this process take turns from now on.
                        turn = Some(self.turns.wait(&at).await);
                        hint = self.shared.recent.get(&at).or(hint);
                    }
                }
                Tried::Stale(Present::Forward(target)) => {
                    self.shared.recent.forget(&at);
                    unless_left(&at, &target)?;
                    at = target;
                    hint = self.shared.recent.get(&at);
                }
                Tried::Stale(Present::Absent(absence)) => {
                    self.shared.recent.forget(&at);
                    return Ok(Applied::Absent(ended_if(at != *key, absence)));
                }
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// Places a session, making room for it if the subject has too many. Gives the record as it is
    /// stored.
    pub(super) async fn place(
        &self,
        mut place: Place<'_>,
        most: Option<MaxSessions>,
    ) -> Result<(Placed, Record), Error> {
        for _ in 0..TRIES {
            match self.steps.place(&place).await? {
                Placed::Done(now) => {
                    let record = self.layout.normal(at_time(&place, now));
                    return Ok((Placed::Done(now), record));
                }
                Placed::Closing => tokio::time::sleep(CLOSING).await,
                Placed::Crowded => {
                    if let Some(old) = place.old.as_ref().filter(|old| old.elsewhere) {
                        // Nobody's session is ended for one that has ended itself.
                        let (present, _) = self.read(old.key).await?;
                        if !matches!(&present, Present::Alive(record) if is_same(record, old.record))
                        {
                            return Ok((Placed::Stale(present), place.record.clone()));
                        }
                    }
                    let (Some(subject), Some(most)) = (&place.record.subject, most) else {
                        break;
                    };
                    let own = place.old.as_ref().map(|old| *old.key);
                    place.candidates = self.candidates(subject, most, own).await?;
                }
                placed => return Ok((placed, place.record.clone())),
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// Sessions that may be ended for one more of `subject`: the dead, then who signed in longest
    /// ago.
    async fn candidates(
        &self,
        subject: &Subject,
        most: MaxSessions,
        own: Option<StoredKey>,
    ) -> Result<Vec<Entry>, Error> {
        let Listed {
            mut alive, gone, ..
        } = self.listed(subject).await?;
        // What is gone leaves the index here, so that the step to come has keys of live sessions alone.
        for batch in gone.chunks(STEP) {
            self.forget_entries(subject, batch).await?;
        }
        let mut candidates = Vec::new();
        alive.retain(|(entry, _)| Some(entry.key) != own);
        if most.on_excess == OnExcess::Refuse {
            if alive.len() + 1 > most.limit.max(1) {
                return Err(ErrorKind::TooManySessions { limit: most.limit }.into());
            }
        } else {
            candidates.extend(alive.iter().rev().map(|(entry, _)| *entry));
        }
        Ok(candidates)
    }

    pub(super) async fn destroy_one(&self, key: &StoredKey) -> Result<bool, Error> {
        let mut at = *key;
        self.settle_doubts(at.tag()).await?;
        for _ in 0..TRIES {
            // The subject is needed to take the session out of its index. A hint may be old in
            // everything but that: a session keeps its subject under one key.
            let record = match self.shared.recent.get(&at) {
                Some(record) => record,
                None => match self.present(&mut at, *key).await? {
                    Ok(record) => *record,
                    Err(_) => return Ok(false),
                },
            };
            self.shared.recent.forget(&at);
            let attempt = self.shared.revoked.ending(vec![at]);
            let index = record.subject.as_ref().map(keys::index);
            let ending = Ending {
                key: at,
                entry: Some(Entry {
                    handle: record.handle,
                    key: at,
                }),
            };
            let found = self
                .steps
                .end(at.tag(), index.as_deref(), &[ending], None)
                .await;
            let found = attempt.answered(found)?;
            match found.as_deref() {
                Some([Found::Moved(target)]) => {
                    unless_left(&at, target)?;
                    at = *target;
                }
                Some([Found::Alive]) => return Ok(true),
                _ => return Ok(false),
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    pub(super) async fn touch_all(&self, keys: &[StoredKey]) -> Result<usize, Error> {
        if keys.len() > limits::TOUCH_BATCH {
            return Err(ErrorKind::Limit {
                what: "touch batch",
                limit: limits::TOUCH_BATCH,
                size: keys.len(),
            }
            .into());
        }
        let mut touched = 0;
        let mut waiting = keys.to_vec();
        for _ in 0..=limits::FORWARD_HOPS {
            if waiting.is_empty() {
                break;
            }
            let found = self.steps.touch(&waiting).await?;
            let asked = std::mem::take(&mut waiting);
            for found in found {
                match found {
                    Found::Alive => touched += 1,
                    Found::Moved(target) if !asked.contains(&target) => waiting.push(target),
                    Found::Moved(_) | Found::Dead => {}
                }
            }
        }
        Ok(touched)
    }

    /// The session that `at` leads to, and `at` is its key then; else why there is none for `asked`.
    pub(super) async fn present(
        &self,
        at: &mut StoredKey,
        asked: StoredKey,
    ) -> Result<Result<Box<Record>, Absence>, Error> {
        let mut seen = BTreeSet::new();
        while seen.insert(*at) && seen.len() <= limits::FORWARD_HOPS + 1 {
            match self.read(at).await?.0 {
                Present::Alive(record) => return Ok(Ok(record)),
                Present::Forward(target) => *at = target,
                Present::Absent(absence) => return Ok(Err(ended_if(*at != asked, absence))),
            }
        }
        Ok(Err(Absence::Ended))
    }
}

fn applied(done: Done) -> Applied {
    Applied::Done {
        version: done.version,
        increments: done.increments,
    }
}

/// Why there is no session: who was led elsewhere, had one.
pub(super) const fn ended_if(led: bool, absence: Absence) -> Absence {
    if led { Absence::Ended } else { absence }
}

pub(super) fn limit(most: Option<MaxSessions>) -> usize {
    most.map_or(0, |most| most.limit.max(1))
}

fn is_same(one: &Record, other: &Record) -> bool {
    (one.handle, one.version) == (other.handle, other.version)
}

/// A session of a subject lives under the subject's tag.
pub(super) fn check_tag(key: &StoredKey, subject: Option<&Subject>) -> Result<(), Error> {
    if subject.is_some_and(|subject| SlotTag::of_subject(subject) != key.tag()) {
        let what = "the key has not the slot tag of the session's subject";
        return Err(ErrorKind::Invalid { what }.into());
    }
    Ok(())
}

//! The sessions of a subject: listed from the index, and each entry proved by the session itself.
//! Entries whose sessions are gone are forgotten on the way, a bounded number at a time; so are those where
//! somebody else's value is, which is no session of the subject and stays as it is.

use cloakroom_core::id::{Handle, SlotTag, StoredKey};
use cloakroom_core::observe::Concern;
use cloakroom_core::record::{SessionInfo, Subject};
use cloakroom_core::{Error, ErrorKind, Record, UnixMillis};

use super::RedisStore;
use super::carry::unless_left;
use crate::epoch;
use crate::failure::{Class, Failure};
use crate::keys::{self, Entry};
use crate::layout::{Kept, Present};
use crate::route::Batch;
use crate::settings::LayoutName;
use crate::steps::{Ending, Found, time};
use crate::wire::{self, Lane, Reply};

/// Tries while others change the index.
const TRIES: usize = 64;
/// Sessions that one step ends. More are ended in several steps: one may not hold the server long.
pub(super) const STEP: usize = 500;
/// Entries of gone sessions that a listing forgets.
const TIDY: usize = 64;

/// The sessions of a subject.
pub(super) struct Listed {
    /// The live ones, the last signed in first.
    pub(super) alive: Vec<(Entry, Box<Record>)>,
    /// Entries of those that are gone.
    pub(super) gone: Vec<Entry>,
    /// Entries of those that the other layout wrote.
    theirs: Vec<Entry>,
    now: UnixMillis,
}

impl RedisStore {
    pub(super) async fn list(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        let Listed {
            alive, gone, now, ..
        } = self.listed(subject).await?;
        self.forget_entries(subject, &gone[..gone.len().min(TIDY)])
            .await?;
        Ok(alive.iter().map(|(_, record)| record.info(now)).collect())
    }

    /// The entries of a subject's index, proved.
    pub(super) async fn listed(&self, subject: &Subject) -> Result<Listed, Error> {
        let listed = self.look_through(subject).await?;
        unless_any_theirs(&listed.theirs)?;
        Ok(listed)
    }

    async fn look_through(&self, subject: &Subject) -> Result<Listed, Error> {
        let entries = self.entries(subject).await?;
        let tag = SlotTag::of_subject(subject);
        let commands = vec![wire::command::<&str>("TIME", []), epoch::read(tag)];
        let mut batches = vec![Batch { tag, commands }];
        batches.extend(entries.iter().map(|entry| reading(self.layout, &entry.key)));
        let answers = self.route.send_each(Lane::Main, batches).await;
        let mut answers = answers.into_iter();
        let [now, epoch] = wire::exactly(answers.next().unwrap_or_else(|| Ok(Vec::new()))?)?;
        let (now, epoch) = (time(now)?, epoch::decode(epoch)?);
        let (mut alive, mut gone, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, answer) in entries.into_iter().zip(answers) {
            let kept = match kept(self.layout, answer) {
                Err(failure) if failure.class() == Class::Foreign => {
                    foreign.push(entry);
                    continue;
                }
                kept => kept?,
            };
            match kept.judge(epoch, now) {
                Present::Alive(record) if record.handle == entry.handle => {
                    alive.push((entry, record));
                }
                Present::Forward(target) => {
                    unless_left(&entry.key, &target)?;
                    gone.push(entry);
                }
                Present::Alive(_) | Present::Absent(_) => gone.push(entry),
            }
        }
        let theirs = self.disown(subject, foreign).await?;
        alive.sort_by_key(|(_, record)| {
            (
                std::cmp::Reverse(record.times.authenticated_at),
                std::cmp::Reverse(record.times.created_at),
            )
        });
        Ok(Listed {
            alive,
            gone,
            theirs,
            now,
        })
    }

    async fn entries(&self, subject: &Subject) -> Result<Vec<Entry>, Error> {
        let mut range = wire::command("ZRANGE", [keys::index(subject)]);
        range.arg(0).arg(-1);
        let tag = SlotTag::of_subject(subject);
        let [reply] = wire::exactly(self.route.send(tag, Lane::Main, vec![range]).await?)?;
        let members = wire::array(reply)?.into_iter();
        let members = members.map(|member| Ok(wire::bytes(member)?.unwrap_or_default()));
        let members = members.collect::<Result<Vec<_>, Error>>()?;
        let entries = members
            .iter()
            .filter_map(|member| Entry::decode(subject, member));
        Ok(entries.collect())
    }

    /// Forgets entries of sessions that are gone: a session that is gone never comes back under the
    /// same key and handle, so nothing has to be checked again.
    pub(super) async fn forget_entries(
        &self,
        subject: &Subject,
        gone: &[Entry],
    ) -> Result<(), Error> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut remove = wire::command("ZREM", [keys::index(subject)]);
        for entry in gone {
            remove.arg(&entry.encode()[..]);
        }
        let tag = SlotTag::of_subject(subject);
        self.route.send(tag, Lane::Main, vec![remove]).await?;
        Ok(())
    }

    /// Forgets entries where somebody else's value is, and tells. Gives those of sessions that the other layout wrote:
    /// who does not find them must not be told that there are none.
    async fn disown(
        &self,
        subject: &Subject,
        mut foreign: Vec<Entry>,
    ) -> Result<Vec<Entry>, Error> {
        let mut theirs = Vec::new();
        if let (Some(other), false) = (self.layout.other(), foreign.is_empty()) {
            let batches = foreign.iter().map(|entry| reading(other, &entry.key));
            let answers = self.route.send_each(Lane::Main, batches.collect()).await;
            let asked = std::mem::take(&mut foreign);
            for (entry, answer) in asked.into_iter().zip(answers) {
                match kept(other, answer) {
                    Err(failure) if failure.class() != Class::Foreign => return Err(failure.into()),
                    Ok(Kept::Record(..) | Kept::Ended(_)) => theirs.push(entry),
                    Ok(Kept::Nothing) | Err(_) => foreign.push(entry),
                }
            }
        }
        for batch in foreign.chunks(STEP) {
            self.forget_entries(subject, batch).await?;
        }
        if !foreign.is_empty() {
            self.shared.concerns.tell_of_all(Concern::ForeignValue);
        }
        Ok(theirs)
    }

    pub(super) async fn revoke_one(
        &self,
        subject: &Subject,
        handle: &Handle,
    ) -> Result<bool, Error> {
        let index = keys::index(subject);
        self.settle_doubts(SlotTag::of_subject(subject)).await?;
        for _ in 0..TRIES {
            let entries = self.entries(subject).await?;
            let endings: Vec<_> = entries
                .iter()
                .filter(|entry| entry.handle == *handle)
                .map(ending)
                .collect();
            if endings.is_empty() {
                return Ok(false);
            }
            let keys = endings.iter().map(|ending| ending.key).collect();
            let attempt = self.shared.revoked.ending(keys);
            let found = self
                .steps
                .end(SlotTag::of_subject(subject), Some(&index), &endings, None)
                .await;
            let found = match attempt.answered(found) {
                Err(error) if Failure::is_foreign(&error) => {
                    self.listed(subject).await?;
                    continue;
                }
                found => found?.unwrap_or_default(),
            };
            unless_any_left(&endings, &found)?;
            if found.contains(&Found::Alive) {
                return Ok(true);
            }
            if !found.iter().any(|found| matches!(found, Found::Moved(_))) {
                return Ok(false);
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    pub(super) async fn revoke_many(
        &self,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> Result<usize, Error> {
        let index = keys::index(subject);
        let (mut ended, mut theirs) = (0, Vec::new());
        self.settle_doubts(SlotTag::of_subject(subject)).await?;
        for _ in 0..TRIES {
            let mut entries = self.entries(subject).await?;
            let all = entries.len();
            entries.retain(|entry| Some(&entry.handle) != except && !theirs.contains(entry));
            if entries.is_empty() {
                unless_any_theirs(&theirs)?;
                return Ok(ended);
            }
            let rest = entries.len() > STEP;
            entries.truncate(STEP);
            let endings: Vec<_> = entries.iter().map(ending).collect();
            let besides = (!rest).then(|| all - entries.len());
            let keys = entries.iter().map(|entry| entry.key).collect();
            let attempt = self.shared.revoked.ending(keys);
            for entry in &entries {
                self.shared.recent.forget(&entry.key);
            }
            let tag = SlotTag::of_subject(subject);
            let found = self.steps.end(tag, Some(&index), &endings, besides).await;
            let found = match attempt.answered(found) {
                Err(error) if Failure::is_foreign(&error) => {
                    theirs = self.look_through(subject).await?.theirs;
                    continue;
                }
                found => found?,
            };
            let Some(found) = found else {
                continue;
            };
            unless_any_left(&endings, &found)?;
            ended += found.iter().filter(|found| **found == Found::Alive).count();
            if !rest {
                unless_any_theirs(&theirs)?;
                return Ok(ended);
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}

impl RedisStore {
    /// Ends sessions of a tag for good whose end was asked for before and not acknowledged. What is
    /// found after that is the truth: who tries again is not told that nothing is there, by a server
    /// that will be forgotten. Somebody else's values stay.
    pub(super) async fn settle_doubts(&self, tag: SlotTag) -> Result<(), Error> {
        let Some(mut attempt) = self.shared.revoked.doubts(tag) else {
            return Ok(());
        };
        let keys = attempt.keys().to_vec();
        let batches = keys.iter().map(|key| reading(self.layout, key)).collect();
        let answers = self.route.send_each(Lane::Main, batches).await;
        for (key, answer) in keys.iter().zip(answers) {
            match kept(self.layout, answer) {
                Err(failure) if failure.class() == Class::Foreign => attempt.excuse(key),
                answer => drop(answer?),
            }
        }
        let revoked = &self.shared.revoked;
        let ends = attempt.keys().iter().flat_map(|key| revoked.end(key));
        self.route.send(tag, Lane::Final, ends.collect()).await?;
        attempt.done();
        Ok(())
    }
}

/// Reads what is under a session's key.
fn reading(layout: LayoutName, key: &StoredKey) -> Batch {
    Batch {
        tag: key.tag(),
        commands: vec![layout.read(&keys::session(key))],
    }
}

/// What was answered to that.
fn kept(layout: LayoutName, answer: Result<Vec<Reply>, Failure>) -> Result<Kept, Failure> {
    let [reply] = wire::exactly(answer?)?;
    layout.decode(reply)
}

const fn ending(entry: &Entry) -> Ending {
    Ending {
        key: entry.key,
        entry: Some(*entry),
    }
}

fn unless_any_theirs(theirs: &[Entry]) -> Result<(), Failure> {
    if theirs.is_empty() {
        return Ok(());
    }
    let words =
        "a session lies in another layout: processes that share a server must have one ?layout=";
    Err(Failure::foreign(words))
}

fn unless_any_left(endings: &[Ending], found: &[Found]) -> Result<(), Failure> {
    for (ending, found) in endings.iter().zip(found) {
        if let Found::Moved(target) = found {
            unless_left(&ending.key, target)?;
        }
    }
    Ok(())
}

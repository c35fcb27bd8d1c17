//! The sessions of a subject: listed from the index, and each entry proved by the session itself.
//! Entries whose sessions are gone are forgotten on the way, a bounded number at a time.

use cloakroom_core::id::{Handle, SlotTag};
use cloakroom_core::record::{SessionInfo, Subject};
use cloakroom_core::{Error, ErrorKind, Record, UnixMillis};

use super::RedisStore;
use super::carry::unless_left;
use crate::epoch;
use crate::failure::Failure;
use crate::keys::{self, Entry};
use crate::layout::Present;
use crate::steps::{Ending, Found, time};
use crate::wire::{self, Lane};

/// Tries while others change the index.
const TRIES: usize = 64;
/// Sessions that one step ends. More are ended in several steps: one may not hold the server long.
pub(super) const STEP: usize = 500;
/// Entries of gone sessions that a listing forgets.
const TIDY: usize = 64;

/// The live sessions of a subject, the last signed in first; and entries of sessions that are gone.
type Listed = (Vec<(Entry, Box<Record>)>, Vec<Entry>);

impl RedisStore {
    pub(super) async fn list(&self, subject: &Subject) -> Result<Vec<SessionInfo>, Error> {
        let (alive, gone, now) = self.listed_at(subject).await?;
        self.forget_entries(subject, &gone[..gone.len().min(TIDY)])
            .await?;
        Ok(alive.iter().map(|(_, record)| record.info(now)).collect())
    }

    /// The entries of a subject's index, proved.
    pub(super) async fn listed(&self, subject: &Subject) -> Result<Listed, Error> {
        let (alive, gone, _) = self.listed_at(subject).await?;
        Ok((alive, gone))
    }

    async fn listed_at(
        &self,
        subject: &Subject,
    ) -> Result<(Vec<(Entry, Box<Record>)>, Vec<Entry>, UnixMillis), Error> {
        let entries = self.entries(subject).await?;
        let tag = SlotTag::of_subject(subject);
        let mut commands = vec![wire::command::<&str>("TIME", []), epoch::read(tag)];
        commands.extend(
            entries
                .iter()
                .map(|entry| self.layout.read(&keys::session(&entry.key))),
        );
        let replies = self.route.send(tag, Lane::Main, commands).await?;
        let mut replies = replies.into_iter();
        let now = time(replies.next().unwrap_or_default())?;
        let epoch = epoch::decode(replies.next().unwrap_or_default())?;
        let (mut alive, mut gone) = (Vec::new(), Vec::new());
        for (entry, reply) in entries.into_iter().zip(replies) {
            match self.layout.decode(reply)?.judge(epoch, now) {
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
        alive.sort_by_key(|(_, record)| {
            (
                std::cmp::Reverse(record.times.authenticated_at),
                std::cmp::Reverse(record.times.created_at),
            )
        });
        Ok((alive, gone, now))
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
            let found = attempt.answered(found)?.unwrap_or_default();
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
        let mut ended = 0;
        self.settle_doubts(SlotTag::of_subject(subject)).await?;
        for _ in 0..TRIES {
            let mut entries = self.entries(subject).await?;
            let all = entries.len();
            entries.retain(|entry| Some(&entry.handle) != except);
            if entries.is_empty() {
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
            let found = match self.steps.end(tag, Some(&index), &endings, besides).await {
                Err(error) if Failure::is_foreign(&error) => {
                    attempt.done();
                    return Err(self.end_ours(subject, &entries, error).await);
                }
                found => found?,
            };
            attempt.done();
            let Some(found) = found else {
                continue;
            };
            unless_any_left(&endings, &found)?;
            ended += found.iter().filter(|found| **found == Found::Alive).count();
            if !rest {
                return Ok(ended);
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}

impl RedisStore {
    /// Ends one session after the other, because under the key of one of them is somebody else's value. That
    /// stays, and is no session of the subject any more. Gives what there is to tell: why not all were ended.
    async fn end_ours(&self, subject: &Subject, entries: &[Entry], mut why: Error) -> Error {
        let (tag, index) = (SlotTag::of_subject(subject), keys::index(subject));
        for entry in entries {
            let attempt = self.shared.revoked.ending(vec![entry.key]);
            let one = [ending(entry)];
            let found = self.steps.end(tag, Some(&index), &one, None).await;
            let done = match attempt.answered(found) {
                Ok(found) => unless_any_left(&one, &found.unwrap_or_default()).map_err(Error::from),
                Err(error) if Failure::is_foreign(&error) => {
                    why = error;
                    self.forget_entries(subject, &[*entry]).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                return error;
            }
        }
        why
    }

    /// Ends sessions of a tag for good whose end was asked for before and not acknowledged. What is
    /// found after that is the truth: who tries again is not told that nothing is there, by a server
    /// that will be forgotten.
    pub(super) async fn settle_doubts(&self, tag: SlotTag) -> Result<(), Error> {
        if let Some((attempt, commands)) = self.shared.revoked.doubts(tag) {
            self.route.send(tag, Lane::Final, commands).await?;
            attempt.done();
        }
        Ok(())
    }
}

const fn ending(entry: &Entry) -> Ending {
    Ending {
        key: entry.key,
        entry: Some(*entry),
    }
}

fn unless_any_left(endings: &[Ending], found: &[Found]) -> Result<(), Failure> {
    for (ending, found) in endings.iter().zip(found) {
        if let Found::Moved(target) = found {
            unless_left(&ending.key, target)?;
        }
    }
    Ok(())
}

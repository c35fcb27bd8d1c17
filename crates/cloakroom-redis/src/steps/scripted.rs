//! Steps by script: one trip each. A script is sent by its hash; a server that does not know it
//! (restart, failover) is sent the text once.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::record::{Changes, Condition};
use cloakroom_core::{Error, Record};

use super::call::{Answer, Call};
use super::saves::Applying;
use super::{Asked, Ending, Found, Hint, Left, Old, Place, Placed, Steps, Tried};
use crate::epoch;
use crate::failure::{Class, Failure};
use crate::head;
use crate::keys::{self, Entry};
use crate::layout::{Kept, Present};
use crate::route::{Batch, Route};
use crate::scripts::{By, Script, Scripts};
use crate::settings::LayoutName;
use crate::wire::{self, Command, Reply};

/// Steps by script.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(super) route: Arc<dyn Route>,
    pub(super) layout: LayoutName,
    pub(super) scripts: Scripts,
}

impl Scripted {
    pub(crate) fn new(route: Arc<dyn Route>, layout: LayoutName) -> Self {
        let scripts = Scripts::new(layout);
        Self {
            route,
            layout,
            scripts,
        }
    }

    /// Runs a script; gives its first word and what follows.
    async fn run(&self, script: &Script, call: Call) -> Result<Answer, Failure> {
        let command = |by| script.call(by, &call.keys, &call.args);
        Answer::of(self.reply(script, call.tag, &command).await?)
    }

    pub(super) async fn reply(
        &self,
        script: &Script,
        tag: SlotTag,
        command: &(dyn Fn(By) -> Command + Sync),
    ) -> Result<Reply, Failure> {
        let by_hash = command(By::Hash);
        match self.route.call(tag, script.lane, by_hash).await {
            Err(failure) if failure.class() == Class::NoScript => {
                let by_text = command(By::Text);
                self.route.call(tag, script.lane, by_text).await
            }
            answer => answer,
        }
    }

    /// Runs a script on keys of several tags, in one trip to each node; an answer for each call.
    async fn run_each(&self, script: &Script, calls: &[Call]) -> Result<Vec<Answer>, Failure> {
        let batch = |call: &Call, command| Batch {
            tag: call.tag,
            commands: vec![command],
        };
        let by_hash = calls.iter().map(|call| {
            let command = script.call(By::Hash, &call.keys, &call.args);
            batch(call, command)
        });
        let mut answers = self.route.send_each(script.lane, by_hash.collect()).await;
        let unknown = |answer: &Result<_, Failure>| {
            let failed = answer.as_ref().err().map(Failure::class);
            failed == Some(Class::NoScript)
        };
        let again: Vec<usize> = (0..calls.len())
            .filter(|at| unknown(&answers[*at]))
            .collect();
        if !again.is_empty() {
            let by_text = again.iter().map(|at| {
                let call = &calls[*at];
                batch(call, script.call(By::Text, &call.keys, &call.args))
            });
            let texts = self.route.send_each(script.lane, by_text.collect()).await;
            for (at, answer) in again.into_iter().zip(texts) {
                answers[at] = answer;
            }
        }
        let answers = answers.into_iter();
        let of = |replies| {
            let [reply] = wire::exactly(replies)?;
            Answer::of(reply)
        };
        answers.map(|answer| of(answer?)).collect()
    }

    /// What a script says is under a key that is not what was expected.
    pub(super) fn present(&self, answer: Answer) -> Result<Present, Failure> {
        let [epoch, raw] = wire::exactly(answer.rest)?;
        let epoch = epoch::decode(epoch)?;
        let kept: Kept = self.layout.decode(raw)?;
        Ok(kept.judge(epoch, answer.now))
    }
}

#[async_trait]
impl Steps for Scripted {
    async fn place(&self, place: &Place<'_>) -> Result<Placed, Error> {
        for (name, _) in &place.record.fields {
            self.layout.check(name)?;
        }
        let key = keys::session(place.key);
        let index = place.record.subject.as_ref().map(keys::index);
        let old = place.old.as_ref();
        let old_subject = old.and_then(|old| old.record.subject.as_ref());
        let tag = place.key.tag();
        let here = old.filter(|old| !old.elsewhere);
        let moves = place.comes_from_another_tag();
        let mut call = Call::new(
            tag,
            [
                key.clone(),
                keys::epoch(tag),
                index.clone().unwrap_or_else(|| key.clone()),
                here.map_or_else(|| key.clone(), |old| keys::session(old.key)),
                here.and(old_subject)
                    .map_or_else(|| key.clone(), keys::index),
                keys::epoch(here.map_or(tag, |old| old.key.tag())),
                if moves { keys::closing(tag) } else { key },
            ],
        );
        let keys = place
            .candidates
            .iter()
            .map(|entry| keys::session(&entry.key));
        call.keys.extend(keys);
        call.arg(match old {
            None => Vec::new(),
            Some(old) if old.elsewhere => b"+".to_vec(),
            Some(old) => head::identity(old.record).to_vec(),
        });
        call.arg(if place.login { "1" } else { "" });
        call.arg(old.map_or_else(|| "-1".to_owned(), grace));
        call.arg(head::encode_target(place.key));
        call.arg(place.limit.to_string());
        let entry = |handle, key: &StoredKey| Entry { handle, key: *key }.encode().to_vec();
        call.arg(index.map_or(Vec::new(), |_| entry(place.record.handle, place.key)));
        let old_entry = here.filter(|_| old_subject.is_some());
        call.arg(old_entry.map_or(Vec::new(), |old| entry(old.record.handle, old.key)));
        call.arg(place.candidates.len().to_string());
        for candidate in &place.candidates {
            call.arg(candidate.encode());
        }
        let (head, parts) = self.layout.parts(place.record);
        call.arg(head);
        call.args.extend(parts);
        let answer = self.run(&self.scripts.place, call).await?;
        Ok(match &*answer.word {
            "ok" => Placed::Done(answer.now),
            "taken" => Placed::Taken,
            "crowded" => Placed::Crowded,
            "closing" => Placed::Closing,
            _ => Placed::Stale(self.present(answer)?),
        })
    }

    async fn leave(&self, new: &StoredKey, old: &Old<'_>) -> Result<Left, Error> {
        let (tag, key) = (old.key.tag(), keys::session(old.key));
        let (index, entry) = match old.entry() {
            Some((index, entry)) => (index, entry.encode().to_vec()),
            None => (key.clone(), Vec::new()),
        };
        let mut call = Call::new(tag, [key, keys::epoch(tag), index]);
        call.arg(head::identity(old.record));
        call.arg(grace(old));
        call.arg(head::encode_target(new));
        call.arg(entry);
        let answer = self.run(&self.scripts.leave, call).await?;
        Ok(match &*answer.word {
            "ok" => Left::Done,
            _ => Left::Stale(self.present(answer)?),
        })
    }

    async fn undo(&self, key: &StoredKey, record: &Record) -> Result<(), Error> {
        let name = keys::session(key);
        let handle = record.handle;
        let (index, entry) = match &record.subject {
            Some(subject) => {
                let entry = Entry { handle, key: *key };
                (keys::index(subject), entry.encode().to_vec())
            }
            None => (name.clone(), Vec::new()),
        };
        let mut call = Call::new(key.tag(), [name, index]);
        call.arg(head::identity(record));
        call.arg(entry);
        self.run(&self.scripts.undo, call).await?;
        Ok(())
    }

    async fn apply(
        &self,
        key: &StoredKey,
        hint: Option<&Record>,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Tried, Error> {
        match self.layout {
            LayoutName::Packed => self.apply_packed(key, hint, changes, condition).await,
            LayoutName::Fields | LayoutName::Plain => {
                match self.apply_fields(key, changes, condition).await? {
                    Some(tried) => Ok(tried),
                    None => self.apply_sums(key, hint, changes, condition).await,
                }
            }
        }
    }

    fn begin_apply<'a>(
        &'a self,
        asked: &Asked<'_>,
        hint: Option<Hint<'_>>,
    ) -> Option<Applying<'a>> {
        self.begin(asked, hint)
    }

    async fn end(
        &self,
        tag: SlotTag,
        index: Option<&str>,
        sessions: &[Ending],
        besides: Option<usize>,
    ) -> Result<Option<Vec<Found>>, Error> {
        let epoch = keys::epoch(tag);
        let index_key = index.map_or_else(|| epoch.clone(), str::to_owned);
        let mut call = Call::new(tag, [epoch, index_key]);
        call.arg(besides.map_or(String::new(), |count| count.to_string()));
        for ending in sessions {
            call.keys.push(keys::session(&ending.key));
            let entry = ending.entry;
            call.arg(entry.map_or(Vec::new(), |entry| entry.handle.as_bytes().to_vec()));
            let entry = entry.filter(|_| index.is_some());
            call.arg(entry.map_or(Vec::new(), |entry| entry.encode().to_vec()));
        }
        let answer = self.run(&self.scripts.end, call).await?;
        if answer.word == "stale" {
            return Ok(None);
        }
        Ok(Some(answer.found()?))
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<Vec<Found>, Error> {
        let mut calls: BTreeMap<SlotTag, Call> = BTreeMap::new();
        for key in keys {
            let tag = key.tag();
            let call = calls
                .entry(tag)
                .or_insert_with(|| Call::new(tag, [keys::epoch(tag)]));
            call.keys.push(keys::session(key));
        }
        let calls: Vec<Call> = calls.into_values().collect();
        let mut all = Vec::with_capacity(keys.len());
        for answer in self.run_each(&self.scripts.touch, &calls).await? {
            all.extend(answer.found()?);
        }
        Ok(all)
    }
}

/// The grace of a move as scripts take it.
fn grace(old: &Old<'_>) -> String {
    old.grace
        .map_or_else(|| "-1".to_owned(), |grace| grace.to_string())
}

//! Steps by script: one trip each. A script is sent by its hash; a server that does not know it
//! (restart, failover) is sent the text once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::limits;
use cloakroom_core::record::{Change, Changes, Condition, Value};
use cloakroom_core::{Error, ErrorKind, Record, UnixMillis};

use super::at_once::Applying;
use super::call::{Answer, Call, Said, add_condition};
use super::{Done, Ending, Found, Left, Old, Place, Placed, Steps, Tried};
use crate::epoch::{self, Epoch};
use crate::failure::{Class, Failure};
use crate::head;
use crate::keys::{self, Entry};
use crate::layout::{Kept, Present, packed};
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

/// A record that is to be written, and what the increments in it came to.
pub(super) type Made = (Record, Vec<i64>);

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

    async fn reply(
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
    fn present(&self, answer: Answer) -> Result<Present, Failure> {
        let [epoch, raw] = wire::exactly(answer.rest)?;
        let epoch = epoch::decode(epoch)?;
        let kept: Kept = self.layout.decode(raw)?;
        Ok(kept.judge(epoch, answer.now))
    }

    async fn apply_packed(
        &self,
        key: &StoredKey,
        hint: Option<&Record>,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Tried, Error> {
        let Some(before) = hint else {
            return Ok(Tried::NeedsHint);
        };
        // A hint that does not meet the condition may be old: an unchanged write asks the server.
        let meets = before.meets(condition);
        let refused = match before.applied(changes, before.times.seen_at) {
            Ok(made) if meets => {
                let expected = head::identity(before);
                let reply = self.reply_packed(key, &expected, &made.0).await?;
                return self.packed_said(reply, made);
            }
            made => made.err().filter(|_| meets),
        };
        // The identity that no session has makes the server tell what is there and write nothing.
        let reply = self.reply_packed(key, &[0; 18], before).await?;
        let present = self.present(Answer::of(reply)?)?;
        match &present {
            Present::Alive(current) if current.version == before.version => {
                let version = current.version;
                refused.map_or(Ok(Tried::Conflict { version }), Err)
            }
            _ => Ok(Tried::Stale(present)),
        }
    }

    async fn reply_packed(
        &self,
        key: &StoredKey,
        expected: &head::Identity,
        record: &Record,
    ) -> Result<Reply, Failure> {
        let script = &self.scripts.apply;
        let command = |by| packed_command(script, by, key, expected, record);
        self.reply(script, key.tag(), &command).await
    }

    /// What came of a [`packed_command`].
    pub(super) fn packed_said(&self, reply: Reply, made: Made) -> Result<Tried, Error> {
        match Said::of(reply)? {
            Said::Answer(answer) => Ok(Tried::Stale(self.present(answer)?)),
            Said::Number(now) => {
                let (mut record, increments) = made;
                record.times.seen_at = UnixMillis::new(now);
                Ok(Tried::Done(Done {
                    version: record.version,
                    increments,
                    record: Some(record),
                }))
            }
        }
    }

    /// Increments of integers that Redis cannot count with, because MessagePack wrote them: the sums
    /// are made here and set, if the session still has the version that they were made from.
    async fn apply_sums(
        &self,
        key: &StoredKey,
        hint: Option<&Record>,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Tried, Error> {
        let Some(before) = hint else {
            return Ok(Tried::NeedsHint);
        };
        let version = before.version;
        if !before.meets(condition) {
            return Ok(Tried::Conflict { version });
        }
        let (_, sums) = before.fields.changed(changes)?;
        let (mut set, mut next) = (Changes::new(), sums.iter());
        for (name, change) in changes.iter() {
            let change = match (change, next.as_slice()) {
                (Change::Increment(_), [sum, ..]) => {
                    next.next();
                    Change::Set(Value::integer(*sum))
                }
                (change, _) => change.clone(),
            };
            set.push(name.clone(), change);
        }
        let tried = self
            .apply_fields(key, &set, &Condition::Version(version))
            .await?;
        Ok(match tried {
            Some(Tried::Done(done)) => Tried::Done(Done {
                increments: sums,
                ..done
            }),
            Some(Tried::Conflict { .. }) | None => Tried::NeedsHint,
            Some(tried) => tried,
        })
    }

    /// `None`: an increment of what Redis takes for no integer.
    async fn apply_fields(
        &self,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Option<Tried>, Error> {
        self.check(changes)?;
        let command = |by| self.fields_command(by, key, changes, condition);
        let reply = self.reply(&self.scripts.apply, key.tag(), &command).await?;
        self.fields_said(reply)
    }

    /// Whether what the server does not know of limits and names allows these changes.
    pub(super) fn check(&self, changes: &Changes) -> Result<(), Error> {
        for (name, change) in changes.iter() {
            check_size(change)?;
            self.layout.check(name.as_str())?;
        }
        Ok(())
    }

    /// Changes fields where they are Redis fields; [`Self::check`] allows it.
    pub(super) fn fields_command(
        &self,
        by: By,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Command {
        let args = 5 + 3 * changes.len();
        let mut command = self.scripts.apply.begin(by, 2, args, 128 + 64 * args);
        command.arg(keys::session(key)).arg(keys::epoch(key.tag()));
        add_condition(&mut command, self.layout, condition);
        command.arg(limits::FIELDS).arg(limits::RECORD_BYTES);
        for (name, change) in changes.iter() {
            match change {
                Change::Set(value) => command
                    .arg("set")
                    .arg(name.as_str())
                    .arg(self.layout.encode_value(value.as_ref())),
                Change::Remove => command.arg("remove").arg(name.as_str()).arg(""),
                Change::Increment(by) => command.arg("increment").arg(name.as_str()).arg(by),
            };
        }
        command
    }

    /// What came of a [`Self::fields_command`]. `None`: an increment of what Redis takes for no integer.
    pub(super) fn fields_said(&self, reply: Reply) -> Result<Option<Tried>, Error> {
        let answer = match Said::of(reply)? {
            Said::Answer(answer) => answer,
            Said::Number(version) => {
                return Ok(Some(Tried::Done(Done {
                    version,
                    increments: Vec::new(),
                    record: None,
                })));
            }
        };
        let first = answer.rest.first().map(wire::integer);
        match (&*answer.word, first) {
            ("ok", Some(version)) => {
                let sums = answer.rest[1..].iter().map(wire::integer);
                Ok(Some(Tried::Done(Done {
                    version: version?.cast_unsigned(),
                    increments: sums.collect::<Result<_, _>>()?,
                    record: None,
                })))
            }
            ("conflict", Some(version)) => Ok(Some(Tried::Conflict {
                version: version?.cast_unsigned(),
            })),
            ("not_integer", _) => Ok(None),
            (what @ ("fields" | "session"), Some(size)) => {
                let size = usize::try_from(size?).unwrap_or_default();
                let (what, limit) = match what {
                    "fields" => ("fields", limits::FIELDS),
                    _ => ("session", limits::RECORD_BYTES),
                };
                Err(ErrorKind::Limit { what, limit, size }.into())
            }
            _ => Ok(Some(Tried::Stale(self.present(answer)?))),
        }
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
        key: &StoredKey,
        hint: Option<&Record>,
        changes: &Changes,
        condition: &Condition,
        since: Instant,
    ) -> Option<Applying<'a>> {
        self.begin(key, hint, changes, condition, since)
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

/// Saves `record` in the packed layout, in place of the state with that identity.
pub(super) fn packed_command(
    script: &Script,
    by: By,
    key: &StoredKey,
    expected: &head::Identity,
    record: &Record,
) -> Command {
    let size = packed::size(record);
    let mut command = script.begin(by, 2, 3, 128 + size);
    command.arg(keys::session(key)).arg(keys::epoch(key.tag()));
    let head = head::encode(record, Epoch::default());
    command.arg(&expected[..]).arg(&head[..]);
    let mut rest = Vec::with_capacity(size);
    packed::encode_rest(record, &mut rest);
    command.arg(rest);
    command
}

/// The grace of a move as scripts take it.
fn grace(old: &Old<'_>) -> String {
    old.grace
        .map_or_else(|| "-1".to_owned(), |grace| grace.to_string())
}

/// The limit of one value, which the server does not know.
fn check_size(change: &Change) -> Result<(), Error> {
    let size = match change {
        Change::Set(value) => value.as_ref().bytes.len(),
        Change::Remove | Change::Increment(_) => 0,
    };
    if size > limits::FIELD_VALUE_BYTES {
        let (what, limit) = ("field value", limits::FIELD_VALUE_BYTES);
        return Err(ErrorKind::Limit { what, limit, size }.into());
    }
    Ok(())
}

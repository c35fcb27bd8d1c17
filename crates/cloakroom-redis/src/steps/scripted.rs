//! Steps by script: one trip each. A script is sent by its hash; a server that does not know it
//! (restart, failover) is sent the text once.

use std::sync::Arc;

use async_trait::async_trait;
use cloakroom_core::id::StoredKey;
use cloakroom_core::limits;
use cloakroom_core::record::{Change, Changes, Condition, Value};
use cloakroom_core::{Error, ErrorKind, Record, UnixMillis};

use super::{Ending, Found, Place, Placed, Steps, Tried};
use crate::failure::{Class, Failure};
use crate::head;
use crate::keys::{self, EPOCH, Entry};
use crate::layout::{Kept, Present};
use crate::scripts::{Script, Scripts};
use crate::settings::LayoutName;
use crate::wire::{self, Command, Lane, Reply, Wire};

/// Steps by script.
#[derive(Debug)]
pub(crate) struct Scripted {
    wire: Arc<dyn Wire>,
    layout: LayoutName,
    scripts: Scripts,
}

impl Scripted {
    pub(crate) fn new(wire: Arc<dyn Wire>, layout: LayoutName) -> Self {
        let scripts = Scripts::new(layout);
        Self {
            wire,
            layout,
            scripts,
        }
    }

    /// Runs a script; gives its first word and what follows.
    async fn run(&self, script: &Script, call: Call) -> Result<Answer, Failure> {
        let by_hash = script.by_hash(&call.keys, &call.args);
        let replies = match self.send(script, by_hash).await {
            Err(failure) if failure.class() == Class::NoScript => {
                let by_text = script.by_text(&call.keys, &call.args);
                self.send(script, by_text).await?
            }
            answer => answer?,
        };
        let [reply] = wire::exactly(replies)?;
        let mut items = wire::array(reply)?.into_iter();
        let missing = || Failure::protocol("a script's reply is too short");
        let word = wire::bytes(items.next().ok_or_else(missing)?)?.ok_or_else(missing)?;
        let now = wire::integer(&items.next().ok_or_else(missing)?)?;
        Ok(Answer {
            word: String::from_utf8_lossy(&word).into_owned(),
            now: UnixMillis::new(u64::try_from(now).unwrap_or_default()),
            rest: items.collect(),
        })
    }

    async fn send(&self, script: &Script, command: Command) -> Result<Vec<Reply>, Failure> {
        if script.safe {
            return self.wire.send_safe(vec![command]).await;
        }
        self.wire.send(Lane::Main, vec![command]).await
    }

    /// What a script says is under a key that is not what was expected.
    fn present(&self, answer: Answer) -> Result<Present, Failure> {
        let [epoch, raw] = wire::exactly(answer.rest)?;
        let epoch = wire::bytes(epoch)?.and_then(|epoch| epoch.try_into().ok());
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
        let mut record = before.clone();
        // A hint that does not meet the condition may be old: an unchanged write asks the server.
        let meets = before.meets(condition);
        let increments = if meets {
            record.apply(changes, before.times.seen_at)
        } else {
            Ok(Vec::new())
        };
        let failed = increments.is_err() || !meets;
        let (head, mut parts) = self.layout.parts(&record);
        let mut call = Call::new([keys::session(key), EPOCH.to_owned()]);
        // The identity that no session has makes the server tell what is there and write nothing.
        let expected = if failed {
            [0; 18]
        } else {
            head::identity(before)
        };
        call.arg(expected);
        call.arg(head);
        call.args.append(&mut parts);
        let answer = self.run(&self.scripts.apply, call).await?;
        if answer.word == "ok" {
            record.times.seen_at = answer.now;
            return Ok(Tried::Done {
                version: record.version,
                increments: increments?,
                record: Some(record),
            });
        }
        let present = self.present(answer)?;
        match &present {
            Present::Alive(current) if failed && current.version == before.version => {
                increments?;
                Ok(Tried::Conflict {
                    version: current.version,
                })
            }
            _ => Ok(Tried::Stale(present)),
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
            Some(Tried::Done { version, .. }) => Tried::Done {
                version,
                increments: sums,
                record: None,
            },
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
        let mut call = Call::new([keys::session(key), EPOCH.to_owned()]);
        call.condition(self.layout, condition);
        call.arg(limits::FIELDS.to_string());
        call.arg(limits::RECORD_BYTES.to_string());
        for (name, change) in changes.iter() {
            check_size(change)?;
            self.layout.check(name.as_str())?;
            let (word, value) = match change {
                Change::Set(value) => ("set", self.layout.encode_value(value.as_ref())),
                Change::Remove => ("remove", Vec::new()),
                Change::Increment(by) => ("increment", by.to_string().into_bytes()),
            };
            call.arg(word);
            call.arg(name.as_str());
            call.arg(value);
        }
        let answer = self.run(&self.scripts.apply, call).await?;
        let first = answer.rest.first().map(wire::integer);
        match (&*answer.word, first) {
            ("ok", Some(version)) => {
                let sums = answer.rest[1..].iter().map(wire::integer);
                Ok(Some(Tried::Done {
                    version: version?.cast_unsigned(),
                    increments: sums.collect::<Result<_, _>>()?,
                    record: None,
                }))
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
        let mut call = Call::new([
            key.clone(),
            EPOCH.to_owned(),
            index.clone().unwrap_or_else(|| key.clone()),
            old.map_or_else(|| key.clone(), |old| keys::session(old.key)),
            old_subject.map_or(key, keys::index),
        ]);
        let keys = place
            .candidates
            .iter()
            .map(|entry| keys::session(&entry.key));
        call.keys.extend(keys);
        call.arg(old.map_or(Vec::new(), |old| head::identity(old.record).to_vec()));
        call.arg(if place.login { "1" } else { "" });
        let grace = old.and_then(|old| old.grace);
        call.arg(grace.map_or_else(|| "-1".to_owned(), |grace| grace.to_string()));
        call.arg(head::encode_target(place.key));
        call.arg(place.limit.to_string());
        let entry = |handle, key: &StoredKey| Entry { handle, key: *key }.encode().to_vec();
        call.arg(index.map_or(Vec::new(), |_| entry(place.record.handle, place.key)));
        let old_entry = old.filter(|_| old_subject.is_some());
        call.arg(old_entry.map_or(Vec::new(), |old| entry(old.record.handle, old.key)));
        call.arg(place.candidates.len().to_string());
        for candidate in &place.candidates {
            call.arg(candidate.encode());
        }
        let (head, mut parts) = self.layout.parts(place.record);
        call.arg(head);
        call.args.append(&mut parts);
        let answer = self.run(&self.scripts.place, call).await?;
        Ok(match &*answer.word {
            "ok" => Placed::Done(answer.now),
            "taken" => Placed::Taken,
            "crowded" => Placed::Crowded,
            _ => Placed::Stale(self.present(answer)?),
        })
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

    async fn end(
        &self,
        index: Option<&str>,
        sessions: &[Ending],
        besides: Option<usize>,
    ) -> Result<Option<Vec<Found>>, Error> {
        let mut call = Call::new([EPOCH.to_owned(), index.unwrap_or(EPOCH).to_owned()]);
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
        let mut call = Call::new([EPOCH.to_owned()]);
        call.keys.extend(keys.iter().map(keys::session));
        let answer = self.run(&self.scripts.touch, call).await?;
        Ok(answer.found()?)
    }
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

/// The keys and arguments of a script.
struct Call {
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

impl Call {
    fn new<const N: usize>(keys: [String; N]) -> Self {
        Self {
            keys: keys.into(),
            args: Vec::new(),
        }
    }

    fn arg(&mut self, arg: impl AsRef<[u8]>) {
        self.args.push(arg.as_ref().to_vec());
    }

    fn condition(&mut self, layout: LayoutName, condition: &Condition) {
        let (word, name, value) = match condition {
            Condition::Always => ("always", Vec::new(), Vec::new()),
            Condition::Version(version) => {
                ("version", version.to_be_bytes()[2..].to_vec(), Vec::new())
            }
            Condition::Field { name, expected } => {
                let name = name.as_str().as_bytes().to_vec();
                match expected {
                    None => ("missing", name, Vec::new()),
                    Some(value) => ("equal", name, layout.encode_value(value.as_ref())),
                }
            }
        };
        self.arg(word);
        self.arg(name);
        self.arg(value);
    }
}

/// What a script said.
struct Answer {
    word: String,
    now: UnixMillis,
    rest: Vec<Reply>,
}

impl Answer {
    /// What was found under each key.
    fn found(self) -> Result<Vec<Found>, Failure> {
        let now = self.now;
        let found = self.rest.into_iter().map(|reply| match reply {
            Reply::Int(1) => Ok(Found::Alive),
            Reply::Int(_) => Ok(Found::Dead),
            raw => {
                let bytes = wire::bytes(raw)?.unwrap_or_default();
                let marker = head::decode_marker(&bytes)
                    .ok_or_else(|| Failure::foreign("a marker is none of ours"))?;
                Ok(match marker.forward {
                    Some((target, until)) if now < until => Found::Moved(target),
                    _ => Found::Dead,
                })
            }
        });
        found.collect()
    }
}

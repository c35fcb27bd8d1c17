//! Saves by script. A save is begun at once ([`crate::wire::Begun`]) where that is possible, which is nearly
//! always so; whatever does not come to a save then goes on the long way.

use std::io::Write as _;

use cloakroom_core::id::StoredKey;
use cloakroom_core::limits;
use cloakroom_core::record::{Change, Changes, Condition, Value};
use cloakroom_core::{Error, ErrorKind, Record, UnixMillis};
use redis::RedisWrite as _;

use super::call::{Answer, Said, add_condition};
use super::scripted::Scripted;
use super::{Asked, Done, Hint, There, Tried};
use crate::epoch::Epoch;
use crate::failure::{Class, Failure};
use crate::head;
use crate::keys;
use crate::layout::{Present, packed};
use crate::scripts::{By, Script};
use crate::settings::LayoutName;
use crate::wire::{self, Begun, Command, Reply};

/// A save that was begun.
pub(crate) struct Applying<'a> {
    begun: Begun<'a>,
    steps: &'a Scripted,
    /// What it comes to, where this process has reckoned that.
    reckoned: Option<Reckoned>,
}

/// The version that is written, and what the increments in it come to.
type Reckoned = (u64, Vec<i64>);

impl Applying<'_> {
    /// What came of it; `None`: nothing, and it must be done the long way.
    pub(crate) async fn tried(&mut self) -> Result<Option<Tried>, Error> {
        let reply = match (&mut self.begun).await {
            Err(failure) if failure.class() == Class::NoScript => return Ok(None),
            reply => reply?,
        };
        match self.reckoned.take() {
            Some(reckoned) => self.steps.packed_said(reply, reckoned).map(Some),
            None => self.steps.fields_said(reply),
        }
    }
}

impl Scripted {
    pub(super) fn begin<'a>(
        &'a self,
        asked: &Asked<'_>,
        hint: Option<Hint<'_>>,
    ) -> Option<Applying<'a>> {
        let Asked {
            key,
            changes,
            condition,
            since,
        } = *asked;
        let script = &self.scripts.apply;
        let (command, reckoned) = match self.layout {
            LayoutName::Packed => {
                let Hint { record, buffer } = hint.filter(|hint| hint.record.meets(condition))?;
                let sums = record.fields.push_changed_bytes(buffer, changes).ok()?;
                let version = record.version + 1;
                let new = Packed {
                    head: head::encode_version(record, version, Epoch::default()),
                    of: record,
                    fields: buffer,
                };
                let expected = head::identity(record);
                let command = packed_command(script, By::Hash, key, &expected, &new);
                (command, Some((version, sums)))
            }
            LayoutName::Fields | LayoutName::Plain => {
                // What Redis takes for no integer is counted here, on the long way.
                let counts = |(_, change): (_, &Change)| matches!(change, Change::Increment(_));
                if changes.iter().any(counts) {
                    return None;
                }
                self.check(changes).ok()?;
                let command = self.fields_command(By::Hash, key, changes, condition);
                (command, None)
            }
        };
        Some(Applying {
            begun: self.route.begin_call(script.lane, command, since)?,
            steps: self,
            reckoned,
        })
    }

    pub(super) async fn apply_packed(
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
            Ok((mut record, increments)) if meets => {
                let expected = head::identity(before);
                let reply = self.reply_packed(key, &expected, &record).await?;
                let mut tried = self.packed_said(reply, (record.version, increments))?;
                if let Tried::Done(done) = &mut tried
                    && let There::Changed(now) = done.there
                {
                    record.times.seen_at = now;
                    done.there = There::Record(record);
                }
                return Ok(tried);
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
        let new = Packed {
            head: head::encode(record, Epoch::default()),
            of: record,
            fields: record.fields.as_bytes(),
        };
        let command = |by| packed_command(script, by, key, expected, &new);
        self.reply(script, key.tag(), &command).await
    }

    /// What came of a [`packed_command`].
    fn packed_said(&self, reply: Reply, reckoned: Reckoned) -> Result<Tried, Error> {
        let (version, increments) = reckoned;
        match Said::of(reply)? {
            Said::Answer(answer) => Ok(Tried::Stale(self.present(answer)?)),
            Said::Number(now) => Ok(Tried::Done(Done {
                version,
                increments,
                there: There::Changed(UnixMillis::new(now)),
            })),
        }
    }

    /// Increments of integers that Redis cannot count with, because MessagePack wrote them: the sums
    /// are made here and set, if the session still has the version that they were made from.
    pub(super) async fn apply_sums(
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
            // The server has just said that it holds: this was seen before that.
            return Ok(Tried::NeedsHint);
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
    pub(super) async fn apply_fields(
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
    fn check(&self, changes: &Changes) -> Result<(), Error> {
        for (name, change) in changes.iter() {
            check_size(change)?;
            self.layout.check(name.as_str())?;
        }
        Ok(())
    }

    /// Changes fields where they are Redis fields; [`Self::check`] allows it.
    fn fields_command(
        &self,
        by: By,
        key: &StoredKey,
        changes: &Changes,
        condition: &Condition,
    ) -> Command {
        let args = 5 + 3 * changes.len();
        let mut command = self.scripts.apply.begin(by, 2, args, 128 + 64 * args);
        keys::add_session(&mut command, key);
        keys::add_epoch(&mut command, key.tag());
        add_condition(&mut command, self.layout, condition);
        command.arg(limits::FIELDS).arg(limits::RECORD_BYTES);
        for (name, change) in changes.iter() {
            match change {
                Change::Set(value) => {
                    command.arg("set").arg(name.as_str());
                    self.layout.add_value(&mut command, value.as_ref());
                }
                Change::Remove => {
                    command.arg("remove").arg(name.as_str()).arg("");
                }
                Change::Increment(by) => {
                    command.arg("increment").arg(name.as_str()).arg(by);
                }
            }
        }
        command
    }

    /// What came of a [`Self::fields_command`]. `None`: an increment of what Redis takes for no integer.
    fn fields_said(&self, reply: Reply) -> Result<Option<Tried>, Error> {
        let answer = match Said::of(reply)? {
            Said::Answer(answer) => answer,
            Said::Number(version) => {
                return Ok(Some(Tried::Done(Done {
                    version,
                    increments: Vec::new(),
                    there: There::Unknown,
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
                    there: There::Unknown,
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

/// What is to be saved in the packed layout.
struct Packed<'a> {
    head: [u8; head::HEAD_BYTES],
    /// Whose names it has.
    of: &'a Record,
    fields: &'a [u8],
}

/// Saves `new` in the packed layout, in place of the state with that identity.
fn packed_command(
    script: &Script,
    by: By,
    key: &StoredKey,
    expected: &head::Identity,
    new: &Packed<'_>,
) -> Command {
    let size = packed::size(new.of, new.fields);
    let mut command = script.begin(by, 2, 4, 128 + size);
    keys::add_session(&mut command, key);
    keys::add_epoch(&mut command, key.tag());
    let (before, after) = head::around_seen(&new.head);
    command.arg(expected.as_slice()).arg(before);
    // Written in place: the fields are nearly all that is sent.
    let mut rest = command.writer_for_next_arg();
    let written = rest
        .write_all(after)
        .and_then(|()| packed::write_rest(new.of, new.fields, &mut rest));
    written.expect("a command takes any bytes");
    drop(rest);
    command.arg(head::idle(new.of));
    command
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

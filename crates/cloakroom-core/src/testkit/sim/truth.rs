//! What must hold of a store, from what was asked and what was acknowledged so far. Where an answer
//! was lost, everything that may have happened is allowed.

use std::collections::BTreeMap;

use crate::expiry::{Lifetimes, Times};
use crate::id::{Handle, StoredKey};
use crate::record::{Change, Changes, FieldName, Fields, Record, Subject, Value};
use crate::time::UnixMillis;

/// An operation while it runs: when it began, and the lowest and highest time since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) began: u64,
    pub(super) earliest: UnixMillis,
    pub(super) latest: UnixMillis,
}

/// Activity that is on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) owner: Handle,
    /// A creation or a login, from which limits run.
    pub(super) restarts: Option<Lifetimes>,
}

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) sessions: BTreeMap<Handle, Known>,
    pub(super) keys: BTreeMap<StoredKey, Key>,
    /// Counts what happens, so that before and after can be told.
    pub(super) now: u64,
    /// Operations on their way that end many sessions.
    pub(super) mass_ends: usize,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) owner: Handle,
    /// When it was acknowledged that it opens nothing any more.
    pub(super) dead_since: Option<u64>,
    /// When it was acknowledged to be superseded, and until when at most it forwards.
    pub(super) superseded: Option<(u64, UnixMillis)>,
}

/// What is known of a session.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When its creation was acknowledged.
    pub(super) created: Option<u64>,
    /// When its end was acknowledged.
    pub(super) ended: Option<u64>,
    /// Whether anybody tried to end it.
    pub(super) end_tried: bool,
    /// Whose it is, and when that was acknowledged; `None` as soon as that may be changing.
    pub(super) subject: Option<(Option<Subject>, u64)>,
    /// Whether somebody else may have signed in, so that its data went.
    pub(super) emptied: bool,
    /// The last possible moment at which its absolute limit strikes.
    pub(super) absolute: UnixMillis,
    /// The last possible moment of activity.
    pub(super) active: UnixMillis,
    pub(super) idle: Option<std::time::Duration>,
    fields: BTreeMap<String, Field>,
}

/// What is known of a field that is set to numbers, or counts.
#[derive(Debug, Default)]
struct Field {
    sets: Vec<Set>,
    /// What the field is at least, and since when that is known.
    floor: Vec<(u64, i64)>,
    increments_tried: i64,
    increments_done: i64,
}

/// A write of a number. Until it is over it may take place at any moment.
#[derive(Debug)]
struct Set {
    value: i64,
    over: Option<u64>,
}

impl Field {
    /// The smallest number that a write may have put there that was not over at `since`.
    fn least_under_way(&self, since: u64) -> i64 {
        let under_way = |set: &&Set| set.over.is_none_or(|over| over >= since);
        let values = self.sets.iter().filter(under_way).map(|set| set.value);
        values.min().unwrap_or(i64::MAX)
    }

    fn was_tried(&self, number: i64) -> bool {
        let set = self.sets.iter().any(|set| set.value == number);
        set || (1..=self.increments_tried).contains(&number)
    }

    fn end_of(&mut self, value: i64, when: u64) {
        let sets = self.sets.iter_mut();
        if let Some(set) = sets
            .rev()
            .find(|set| set.value == value && set.over.is_none())
        {
            set.over = Some(when);
        }
    }
}

impl Truth {
    pub(super) fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    pub(super) fn session_of(&mut self, key: &StoredKey) -> Option<&mut Known> {
        let owner = self.keys.get(key)?.owner;
        self.sessions.get_mut(&owner)
    }

    /// Something is on its way, or the clock moved while it was: it may happen just now.
    pub(super) fn may_happen_now(&mut self, flight: &Flight, now: UnixMillis) {
        let Some(known) = self.sessions.get_mut(&flight.owner) else {
            return;
        };
        known.active = known.active.max(now);
        if let Some(lifetimes) = flight.restarts {
            let limit = now.saturating_add(lifetimes.absolute());
            known.absolute = known.absolute.max(limit);
            known.idle = known.idle.max(lifetimes.idle());
        }
    }

    /// That this session may be alive for an operation with this span.
    pub(super) fn may_live(&self, handle: &Handle, span: &Span) -> Result<(), String> {
        let Some(known) = self.sessions.get(handle) else {
            return Err(format!("session {handle} was never created"));
        };
        if known.ended.is_some_and(|ended| ended <= span.began) {
            return Err(format!(
                "session {handle} lives after its end was acknowledged"
            ));
        }
        if span.earliest >= known.absolute {
            return Err(format!("session {handle} lives beyond its absolute limit"));
        }
        let idle = known.idle.map(|idle| known.active.saturating_add(idle));
        if idle.is_some_and(|idle| span.earliest >= idle) {
            return Err(format!("session {handle} lives beyond its idle limit"));
        }
        Ok(())
    }

    /// That this key may open something for an operation with this span.
    pub(super) fn may_open(&self, key: &StoredKey, span: &Span) -> Result<(), String> {
        let Some(known) = self.keys.get(key) else {
            return Ok(());
        };
        if known.dead_since.is_some_and(|dead| dead <= span.began) {
            return Err(format!(
                "an old id of {} opens it after a login",
                known.owner
            ));
        }
        let over = |(since, until)| since <= span.began && span.earliest >= until;
        if known.superseded.is_some_and(over) {
            return Err(format!(
                "an old id of {} opens it after its grace",
                known.owner
            ));
        }
        Ok(())
    }

    /// That this record may be read: it lives, has nothing but what was written to it, and has all
    /// that was acknowledged before.
    pub(super) fn may_read(&self, record: &Record, span: &Span) -> Result<(), String> {
        self.may_live(&record.handle, span)?;
        let handle = record.handle;
        let Some(known) = self.sessions.get(&handle) else {
            return Ok(());
        };
        for (name, value) in &record.fields {
            let number = value.as_integer(name);
            let number = number.map_err(|_| format!("field {name} of {handle} is no number"))?;
            let field = known.fields.get(name);
            if !field.is_some_and(|field| field.was_tried(number)) {
                return Err(format!(
                    "field {name} of {handle} is {number}: nobody wrote that"
                ));
            }
        }
        for (name, field) in known.fields.iter().filter(|_| !known.emptied) {
            let before = field
                .floor
                .iter()
                .rev()
                .find(|(when, _)| *when <= span.began);
            let Some((_, least)) = before else { continue };
            let least = &field.least_under_way(span.began).min(*least);
            let stored = record.fields.get(name).map(|value| value.as_integer(name));
            match stored {
                Some(Ok(number)) if number >= *least => {}
                other => {
                    let lost = format!("field {name} of {handle} is {other:?}");
                    return Err(format!("{lost}: the acknowledged {least} was lost"));
                }
            }
        }
        Ok(())
    }

    /// An operation that ends many sessions is on its way.
    pub(super) fn mass_end_began(&mut self) {
        self.mass_ends += 1;
        for known in self.sessions.values_mut() {
            known.end_tried = true;
        }
    }

    /// A write is on its way.
    pub(super) fn write_began(known: &mut Known, changes: &Changes) {
        for (name, change) in changes.iter() {
            let field = known.fields.entry(name.as_str().to_owned()).or_default();
            match change {
                Change::Set(value) => field.sets.push(Set {
                    value: number(value),
                    over: None,
                }),
                Change::Increment(by) => field.increments_tried += by,
                Change::Remove => known.emptied = true,
            }
        }
    }

    /// A write that began at `began` was acknowledged.
    pub(super) fn write_done(known: &mut Known, changes: &Changes, began: u64, now: u64) {
        for (name, change) in changes.iter() {
            let field = known.fields.entry(name.as_str().to_owned()).or_default();
            let least = match change {
                Change::Set(value) => {
                    field.end_of(number(value), now);
                    field.least_under_way(began).min(number(value))
                }
                Change::Increment(by) => {
                    field.increments_done += by;
                    field.increments_done
                }
                Change::Remove => continue,
            };
            field.floor.push((now, least));
        }
    }

    /// Nobody waits for a write any more: it has happened, or never will.
    pub(super) fn write_dropped(known: &mut Known, changes: &Changes, now: u64) {
        for (name, change) in changes.iter() {
            let field = known.fields.entry(name.as_str().to_owned()).or_default();
            if let (Change::Set(value), floor) = (change, field.floor.last().copied()) {
                field.end_of(number(value), now);
                if let Some((_, least)) = floor {
                    field.floor.push((now, least.min(number(value))));
                }
            }
        }
    }
}

/// The fields of a new session as a write. A counter that begins with it counts from there.
pub(super) fn as_changes(fields: &Fields) -> Changes {
    let mut changes = Changes::new();
    for (name, value) in fields {
        let name = FieldName::new(name).expect("a name from a record is a name");
        let change = if name.as_str() == "count" {
            Change::Increment(number(&value.to_value()))
        } else {
            Change::Set(value.to_value())
        };
        changes.push(name, change);
    }
    changes
}

fn number(value: &Value) -> i64 {
    value.as_ref().as_integer("number").unwrap_or_default()
}

/// That a record's own times agree with what its reader was told.
pub(super) fn is_in_time(times: &Times, span: &Span) -> Result<(), String> {
    if span.earliest >= times.deadline() {
        return Err("a session was read at a time at which its record says it is over".to_owned());
    }
    Ok(())
}

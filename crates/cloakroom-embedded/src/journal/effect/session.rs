//! A session and the changes of its fields as bytes of an effect.

use std::time::Duration;

use cloakroom_core::codec::Codec;
use cloakroom_core::expiry::Times;
use cloakroom_core::record::{Change, Changes, FieldName, Fields, Label, Subject, Value};
use cloakroom_core::{Handle, Lifetimes, Record};

use super::bytes::{In, Out, TIME_BYTES};
use crate::journal::recover::Refused;

const IDLE: u8 = 1;
const SIGNED_IN: u8 = 1 << 1;
const SUBJECT: u8 = 1 << 2;
const LABEL: u8 = 1 << 3;
const KNOWN: u8 = IDLE | SIGNED_IN | SUBJECT | LABEL;

const REMOVED: u8 = 0xff;

/// A flag for each part that may be missing, then the parts.
pub(super) fn write(out: &mut Out, record: &Record) {
    let Times {
        created_at,
        authenticated_at,
        seen_at,
        lifetimes,
    } = record.times;
    let flag = |there: bool, flag: u8| if there { flag } else { 0 };
    out.byte(
        flag(lifetimes.idle().is_some(), IDLE)
            | flag(authenticated_at.is_some(), SIGNED_IN)
            | flag(record.subject.is_some(), SUBJECT)
            | flag(record.label.is_some(), LABEL),
    );
    out.raw(record.handle.as_bytes());
    out.time(created_at).time(seen_at);
    out.number(millis(lifetimes.absolute()));
    if let Some(idle) = lifetimes.idle() {
        out.number(millis(idle));
    }
    if let Some(at) = authenticated_at {
        out.time(at);
    }
    if let Some(subject) = &record.subject {
        out.bytes(subject.as_str().as_bytes());
    }
    if let Some(label) = &record.label {
        out.bytes(label.as_str().as_bytes());
    }
    out.number(record.version).bytes(record.fields.as_bytes());
}

pub(super) fn read(input: &mut In<'_>) -> Result<Record, Refused> {
    let flags = input.byte()?;
    if flags & !KNOWN != 0 {
        return Err(Refused::Newer(flags.into()));
    }
    let has = |flag| flags & flag != 0;
    let handle = Handle::from_bytes(input.array()?);
    let (created_at, seen_at) = (input.time()?, input.time()?);
    let absolute = Duration::from_millis(input.number()?);
    let lifetimes = match has(IDLE) {
        true => Lifetimes::new(Duration::from_millis(input.number()?), absolute),
        false => Lifetimes::fixed(absolute),
    };
    Ok(Record {
        handle,
        times: Times {
            created_at,
            authenticated_at: part(has(SIGNED_IN), || input.time())?,
            seen_at,
            lifetimes: lifetimes.map_err(damaged)?,
        },
        subject: part(has(SUBJECT), || {
            Subject::stored(input.text()?).map_err(damaged)
        })?,
        label: part(has(LABEL), || Ok(Label::new(input.text()?)))?,
        version: input.number()?,
        fields: Fields::from_trusted_bytes(input.bytes()?.into()),
    })
}

/// Passes over a session.
pub(super) fn skip(input: &mut In<'_>) -> Result<(), Refused> {
    let flags = input.byte()?;
    if flags & !KNOWN != 0 {
        return Err(Refused::Newer(flags.into()));
    }
    input.raw(Handle::BYTES + 2 * TIME_BYTES)?;
    input.number()?;
    if flags & IDLE != 0 {
        input.number()?;
    }
    if flags & SIGNED_IN != 0 {
        input.time()?;
    }
    for part in [SUBJECT, LABEL] {
        if flags & part != 0 {
            input.bytes()?;
        }
    }
    input.number()?;
    input.bytes()?;
    Ok(())
}

/// Each field with the codec of its value, or as removed.
pub(super) fn write_changes(out: &mut Out, changes: &Changes) {
    out.number(changes.len() as u64);
    for (name, change) in changes.iter() {
        out.bytes(name.as_str().as_bytes());
        match change {
            Change::Set(value) => {
                let value = value.as_ref();
                out.byte(value.codec.number()).bytes(value.bytes);
            }
            Change::Remove => {
                out.byte(REMOVED);
            }
            Change::Increment(_) => {
                debug_assert!(false, "an increment is a set by now");
                out.byte(REMOVED);
            }
        }
    }
}

pub(super) fn read_changes(input: &mut In<'_>) -> Result<Changes, Refused> {
    let mut changes = Changes::new();
    for _ in 0..input.number()? {
        let name = FieldName::new(input.text()?).map_err(damaged)?;
        let change = match input.byte()? {
            REMOVED => Change::Remove,
            codec => Change::Set(Value::new(Codec::from_number(codec), input.bytes()?)),
        };
        changes.push(name, change);
    }
    Ok(changes)
}

/// Passes over changes.
pub(super) fn skip_changes(input: &mut In<'_>) -> Result<(), Refused> {
    for _ in 0..input.number()? {
        input.bytes()?;
        if input.byte()? != REMOVED {
            input.bytes()?;
        }
    }
    Ok(())
}

fn part<T>(there: bool, read: impl FnOnce() -> Result<T, Refused>) -> Result<Option<T>, Refused> {
    there.then(read).transpose()
}

fn damaged(_: cloakroom_core::Error) -> Refused {
    Refused::Damaged
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The fields layout: one hash a session, a Redis field for each of its fields, so that other
//! programs can read it with HGETALL (docs/formats/record.md).
//!
//! JSON is kept as it is, so numbers count with HINCRBY. Before a value of another codec, and before
//! JSON that begins like that, stands a byte: 1 raw, 2 MessagePack, 3 Protobuf, 4 JSON.

use cloakroom_core::codec::Codec;
use cloakroom_core::id::StoredKey;
use cloakroom_core::record::{Changes, Fields, Label, Subject, Value, ValueRef};
use cloakroom_core::{Record, limits};
use redis::RedisWrite as _;

use super::{Kept, LEAVING};
use crate::epoch::Epoch;
use crate::failure::Failure;
use crate::head::{self, HEAD_BYTES, Marker};
use crate::wire::{self, Command, Reply};

const HEAD: &[u8] = b"\xffh";
const MARKER: &[u8] = b"\xffe";
const SUBJECT: &[u8] = b"\xffs";
const LABEL: &[u8] = b"\xffl";

pub(super) fn read(key: &str) -> Command {
    wire::read_command("HGETALL", key)
}

pub(super) fn load(key: &StoredKey) -> Command {
    wire::load_command("HGETALL", key)
}

pub(super) fn decode(reply: &Reply) -> Result<Kept, Failure> {
    let pairs = pairs(reply)?;
    if pairs.is_empty() {
        return Ok(Kept::Nothing);
    }
    decode_pairs(pairs).ok_or_else(|| Failure::foreign("a hash is not a session"))
}

/// What is beneath the marker of a session that is leaving.
pub(super) fn beneath(reply: &Reply) -> Result<Option<Kept>, Failure> {
    let mut pairs = pairs(reply)?;
    let all = pairs.len();
    pairs.retain(|(name, _)| *name != MARKER);
    Ok((pairs.len() < all).then(|| decode_pairs(pairs)).flatten())
}

/// A name and its value, where the reply has them.
type Pair<'a> = (&'a [u8], &'a [u8]);

fn pairs(reply: &Reply) -> Result<Vec<Pair<'_>>, Failure> {
    let pair = |name, value| match (wire::bytes_in(name)?, wire::bytes_in(value)?) {
        (Some(name), Some(value)) => Ok((name, value)),
        _ => Err(Failure::protocol("a hash has a field without a value")),
    };
    let mut pairs = Vec::new();
    match reply {
        Reply::Nil => {}
        Reply::Map(items) => {
            pairs.reserve_exact(items.len());
            for (name, value) in items {
                pairs.push(pair(name, value)?);
            }
        }
        Reply::Array(items) => {
            pairs.reserve_exact(items.len() / 2);
            for two in items.chunks_exact(2) {
                pairs.push(pair(&two[0], &two[1])?);
            }
        }
        _ => return Err(Failure::protocol("a reply is not a hash")),
    }
    Ok(pairs)
}

fn decode_pairs(mut pairs: Vec<Pair<'_>>) -> Option<Kept> {
    let (mut head, mut marker, mut subject, mut label) = (None, None, None, None);
    pairs.retain(|(name, value)| {
        let place = match *name {
            HEAD => &mut head,
            MARKER => &mut marker,
            SUBJECT => &mut subject,
            LABEL => &mut label,
            _ => return true,
        };
        *place = Some(*value);
        false
    });
    if let Some(marker) = marker {
        return Some(Kept::Ended(head::decode_marker(marker)?));
    }
    let head = head::decode(head?)?;
    let text = |bytes| str::from_utf8(bytes).ok();
    let subject = match subject {
        Some(subject) => Some(Subject::stored(text(subject)?).ok()?),
        None => None,
    };
    let label = match label {
        Some(label) => Some(Label::new(text(label)?)),
        None => None,
    };
    // What is left are the application's own. A name that is no text is none at all, as an empty one.
    pairs.sort_unstable_by_key(|(name, _)| *name);
    let own = pairs.iter();
    let own = own.map(|(name, value)| (text(name).unwrap_or_default(), value_in(value)));
    let record = Record {
        handle: head.handle,
        times: head.times,
        subject,
        label,
        version: head.version,
        fields: Fields::collect(own).ok()?,
    };
    Some(Kept::Record(Box::new(record), head.epoch))
}

pub(super) fn parts(record: &Record) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut parts = Vec::new();
    if let Some(subject) = &record.subject {
        parts.push(SUBJECT.to_vec());
        parts.push(subject.as_str().as_bytes().to_vec());
    }
    if let Some(label) = record
        .label
        .as_ref()
        .filter(|label| !label.as_str().is_empty())
    {
        parts.push(LABEL.to_vec());
        parts.push(label.as_str().as_bytes().to_vec());
    }
    for (name, value) in &record.fields {
        parts.push(name.as_bytes().to_vec());
        parts.push(encode_value(value));
    }
    (hash_head(record, Epoch::default()), parts)
}

pub(super) fn write(key: &str, record: &Record, epoch: Epoch) -> Vec<Command> {
    let mut set = wire::command("HSET", [key]);
    set.arg(HEAD).arg(hash_head(record, epoch));
    for part in parts(record).1 {
        set.arg(part);
    }
    let mut expire = wire::command("PEXPIREAT", [key]);
    expire.arg(record.times.deadline().as_millis());
    vec![wire::command("DEL", [key]), set, expire]
}

/// Puts a marker over a session that is leaving.
pub(super) fn leave(key: &str, marker: &Marker) -> Vec<Command> {
    let mut set = wire::command("HSET", [key]);
    set.arg(MARKER).arg(head::encode_marker(marker));
    let mut expire = wire::command("PEXPIRE", [key]);
    expire.arg(LEAVING.as_millis() as u64);
    vec![set, expire]
}

pub(super) fn end(key: &str, marker: &Marker) -> Vec<Command> {
    let mut set = wire::command("HSET", [key]);
    set.arg(MARKER).arg(head::encode_marker(marker));
    let mut expire = wire::command("PEXPIRE", [key]);
    expire.arg(limits::TOMBSTONE.as_millis() as u64);
    vec![wire::command("DEL", [key]), set, expire]
}

pub(super) fn normal(mut record: Record) -> Record {
    let mut names: Vec<&str> = record.fields.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let mut changes = Changes::new();
    for name in names {
        if let Some(value) = record.fields.get(name) {
            let set = changes.set(name, value.to_value());
            debug_assert!(set.is_ok(), "the field was in a record");
        }
    }
    if let Ok((fields, _)) = Fields::default().changed(&changes) {
        record.fields = fields;
    }
    record
}

/// A head, and how many bytes the fields take when packed: in that form their limit is said.
fn hash_head(record: &Record, epoch: Epoch) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES + 4);
    head.extend(head::encode(record, epoch));
    let size = u32::try_from(record.fields.as_bytes().len()).unwrap_or(u32::MAX);
    head.extend(size.to_be_bytes());
    head
}

/// A value as its Redis field holds it.
pub(super) fn encode_value(value: ValueRef<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + value.bytes.len());
    bytes.extend(prefix(value));
    bytes.extend_from_slice(value.bytes);
    bytes
}

/// Adds that to a command.
pub(super) fn add_value(command: &mut Command, value: ValueRef<'_>) {
    match prefix(value) {
        None => command.write_arg(value.bytes),
        Some(_) => command.write_arg(&encode_value(value)),
    }
}

/// What says the codec, where that must be said.
fn prefix(value: ValueRef<'_>) -> Option<u8> {
    match value.codec {
        Codec::Json if !matches!(value.bytes.first(), Some(1..=4)) => None,
        Codec::Json => Some(4),
        Codec::Raw => Some(1),
        Codec::MessagePack => Some(2),
        Codec::Protobuf => Some(3),
    }
}

pub(super) fn decode_value(bytes: &[u8]) -> Value {
    value_in(bytes).to_value()
}

/// The value that a Redis field holds.
fn value_in(bytes: &[u8]) -> ValueRef<'_> {
    let (codec, bytes) = match bytes.split_first() {
        Some((1, rest)) => (Codec::Raw, rest),
        Some((2, rest)) => (Codec::MessagePack, rest),
        Some((3, rest)) => (Codec::Protobuf, rest),
        Some((4, rest)) => (Codec::Json, rest),
        _ => (Codec::Json, bytes),
    };
    ValueRef { codec, bytes }
}

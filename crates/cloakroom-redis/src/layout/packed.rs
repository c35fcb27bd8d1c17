//! The packed layout: one string a session. Head, subject, label, and the fields as the core packs
//! them (docs/formats/record.md).

use std::io::{self, Write};

use cloakroom_core::Record;
use cloakroom_core::id::StoredKey;
use cloakroom_core::limits;
use cloakroom_core::record::Fields;

use super::{Kept, LEAVING};
use crate::epoch::Epoch;
use crate::failure::Failure;
use crate::head::{self, HEAD_BYTES, Marker};
use crate::wire::{self, Command, Reply};

pub(crate) fn read(key: &str) -> Command {
    wire::read_command("GET", key)
}

pub(super) fn load(key: &StoredKey) -> Command {
    wire::load_command("GET", key)
}

pub(crate) fn decode(reply: &Reply) -> Result<Kept, Failure> {
    let Some(bytes) = wire::bytes_in(reply)? else {
        return Ok(Kept::Nothing);
    };
    decode_bytes(bytes).ok_or_else(|| Failure::foreign("a string is not a session"))
}

/// What is beneath the marker of a session that is leaving.
pub(super) fn beneath(reply: Reply) -> Result<Option<Kept>, Failure> {
    let bytes = wire::bytes(reply)?.unwrap_or_default();
    Ok(head::beneath_marker(&bytes).and_then(decode_bytes))
}

fn decode_bytes(bytes: &[u8]) -> Option<Kept> {
    if head::is_marker(bytes) {
        return Some(Kept::Ended(head::decode_marker(bytes)?));
    }
    let head = head::decode(bytes)?;
    let (subject, label, fields) = head::decode_names(&bytes[HEAD_BYTES..])?;
    let record = Record {
        handle: head.handle,
        times: head.times,
        subject,
        label,
        version: head.version,
        fields: Fields::from_bytes(fields.into()).ok()?,
    };
    Some(Kept::Record(Box::new(record), head.epoch))
}

pub(super) fn parts(record: &Record) -> (Vec<u8>, Vec<Vec<u8>>) {
    let head = head::encode(record, Epoch::default());
    let mut rest = Vec::with_capacity(size_of(record) - HEAD_BYTES);
    encode_rest(record, &mut rest);
    (head.to_vec(), vec![rest])
}

/// All bytes of a session.
pub(crate) fn encode(record: &Record, epoch: Epoch) -> Vec<u8> {
    let mut value = Vec::with_capacity(size_of(record));
    value.extend(head::encode(record, epoch));
    encode_rest(record, &mut value);
    value
}

/// What follows the head: the names of `record`, then these fields.
pub(crate) fn write_rest(record: &Record, fields: &[u8], to: &mut impl Write) -> io::Result<()> {
    head::write_names(record, to)?;
    to.write_all(fields)
}

fn encode_rest(record: &Record, bytes: &mut Vec<u8>) {
    let written = write_rest(record, record.fields.as_bytes(), bytes);
    written.expect("memory takes any bytes");
}

/// How many bytes a session takes with the names of `record` and these fields.
pub(crate) fn size(record: &Record, fields: &[u8]) -> usize {
    HEAD_BYTES + head::size_of_names(record) + fields.len()
}

fn size_of(record: &Record) -> usize {
    size(record, record.fields.as_bytes())
}

pub(super) fn write(key: &str, record: &Record, epoch: Epoch) -> Vec<Command> {
    let mut set = wire::command("SET", [key]);
    set.arg(encode(record, epoch)).arg("PXAT");
    set.arg(record.times.deadline().as_millis());
    vec![set]
}

/// Puts a marker over a session that is leaving; `reply` is how it was read.
pub(super) fn leave(key: &str, reply: Reply, marker: &Marker) -> Result<Vec<Command>, Failure> {
    let mut value = head::encode_marker(marker);
    value.extend(wire::bytes(reply)?.unwrap_or_default());
    let mut set = wire::command("SET", [key]);
    set.arg(value).arg("PX").arg(LEAVING.as_millis() as u64);
    Ok(vec![set])
}

pub(super) fn end(key: &str, marker: &Marker) -> Vec<Command> {
    let mut set = wire::command("SET", [key]);
    set.arg(head::encode_marker(marker)).arg("PX");
    set.arg(limits::TOMBSTONE.as_millis() as u64);
    vec![set]
}

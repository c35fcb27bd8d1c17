//! The plain layout (`ids=plain`): one hash a session under the id itself, shared with programs that
//! read and write it by hand (docs/formats/record.md). All that is ours in it is text.
//!
//! What others do to it counts: a script takes it into the head whenever a session is read or written
//! (`scripts/plain.lua`), so this layout has no way without scripts.

use cloakroom_core::record::{Changes, FieldName, Fields, Label, Subject};
use cloakroom_core::{Error, ErrorKind, Record, UnixMillis, limits};

use super::{Kept, text};
use crate::epoch::Epoch;
use crate::failure::Failure;
use crate::head::{self, HEAD_BYTES, Marker};
use crate::keys;
use crate::scripts::{By, READ_PLAIN, Words};
use crate::wire::{self, Command, Reply};

/// What all names of ours in a session's hash begin with.
const RESERVED: &str = "_cloakroom";
const HEAD: &str = "_cloakroom";
const SUBJECT: &str = "_cloakroom.subject";
const LABEL: &str = "_cloakroom.label";
/// Bytes after the head that stand for the other fields.
const PRINT_BYTES: usize = 4;

/// Reads a session by a script that the server may have to be told first ([`introduce`]).
pub(super) fn read(key: &str) -> Command {
    let keys = [key, &*keys::epoch_of(key)].into_iter().collect();
    READ_PLAIN.call(By::Hash, &keys, &Words::default())
}

/// Tells the server the script of [`read`].
pub(super) fn introduce() -> Command {
    let nobody = keys::nobody();
    let keys = [&*nobody, &*keys::epoch_of(&nobody)].into_iter().collect();
    READ_PLAIN.call(By::Text, &keys, &Words::default())
}

/// What [`read`] was answered, and the server's time.
pub(super) fn decode(reply: Reply) -> Result<(Kept, UnixMillis), Failure> {
    let [now, marker, hash] = wire::exactly(wire::array(reply)?)?;
    let now = u64::try_from(wire::integer(&now)?).unwrap_or_default();
    let kept = match wire::bytes(marker)? {
        Some(marker) => head::decode_marker(&marker).map(Kept::Ended),
        None => decode_hash(wire::array(hash)?)?,
    };
    let kept = kept.ok_or_else(|| Failure::foreign("a hash is not a session"))?;
    Ok((kept, UnixMillis::new(now)))
}

fn decode_hash(items: Vec<Reply>) -> Result<Option<Kept>, Failure> {
    if items.is_empty() {
        return Ok(Some(Kept::Nothing));
    }
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        let [name, value] = [wire::bytes(name)?, wire::bytes(value)?];
        pairs.push((name.unwrap_or_default(), value.unwrap_or_default()));
    }
    pairs.sort();
    let (mut found, mut subject, mut label) = (None, None, None);
    let mut changes = Changes::new();
    for (name, value) in pairs {
        let as_text = String::from_utf8_lossy(&value);
        match str::from_utf8(&name) {
            Ok(HEAD) => found = unhex(&as_text).and_then(|bytes| head::decode(&bytes)),
            Ok(SUBJECT) => subject = Subject::stored(&as_text).ok(),
            Ok(LABEL) => label = Some(Label::new(&as_text)),
            Ok(name) => {
                // No application can ask for a field whose name is not allowed; it stays where it is.
                if let Ok(name) = FieldName::new(name) {
                    let set = changes.set(name.as_str(), text::decode(&value));
                    set.map_err(too_large)?;
                }
            }
            Err(_) => {}
        }
    }
    let Some(head) = found else { return Ok(None) };
    let (fields, _) = Fields::default().changed(&changes).map_err(too_large)?;
    let record = Record {
        handle: head.handle,
        times: head.times,
        subject,
        label,
        version: head.version,
        fields,
    };
    Ok(Some(Kept::Record(Box::new(record), head.epoch)))
}

fn too_large(_: Error) -> Failure {
    Failure::foreign("another program made a session larger than sessions may be")
}

pub(super) fn parts(record: &Record) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut head = head::encode(record, Epoch::default()).to_vec();
    head.extend([0; PRINT_BYTES]);
    let mut parts = Vec::new();
    let subject = record.subject.as_ref().map(Subject::as_str);
    let label = record.label.as_ref().map(Label::as_str);
    for (name, text) in [(SUBJECT, subject), (LABEL, label)] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            parts.extend([name.as_bytes().to_vec(), text.as_bytes().to_vec()]);
        }
    }
    for (name, value) in &record.fields {
        parts.extend([name.as_bytes().to_vec(), text::encode(value)]);
    }
    (head, parts)
}

/// The plain commands that write a record. Nobody sends them: this layout needs scripts.
pub(super) fn write(key: &str, record: &Record, epoch: Epoch) -> Vec<Command> {
    let mut head = head::encode(record, epoch).to_vec();
    head.extend([0; PRINT_BYTES]);
    let mut set = wire::command("HSET", [key]);
    set.arg(HEAD).arg(hex(&head)).arg(parts(record).1);
    let mut expire = wire::command("PEXPIREAT", [key]);
    expire.arg(record.times.deadline().as_millis());
    vec![wire::command("DEL", [key]), set, expire]
}

pub(super) fn end(key: &str, marker: &Marker) -> Vec<Command> {
    let mut set = wire::command("SET", [keys::ended(key)]);
    set.arg(head::encode_marker(marker)).arg("PX");
    set.arg(limits::TOMBSTONE.as_millis() as u64);
    vec![wire::command("DEL", [key]), set]
}

/// Refuses names that are ours.
pub(super) fn check(name: &str) -> Result<(), Error> {
    if name.starts_with(RESERVED) {
        let what = "with ids=plain no field's name may begin with _cloakroom";
        return Err(ErrorKind::Invalid { what }.into());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * (HEAD_BYTES + PRINT_BYTES) || !text.is_ascii() {
        return None;
    }
    let digits = (0..text.len()).step_by(2);
    let bytes = digits.map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok());
    bytes.collect()
}

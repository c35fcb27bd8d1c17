//! The head of a stored record, byte by byte (docs/formats/record.md): what scripts and this crate
//! both read. Version 1 of the encoding; the first byte says so.

use std::io::{self, Write};

use cloakroom_core::expiry::Times;
use cloakroom_core::id::{Handle, SlotTag, StoredKey};
use cloakroom_core::record::{Label, Subject};
use cloakroom_core::{Lifetimes, Record, UnixMillis};

use crate::epoch::Epoch;
use crate::keys;

/// Bytes of a head.
pub(crate) const HEAD_BYTES: usize = 57;
/// The part of a head that names one state of one session: handle and version.
const IDENTITY: std::ops::Range<usize> = 9..27;
/// The last activity.
const SEEN: std::ops::Range<usize> = 39..45;
const RECORD: u8 = 1;
const MARKER: u8 = 2;
const MARKER_BYTES: usize = 13;
/// A target whose key is a hash; one of a plain id is a byte longer.
const TARGET_BYTES: usize = 34;
const TARGETS_MOST: usize = 35;
const TAG_BYTES: usize = 2;

/// Handle and version, which a compare-and-set compares.
pub(crate) type Identity = [u8; 18];

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) epoch: Epoch,
    pub(crate) handle: Handle,
    pub(crate) version: u64,
    pub(crate) times: Times,
}

/// What is left where a session was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// When it goes.
    pub(crate) forgotten_at: UnixMillis,
    /// Where the session went, and until when that is told to its visitor.
    pub(crate) forward: Option<(StoredKey, UnixMillis)>,
}

/// The head of `record`.
pub(crate) fn encode(record: &Record, epoch: Epoch) -> [u8; HEAD_BYTES] {
    encode_version(record, record.version, epoch)
}

/// As [`encode`], with another version.
pub(crate) fn encode_version(record: &Record, version: u64, epoch: Epoch) -> [u8; HEAD_BYTES] {
    let times = &record.times;
    let absolute = times.lifetimes.absolute();
    let numbers = [
        version,
        times.created_at.as_millis(),
        times.authenticated_at.unwrap_or_default().as_millis(),
        times.seen_at.as_millis(),
        idle(record),
        u64::try_from(absolute.as_millis()).unwrap_or(u64::MAX),
    ];
    let mut head = [0; HEAD_BYTES];
    head[0] = RECORD;
    head[1..9].copy_from_slice(&epoch);
    head[9..21].copy_from_slice(record.handle.as_bytes());
    for (number, place) in numbers.iter().zip(head[21..].chunks_exact_mut(6)) {
        place.copy_from_slice(&number.to_be_bytes()[2..]);
    }
    head
}

/// The idle limit as a head says it: in ms, 0 for none.
pub(crate) fn idle(record: &Record) -> u64 {
    let idle = record.times.lifetimes.idle().unwrap_or_default();
    u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)
}

/// What is in a head between the epoch and the last activity, and what follows these: both are for the
/// server to say.
pub(crate) fn around_seen(head: &[u8; HEAD_BYTES]) -> (&[u8], &[u8]) {
    (&head[IDENTITY.start..SEEN.start], &head[SEEN.end..])
}

/// What must be under the key for a write that was made from `record`.
pub(crate) fn identity(record: &Record) -> Identity {
    let mut identity = [0; 18];
    let (handle, version) = identity.split_at_mut(Handle::BYTES);
    handle.copy_from_slice(record.handle.as_bytes());
    version.copy_from_slice(&record.version.to_be_bytes()[2..]);
    identity
}

/// Reads a head; `None` if this is none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Head> {
    let bytes: &[u8; HEAD_BYTES] = bytes.get(..HEAD_BYTES)?.try_into().ok()?;
    if bytes[0] != RECORD {
        return None;
    }
    let mut numbers = bytes[21..].chunks_exact(6).map(six_bytes);
    let mut next = || numbers.next().unwrap_or_default();
    let version = next();
    let created_at = UnixMillis::new(next());
    let authenticated_at = Some(next()).filter(|at| *at > 0).map(UnixMillis::new);
    let seen_at = UnixMillis::new(next());
    let [idle, absolute] = [next(), next()].map(std::time::Duration::from_millis);
    let lifetimes = if idle.is_zero() {
        Lifetimes::fixed(absolute)
    } else {
        Lifetimes::new(idle, absolute)
    };
    Some(Head {
        epoch: bytes[1..9].try_into().ok()?,
        handle: Handle::from_bytes(bytes[9..21].try_into().ok()?),
        version,
        times: Times {
            created_at,
            authenticated_at,
            seen_at,
            lifetimes: lifetimes.ok()?,
        },
    })
}

/// Whether these bytes are a marker's.
pub(crate) const fn is_marker(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&MARKER))
}

/// A marker as bytes.
pub(crate) fn encode_marker(marker: &Marker) -> Vec<u8> {
    let until = marker.forward.map(|(_, until)| until).unwrap_or_default();
    let mut bytes = vec![MARKER];
    bytes.extend(&marker.forgotten_at.as_millis().to_be_bytes()[2..]);
    bytes.extend(&until.as_millis().to_be_bytes()[2..]);
    if let Some((target, _)) = &marker.forward {
        bytes.extend(encode_target(target));
    }
    bytes
}

/// Reads a marker; `None` if this is none.
pub(crate) fn decode_marker(bytes: &[u8]) -> Option<Marker> {
    let (head, rest) = bytes.split_at_checked(MARKER_BYTES)?;
    if head[0] != MARKER {
        return None;
    }
    let until = UnixMillis::new(six_bytes(&head[7..]));
    // What follows the target is a session that is leaving.
    let target = if rest.len() > TARGETS_MOST {
        &rest[..TARGET_BYTES]
    } else {
        rest
    };
    let forward = match target.len() {
        0 => None,
        _ => Some((decode_target(target)?, until)),
    };
    Some(Marker {
        forgotten_at: UnixMillis::new(six_bytes(&head[1..7])),
        forward,
    })
}

/// What is kept beneath a marker, while a session leaves for another node.
pub(crate) fn beneath_marker(bytes: &[u8]) -> Option<&[u8]> {
    let beneath = bytes.get(MARKER_BYTES + TARGET_BYTES..)?;
    (is_marker(bytes) && !beneath.is_empty()).then_some(beneath)
}

/// A key as bytes, inside a marker: tag, then hash.
pub(crate) fn encode_target(key: &StoredKey) -> Vec<u8> {
    let mut bytes = key.tag().number().to_be_bytes().to_vec();
    bytes.extend(keys::encode_key(key));
    bytes
}

fn decode_target(bytes: &[u8]) -> Option<StoredKey> {
    let (tag, key) = bytes.split_at_checked(TAG_BYTES)?;
    let tag = u16::from_be_bytes(tag.try_into().ok()?);
    keys::decode_key(SlotTag::new(tag)?, key)
}

/// What follows the head of a packed record before the fields: subject and label, each with its
/// length in a byte.
pub(crate) fn write_names(record: &Record, to: &mut impl Write) -> io::Result<()> {
    for name in names(record) {
        let length = u8::try_from(name.len()).expect("names are at most 255 bytes");
        to.write_all(&[length])?;
        to.write_all(name.as_bytes())?;
    }
    Ok(())
}

/// How many bytes [`write_names`] writes.
pub(crate) fn size_of_names(record: &Record) -> usize {
    names(record).iter().map(|name| 1 + name.len()).sum()
}

fn names(record: &Record) -> [&str; 2] {
    let subject = record.subject.as_ref().map_or("", Subject::as_str);
    let label = record.label.as_ref().map_or("", Label::as_str);
    [subject, label]
}

/// Reads subject and label; gives what follows them.
pub(crate) fn decode_names(bytes: &[u8]) -> Option<(Option<Subject>, Option<Label>, &[u8])> {
    let (subject, rest) = decode_name(bytes)?;
    let (label, rest) = decode_name(rest)?;
    let subject = match subject {
        "" => None,
        subject => Some(Subject::stored(subject).ok()?),
    };
    let label = Some(label).filter(|label| !label.is_empty());
    Some((subject, label.map(Label::new), rest))
}

fn decode_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((str::from_utf8(name).ok()?, rest))
}

fn six_bytes(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(6)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

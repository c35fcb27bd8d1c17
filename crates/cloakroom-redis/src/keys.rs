//! Names of Redis keys, and the entries of a subject's index. `{3fa}` is the slot tag: Redis Cluster
//! hashes what is in braces, so a subject's sessions and their index share a slot.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom_core::id::{Handle, SlotTag, StoredKey};
use cloakroom_core::record::Subject;
use sha2::{Digest, Sha256};

const SESSION: &str = "session:";
const SUBJECT: &str = "subject:";
const EPOCH: &str = "session-epoch:";
const CLOSING: &str = "session-closing:";
/// What all keys of sessions look like, for SCAN.
pub(crate) const SESSIONS: &str = "session:{*";
const SUBJECT_DOMAIN: &[u8] = b"cloakroom/subject-key/1:";

/// The Redis key of a session.
pub(crate) fn session(key: &StoredKey) -> String {
    name(SESSION, key.tag(), key.hash())
}

/// The Redis key of a subject's index.
pub(crate) fn index(subject: &Subject) -> String {
    let hash = Sha256::new()
        .chain_update(SUBJECT_DOMAIN)
        .chain_update(subject.as_str())
        .finalize();
    name(SUBJECT, SlotTag::of_subject(subject), &hash)
}

/// The Redis key of a tag's epoch: what `revoke_all` changes.
pub(crate) fn epoch(tag: SlotTag) -> String {
    let mut name = String::with_capacity(EPOCH.len() + 5);
    push_tag(&mut name, EPOCH, tag);
    name
}

/// The Redis key that is there while a tag is closing.
pub(crate) fn closing(tag: SlotTag) -> String {
    let mut name = String::with_capacity(CLOSING.len() + 5);
    push_tag(&mut name, CLOSING, tag);
    name
}

/// All tags.
pub(crate) fn tags() -> impl Iterator<Item = SlotTag> {
    (0..SlotTag::COUNT).filter_map(|number| SlotTag::new(u16::try_from(number).ok()?))
}

/// Reads the Redis key of a session back.
pub(crate) fn parse_session(key: &[u8]) -> Option<StoredKey> {
    let rest = str::from_utf8(key).ok()?.strip_prefix(SESSION)?;
    let (tag, hash) = rest.strip_prefix('{')?.split_once("}:")?;
    let tag = SlotTag::new(u16::from_str_radix(tag, 16).ok()?)?;
    let hash = URL_SAFE_NO_PAD.decode(hash).ok()?;
    Some(StoredKey::from_parts(tag, hash.try_into().ok()?))
}

/// An entry of a subject's index: the handle, then the hash of the session's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) handle: Handle,
    pub(crate) key: StoredKey,
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; 44] {
        let mut bytes = [0; 44];
        bytes[..12].copy_from_slice(self.handle.as_bytes());
        bytes[12..].copy_from_slice(self.key.hash());
        bytes
    }

    /// Reads an entry of the index of `subject`.
    pub(crate) fn decode(subject: &Subject, bytes: &[u8]) -> Option<Self> {
        let (handle, hash) = bytes.split_at_checked(12)?;
        Some(Self {
            handle: Handle::from_bytes(handle.try_into().ok()?),
            key: StoredKey::from_parts(SlotTag::of_subject(subject), hash.try_into().ok()?),
        })
    }
}

fn push_tag(name: &mut String, prefix: &str, tag: SlotTag) {
    name.push_str(prefix);
    name.push('{');
    for shift in [8, 4, 0] {
        let digit = u32::from(tag.number() >> shift & 15);
        name.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
    name.push('}');
}

fn name(prefix: &str, tag: SlotTag, hash: &[u8]) -> String {
    let mut name = String::with_capacity(prefix.len() + 6 + 43);
    push_tag(&mut name, prefix, tag);
    name.push(':');
    URL_SAFE_NO_PAD.encode_string(hash, &mut name);
    name
}

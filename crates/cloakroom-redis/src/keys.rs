//! Names of Redis keys, and the entries of a subject's index. `{3fa}` is the slot tag: Redis Cluster
//! hashes what is in braces, so a subject's sessions and their index share a slot.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom_core::id::{Handle, KeyForm, PresentedId, SlotTag, StoredKey};
use cloakroom_core::record::Subject;
use sha2::{Digest, Sha256};

use crate::wire::Command;

const SESSION: &str = "session:";
const SUBJECT: &str = "subject:";
const EPOCH: &str = "session-epoch:";
const CLOSING: &str = "session-closing:";
const ENDED: &str = "session-ended:";
/// What all keys of sessions look like, for SCAN. With plain ids there is no brace.
pub(crate) const SESSIONS: &str = "session:*";
const DIGITS: &[u8; 16] = b"0123456789abcdef";
const SUBJECT_DOMAIN: &[u8] = b"cloakroom/subject-key/1:";

/// The Redis key of a session.
pub(crate) fn session(key: &StoredKey) -> String {
    match key.form() {
        KeyForm::Hashed => name(SESSION, key.tag(), key.hash()),
        KeyForm::Plain => plain_name(key),
    }
}

/// Adds the Redis key of a session to a command, without a string of its own: each read and each save does it.
pub(crate) fn add_session(command: &mut Command, key: &StoredKey) {
    if key.form() == KeyForm::Plain {
        command.arg(plain_name(key));
        return;
    }
    let mut name = [b':'; SESSION.len() + 6 + 43];
    let (prefix, rest) = name.split_at_mut(SESSION.len());
    prefix.copy_from_slice(SESSION.as_bytes());
    rest[..5].copy_from_slice(&braced(key.tag()));
    let written = URL_SAFE_NO_PAD.encode_slice(key.hash(), &mut rest[6..]);
    written.expect("32 bytes are 43 digits");
    command.arg(&name[..]);
}

/// The same for the epoch of a tag.
pub(crate) fn add_epoch(command: &mut Command, tag: SlotTag) {
    let mut name = [0; EPOCH.len() + 5];
    name[..EPOCH.len()].copy_from_slice(EPOCH.as_bytes());
    name[EPOCH.len()..].copy_from_slice(&braced(tag));
    command.arg(&name[..]);
}

/// The Redis key of the marker of a session with a plain id.
pub(crate) fn ended(session: &str) -> String {
    let id = session.strip_prefix(SESSION).unwrap_or_default();
    format!("{ENDED}{id}")
}

/// The Redis key of the epoch of a session with this Redis key.
pub(crate) fn epoch_of(session: &str) -> String {
    let key = parse_session(session.as_bytes());
    epoch(key.map(|key| key.tag()).unwrap_or_default())
}

/// The Redis key of a session that nobody has: its id is all zeros.
pub(crate) fn nobody() -> String {
    plain_name(&StoredKey::from_plain_parts(SlotTag::default(), [0; 32]))
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

/// Reads the Redis key of a tag's epoch back.
pub(crate) fn parse_epoch(key: &[u8]) -> Option<SlotTag> {
    let tag = str::from_utf8(key).ok()?.strip_prefix(EPOCH)?;
    let tag = tag.strip_prefix('{')?.strip_suffix('}')?;
    SlotTag::new(u16::from_str_radix(tag, 16).ok()?)
}

/// The Redis key that is there while a tag is closing.
pub(crate) fn closing(tag: SlotTag) -> String {
    let mut name = String::with_capacity(CLOSING.len() + 5);
    push_tag(&mut name, CLOSING, tag);
    name
}

/// A key of that tag that nobody ever writes, to ask the server what it can.
pub(crate) fn probe(tag: SlotTag) -> String {
    probe_among(SESSION, tag)
}

/// The same among the indices.
pub(crate) fn probe_index(tag: SlotTag) -> String {
    probe_among(SUBJECT, tag)
}

fn probe_among(prefix: &str, tag: SlotTag) -> String {
    let mut name = String::with_capacity(prefix.len() + 5 + 6);
    push_tag(&mut name, prefix, tag);
    name.push_str(":probe");
    name
}

/// All tags.
pub(crate) fn tags() -> impl Iterator<Item = SlotTag> {
    (0..SlotTag::COUNT).filter_map(|number| SlotTag::new(u16::try_from(number).ok()?))
}

/// Reads the Redis key of a session back.
pub(crate) fn parse_session(key: &[u8]) -> Option<StoredKey> {
    let rest = str::from_utf8(key).ok()?.strip_prefix(SESSION)?;
    if let Ok(id) = PresentedId::parse(rest.as_bytes()) {
        return Some(id.key_as(KeyForm::Plain));
    }
    let (tag, hash) = rest.strip_prefix('{')?.split_once("}:")?;
    let tag = SlotTag::new(u16::from_str_radix(tag, 16).ok()?)?;
    let hash = URL_SAFE_NO_PAD.decode(hash).ok()?;
    Some(StoredKey::from_parts(tag, hash.try_into().ok()?))
}

/// An entry of a subject's index: the handle, then the hash of the session's key. A plain key is
/// followed by a `p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) handle: Handle,
    pub(crate) key: StoredKey,
}

impl Entry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(45);
        bytes.extend(self.handle.as_bytes());
        bytes.extend(encode_key(&self.key));
        bytes
    }

    /// Reads an entry of the index of `subject`.
    pub(crate) fn decode(subject: &Subject, bytes: &[u8]) -> Option<Self> {
        let (handle, hash) = bytes.split_at_checked(12)?;
        Some(Self {
            handle: Handle::from_bytes(handle.try_into().ok()?),
            key: decode_key(SlotTag::of_subject(subject), hash)?,
        })
    }
}

/// A key without its tag: 32 bytes, and a `p` behind them if they are the id's.
pub(crate) fn encode_key(key: &StoredKey) -> impl Iterator<Item = u8> {
    let plain = (key.form() == KeyForm::Plain).then_some(b'p');
    key.hash()
        .iter()
        .copied()
        .chain(plain)
        .collect::<Vec<_>>()
        .into_iter()
}

/// Reads what [`encode_key`] wrote.
pub(crate) fn decode_key(tag: SlotTag, bytes: &[u8]) -> Option<StoredKey> {
    match bytes.strip_suffix(b"p").filter(|_| bytes.len() == 33) {
        Some(secret) => Some(StoredKey::from_plain_parts(tag, secret.try_into().ok()?)),
        None => Some(StoredKey::from_parts(tag, bytes.try_into().ok()?)),
    }
}

/// `session:` and the id as the visitor has it: two digits of base64url for the tag, then the rest.
fn plain_name(key: &StoredKey) -> String {
    let tag = (u32::from(key.tag().number()) << 12).to_be_bytes();
    let mut name = String::with_capacity(SESSION.len() + 45);
    name.push_str(SESSION);
    URL_SAFE_NO_PAD.encode_string(&tag[1..], &mut name);
    name.truncate(SESSION.len() + 2);
    URL_SAFE_NO_PAD.encode_string(key.hash(), &mut name);
    name
}

fn push_tag(name: &mut String, prefix: &str, tag: SlotTag) {
    name.push_str(prefix);
    name.extend(braced(tag).map(char::from));
}

/// A slot tag as keys have it.
fn braced(tag: SlotTag) -> [u8; 5] {
    let digit = |shift: u32| DIGITS[usize::from(tag.number() >> shift & 15)];
    [b'{', digit(8), digit(4), digit(0), b'}']
}

fn name(prefix: &str, tag: SlotTag, hash: &[u8]) -> String {
    let mut name = String::with_capacity(prefix.len() + 6 + 43);
    push_tag(&mut name, prefix, tag);
    name.push(':');
    URL_SAFE_NO_PAD.encode_string(hash, &mut name);
    name
}

//! The names of a session: the secret id that the browser keeps, what a store may know of it, and
//! the public handle that people see. Three types, so that the compiler keeps them apart.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::entropy::{Entropy, EntropyFailed};
use crate::record::Subject;

/// Characters of an id as text: 2 for the slot tag, 43 for 256 random bits, base64url (RFC 4648).
pub const ID_CHARS: usize = TAG_CHARS + SECRET_CHARS;

const TAG_CHARS: usize = 2;
const SECRET_CHARS: usize = 43;
const SECRET_BYTES: usize = 32;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const KEY_DOMAIN: &[u8; 15] = b"cloakroom/id/1:";
const TAG_DOMAIN: &[u8; 20] = b"cloakroom/subject/1:";

/// Where a session lives: 12 bits carried in front of the random part of its id.
///
/// All sessions of one subject have the same tag, so that they and their index share a shard or a
/// cluster slot and can be changed in one atomic step. It is not counted in the 256 random bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotTag(u16);

impl SlotTag {
    /// How many tags there are.
    pub const COUNT: usize = 1 << 12;

    /// The tag of all sessions of `subject`.
    #[must_use]
    pub fn of_subject(subject: &Subject) -> Self {
        let digest = Sha256::new()
            .chain_update(TAG_DOMAIN)
            .chain_update(subject.as_str())
            .finalize();
        Self(u16::from_be_bytes([digest[0], digest[1]]) >> 4)
    }

    /// A random tag, for a session without a subject.
    ///
    /// # Errors
    /// If the random source fails.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut bytes = [0; 2];
        entropy.fill(&mut bytes)?;
        Ok(Self(u16::from_be_bytes(bytes) >> 4))
    }

    /// The tag with this number, below [`SlotTag::COUNT`].
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if (number as usize) < Self::COUNT {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The tag's number, below [`SlotTag::COUNT`].
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The secret of a session that was made here: whoever knows it, is the visitor.
///
/// It can only be generated; there is no way to choose one (ASVS 5.0, 7.2.2). It has no `Display`,
/// no `Serialize`, no `PartialEq`, and its `Debug` shows nothing.
///
/// ```compile_fail
/// // A session id cannot be made from a chosen string.
/// let id: cloakroom_core::SessionId = "chosen-by-somebody".parse().unwrap();
/// ```
pub struct SessionId(IdText);

/// An id as somebody presented it: well-formed, and nothing more is known of it.
///
/// It can be looked up, and it can never become the id of a new session: [`SessionId`] has no
/// constructor from it (OWASP: unknown ids are never adopted).
///
/// It is not wiped when dropped: the request's header, which it came from, is not either.
pub struct PresentedId {
    tag: SlotTag,
    secret: [u8; SECRET_BYTES],
}

/// What a store knows of an id: its slot tag and its SHA-256. Nobody can log in with it, unless the
/// store asked for the id itself ([`KeyForm::Plain`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredKey {
    tag: SlotTag,
    hash: [u8; 32],
    form: KeyForm,
}

/// What a store wants to know of an id ([`Store::key_form`](crate::Store::key_form)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyForm {
    /// Its SHA-256: whoever reads the store can log in as nobody.
    #[default]
    Hashed,
    /// The id itself, for a store that other programs find sessions in by their id. Whoever reads such
    /// a store can log in as anybody in it.
    Plain,
}

/// The public name of a session: 96 random bits that open nothing. It stays when the id rotates,
/// and it is what logs, tools and a devices page show.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle([u8; Self::BYTES]);

/// Why a presented id is not even looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MalformedId {
    /// Not [`ID_CHARS`] characters.
    Length,
    /// A character outside base64url, or a last character that no id ends in.
    Alphabet,
}

impl SessionId {
    /// A new id with 256 bits from `entropy`.
    ///
    /// # Errors
    /// If the random source fails; then there is no id.
    pub fn generate(tag: SlotTag, entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut secret = [0; SECRET_BYTES];
        entropy.fill(&mut secret)?;
        let id = Self(IdText::encode(tag, &secret));
        secret.zeroize();
        Ok(id)
    }

    /// The key under which a store keeps this session, if it keeps no id itself.
    #[must_use]
    pub fn key(&self) -> StoredKey {
        self.key_as(KeyForm::Hashed)
    }

    /// The key under which a store that wants this form keeps this session.
    #[must_use]
    pub fn key_as(&self, form: KeyForm) -> StoredKey {
        self.0.key(form)
    }

    /// The secret itself, for the one place that hands it to the visitor.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.as_str()
    }
}

impl PresentedId {
    /// Takes an id as it was presented, if it is well-formed.
    ///
    /// # Errors
    /// [`MalformedId`] if nothing generated here could look like this.
    pub fn parse(text: &[u8]) -> Result<Self, MalformedId> {
        let text = <&[u8; ID_CHARS]>::try_from(text).map_err(|_| MalformedId::Length)?;
        let (tag, secret) = decode(text).ok_or(MalformedId::Alphabet)?;
        Ok(Self { tag, secret })
    }

    /// The key under which a store would keep this session, if it keeps no id itself.
    #[must_use]
    pub fn key(&self) -> StoredKey {
        self.key_as(KeyForm::Hashed)
    }

    /// The key under which a store that wants this form would keep this session.
    #[must_use]
    pub fn key_as(&self, form: KeyForm) -> StoredKey {
        StoredKey::of(self.tag, &self.secret, form)
    }

    /// The same presented id once more. Not `Clone`: only a session's handle keeps a second one.
    pub(crate) const fn duplicate(&self) -> Self {
        let (tag, secret) = (self.tag, self.secret);
        Self { tag, secret }
    }

    /// Whether `id` is what was presented, in constant time.
    #[must_use]
    pub fn is(&self, id: &SessionId) -> bool {
        let Some((tag, mut secret)) = decode(&id.0.0) else {
            return false;
        };
        let same = secret.ct_eq(&self.secret);
        secret.zeroize();
        tag == self.tag && same.into()
    }
}

impl StoredKey {
    fn of(tag: SlotTag, secret: &[u8; SECRET_BYTES], form: KeyForm) -> Self {
        if form == KeyForm::Plain {
            let hash = *secret;
            return Self { tag, hash, form };
        }
        let hash = Sha256::new()
            .chain_update(KEY_DOMAIN)
            .chain_update(tag.0.to_be_bytes())
            .chain_update(secret)
            .finalize();
        let hash = hash.into();
        Self { tag, hash, form }
    }

    /// The key with these parts, as a store reads it back.
    #[must_use]
    pub const fn from_parts(tag: SlotTag, hash: [u8; 32]) -> Self {
        let form = KeyForm::Hashed;
        Self { tag, hash, form }
    }

    /// The plain key with these parts, as a store that keeps ids reads it back.
    #[must_use]
    pub const fn from_plain_parts(tag: SlotTag, secret: [u8; 32]) -> Self {
        let (hash, form) = (secret, KeyForm::Plain);
        Self { tag, hash, form }
    }

    /// What of the id is in it.
    #[must_use]
    pub const fn form(&self) -> KeyForm {
        self.form
    }

    /// Where the session lives.
    #[must_use]
    pub const fn tag(&self) -> SlotTag {
        self.tag
    }

    /// SHA-256 of the id, untruncated (ASVS 5.0, 11.4.3); the 32 secret bytes themselves in the plain
    /// form.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl Handle {
    /// Bytes of a handle.
    pub const BYTES: usize = 12;

    /// A new random handle.
    ///
    /// # Errors
    /// If the random source fails.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut bytes = [0; Self::BYTES];
        entropy.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The handle with these bytes, as a store reads it back.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The handle's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// An id as text. Wiped when dropped.
struct IdText([u8; ID_CHARS]);

impl IdText {
    fn encode(tag: SlotTag, secret: &[u8; SECRET_BYTES]) -> Self {
        let mut text = [0; ID_CHARS];
        text[0] = ALPHABET[usize::from(tag.0 >> 6)];
        text[1] = ALPHABET[usize::from(tag.0 & 63)];
        let written = URL_SAFE_NO_PAD.encode_slice(secret, &mut text[TAG_CHARS..]);
        debug_assert_eq!(written.ok(), Some(SECRET_CHARS));
        Self(text)
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    fn key(&self, form: KeyForm) -> StoredKey {
        let (tag, mut secret) = decode(&self.0).expect("an id is made by encode");
        let key = StoredKey::of(tag, &secret, form);
        secret.zeroize();
        key
    }
}

/// Tag and secret, or `None` if this is not the one text that an id with them has.
fn decode(text: &[u8; ID_CHARS]) -> Option<(SlotTag, [u8; SECRET_BYTES])> {
    let digit = |char: u8| match char {
        b'A'..=b'Z' => Some(u16::from(char - b'A')),
        b'a'..=b'z' => Some(u16::from(char - b'a') + 26),
        b'0'..=b'9' => Some(u16::from(char - b'0') + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    };
    let tag = SlotTag(digit(text[0])? << 6 | digit(text[1])?);
    let mut secret = [0; SECRET_BYTES];
    let read = URL_SAFE_NO_PAD.decode_slice(&text[TAG_CHARS..], &mut secret);
    (read == Ok(SECRET_BYTES)).then_some((tag, secret))
}

impl Drop for IdText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(secret)")
    }
}

impl fmt::Debug for PresentedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedId(secret)")
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredKey({:03x})", self.tag.0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({self})")
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 16];
        let written = URL_SAFE_NO_PAD
            .encode_slice(self.0, &mut text)
            .map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(&text[..written]).map_err(|_| fmt::Error)?)
    }
}

impl std::str::FromStr for Handle {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let mut bytes = [0; Self::BYTES];
        if text.len() != 16 {
            return Err(MalformedId::Length);
        }
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes);
        read.map_err(|_| MalformedId::Alphabet)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for MalformedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("not as long as an id is"),
            Self::Alphabet => f.write_str("not written as an id is"),
        }
    }
}

impl std::error::Error for MalformedId {}

//! Values of sessions, sealed: whoever reads memory, journal or a backup needs a key that is in none of
//! them. The bytes are those of `docs/formats/layout-seal.md`.
//!
//! XChaCha20-Poly1305, because its nonces are long enough to be used without counting what a key has
//! sealed: a nonce is 16 random bytes of this process and a number. What a value is sealed for (its key's name,
//! and the field in a hash) is authenticated with it, so none can be put in another's place.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use chacha20poly1305::{AeadInOut as _, Key, KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use cloakroom_core::{Entropy, Error, ErrorKind};
use sha2::{Digest as _, Sha256};

use crate::engine::KeyError;

/// What a sealed value begins with: a byte that is in no text and no encoding of a session, and a version.
const MARK: [u8; 4] = *b"\xc1cs\x01";
const ID: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;
const FRONT: usize = MARK.len() + ID + NONCE;
const DOMAIN: &[u8] = b"cloakroom/layout-seal/1:";

/// Bytes of a key, and digits of it in a file.
const KEY: usize = 32;
const DIGITS: usize = 2 * KEY;
/// Keys in a file: one that seals, and those before it whose sessions still live.
const KEYS: usize = 16;

/// Keys that seal sessions: the first seals, all of them open.
#[derive(Clone)]
pub struct SealKeys(Vec<OneKey>);

#[derive(Clone)]
struct OneKey {
    id: [u8; ID],
    cipher: XChaCha20Poly1305,
}

/// What a sealed value is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of<'a> {
    /// All of a string.
    Value,
    /// A field of a hash.
    Field(&'a [u8]),
}

impl<'a> Of<'a> {
    /// A field of a hash, or a string.
    pub(super) fn field(field: Option<&'a [u8]>) -> Self {
        field.map_or(Self::Value, Self::Field)
    }
}

impl SealKeys {
    /// Reads keys: one a line, as 64 hexadecimal digits; lines that begin with `#` say something to
    /// people.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`]: which line, and what to write instead. No key is in it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut keys: Vec<OneKey> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fix = "a key is a line of 64 hexadecimal digits: `openssl rand -hex 32` makes one";
            let key = OneKey::parse(line).ok_or_else(|| wrong(number + 1, fix))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(wrong(number + 1, "this key stands above already"));
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(wrong(
                1,
                "there is no key: `openssl rand -hex 32` makes one",
            )),
            1..=KEYS => Ok(Self(keys)),
            _ => Err(wrong(
                KEYS + 1,
                "16 keys at most: one that seals, and older ones that still open",
            )),
        }
    }

    /// Names of the keys, the one that seals first: enough to tell them apart, and nothing else.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|key| shown(key.id))
    }
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

fn wrong(line: usize, fix: &'static str) -> Error {
    ErrorKind::InvalidSetting {
        setting: "layout-seal-key-file",
        value: format!("line {line}"),
        fix,
    }
    .into()
}

fn shown(id: [u8; ID]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl OneKey {
    fn parse(line: &str) -> Option<Self> {
        if line.len() != DIGITS || !line.is_ascii() {
            return None;
        }
        let mut bytes = [0; KEY];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&line[2 * at..2 * at + 2], 16).ok()?;
        }
        let hash = Sha256::new().chain_update(DOMAIN).chain_update(bytes);
        let mut id = [0; ID];
        id.copy_from_slice(&hash.finalize()[..ID]);
        let cipher = XChaCha20Poly1305::new(&Key::from(bytes));
        Some(Self { id, cipher })
    }
}

/// Seals and opens.
pub(super) struct Sealer {
    keys: Vec<OneKey>,
    /// Random bytes of this process, and how many nonces there were.
    nonces: [u8; 16],
    next: AtomicU64,
}

impl Sealer {
    pub(super) fn new(keys: &SealKeys, entropy: &dyn Entropy) -> Result<Self, Error> {
        let mut nonces = [0; 16];
        entropy.fill(&mut nonces)?;
        Ok(Self {
            keys: keys.0.clone(),
            nonces,
            next: AtomicU64::new(0),
        })
    }

    /// Seals `value` for its place under `key`, in place of what `into` holds.
    pub(super) fn seal(&self, key: &[u8], of: Of<'_>, value: &[u8], into: &mut Vec<u8>) {
        let first = &self.keys[0];
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; NONCE];
        nonce[..16].copy_from_slice(&self.nonces);
        nonce[16..].copy_from_slice(&number.to_le_bytes());
        into.clear();
        into.reserve(FRONT + value.len() + TAG);
        into.extend(MARK);
        into.extend(first.id);
        into.extend(nonce);
        into.extend_from_slice(value);
        let place = place(key, of);
        let (nonce, text) = (XNonce::from(nonce), (&mut into[FRONT..]).into());
        let tag = first.cipher.encrypt_inout_detached(&nonce, &place, text);
        let tag = tag.expect("a value is far below what the cipher takes, which is 256 GiB");
        into.extend_from_slice(&tag);
    }

    /// Opens what was sealed for this place, in place of what `into` holds.
    fn open(&self, key: &[u8], of: Of<'_>, sealed: &[u8], into: &mut Vec<u8>) -> Option<()> {
        let (front, rest) = sealed.split_at_checked(FRONT)?;
        let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
        let id = &front[MARK.len()..MARK.len() + ID];
        let known = self.keys.iter().find(|known| known.id == *id)?;
        let nonce = XNonce::try_from(&front[MARK.len() + ID..]).ok()?;
        let tag = Tag::try_from(tag).ok()?;
        into.clear();
        into.extend_from_slice(text);
        let text = into.as_mut_slice().into();
        let opened = known
            .cipher
            .decrypt_inout_detached(&nonce, &place(key, of), text, &tag);
        opened.ok()
    }

    /// Whether this is sealed with the key that seals now.
    fn is_present(&self, stored: &[u8]) -> bool {
        sealed_by(stored) == Some(self.keys[0].id)
    }

    fn knows(&self, id: [u8; ID]) -> bool {
        self.keys.iter().any(|known| known.id == id)
    }
}

/// Opens a stored value; one that is not sealed is taken as it is.
///
/// # Errors
/// [`KeyError::Sealed`] if no key opens it.
pub(super) fn open(
    sealer: Option<&Sealer>,
    key: &[u8],
    of: Of<'_>,
    stored: &[u8],
    into: &mut Vec<u8>,
) -> Result<(), KeyError> {
    if sealed_by(stored).is_none() {
        into.clear();
        into.extend_from_slice(stored);
        return Ok(());
    }
    let opened = sealer.and_then(|sealer| sealer.open(key, of, stored, into));
    opened.ok_or(KeyError::Sealed)
}

/// How a stored value is to what the settings ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// As it would be written now.
    Right,
    /// To be written anew.
    Other,
    /// Sealed with a key of this name, which is not at hand.
    Missing(String),
}

/// How a stored value is to what would be written now: by this sealer, or plain.
pub(super) fn look(all: Option<&Sealer>, present: bool, stored: &[u8]) -> Found {
    match (sealed_by(stored), all) {
        (None, Some(_)) if present => Found::Other,
        (None, _) => Found::Right,
        (Some(id), Some(sealer)) if sealer.knows(id) => match present {
            true if sealer.is_present(stored) => Found::Right,
            _ => Found::Other,
        },
        (Some(id), _) => Found::Missing(shown(id)),
    }
}

/// The name of the key that sealed this; `None` if it is not sealed.
fn sealed_by(stored: &[u8]) -> Option<[u8; ID]> {
    let rest = stored.strip_prefix(&MARK)?;
    (stored.len() >= FRONT + TAG).then(|| rest.first_chunk().copied())?
}

/// What is authenticated with a value: where it belongs.
fn place(key: &[u8], of: Of<'_>) -> Vec<u8> {
    let (kind, field) = match of {
        Of::Value => (0, &b""[..]),
        Of::Field(field) => (1, field),
    };
    let mut place = Vec::with_capacity(9 + key.len() + field.len());
    place.push(kind);
    place.extend((key.len() as u64).to_le_bytes());
    place.extend_from_slice(key);
    place.extend_from_slice(field);
    place
}

#[cfg(test)]
mod tests {
    use cloakroom_core::entropy::EntropyFailed;

    use super::*;

    #[derive(Debug)]
    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFailed> {
            bytes.fill(7);
            Ok(())
        }
    }

    fn sealer(text: &str) -> Sealer {
        Sealer::new(&SealKeys::parse(text).unwrap(), &Sevens).unwrap()
    }

    fn opened(sealer: &Sealer, key: &[u8], of: Of<'_>, stored: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut into = Vec::new();
        open(Some(sealer), key, of, stored, &mut into).map(|()| into)
    }

    /// As the page's: `ONE`, nonce of sevens and 0, "alice" as the string under `sess:k`.
    const FIXTURE: &str = "c1637301b9fce575070707070707070707070707070707070000000000000000\
                           9ef27644a3ec5e928c24ed9b92f0286ac414d45c36";
    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const TWO: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn its_bytes_are_those_of_the_page() {
        let mut sealed = Vec::new();
        sealer(ONE).seal(b"sess:k", Of::Value, b"alice", &mut sealed);
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, FIXTURE);
        let found = opened(&sealer(ONE), b"sess:k", Of::Value, &sealed);
        assert_eq!(found, Ok(b"alice".to_vec()));
    }

    #[test]
    fn only_its_key_opens_it_and_only_in_its_place() {
        let one = sealer(ONE);
        let mut sealed = Vec::new();
        one.seal(b"sess:k", Of::Field(b"f"), b"alice", &mut sealed);
        let field = Of::Field(b"f");
        assert!(opened(&one, b"sess:k", field, &sealed).is_ok());
        // Rotated: another seals, this one still opens.
        let both = sealer(&format!("# new\n{TWO}\n{ONE}\n"));
        assert!(opened(&both, b"sess:k", field, &sealed).is_ok());
        assert_eq!(look(Some(&both), true, &sealed), Found::Other);
        let elsewhere = [
            (&b"sess:l"[..], field),
            (b"sess:k", Of::Field(b"g")),
            (b"sess:k", Of::Value),
        ];
        for (key, of) in elsewhere {
            assert_eq!(opened(&one, key, of, &sealed), Err(KeyError::Sealed));
        }
        for at in MARK.len()..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            let found = opened(&one, b"sess:k", field, &bent);
            assert_eq!(found, Err(KeyError::Sealed), "byte {at}");
        }
        let two = sealer(TWO);
        assert_eq!(
            opened(&two, b"sess:k", field, &sealed),
            Err(KeyError::Sealed)
        );
        assert!(matches!(look(Some(&two), true, &sealed), Found::Missing(_)));
        assert!(matches!(look(None, false, &sealed), Found::Missing(_)));
    }

    #[test]
    fn no_two_are_sealed_alike() {
        let one = sealer(ONE);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        one.seal(b"sess:k", Of::Value, b"alice", &mut first);
        one.seal(b"sess:k", Of::Value, b"alice", &mut second);
        assert_ne!(first, second);
    }

    #[test]
    fn a_file_that_is_none_is_told_what_to_be() {
        let many: String = (0..17).map(|n| format!("{n:064x}\n")).collect();
        for wrong in [
            "",
            "# nothing",
            "0123",
            &ONE.replace('0', "g"),
            &format!("{ONE}\n{ONE}"),
            &many,
        ] {
            let error = SealKeys::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("layout-seal-key-file"), "{error}");
            assert!(!error.contains(ONE), "{error}");
        }
    }
}

//! Names under which sessions are kept when their ids are not: with a hash in the id's place, so that
//! whoever reads memory, journal or a backup finds no id that a cookie could carry.
//!
//! The hash is SHA-256, and not a keyed one, as for our own sessions (`StoredKey`): an id is random and long,
//! so there is nothing to guess. It begins with a character that no id has, so it is never taken for one:
//! whoever presents it as an id has it hashed again, and finds nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::{Layout, Layouts};

/// Bytes of a hash as it stands in a name: the mark, the id's length (layouts of the same prefix are told
/// apart by it), and 256 bits in base64url.
pub(super) const BYTES: usize = 46;
/// No id of any alphabet has it, and no pattern of keys means something by it.
const MARK: u8 = b'~';
const DOMAIN: &[u8] = b"cloakroom/layout-id/1:";

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The length of the id for which this stands in a name, if it does.
pub(super) fn length(text: &[u8]) -> Option<usize> {
    let [MARK, digits @ ..] = text else {
        return None;
    };
    let value = |byte: &u8| DIGITS.iter().position(|digit| digit == byte);
    if text.len() != BYTES || !digits.iter().all(|byte| value(byte).is_some()) {
        return None;
    }
    Some(value(&digits[0])? * 64 + value(&digits[1])?)
}

/// What stands in a name for an id.
fn hashed(id: &[u8]) -> [u8; BYTES] {
    let hash = Sha256::new().chain_update(DOMAIN).chain_update(id);
    // The hash of a hash belongs to the same layout.
    let long = length(id).unwrap_or(id.len());
    let mut text = [MARK; BYTES];
    text[1] = DIGITS[long / 64 % 64];
    text[2] = DIGITS[long % 64];
    let _ = URL_SAFE_NO_PAD.encode_slice(hash.finalize(), &mut text[3..]);
    text
}

impl Layouts {
    /// The same, and what its layouts say of ids and values if their rows do not: whether names hold
    /// a hash in place of the id, and whether values are sealed.
    #[must_use]
    pub fn at_rest(self, hashed: bool, sealed: bool) -> Self {
        let mut rows = self.rows;
        for row in &mut rows {
            row.hashed = row.hashed || hashed && row.ids.is_none();
            // Its names have the id's hash anyway.
            row.hashed &= !row.carried.hashes();
            row.sealed = row.sealed || sealed && row.values.is_none();
        }
        Self::of(rows)
    }

    /// Whether any layout's names hold hashes.
    #[must_use]
    pub const fn any_hashed(&self) -> bool {
        self.hashed
    }

    /// Whether any layout's values are sealed.
    #[must_use]
    pub fn any_sealed(&self) -> bool {
        self.iter().any(|row| row.sealed)
    }

    /// The name under which the key that a client names is kept; `None`: the very same. A name that
    /// has a hash already gets another, because whoever presents it does not know the id.
    #[must_use]
    pub fn kept_as(&self, key: &[u8]) -> Option<Vec<u8>> {
        let place = self.sessions(key).chain(self.locks(key)).next()?;
        let mut name = Vec::with_capacity(key.len() + BYTES);
        name.extend_from_slice(&key[..place.start]);
        name.extend(hashed(&key[place.clone()]));
        name.extend_from_slice(&key[place.end..]);
        Some(name)
    }

    /// Whether this is a name in which a hash stands for the id.
    #[must_use]
    pub fn is_hashed(&self, key: &[u8]) -> bool {
        key.contains(&MARK) && self.rows.iter().any(|row| row.is_hashed(key))
    }

    /// Where the id is, or what stands for it, if the key is a session's of a layout that hides it.
    fn sessions(&self, key: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
        let row = self.find(key).and_then(|(number, _)| self.get(number));
        let keys = row.filter(|row| row.hashed).map(|row| row.keys.iter());
        keys.into_iter().flatten().filter_map(|pattern| {
            let place = pattern.place(key);
            place.or_else(|| pattern.hashed_place(key))
        })
    }

    /// The same for locks beside sessions: these are no sessions, but have the id in their names.
    fn locks(&self, key: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
        let rows = self.rows.iter().filter(|row| row.hashed);
        let locks = rows.flat_map(|row| row.locks.iter());
        locks.filter_map(|pattern| pattern.place(key))
    }
}

impl Layout {
    /// Whether names hold a hash in place of the id.
    #[must_use]
    pub const fn hashes_ids(&self) -> bool {
        self.hashed
    }

    /// Whether values are sealed.
    #[must_use]
    pub const fn seals_values(&self) -> bool {
        self.sealed
    }

    fn is_hashed(&self, key: &[u8]) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|pattern| pattern.hashed_place(key).is_some())
    }
}

//! Optional signatures on the cookie. The id needs none to be safe, it is 256 random bits; a
//! signature makes forged ids cost no trip to the store.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cloakroom_core::id::ID_CHARS;
use cloakroom_core::observe::CookieFault;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::invalid;

/// Characters of a signed cookie's value: the id, a dot, 128 bits in base64url.
pub(super) const SIGNED_CHARS: usize = ID_CHARS + 1 + SIGNATURE_CHARS;

const SIGNATURE_CHARS: usize = 22;
const SIGNATURE_BYTES: usize = 16;
const DOMAIN: &[u8] = b"cloakroom/cookie/1:";

/// A key that signs session cookies: at least 32 random bytes. `Debug` does not show it.
#[derive(Clone)]
pub struct CookieKey(Hmac<Sha256>);

/// The key that signs, and earlier ones whose signatures are still accepted.
///
/// To change the key: put the new one in front and keep the old one until the cookies it signed are
/// over. Cookies from before the first key are no longer accepted.
#[derive(Clone, Debug)]
pub struct CookieKeys {
    current: CookieKey,
    previous: Vec<CookieKey>,
}

impl CookieKey {
    /// Bytes that a key has at least.
    pub const BYTES_MIN: usize = 32;

    /// A key of these bytes, which came from a generator of random bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`](crate::ErrorKind::InvalidSetting) if they are fewer than
    /// [`CookieKey::BYTES_MIN`], or plainly not random: text, or few different bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, crate::Error> {
        let refuse = |fix| invalid("cookie key", "(secret)", fix);
        if bytes.len() < Self::BYTES_MIN {
            return Err(refuse("give 32 random bytes: `openssl rand -base64 32`"));
        }
        // Random bytes fail these tests once in 10^13 keys.
        if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(refuse(
                "this is text; decode it first, see CookieKey::from_base64",
            ));
        }
        let mut seen = [false; 256];
        bytes
            .iter()
            .for_each(|byte| seen[usize::from(*byte)] = true);
        if seen.iter().filter(|seen| **seen).count() < 16 {
            return Err(refuse(
                "these bytes are not random: `openssl rand -base64 32`",
            ));
        }
        let hmac = Hmac::<Sha256>::new_from_slice(bytes);
        Ok(Self(hmac.map_err(|_| refuse("give 32 random bytes"))?))
    }

    /// A key from base64, as `openssl rand -base64 32` prints it.
    ///
    /// # Errors
    /// As [`CookieKey::new`], and if it is no base64.
    pub fn from_base64(text: &str) -> Result<Self, crate::Error> {
        let decoded = STANDARD.decode(text.trim());
        let bytes = decoded.map_err(|_| {
            invalid(
                "cookie key",
                "(secret)",
                "give base64: `openssl rand -base64 32`",
            )
        })?;
        Self::new(&zeroize::Zeroizing::new(bytes))
    }

    fn signature(&self, name: &str, id: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mac = self
            .0
            .clone()
            .chain_update(DOMAIN)
            .chain_update(name)
            .chain_update(b"=");
        let full = mac.chain_update(id).finalize().into_bytes();
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(&full[..SIGNATURE_BYTES]);
        signature
    }
}

impl CookieKeys {
    /// This key alone.
    #[must_use]
    pub const fn new(current: CookieKey) -> Self {
        let previous = Vec::new();
        Self { current, previous }
    }

    /// The same keys, and what `previous` signed is accepted too.
    #[must_use]
    pub fn accept(mut self, previous: CookieKey) -> Self {
        self.previous.push(previous);
        self
    }

    /// Appends `.` and the signature of `id` in the cookie `name`.
    pub(super) fn sign(&self, name: &str, id: &str, out: &mut String) {
        out.push('.');
        URL_SAFE_NO_PAD.encode_string(self.current.signature(name, id.as_bytes()), out);
    }

    /// Whether one of the keys signed `id` in the cookie `name`, in constant time for each.
    pub(super) fn verify(&self, name: &str, id: &[u8], text: &[u8]) -> Result<(), CookieFault> {
        let mut signature = [0; SIGNATURE_BYTES];
        if text.len() != SIGNATURE_CHARS
            || URL_SAFE_NO_PAD.decode_slice(text, &mut signature) != Ok(SIGNATURE_BYTES)
        {
            return Err(CookieFault::Malformed);
        }
        let keys = std::iter::once(&self.current).chain(&self.previous);
        for key in keys {
            if key.signature(name, id).ct_eq(&signature).into() {
                return Ok(());
            }
        }
        Err(CookieFault::Forged)
    }
}

impl From<CookieKey> for CookieKeys {
    fn from(current: CookieKey) -> Self {
        Self::new(current)
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(secret)")
    }
}

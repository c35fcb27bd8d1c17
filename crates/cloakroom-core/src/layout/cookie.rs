//! The id in a framework's cookie. Signatures are not checked, for the key is the application's: the
//! id is the secret, and the store knows it or does not, as when the application itself asks.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use super::read::Encoding;
use crate::limits;

/// How a cookie carries an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// As it is.
    Plain,
    /// As it is or with a signature behind a dot; Express puts `s:` in front.
    Signed,
    /// In base64 (Spring on servlets) or as it is (on WebFlux).
    Base64,
    /// In gob in base64 beside time and signature (gorilla/securecookie).
    SecureCookie,
    /// As it is; the key has its SHA-256 (Rack, Rails).
    Rack,
    /// In a ticket, beside the secret that opens the session (oauth2-proxy).
    OauthTicket,
    /// Enciphered by the application: nobody else finds it.
    Sealed,
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL_64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

impl Carried {
    /// Every way, with its name in documentation.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "as it is",
            Self::Signed => "`s:<id>.<signature>`, `<id>.<signature>` or as it is",
            Self::Base64 => "base64 or as it is",
            Self::SecureCookie => "gorilla/securecookie",
            Self::Rack => "as it is; the key has its SHA-256",
            Self::OauthTicket => "a ticket `v2.<id>.<secret>`",
            Self::Sealed => "enciphered: not to be found",
        }
    }

    /// Whether keys have a hash of the id anyway.
    pub(super) const fn hashes(self) -> bool {
        matches!(self, Self::Rack)
    }

    /// The id as the key has it, of the cookie's value as the browser sends it.
    pub(super) fn id(self, value: &str) -> Option<Vec<u8>> {
        if value.len() > limits::COOKIE_BYTES {
            return None;
        }
        let value = unescaped(value)?;
        match self {
            Self::Plain => Some(value),
            Self::Signed => {
                let value = value.strip_prefix(b"s:").unwrap_or(&value);
                value.split(|byte| *byte == b'.').next().map(<[u8]>::to_vec)
            }
            Self::Base64 => Some(STANDARD_64.decode(&value).unwrap_or(value)),
            Self::SecureCookie => {
                let outer = URL_64.decode(value).ok()?;
                let inner = outer.split(|byte| *byte == b'|').nth(1)?;
                let gob = URL_64.decode(inner).ok()?;
                let tree = Encoding::Gob.read(&gob, &[])?;
                tree.text(tree.root).map(<[u8]>::to_vec)
            }
            Self::Rack => {
                let hash = Sha256::digest(value);
                Some(hash.iter().flat_map(|byte| hex(*byte)).collect())
            }
            Self::OauthTicket => {
                // The ticket is signed as value|time|signature, and is itself v2.id.secret.
                let ticket = value.split(|byte| *byte == b'|').next()?;
                let ticket = URL_64.decode(ticket).ok()?;
                let id = ticket.strip_prefix(b"v2.")?;
                let id = URL_64.decode(id.split(|byte| *byte == b'.').next()?).ok()?;
                let start = id.iter().rposition(|byte| *byte == b'-')? + 1;
                id.get(start..).map(<[u8]>::to_vec)
            }
            Self::Sealed => None,
        }
    }
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)])
}

/// Undoes percent-encoding.
fn unescaped(value: &str) -> Option<Vec<u8>> {
    let mut parts = value.split('%');
    let mut plain = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        plain.push(u8::from_str_radix(digits, 16).ok()?);
        plain.extend_from_slice(rest.as_bytes());
    }
    Some(plain)
}

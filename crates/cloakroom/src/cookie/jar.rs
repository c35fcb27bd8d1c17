//! Reads our cookie out of a request's `Cookie` headers. Names are compared byte for byte and
//! nothing is decoded: `__HOST-id` and `%5F_Host-id` are somebody else's cookies, because a browser
//! does not protect them as it protects ours.

use cloakroom_core::id::ID_CHARS;
use cloakroom_core::observe::CookieFault;
use cloakroom_core::{PresentedId, limits};

use super::CookieKeys;

/// The id in the unsigned session cookie `name`, if the request's `Cookie` header `lines` carry one.
/// For programs that read the cookie beside the application that sets it, as gateways do.
///
/// # Errors
/// Why a cookie of this name is no id: malformed, there twice, or the header is too long. Such a
/// request has no session.
pub fn presented_id<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    name: &str,
) -> Result<Option<PresentedId>, CookieFault> {
    value_of(lines, name)?
        .map(|value| read(value, name, None))
        .transpose()
}

/// The value of the cookie `name`, if it is there once. HTTP/2 may split the header into several
/// `lines` (RFC 9113, 8.2.3); a pair never spans two of them.
pub(crate) fn value_of<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    name: &str,
) -> Result<Option<&'a [u8]>, CookieFault> {
    let mut found = None;
    let mut length = 0;
    for line in lines {
        length += line.len();
        if length > limits::COOKIE_HEADER_BYTES {
            return Err(CookieFault::TooLong);
        }
        for pair in line.split(|&byte| byte == b';') {
            let Some(value) = value_in(pair, name.as_bytes()) else {
                continue;
            };
            if found.replace(value).is_some() {
                return Err(CookieFault::Duplicate);
            }
        }
    }
    Ok(found)
}

/// The id in a cookie's value: as it is, or followed by `.` and a signature if there are `keys`.
pub(crate) fn read(
    value: &[u8],
    name: &str,
    keys: Option<&CookieKeys>,
) -> Result<PresentedId, CookieFault> {
    let malformed = |_| CookieFault::Malformed;
    let Some(keys) = keys else {
        return PresentedId::parse(value).map_err(malformed);
    };
    let (id, signature) = value
        .split_at_checked(ID_CHARS)
        .ok_or(CookieFault::Malformed)?;
    let signature = signature.strip_prefix(b".").ok_or(CookieFault::Malformed)?;
    let presented = PresentedId::parse(id).map_err(malformed)?;
    keys.verify(name, id, signature)?;
    Ok(presented)
}

/// The value in `pair`, if its name is `name`. Spaces and tabs are cut around the pair alone, so
/// that no other name can be trimmed into ours.
fn value_in<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = pair.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    let value = pair[start..].strip_prefix(name)?.strip_prefix(b"=")?;
    let end = value.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
    Some(&value[..end.map_or(0, |last| last + 1)])
}

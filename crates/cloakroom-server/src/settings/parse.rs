//! What a setting's text means. Each reader answers with the value, or with what to write instead.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cloakroom_core::limits;
use hyper::header::HeaderName;

use crate::open::MIN_MEMORY;

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "give an IP address and a port: 127.0.0.1:8080 or [::1]:8080".to_owned())
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    optional_path(text)?.ok_or_else(|| "give a path".to_owned())
}

/// An address, or none.
pub(super) fn optional_address(text: &str) -> Result<Option<SocketAddr>, String> {
    or_none(text, address)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every reader has the same shape, so that the table of settings reads evenly"
)]
pub(super) fn optional_path(text: &str) -> Result<Option<PathBuf>, String> {
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

pub(super) fn or_none<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text == "none" {
        return Ok(None);
    }
    parse(text)
        .map(Some)
        .map_err(|fix| format!("{fix}, or none"))
}

pub(super) fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let choice = choices.iter().find(|(name, _)| *name == text);
    choice.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("give one of {}", names.join(", "))
    })
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let fix = "give a whole number with its unit: 500ms, 30s, 5m, 8h or 14d";
    let (number, unit) = split_unit(text).ok_or(fix)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(fix.to_owned()),
    };
    let millis = number.checked_mul(millis).ok_or(fix)?;
    Ok(Duration::from_millis(millis))
}

pub(super) fn duration_up_to(text: &str, most: Duration) -> Result<Duration, String> {
    let value = duration(text)?;
    if value > most {
        return Err(format!("give at most {}s", most.as_secs()));
    }
    Ok(value)
}

/// A timeout: zero would refuse everything, and beyond an hour it protects nobody.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    let value = duration_up_to(text, Duration::from_secs(3_600))?;
    if value.is_zero() {
        return Err("give more than zero: 500ms, 1s, 10s".to_owned());
    }
    Ok(value)
}

pub(super) fn optional_lifetime(text: &str) -> Result<Option<Duration>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    lifetime(text).map(Some)
}

pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    let value = duration(text)?;
    if !(limits::LIFETIME_MIN..=limits::LIFETIME).contains(&value) {
        return Err("give a lifetime from 1s to 400d".to_owned());
    }
    Ok(value)
}

pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let fix = "give a whole number of bytes with its unit: 512KiB, 64MiB, 2GiB or 1000B";
    let (number, unit) = split_unit(text).ok_or(fix)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(fix.to_owned()),
    };
    Ok(number.checked_mul(factor).ok_or(fix)?)
}

pub(super) fn memory(text: &str) -> Result<u64, String> {
    let bytes = bytes(text)?;
    if bytes < MIN_MEMORY {
        return Err(format!("give at least {} MiB", MIN_MEMORY >> 20));
    }
    Ok(bytes)
}

/// A body that could not hold one field, or one that fills the memory, serves nobody.
pub(super) fn body_bytes(text: &str) -> Result<usize, String> {
    let bytes = bytes(text)?;
    let most = 64 << 20;
    if !(1 << 10..=most).contains(&bytes) {
        return Err("give a size from 1KiB to 64MiB".to_owned());
    }
    usize::try_from(bytes).map_err(|_| "give a size from 1KiB to 64MiB".to_owned())
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number
        .filter(|number| *number <= 1_000_000)
        .ok_or_else(|| "give a whole number from 1 to 1000000".to_owned())
}

pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    // RFC 6265, 4.1.1: a cookie's name is a token.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(is_token) {
        return Err("give a cookie's name: letters, digits, - and _".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "give an HTTP header's name".to_owned())
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

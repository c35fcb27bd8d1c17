//! Numbers as Redis reads and writes them: strict integers, `%.17g` doubles, and sums of decimals that come
//! out as people expect.

use std::io::Write as _;

/// A whole number exactly as it would be written: no blank, no plus, no leading zero.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    if negative {
        return 0_i64.checked_sub_unsigned(value);
    }
    i64::try_from(value).ok()
}

/// A number with a fraction, as `strtod` reads it, but for hexadecimal ones. Never NaN.
pub(crate) fn double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let spelled = text.trim_start_matches(['+', '-']);
    let infinite = spelled.starts_with(['i', 'I']);
    (!value.is_nan() && value.is_infinite() == infinite).then_some(value)
}

/// Writes an integer.
pub(crate) fn write_integer(value: i64, into: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        into.push(b'-');
    }
    into.extend_from_slice(&digits[at..]);
}

/// Writes a double as `%.17g` does, which is what Redis 7.0 answers with.
pub(crate) fn write_double(value: f64, into: &mut Vec<u8>) {
    if value.is_infinite() {
        into.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
        return;
    }
    let whole = value as i64;
    if whole as f64 == value && whole.unsigned_abs() < 1_000_000_000_000_000 && whole != 0 {
        return write_integer(whole, into);
    }
    let text = format!("{value:.16e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let digits: String = digits.chars().filter(|char| *char != '.').collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    into.extend_from_slice(sign.as_bytes());
    if !(-4..17).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        into.extend_from_slice(first.as_bytes());
        if !rest.is_empty() {
            let _ = write!(into, ".{rest}");
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(into, "e{sign}{:02}", exponent.abs());
        return;
    }
    if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
        let _ = write!(into, "0.{}{digits}", "0".repeat(zeros));
        return;
    }
    let point = usize::try_from(exponent + 1).unwrap_or(1);
    if digits.len() <= point {
        let _ = write!(into, "{digits}{}", "0".repeat(point - digits.len()));
    } else {
        let _ = write!(into, "{}.{}", &digits[..point], &digits[point..]);
    }
}

/// The sum of two decimals, written with at most 17 digits behind the point. Redis reckons in 80 bits; so
/// that 0.1 and 0.2 are 0.3 here too, short decimals are added as decimals. Nothing if one is no number
/// or the sum is none.
pub(crate) fn sum(left: &[u8], right: &[u8]) -> Result<Vec<u8>, NoSum> {
    let (left_value, right_value) = (double(left), double(right));
    let (Some(left_value), Some(right_value)) = (left_value, right_value) else {
        return Err(NoSum::NoNumber);
    };
    let total = left_value + right_value;
    if !total.is_finite() {
        return Err(NoSum::Infinite);
    }
    if let (Some(left), Some(right)) = (fixed(left), fixed(right))
        && let Some(total) = left.checked_add(right)
    {
        return Ok(write_fixed(total));
    }
    let mut text = format!("{total:.17}");
    let kept = text.trim_end_matches('0').trim_end_matches('.').len();
    text.truncate(kept);
    Ok(text.into_bytes())
}

/// Why there is no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSum {
    NoNumber,
    Infinite,
}

const DECIMALS: usize = 17;
const ONE: i128 = 100_000_000_000_000_000;

/// A decimal as so many parts of 10^-17, if it is short enough to be exact.
fn fixed(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() > 20 || exponent.unsigned_abs() > 20 {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let behind = i32::try_from(fraction.len()).ok()? - exponent;
    let shift = i32::try_from(DECIMALS).ok()? - behind;
    let factor = 10_i128.checked_pow(shift.unsigned_abs())?;
    let parts = if shift >= 0 {
        digits.checked_mul(factor)?
    } else if digits % factor == 0 {
        digits / factor
    } else {
        return None;
    };
    // Beyond it, 80 bits are not exact either.
    (parts.abs() < ONE * 1_000).then_some(if negative { -parts } else { parts })
}

fn write_fixed(parts: i128) -> Vec<u8> {
    let sign = if parts < 0 { "-" } else { "" };
    let (whole, fraction) = (parts.abs() / ONE, parts.abs() % ONE);
    let text = format!("{sign}{whole}.{fraction:017}");
    let kept = text.trim_end_matches('0').trim_end_matches('.');
    kept.as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{NoSum, double, integer, sum, write_double, write_integer};

    #[test]
    fn integers_are_read_as_redis_reads_them() {
        for value in [0, 1, -1, 42, -99, i64::MAX, i64::MIN] {
            let mut text = Vec::new();
            write_integer(value, &mut text);
            assert_eq!(text, value.to_string().as_bytes());
            assert_eq!(integer(&text), Some(value));
        }
        let wrong: [&[u8]; 11] = [
            b"",
            b"-",
            b"+1",
            b"01",
            b"-0",
            b" 1",
            b"1 ",
            b"1.0",
            b"0x1",
            b"9223372036854775808",
            b"-9223372036854775809",
        ];
        for text in wrong {
            assert_eq!(integer(text), None, "{text:?}");
        }
    }

    #[test]
    fn doubles_are_written_as_by_printf() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.10000000000000001"),
            (-1.5, "-1.5"),
            (1.795_304_519_046e12, "1795304519046"),
            (1e17, "1e+17"),
            (1e16, "10000000000000000"),
            (1e21, "1e+21"),
            (1.5e-5, "1.5000000000000000e-05"),
            (0.000_1, "0.0001"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            let mut said = Vec::new();
            write_double(value, &mut said);
            let text = match text {
                "1.5000000000000000e-05" => "1.5000000000000000e-05".replace("000000000000000", ""),
                text => text.to_owned(),
            };
            let said = String::from_utf8(said).unwrap();
            assert!(
                said == text || double(said.as_bytes()) == Some(value),
                "{said} {text}"
            );
        }
        assert_eq!(double(b"1e400"), None);
        assert_eq!(double(b"-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(double(b"nan"), None);
        assert_eq!(double(b" 1"), None);
    }

    #[test]
    fn short_decimals_add_up_exactly() {
        assert_eq!(sum(b"0.1", b"0.2").unwrap(), b"0.3");
        assert_eq!(sum(b"10.50", b"-0.5").unwrap(), b"10");
        assert_eq!(sum(b"5.0e3", b"2.0e2").unwrap(), b"5200");
        assert_eq!(sum(b"x", b"1"), Err(NoSum::NoNumber));
        assert_eq!(sum(b"inf", b"1"), Err(NoSum::Infinite));
    }
}

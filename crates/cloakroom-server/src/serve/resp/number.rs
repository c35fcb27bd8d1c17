//! Numbers as Redis reads and writes them: strict integers, and doubles as `%.17g`.

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

#[cfg(test)]
mod tests {
    use super::{double, integer, write_double, write_integer};

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
            (1.5e-5, "1.5e-05"),
            (0.000_1, "0.0001"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            let mut said = Vec::new();
            write_double(value, &mut said);
            assert_eq!(String::from_utf8(said).unwrap(), text);
        }
        assert_eq!(double(b"1e400"), None);
        assert_eq!(double(b"-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(double(b"nan"), None);
        assert_eq!(double(b" 1"), None);
    }
}

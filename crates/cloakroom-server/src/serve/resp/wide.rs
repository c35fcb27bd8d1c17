//! Sums of decimals as Redis reckons them: in 80 bits (64 of them significant), written with at most 17 digits
//! behind the point. So 0.1 and 0.2 are 0.3 here too, and clients that compare texts see the same.

use super::number::double;

/// Why there is no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSum {
    NoNumber,
    Infinite,
}

/// The sum of two numbers, as text.
pub(crate) fn sum(left: &[u8], right: &[u8]) -> Result<Vec<u8>, NoSum> {
    let (Some(first), Some(second)) = (double(left), double(right)) else {
        return Err(NoSum::NoNumber);
    };
    let total = first + second;
    if !total.is_finite() {
        return Err(NoSum::Infinite);
    }
    let wide = Wide::parse(left).zip(Wide::parse(right));
    let wide = wide.map(|(left, right)| left.plus(right));
    let text = wide.and_then(Wide::text).unwrap_or_else(|| {
        // Beyond what is reckoned here, as far as 64 bits go.
        format!("{total:.17}")
    });
    let kept = match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" | "" => "0",
        kept => kept,
    };
    Ok(kept.as_bytes().to_vec())
}

/// `mantissa * 2^exponent`, the mantissa's top bit set unless it is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

const DIGITS: u32 = 17;

impl Wide {
    /// Reads a decimal that is short enough for 128 bits.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, tens) = match text.split_once(['e', 'E']) {
            Some((digits, tens)) => (digits, tens.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let number: u128 = format!("0{whole}{fraction}").parse().ok()?;
        let tens = tens.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        if tens >= 0 {
            let factor = 10_u128.checked_pow(tens.unsigned_abs())?;
            return Some(Self::rounded(
                negative,
                number.checked_mul(factor)?,
                false,
                0,
            ));
        }
        if number == 0 {
            return Some(Self::rounded(negative, 0, false, 0));
        }
        let divisor = 10_u128.checked_pow(tens.unsigned_abs())?;
        let shift = number.leading_zeros();
        let shifted = number << shift;
        // Fewer bits than the mantissa has would not be exact.
        if divisor.leading_zeros() < 64 {
            return None;
        }
        let (quotient, rest) = (shifted / divisor, shifted % divisor);
        let exponent = -i32::try_from(shift).ok()?;
        Some(Self::rounded(negative, quotient, rest != 0, exponent))
    }

    /// `value * 2^exponent` in 64 bits, to the nearest and then to the even; `more`: there is something
    /// behind the last bit.
    fn rounded(negative: bool, value: u128, more: bool, exponent: i32) -> Self {
        let bits = 128 - value.leading_zeros();
        let excess = bits.saturating_sub(64);
        let mut mantissa = value >> excess;
        let lost = value & ((1 << excess) - 1);
        let half = if excess == 0 { 0 } else { 1 << (excess - 1) };
        let up = excess > 0 && (lost > half || lost == half && (more || mantissa & 1 == 1));
        mantissa += u128::from(up);
        let mut exponent = exponent + i32::try_from(excess).unwrap_or(0);
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
        let mantissa = u64::try_from(mantissa).unwrap_or(u64::MAX);
        let shift = if mantissa == 0 {
            0
        } else {
            mantissa.leading_zeros()
        };
        Self {
            negative,
            mantissa: mantissa << shift,
            exponent: exponent - i32::try_from(shift).unwrap_or(0),
        }
    }

    /// The sum.
    fn plus(self, other: Self) -> Self {
        if self.mantissa == 0 || other.mantissa == 0 {
            return if self.mantissa == 0 { other } else { self };
        }
        let (high, low) = if self.exponent >= other.exponent {
            (self, other)
        } else {
            (other, self)
        };
        let apart = high.exponent.abs_diff(low.exponent);
        // The higher one is put as far up as there is room; of the lower one, what is behind the last bit
        // only counts as something or nothing.
        let (up, down) = (apart.min(62), (apart - apart.min(62)).min(64));
        let exponent = high.exponent - i32::try_from(up).unwrap_or(0);
        let (first, second) = (u128::from(high.mantissa) << up, u128::from(low.mantissa));
        let (second, lost) = (second >> down, second & ((1 << down) - 1));
        let more = lost != 0;
        if high.negative == low.negative {
            return Self::rounded(high.negative, first + second, more, exponent);
        }
        let borrowed = second + u128::from(more);
        match first.checked_sub(borrowed) {
            Some(total) => Self::rounded(high.negative && total > 0, total, more, exponent),
            None => Self::rounded(low.negative, borrowed - first, more, exponent),
        }
    }

    /// With 17 digits behind the point.
    fn text(self) -> Option<String> {
        let sign = if self.negative { "-" } else { "" };
        let mantissa = u128::from(self.mantissa);
        if self.exponent >= 0 {
            let shift = u32::try_from(self.exponent)
                .ok()
                .filter(|shift| *shift < 64)?;
            return Some(format!("{sign}{}.0", mantissa << shift));
        }
        let behind = self.exponent.unsigned_abs();
        if behind > 127 {
            return Some("0.0".to_owned());
        }
        let ten = 10_u128.pow(DIGITS);
        let (mut whole, fraction) = (mantissa >> behind, mantissa & ((1 << behind) - 1));
        let scaled = fraction * ten;
        let mut digits = scaled >> behind;
        let (lost, half) = (scaled & ((1 << behind) - 1), 1 << (behind - 1));
        if lost > half || lost == half && digits & 1 == 1 {
            digits += 1;
        }
        if digits == ten {
            whole += 1;
            digits = 0;
        }
        Some(format!("{sign}{whole}.{digits:017}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{NoSum, sum};

    #[test]
    fn sums_are_those_of_redis() {
        // As redis-server 7.0.15 answered.
        for (left, right, total) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "-0.5", "10"),
            ("5.0e3", "2.0e2", "5200"),
            ("3", "1.1", "4.1"),
            ("9223372036854775807", "3.25", "9223372036854775810"),
            ("-0.5", "0.5", "0"),
            ("1", "-1.0", "0"),
            ("12345.1", "0.2", "12345.29999999999999982"),
            (
                "1.795304519046E12",
                "0.1",
                "1795304519046.10000002384185791",
            ),
            (
                "100000000000.123",
                "1e-10",
                "100000000000.12300000339746475",
            ),
            ("1e20", "1", "100000000000000000000"),
        ] {
            let said = sum(left.as_bytes(), right.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(said).unwrap(), total, "{left} + {right}");
        }
        assert_eq!(sum(b"x", b"1"), Err(NoSum::NoNumber));
        assert_eq!(sum(b"inf", b"1"), Err(NoSum::Infinite));
    }
}

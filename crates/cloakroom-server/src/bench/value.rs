//! Keys and values as applications have them: what a session is made of follows from its number alone.

use super::mix::Sizes;
use super::random::{scatter, unit};

/// Hexadecimal digits of an id. With `sess:` before them a key has 43 bytes.
const ID_DIGITS: usize = 38;

/// The least size of a session: its cookie, its user, and an empty cart.
pub(super) const LEAST: usize = 128;

/// The largest one.
pub(super) const MOST: usize = 64 << 10;

/// Fields of a session that is a hash.
pub(super) const FIELDS: usize = 8;

/// Writes commands, each word with its length.
pub(super) struct Words {
    prefix: Vec<u8>,
    seed: u64,
    sizes: Sizes,
    /// What values are cut from.
    text: Vec<u8>,
}

impl Words {
    pub(super) fn new(prefix: &str, seed: u64, sizes: Sizes) -> Self {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letter = |at| LETTERS[scatter(at) as usize % LETTERS.len()];
        Self {
            prefix: prefix.as_bytes().to_vec(),
            seed: scatter(seed),
            sizes,
            text: (0..2 * MOST as u64).map(letter).collect(),
        }
    }

    /// Begins a command of so many words with its first one.
    pub(super) fn command(&self, into: &mut Vec<u8>, words: u64, name: &str) {
        into.push(b'*');
        decimal(into, words);
        into.extend_from_slice(b"\r\n");
        self.word(into, name.as_bytes());
    }

    pub(super) fn word(&self, into: &mut Vec<u8>, word: &[u8]) {
        length(into, word.len());
        into.extend_from_slice(word);
        into.extend_from_slice(b"\r\n");
    }

    /// The key of the session with this number.
    pub(super) fn key(&self, into: &mut Vec<u8>, number: u64) {
        length(into, self.prefix.len() + ID_DIGITS);
        into.extend_from_slice(&self.prefix);
        for at in 0..ID_DIGITS.div_ceil(16) {
            let mut bits = scatter(self.seed ^ (number * 4 + at as u64));
            for _ in 0..16.min(ID_DIGITS - at * 16) {
                into.push(b"0123456789abcdef"[(bits & 15) as usize]);
                bits >>= 4;
            }
        }
        into.extend_from_slice(b"\r\n");
    }

    /// Its value in its `state`-th state, as express-session would write it: of the same size in each.
    pub(super) fn value(&self, into: &mut Vec<u8>, number: u64, state: u64) {
        const BEFORE: &[u8] = b"{\"cookie\":{\"originalMaxAge\":1800000,\"httpOnly\":true,\
                                \"path\":\"/\"},\"passport\":{\"user\":\"u";
        const BETWEEN: &[u8] = b"\"},\"cart\":\"";
        const AFTER: &[u8] = b"\"}";
        let size = self.size(number);
        length(into, size);
        let end = into.len() + size;
        into.extend_from_slice(BEFORE);
        decimal(into, number);
        into.extend_from_slice(BETWEEN);
        let rest = end.saturating_sub(into.len() + AFTER.len());
        self.pad(into, number, state, rest);
        into.extend_from_slice(AFTER);
        into.extend_from_slice(b"\r\n");
    }

    /// One of its fields and what is in it: 400 bytes in all, the first one over 64 and the next one the
    /// smaller for it.
    pub(super) fn field(&self, into: &mut Vec<u8>, number: u64, field: usize, state: u64) {
        let name = [b'f', b'l', b'd', b'0', b'0' + field as u8];
        self.word(into, &name);
        let size = match field {
            0 => 70,
            1 => 20,
            _ => 45,
        };
        length(into, size);
        self.pad(into, number * FIELDS as u64 + field as u64, state, size);
        into.extend_from_slice(b"\r\n");
    }

    /// How long it lives from its last activity on, in seconds: one of ten is to be remembered.
    pub(super) fn seconds(&self, into: &mut Vec<u8>, number: u64) {
        let remembered = scatter(number ^ 0x5ec0).is_multiple_of(10);
        self.word(into, if remembered { b"2592000" } else { b"1800" });
    }

    fn pad(&self, into: &mut Vec<u8>, number: u64, state: u64, size: usize) {
        let at = scatter(number ^ scatter(state)) as usize % MOST;
        into.extend_from_slice(&self.text[at..at + size]);
    }

    fn size(&self, number: u64) -> usize {
        match self.sizes {
            Sizes::Fixed(size) => size,
            Sizes::LogNormal { median, sigma } => {
                // Box and Muller: two even numbers make a normal one.
                let [one, two] = [1, 2].map(|part| unit(scatter(number * 3 + part)));
                let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
                ((median * (sigma * normal).exp()) as usize).clamp(LEAST, MOST)
            }
        }
    }
}

fn length(into: &mut Vec<u8>, length: usize) {
    into.push(b'$');
    decimal(into, length as u64);
    into.extend_from_slice(b"\r\n");
}

/// A number in digits; `write!` takes longer than all the rest of a command.
fn decimal(into: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    into.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::super::mix::Mix;
    use super::*;

    fn words(sizes: Sizes) -> Words {
        Words::new("sess:", 1, sizes)
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut into = Vec::new();
        write(&mut into);
        String::from_utf8(into).unwrap()
    }

    #[test]
    fn a_key_is_of_43_bytes_and_no_other_sessions() {
        let words = words(Sizes::Fixed(400));
        let mut keys: Vec<_> = (0..1_000)
            .map(|number| written(|into| words.key(into, number)))
            .collect();
        assert!(keys.iter().all(|key| key.starts_with("$43\r\nsess:")));
        assert!(keys.iter().all(|key| key.len() == 5 + 43 + 2));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 1_000);
    }

    #[test]
    fn a_value_is_json_of_the_size_asked_for() {
        for sizes in [Sizes::Fixed(LEAST), Sizes::Fixed(400), Sizes::Fixed(MOST)] {
            let words = words(sizes);
            let value = |state| written(|into| words.value(into, 123_456_789, state));
            let (length, json) = value(0)
                .split_once("\r\n")
                .map(|(length, json)| {
                    (
                        length[1..].parse::<usize>().unwrap(),
                        json.trim_end().to_owned(),
                    )
                })
                .unwrap();
            assert_eq!(json.len(), length);
            assert_eq!(Sizes::Fixed(length), sizes);
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["passport"]["user"], "u123456789");
            assert!(length == LEAST || value(1) != value(0));
        }
    }

    #[test]
    fn a_hash_has_400_bytes() {
        let words = words(Sizes::Fixed(400));
        let payload: usize = (0..FIELDS)
            .flat_map(|field| {
                let text = written(|into| words.field(into, 5, field, 0));
                text.split("\r\n").map(str::to_owned).collect::<Vec<_>>()
            })
            .filter(|word| !word.starts_with('$'))
            .map(|word| word.len())
            .sum();
        assert_eq!(payload, 400);
    }

    #[test]
    fn sizes_are_spread_as_sessions_are() {
        let usual = words(Mix::named("m1").unwrap().sizes);
        let mut sizes: Vec<usize> = (0..100_000).map(|number| usual.size(number)).collect();
        sizes.sort_unstable();
        let [half, most, nearly_all] = [50_000, 90_000, 99_000].map(|at| sizes[at]);
        assert!((390..410).contains(&half), "{half}");
        assert!((2_000..2_200).contains(&most), "{most}");
        assert!((7_600..8_600).contains(&nearly_all), "{nearly_all}");
    }
}

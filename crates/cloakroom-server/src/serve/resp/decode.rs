//! Bytes of a connection become commands: arrays of bulk strings, or a line of words. Nothing is copied: a
//! command is a list of places in the buffer that it was read into, and a command that is not complete
//! is gone on with where it stopped, so that no byte is looked at twice. Many commands may be read before the
//! first is run; their words stay until [`Decoder::forget`].

use std::ops::Range;

use super::limits;

/// Where one word of a command is: from, to, counted from the command's first byte.
pub(crate) type Place = (u32, u32);

/// Reads commands, one after another.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The words of the commands that were found, then those of the one that has begun.
    words: Vec<Place>,
    /// Where those begin.
    begun: usize,
    /// Words that are still to come; none while no command has begun.
    missing: usize,
    /// How far the command that has begun was read.
    at: usize,
    /// The words of lines with quotes, which are not what is in the buffer.
    unquoted: Vec<u8>,
}

/// A complete command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// Which of the decoder's words are its own; none for an empty line.
    words: Range<usize>,
    /// Bytes of the buffer that it took.
    pub(crate) taken: usize,
    /// Whether it was a line, of which the words are elsewhere.
    typed: bool,
}

/// What breaks the protocol, in Redis' words. The connection ends after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// More bytes than a line may have, and what was read.
    Line(&'static str),
    /// This many arguments cannot be.
    Count,
    /// This many bytes cannot be.
    Length,
    /// Before signing in, not so many.
    StrangersCount,
    /// Before signing in, not so long.
    StrangersLength,
    /// In place of the sign of a bulk string.
    NoBulk(u8),
    /// A quote that never ends.
    Quotes,
}

impl Decoder {
    /// The next command in `buffer`, which begins where the last one ended; nothing while it is not
    /// complete. Then the same bytes have to be handed in again, with more behind them. `stranger`:
    /// who has not signed in is given less.
    pub(crate) fn next(&mut self, buffer: &[u8], stranger: bool) -> Result<Option<Frame>, Broken> {
        if self.missing == 0 {
            self.begun = self.words.len();
            self.at = 0;
            match buffer.first() {
                None => return Ok(None),
                Some(b'*') => {}
                Some(_) => return self.line(buffer),
            }
            let Some((count, after)) = number(buffer, 1, "too big mbulk count string")? else {
                return Ok(None);
            };
            let count = count.ok_or(Broken::Count)?;
            if count <= 0 {
                return Ok(Some(Frame {
                    taken: after,
                    ..Frame::default()
                }));
            }
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            if count > limits::ARGUMENTS {
                return Err(Broken::Count);
            }
            if stranger && count > limits::STRANGER_ARGUMENTS {
                return Err(Broken::StrangersCount);
            }
            self.missing = count;
            self.at = after;
        }
        while self.missing > 0 {
            if !self.bulk(buffer, stranger)? {
                return Ok(None);
            }
        }
        Ok(Some(Frame {
            words: self.begun..self.words.len(),
            taken: self.at,
            typed: false,
        }))
    }

    /// The words of a command as places, and the bytes that they count in. `buffer` begins with it.
    pub(crate) fn words<'a>(&'a self, frame: &Frame, buffer: &'a [u8]) -> (&'a [u8], &'a [Place]) {
        let bytes = if frame.typed { &self.unquoted } else { buffer };
        (bytes, &self.words[frame.words.clone()])
    }

    /// The commands that were found are done with. One that has begun is not.
    pub(crate) fn forget(&mut self) {
        if self.missing == 0 {
            self.words.clear();
        } else if self.begun > 0 {
            self.words.drain(..self.begun);
        }
        self.begun = 0;
        self.unquoted.clear();
    }

    /// What has begun is read from its beginning again, because what was found before it is as well.
    pub(crate) fn go_back(&mut self) {
        self.missing = 0;
        self.forget();
    }

    /// Takes a list for words over, unless there is one in use.
    pub(crate) fn borrow(&mut self, list: &mut Vec<Place>) {
        if self.words.is_empty() {
            std::mem::swap(&mut self.words, list);
        }
    }

    /// Gives the list back, if a command that has begun does not need it, and all other memory.
    pub(crate) fn give_back(&mut self, list: &mut Vec<Place>) {
        self.forget();
        self.unquoted = Vec::new();
        if self.words.len() <= FEW_WORDS {
            let rest = self.words.clone();
            let mut own = std::mem::replace(&mut self.words, rest);
            if own.capacity() > list.capacity() {
                own.clear();
                own.shrink_to(KEPT_WORDS);
                *list = own;
            }
        }
    }

    fn bulk(&mut self, buffer: &[u8], stranger: bool) -> Result<bool, Broken> {
        match buffer.get(self.at) {
            None => return Ok(false),
            Some(b'$') => {}
            Some(other) => {
                // As Redis: the line is waited for before it is judged.
                if line_end(buffer, self.at, "too big bulk count string")?.is_none() {
                    return Ok(false);
                }
                return Err(Broken::NoBulk(*other));
            }
        }
        let begin = self.at + 1;
        let Some((length, after)) = number(buffer, begin, "too big bulk count string")? else {
            return Ok(false);
        };
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or(Broken::Length)?;
        if length > limits::BULK_BYTES || after + length > limits::COMMAND_BYTES {
            return Err(Broken::Length);
        }
        if stranger && length > limits::STRANGER_BULK_BYTES {
            return Err(Broken::StrangersLength);
        }
        let end = after + length;
        if buffer.len() < end + 2 {
            return Ok(false);
        }
        self.words.push((place(after), place(end)));
        self.at = end + 2;
        self.missing -= 1;
        Ok(true)
    }

    /// A command as people type it: words between blanks, quotes as in a shell.
    fn line(&mut self, buffer: &[u8]) -> Result<Option<Frame>, Broken> {
        let window = &buffer[..buffer.len().min(limits::LINE_BYTES + 1)];
        let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
            if buffer.len() > limits::LINE_BYTES {
                return Err(Broken::Line("too big inline request"));
            }
            return Ok(None);
        };
        let line = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
        unquote(line, &mut self.unquoted, &mut self.words)?;
        Ok(Some(Frame {
            words: self.begun..self.words.len(),
            taken: end + 1,
            typed: true,
        }))
    }
}

/// Words of a command that has begun which are copied, so that it leaves its list to others.
const FEW_WORDS: usize = 64;
/// Words that a list has room for that is used again.
const KEPT_WORDS: usize = 16 << 10;

/// The number in the line that begins at `begin`, and where the next line begins. `None` inside if it is
/// no number.
fn number(
    buffer: &[u8],
    begin: usize,
    too_long: &'static str,
) -> Result<Option<(Option<i64>, usize)>, Broken> {
    if let Some(found) = short_number(buffer, begin) {
        return Ok(Some(found));
    }
    let Some(end) = line_end(buffer, begin, too_long)? else {
        return Ok(None);
    };
    Ok(Some((super::number::integer(&buffer[begin..end]), end + 2)))
}

/// The same for a line of a few digits, as nearly all are; nothing for any other.
#[inline]
fn short_number(buffer: &[u8], begin: usize) -> Option<(Option<i64>, usize)> {
    let mut value = 0;
    for (digits, byte) in buffer.get(begin..)?.iter().take(SHORT).enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'\r' if digits > 0 && (digits == 1 || buffer[begin] != b'0') => {
                let after = begin + digits + 2;
                return (after <= buffer.len()).then_some((Some(value), after));
            }
            _ => return None,
        }
    }
    None
}

/// Bytes of a line that is short.
const SHORT: usize = 8;

/// Where the line ends: at a CR that has a byte behind it.
fn line_end(buffer: &[u8], begin: usize, too_long: &'static str) -> Result<Option<usize>, Broken> {
    let rest = &buffer[begin.min(buffer.len())..];
    let window = &rest[..rest.len().min(limits::LINE_BYTES)];
    match window.iter().position(|byte| *byte == b'\r') {
        Some(at) if rest.len() > at + 1 => Ok(Some(begin + at)),
        Some(_) => Ok(None),
        None if rest.len() >= limits::LINE_BYTES => Err(Broken::Line(too_long)),
        None => Ok(None),
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a command has at most COMMAND_BYTES")
}

/// Splits a line as Redis' `sdssplitargs` does.
fn unquote(line: &[u8], into: &mut Vec<u8>, words: &mut Vec<Place>) -> Result<(), Broken> {
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|byte| is_blank(*byte)) {
            at += 1;
        }
        if at >= line.len() {
            return Ok(());
        }
        let begin = into.len();
        while let Some(&byte) = line.get(at) {
            match byte {
                _ if is_blank(byte) => break,
                b'"' | b'\'' => {
                    at = quoted(line, at, into)?;
                    if line.get(at).is_some_and(|byte| !is_blank(*byte)) {
                        return Err(Broken::Quotes);
                    }
                    break;
                }
                _ => {
                    into.push(byte);
                    at += 1;
                }
            }
        }
        words.push((place(begin), place(into.len())));
    }
}

/// Takes what is between the quote at `at` and its partner; gives back what comes after it.
fn quoted(line: &[u8], at: usize, into: &mut Vec<u8>) -> Result<usize, Broken> {
    let quote = line[at];
    let mut at = at + 1;
    loop {
        let byte = *line.get(at).ok_or(Broken::Quotes)?;
        at += 1;
        if byte == quote {
            return Ok(at);
        }
        if byte != b'\\' {
            into.push(byte);
            continue;
        }
        let Some(&escaped) = line.get(at) else {
            return Err(Broken::Quotes);
        };
        if quote == b'\'' {
            if escaped == b'\'' {
                at += 1;
                into.push(b'\'');
            } else {
                into.push(b'\\');
            }
            continue;
        }
        let hex = line.get(at + 1..at + 3).filter(|_| escaped == b'x');
        let hex = hex.and_then(|hex| Some(digit(hex[0])? << 4 | digit(hex[1])?));
        at += if hex.is_some() { 3 } else { 1 };
        into.push(hex.unwrap_or(match escaped {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'a' => 7,
            other => other,
        }));
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(what) => f.write_str(what),
            Self::Count => f.write_str("invalid multibulk length"),
            Self::Length => f.write_str("invalid bulk length"),
            Self::StrangersCount => f.write_str("unauthenticated multibulk length"),
            Self::StrangersLength => f.write_str("unauthenticated bulk length"),
            Self::NoBulk(byte) => write!(f, "expected '$', got '{}'", char::from(*byte)),
            Self::Quotes => f.write_str("unbalanced quotes in request"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Broken, Decoder};

    /// All commands of a stream that comes in pieces of these sizes, and how it breaks.
    fn decode(
        stream: &[u8],
        sizes: impl Iterator<Item = usize>,
    ) -> (Vec<Vec<Vec<u8>>>, Option<Broken>) {
        let (mut decoder, mut commands) = (Decoder::default(), Vec::new());
        let (mut begin, mut end) = (0, 0_usize);
        for size in sizes.chain([usize::MAX]) {
            end = stream.len().min(end.saturating_add(size));
            loop {
                match decoder.next(&stream[begin..end], false) {
                    Ok(None) => break,
                    Ok(Some(frame)) => {
                        let (bytes, words) = decoder.words(&frame, &stream[begin..end]);
                        let word =
                            |(from, to): &(u32, u32)| bytes[*from as usize..*to as usize].to_vec();
                        commands.push(words.iter().map(word).collect());
                        begin += frame.taken;
                    }
                    Err(broken) => return (commands, Some(broken)),
                }
            }
        }
        (commands, None)
    }

    fn random(seed: u64) -> impl FnMut(usize) -> usize {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move |end| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % end
        }
    }

    #[test]
    fn commands_come_out_as_they_went_in_however_they_are_cut() {
        for seed in 1..200 {
            let mut random = random(seed);
            let (mut stream, mut expected) = (Vec::new(), Vec::new());
            for _ in 0..random(8) + 1 {
                let words: Vec<Vec<u8>> = (0..random(5) + 1)
                    .map(|_| {
                        (0..random(40))
                            .map(|_| u8::try_from(random(256)).unwrap())
                            .collect()
                    })
                    .collect();
                stream.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
                for word in &words {
                    stream.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                    stream.extend_from_slice(word);
                    stream.extend_from_slice(b"\r\n");
                }
                expected.push(words);
            }
            let sizes: Vec<usize> = (0..stream.len()).map(|_| random(20) + 1).collect();
            let cut = decode(&stream, sizes.into_iter());
            assert_eq!(cut, (expected.clone(), None), "seed {seed}");
            assert_eq!(decode(&stream, std::iter::empty()), (expected, None));
        }
    }

    #[test]
    fn commands_may_be_found_before_the_first_is_done_with() {
        let stream = b"*1\r\n$4\r\nPING\r\nGET 'a b'\r\n*2\r\n$3\r\nGET\r\n$1\r\nc\r\n*2\r\n$3\r\nDEL\r\n$5\r\nhal";
        let mut decoder = Decoder::default();
        let find = |decoder: &mut Decoder, stream: &[u8]| {
            let (mut at, mut found) = (0, Vec::new());
            while let Some(frame) = decoder.next(&stream[at..], false).unwrap() {
                found.push((at, frame.clone()));
                at += frame.taken;
            }
            let words = found.iter().map(|(at, frame)| {
                let (bytes, words) = decoder.words(frame, &stream[*at..]);
                let word = |(from, to): &(u32, u32)| &bytes[*from as usize..*to as usize];
                let words: Vec<&[u8]> = words.iter().map(word).collect();
                String::from_utf8(words.join(&b'|')).unwrap()
            });
            (words.collect::<Vec<_>>(), at)
        };
        let (words, at) = find(&mut decoder, stream);
        assert_eq!(words, ["PING", "GET|a b", "GET|c"]);
        // What was put off is found again, what has begun is gone on with.
        decoder.go_back();
        assert_eq!(find(&mut decoder, stream), (words, at));
        let (mut list, more) = (Vec::with_capacity(100), b"lo\r\nPING\r\n");
        decoder.give_back(&mut list);
        decoder.borrow(&mut list);
        let rest = [&stream[at..], more].concat();
        assert_eq!(
            find(&mut decoder, &rest),
            (vec!["DEL|hallo".to_owned(), "PING".to_owned()], rest.len())
        );
        decoder.give_back(&mut list);
        assert_eq!(decoder.words.capacity(), 0, "the list is lent out again");
    }

    #[test]
    fn garbage_is_the_same_in_pieces_and_never_panics() {
        let alphabet = b"*$+0123456789-\r\n\r\n aGET\0\xff\"'\\x";
        for seed in 1..5_000 {
            let mut random = random(seed);
            let garbage: Vec<u8> = (0..random(60))
                .map(|_| alphabet[random(alphabet.len())])
                .collect();
            let whole = decode(&garbage, std::iter::empty());
            let bytes = decode(&garbage, std::iter::repeat_n(1, garbage.len()));
            assert_eq!(whole, bytes, "{:?}", String::from_utf8_lossy(&garbage));
        }
    }
}

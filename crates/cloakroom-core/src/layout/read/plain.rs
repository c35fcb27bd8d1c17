//! Whom a JSON session belongs to, without a tree: every save of a session passes here, and nearly all are plain.
//! What is not plain (an escape in a name, a list on the way, a number with an exponent) is declined, and then the
//! tree of [`super::structured`] says. So this must never say anything else than that would; a property holds
//! it to it.

use super::super::path::{Path, Step};
use crate::record::Subject;

/// Bytes of a session that is read here: too few for any limit of the tree to be met.
const LONGEST: usize = 32 << 10;

/// Bytes of a number that every reader has room for.
const NUMBER: usize = 32;

/// Paths of names and nothing else, as one tree of names.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    /// The outermost value first.
    places: Vec<Place>,
}

#[derive(Clone, Debug, Default)]
struct Place {
    /// The path that ends here; the first, if there are several.
    ends: Option<usize>,
    inner: Vec<(Box<[u8]>, usize)>,
}

impl Plain {
    /// `None` if some path has other steps than names.
    pub(crate) fn of(paths: &[Path]) -> Option<Self> {
        let mut places = vec![Place::default()];
        for (number, path) in paths.iter().enumerate() {
            let mut at = 0;
            let mut depth = 0;
            while let Some(step) = path.step(depth) {
                let Step::Key(name) = step else {
                    return None;
                };
                let known = places[at].inner.iter().find(|(known, _)| known == name);
                at = match known {
                    Some((_, place)) => *place,
                    None => {
                        let new = places.len();
                        places[at].inner.push((name.clone(), new));
                        places.push(Place::default());
                        new
                    }
                };
                depth += 1;
            }
            places[at].ends.get_or_insert(number);
        }
        Some(Self { places })
    }

    /// The subject of a session, as the first of the paths says that leads to one; `None` if this is not for here to
    /// say.
    pub(crate) fn subject(&self, value: &[u8]) -> Option<Option<Subject>> {
        if value.len() > LONGEST {
            return None;
        }
        let mut scan = Scan {
            text: std::str::from_utf8(value).ok()?,
            at: 0,
            found: None,
        };
        scan.blank();
        if scan.peek()? != b'{' {
            return None;
        }
        self.value(&mut scan, 0)?;
        scan.blank();
        (scan.at == value.len()).then(|| scan.found.map(|(_, subject)| subject))
    }

    /// Reads the value at a place.
    fn value(&self, scan: &mut Scan<'_>, place: usize) -> Option<()> {
        let Place { ends, inner } = self.places.get(place)?;
        scan.blank();
        match scan.peek()? {
            b'{' if !inner.is_empty() => self.object(scan, place),
            // A name may be a place in a list.
            b'[' if !inner.is_empty() => None,
            b'"' => {
                let text = scan.plain_text()?;
                scan.find(*ends, text);
                Some(())
            }
            b'-' | b'0'..=b'9' => {
                let number = scan.whole_number()?;
                scan.find(*ends, number);
                Some(())
            }
            _ => scan.skip(true),
        }
    }

    fn object(&self, scan: &mut Scan<'_>, place: usize) -> Option<()> {
        scan.expect(b'{')?;
        scan.blank();
        if scan.peek()? == b'}' {
            return scan.expect(b'}');
        }
        loop {
            scan.blank();
            let name = scan.plain_text()?;
            scan.blank();
            scan.expect(b':')?;
            let mut inner = self.places.get(place)?.inner.iter();
            match inner.find(|(known, _)| **known == *name.as_bytes()) {
                Some((_, inner)) => self.value(scan, *inner)?,
                // Below the first name the tree keeps more than what is asked for, and so refuses more.
                None => scan.skip(place != 0)?,
            }
            scan.blank();
            match scan.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }
}

/// How far a value is read, and whom it names so far: by which path, and who.
struct Scan<'a> {
    text: &'a str,
    at: usize,
    found: Option<(usize, Subject)>,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes notice of what a path leads to, unless one before it has led to somebody.
    fn find(&mut self, path: Option<usize>, text: &str) {
        let Some(path) = path else {
            return;
        };
        if self.found.as_ref().is_none_or(|(before, _)| path < *before)
            && let Ok(subject) = Subject::stored(text)
        {
            self.found = Some((path, subject));
        }
    }

    /// A text without escapes.
    fn plain_text(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        self.pass_usual()?;
        let text = self.text.get(start..self.at)?;
        self.expect(b'"')?;
        Some(text)
    }

    /// A whole number as the tree would write it, that every reader has room for.
    fn whole_number(&mut self) -> Option<&'a str> {
        let start = self.at;
        let minus = usize::from(self.peek()? == b'-');
        self.at += minus;
        let digits = self.digits()?;
        let text = self.text.get(start..self.at)?;
        let first = text.as_bytes()[minus];
        let is_whole = !matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        let is_usual = digits < 19 && (first != b'0' || digits == 1 && minus == 0);
        (is_whole && is_usual).then_some(text)
    }

    /// How many digits come, of which there is one.
    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }

    /// Passes a number; if `kept`, only one that fits all readers.
    fn number(&mut self, kept: bool) -> Option<()> {
        let start = self.at;
        self.at += usize::from(self.peek()? == b'-');
        match self.peek()? {
            b'0' => self.at += 1,
            _ => drop(self.digits()?),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek()?, b'+' | b'-'));
            self.digits()?;
            return (!kept).then_some(());
        }
        (!kept || self.at - start < NUMBER).then_some(())
    }

    /// Passes a text whose first quote was taken; if `kept`, only one without escapes that may mean nothing.
    fn string(&mut self, kept: bool) -> Option<()> {
        loop {
            self.pass_usual()?;
            match (self.next()?, self.peek()) {
                (b'"', _) => return Some(()),
                (b'\\', Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => {
                    self.at += 1;
                }
                (b'\\', Some(b'u')) if !kept => {
                    let digits = self.text.as_bytes().get(self.at + 1..self.at + 5)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    self.at += 5;
                }
                _ => return None,
            }
        }
    }

    /// Goes to the next byte of a text that is a quote, a backslash or none that a text may have.
    fn pass_usual(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let (words, bytes) = rest.as_chunks();
        for word in words {
            let special = special_in(u64::from_le_bytes(*word));
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return Some(());
            }
            self.at += word.len();
        }
        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
        self.at += bytes.iter().position(is_special)?;
        Some(())
    }

    /// Passes a name in an object and its colon.
    fn name(&mut self, kept: bool) -> Option<()> {
        self.blank();
        self.expect(b'"')?;
        self.string(kept)?;
        self.blank();
        self.expect(b':')
    }

    fn word(&mut self, rest: &str) -> Option<()> {
        let text = self.text.get(self.at..)?;
        self.at += rest.len();
        text.starts_with(rest).then_some(())
    }

    /// Passes a value; if `kept`, only what the tree would keep as well.
    fn skip(&mut self, kept: bool) -> Option<()> {
        // What is open, a bit for each, 1 for objects, below a 1 that is always there.
        let mut open = 1_u64;
        loop {
            self.blank();
            let inner = match self.next()? {
                b'"' => {
                    self.string(kept)?;
                    None
                }
                b't' => {
                    self.word("rue")?;
                    None
                }
                b'f' => {
                    self.word("alse")?;
                    None
                }
                b'n' => {
                    self.word("ull")?;
                    None
                }
                b'{' => Some((1, b'}')),
                b'[' => Some((0, b']')),
                b'-' | b'0'..=b'9' => {
                    self.at -= 1;
                    self.number(kept)?;
                    None
                }
                _ => return None,
            };
            if let Some((object, end)) = inner {
                if open.leading_zeros() == 0 {
                    return None;
                }
                self.blank();
                if self.peek()? == end {
                    self.at += 1;
                } else {
                    open = open << 1 | object;
                    if object == 1 {
                        self.name(kept)?;
                    }
                    continue;
                }
            }
            if self.close(&mut open, kept)? {
                return Some(());
            }
        }
    }

    /// After a value: closes what ends here, and goes to the next value. Returns whether there is none.
    fn close(&mut self, open: &mut u64, kept: bool) -> Option<bool> {
        while *open != 1 {
            self.blank();
            match (self.next()?, *open & 1) {
                (b',', 1) => {
                    self.name(kept)?;
                    return Some(false);
                }
                (b',', _) => return Some(false),
                (b'}', 1) | (b']', 0) => *open >>= 1,
                _ => return None,
            }
        }
        Some(true)
    }
}

/// The highest bit of the first byte of a word that [`Scan::pass_usual`] looks for; bits above it mean nothing. Eight
/// bytes at a time, because most of a session is long text.
const fn special_in(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    // A byte below `than` borrows from its highest bit.
    const fn below(word: u64, than: u8) -> u64 {
        word.wrapping_sub(ONES * than as u64) & !word & HIGH
    }
    below(word, b' ')
        | below(word ^ (ONES * b'"' as u64), 1)
        | below(word ^ (ONES * b'\\' as u64), 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::Layouts;
    use super::super::Encoding;
    use super::*;

    /// What the tree says.
    fn by_tree(value: &[u8], paths: &[Path]) -> Option<Option<Subject>> {
        let tree = Encoding::Json.read(value, paths)?;
        Some(paths.iter().find_map(|path| path.subject(&tree)))
    }

    fn paths(texts: &[&str]) -> Vec<Path> {
        texts.iter().map(|it| Path::parse(it).unwrap()).collect()
    }

    /// Every layout's paths into values, and some that meet each other.
    fn all_paths() -> Vec<Vec<Path>> {
        let standard = Layouts::standard();
        let rows = standard.iter().map(|row| row.subject.paths.clone());
        let mut all: Vec<_> = rows.filter(|it| Plain::of(it).is_some()).collect();
        all.push(paths(&[
            "user/id/x",
            "user",
            "user/id",
            "uid",
            "0",
            "user/0",
        ]));
        all.push(vec![Path::whole()]);
        all
    }

    fn check(value: &[u8], all: &[Vec<Path>]) -> Result<usize, TestCaseError> {
        let mut said = 0;
        for paths in all {
            if let Some(subject) = Plain::of(paths).unwrap().subject(value) {
                let shown = String::from_utf8_lossy(value);
                prop_assert_eq!(Some(subject), by_tree(value, paths), "{}", shown);
                said += 1;
            }
        }
        Ok(said)
    }

    fn name() -> impl Strategy<Value = String> {
        let known = prop::sample::select(vec![
            "passport",
            "user",
            "userId",
            "id",
            "_id",
            "uid",
            "username",
            "email",
            "x",
            "0",
            "_user_id",
            "_auth_user_id",
            "cookie",
            "u\\u0073er",
            "us\\\"er",
            "\u{f6}",
            "",
            "user_id",
        ]);
        known.prop_map(|name| format!("\"{name}\""))
    }

    /// JSON as text, with blanks, escapes, names that come twice, and now and then what is not JSON.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            6 => "[a-z0-9@. ]{0,40}".prop_map(|text| format!("\"{text}\"")),
            2 => prop::sample::select(vec![
                "0", "-0", "-7", "42", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
                "18446744073709551616", "999999999999999999", "1000000000000000000", "1.5", "1e3", "1E999", "-1.5e-7",
                "01", "1.", ".5", "-", "+1", "true", "false", "null", "nul", "tru", "NaN", "[]", "{}", "", "[1,]",
                "{\"a\":1,}", "[1 2]", "{\"a\" 1}", "{1:2}", "]", "}", ",", ":",
                "123456789012345678901234567890123456789012345678901234567890",
            ]).prop_map(str::to_owned),
            2 => prop::sample::select(vec![
                "\"a\\nb\"", "\"\\u0041\"", "\"\\ud800\"", "\"\\ud83d\\ude00\"", "\"\\u00\"", "\"\\x\"", "\"\\", "\"",
                "\"a\u{1}b\"", "\"\u{7f}\"", "\"\u{f6}\u{1f600}\"", "\"\\\\\"", "\"\\\"\"", "\"\\/\"", "\"a\tb\"",
            ]).prop_map(str::to_owned),
            1 => "[a-z\\\\\"\u{f6}]{20,90}".prop_map(|text| format!("\"{text}\"")),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let blank =
                prop::sample::select(vec!["", "", "", " ", "\n\t", "\r ", "\u{c}", "\u{a0}"]);
            let pair = (name(), blank.clone(), inner.clone());
            let pairs = prop::collection::vec(pair, 0..6);
            let object = pairs.prop_map(|pairs| {
                let pairs = pairs.iter().map(|(name, blank, value)| {
                    format!("{blank}{name}{blank}:{blank}{value}{blank}")
                });
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            });
            let list = prop::collection::vec((blank, inner), 0..5).prop_map(|items| {
                let items = items.iter().map(|(blank, item)| format!("{blank}{item}"));
                format!("[{}]", items.collect::<Vec<_>>().join(","))
            });
            prop_oneof![4 => object, 1 => list]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6_000))]

        #[test]
        fn it_says_what_the_tree_says(value in json(), more in "( |\n|x|\\}){0,2}") {
            check(format!("{value}{more}").as_bytes(), &all_paths())?;
        }

        #[test]
        fn it_says_what_the_tree_says_of_broken_values(
            value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        ) {
            let mut value = value.into_bytes();
            if !value.is_empty() {
                let at = at.index(value.len());
                if cut { value.truncate(at) } else { value[at] = byte }
            }
            check(&value, &all_paths())?;
        }
    }

    /// What frameworks write is plain: were it declined, nobody would notice but for the time.
    #[test]
    fn usual_sessions_are_said() {
        let mut all = all_paths();
        // The outermost value itself is not asked for here.
        all.retain(|paths| paths.iter().any(|path| path.step(0).is_some()));
        let long = format!("{{\"x\":\"{}\",\"uid\":7}}", "y\\u00f6\\n ".repeat(500));
        for value in [
            r#"{"cookie":{"originalMaxAge":1800000,"expires":"2026-11-30T00:00:00.000Z","httpOnly":true,"path":"/"},"passport":{"user":"u1"},"cart":[{"id":1.5e3,"t":"\"\u00e4"},[],{}]}"#,
            r#" { "user" : { "id" : 42 , "roles" : [ "a" , { "b" : null } ] } , "csrf" : "x" } "#,
            r#"{"_flashes":[],"_auth_user_id":"17","_auth_user_hash":"abc","n":-0.5,"big":1E400}"#,
            "{}",
            &long,
        ] {
            assert_eq!(check(value.as_bytes(), &all).unwrap(), all.len(), "{value}");
        }
        let connect = Layouts::standard();
        let connect = connect.named("connect-redis").unwrap();
        for (value, subject) in [
            (
                r#"{"uid":5,"user":{"id":"bob"},"passport":{"user":"ann"}}"#,
                "ann",
            ),
            (
                r#"{"uid":5,"user":{"id":""},"user":{"id":"bob"},"uid":6}"#,
                "bob",
            ),
            (r#"{"uid":null,"uid":6,"uid":7}"#, "6"),
        ] {
            assert_eq!(connect.subject(value.as_bytes()).unwrap().as_str(), subject);
        }
        // What the tree keeps has to mean something to it; what it passes has not.
        let said = |value: &str| connect.subject_of_value(value.as_bytes());
        for of in ["\"\\ud800\"", "1E999", "{\"id\":\"\\udc00\"}"] {
            assert!(said(&format!("{{\"passport\":{{\"email\":{of}}},\"uid\":1}}")).is_err());
            assert!(said(&format!("{{\"x\":{{\"email\":{of}}},\"uid\":1}}")).is_ok());
        }
    }

    #[test]
    fn what_is_deep_is_left_to_the_tree() {
        for depth in [10, 62, 63, 64, 200, 10_000] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let inner = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                let value = format!("{{\"x\":{inner},\"uid\":\"a\"}}");
                let said = check(value.as_bytes(), &all_paths()).unwrap();
                assert_eq!(said > 0, depth < 64, "{depth}");
            }
        }
    }
}

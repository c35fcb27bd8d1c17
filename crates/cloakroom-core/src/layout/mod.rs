//! How other frameworks keep their sessions in Redis: which keys are sessions, in what encoding,
//! whom they belong to, what ends them. A table of layouts, and readers that are safe on any bytes.
//!
//! A server that speaks Redis' protocol asks [`Layouts::recognise`] about every key that is written,
//! so that promises of a session hold for clients that know nothing of them.

mod cookie;
mod hidden;
mod path;
mod pattern;
mod read;
mod settings;
mod table;

pub use cookie::Carried;
pub use path::Path;
pub use pattern::Pattern;
pub use read::Encoding;
pub use settings::LayoutSetting;

use sha2::{Digest, Sha256};

use crate::record::Subject;
use crate::{Error, Handle, limits};
use read::Plain;
use table::{Row, TABLE};

/// The public name of the session that has this key in this keyspace: a part of a SHA-256, so it opens
/// nothing, and is the same as long as the session has its id.
#[must_use]
pub fn handle_of(db: u8, key: &[u8]) -> Handle {
    let hash = Sha256::new()
        .chain_update(HANDLE_DOMAIN)
        .chain_update([db])
        .chain_update(key)
        .finalize();
    let mut bytes = [0; Handle::BYTES];
    bytes.copy_from_slice(&hash[..Handle::BYTES]);
    Handle::from_bytes(bytes)
}

const HANDLE_DOMAIN: &[u8; 19] = b"cloakroom/handle/1:";

/// What type of key a layout uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string: the session as one value.
    String,
    /// A hash: a field for each attribute.
    Hash,
}

/// When a key that ended may not be written again ([`limits::TOMBSTONE`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstones {
    /// Whatever ended it: the framework makes a new id for a visitor whose id it does not know.
    Always,
    /// Ended by command: always. Expired: unless what is written belongs to nobody. The framework
    /// goes on with an id that it does not know, so a visitor whose session expired a moment ago
    /// comes back under the same one, as a guest.
    Adopted,
    /// Never: the framework ends a session and goes on under the same id on purpose. One that was revoked from
    /// outside stays ended all the same.
    Never,
}

/// How one framework keeps its sessions.
#[derive(Clone, Debug)]
pub struct Layout {
    name: Box<str>,
    of: Box<str>,
    keys: Vec<Pattern>,
    head: Box<[u8]>,
    kind: Kind,
    encodings: Vec<Encoding>,
    subject: Subjects,
    zeroed: Option<Box<str>>,
    tombstones: Tombstones,
    cookies: Vec<Box<str>>,
    carried: Carried,
    companions: Vec<Box<str>>,
    locks: Vec<Pattern>,
    /// What its row says of ids and values, and what holds.
    ids: Option<bool>,
    values: Option<bool>,
    hashed: bool,
    sealed: bool,
}

/// Where subjects are: as it was written, and as it is followed.
#[derive(Clone, Debug, Default)]
struct Subjects {
    texts: Vec<Box<str>>,
    /// Into a value.
    paths: Vec<Path>,
    /// The same, if they have names alone.
    plain: Option<Plain>,
    /// Into a hash: a field, and the paths in its value.
    fields: Vec<(Box<[u8]>, Vec<Path>)>,
}

/// A value that is no session of its layout, or is over a limit: nothing is known of whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// All layouts that are recognised.
#[derive(Clone, Debug)]
pub struct Layouts {
    rows: Vec<Layout>,
    /// Rows with a key that begins with this byte, a bit for each.
    first: Box<[u64; 256]>,
    /// Rows with a key that may begin with anything: what such a key has near its end.
    any: Box<[Tail]>,
    /// Whether any row's ids are hashed: asked about every command.
    hashed: bool,
}

/// What tells a key that may begin with anything from most others at one look.
#[derive(Clone, Copy, Debug)]
struct Tail {
    row: u64,
    /// A byte of the pattern's text, and how far from the key's end it is.
    byte: u8,
    from_end: usize,
}

impl Default for Layouts {
    fn default() -> Self {
        Self::standard()
    }
}

impl Layouts {
    /// The table of `docs/layouts.md`.
    #[must_use]
    pub fn standard() -> Self {
        Self::of(TABLE.iter().map(Layout::of_row).collect())
    }

    /// No layout at all: every key is a key of Redis and no more.
    #[must_use]
    pub fn none() -> Self {
        Self::of(Vec::new())
    }

    /// With these settings over the table: a row of a known name is changed by what it says, one of
    /// another name is added in front.
    ///
    /// # Errors
    /// What is wrong with a setting, and what to write instead.
    pub fn with(settings: &[LayoutSetting]) -> Result<Self, Error> {
        let mut rows: Vec<Layout> = TABLE.iter().map(Layout::of_row).collect();
        settings::apply(&mut rows, settings)?;
        Ok(Self::of(rows))
    }

    fn of(rows: Vec<Layout>) -> Self {
        let mut first = Box::new([0; 256]);
        let mut any = Vec::new();
        for (bit, row) in rows.iter().enumerate().take(limits::LAYOUTS) {
            for pattern in &row.keys {
                match pattern.first() {
                    Some(byte) => first[usize::from(byte)] |= 1 << bit,
                    None => {
                        for hashed in [false, true] {
                            let (byte, from_end) = pattern.tail(hashed);
                            if row.hashed || !hashed {
                                any.push(Tail {
                                    row: 1 << bit,
                                    byte,
                                    from_end,
                                });
                            }
                        }
                    }
                }
            }
        }
        Self {
            hashed: rows.iter().any(|row| row.hashed),
            rows,
            first,
            any: any.into(),
        }
    }

    /// The layout of a session's key and the id in it, or what stands for the id; `None` for every other
    /// key.
    #[must_use]
    pub fn recognise<'k>(&self, key: &'k [u8]) -> Option<(&Layout, &'k [u8])> {
        let (number, id) = self.find(key)?;
        Some((self.rows.get(number)?, id))
    }

    /// As [`Layouts::recognise`], with the layout's number.
    #[must_use]
    pub fn find<'k>(&self, key: &'k [u8]) -> Option<(usize, &'k [u8])> {
        let mut candidates = self.first[usize::from(*key.first()?)];
        for tail in &*self.any {
            let at = key.len().wrapping_sub(tail.from_end);
            if key.get(at) == Some(&tail.byte) {
                candidates |= tail.row;
            }
        }
        while candidates != 0 {
            let number = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let row = self.rows.get(number)?;
            if let Some(id) = row.keys.iter().find_map(|pattern| row.id(pattern, key)) {
                return Some((number, id));
            }
        }
        None
    }

    /// The layout of this number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&Layout> {
        self.rows.get(number)
    }

    /// The layout of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Layout> {
        self.iter().find(|layout| *layout.name == *name)
    }

    /// All of them, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Layout> {
        self.rows.iter()
    }
}

impl Layout {
    fn of_row(row: &Row) -> Self {
        let pattern = |text: &&str| Pattern::parse(text).expect("a pattern of the table");
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
        Self {
            name: row.name.into(),
            of: row.of.into(),
            keys: row.keys.iter().map(pattern).collect(),
            head: row.head.as_bytes().into(),
            kind: row.kind,
            encodings: row.encodings.to_vec(),
            subject: Subjects::parse(row.subject, row.kind).expect("paths of the table"),
            zeroed: row.zeroed.map(Into::into),
            tombstones: row.tombstones,
            cookies: texts(row.cookies),
            carried: row.carried,
            companions: texts(row.companions),
            locks: row.locks.iter().map(pattern).collect(),
            ids: None,
            values: None,
            hashed: false,
            sealed: false,
        }
    }

    fn id<'k>(&self, pattern: &Pattern, key: &'k [u8]) -> Option<&'k [u8]> {
        let hashed = || key.get(pattern.hashed_place(key)?).filter(|_| self.hashed);
        pattern.id(key).or_else(hashed)
    }

    /// Its name in settings, lists and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The frameworks that use it, for people.
    #[must_use]
    pub fn of_whom(&self) -> &str {
        &self.of
    }

    /// Shapes of its keys.
    #[must_use]
    pub fn keys(&self) -> &[Pattern] {
        &self.keys
    }

    /// The type of its keys.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Encodings of its values; the first that a value looks like is taken.
    #[must_use]
    pub fn encodings(&self) -> &[Encoding] {
        &self.encodings
    }

    /// Where its subject is, as text; the first path that leads to one is taken.
    pub fn subject_paths(&self) -> impl Iterator<Item = &str> {
        self.subject.texts.iter().map(|text| &**text)
    }

    /// When a key that ended may not be written again.
    #[must_use]
    pub const fn tombstones(&self) -> Tombstones {
        self.tombstones
    }

    /// The names of its cookie.
    pub fn cookies(&self) -> impl Iterator<Item = &str> {
        self.cookies.iter().map(|name| &**name)
    }

    /// How its cookie carries the id.
    #[must_use]
    pub const fn carried(&self) -> Carried {
        self.carried
    }

    /// The same, for people.
    #[must_use]
    pub const fn carried_how(&self) -> &'static str {
        self.carried.name()
    }

    /// Examples of keys beside its sessions that are none.
    pub fn companions(&self) -> impl Iterator<Item = &str> {
        self.companions.iter().map(|key| &**key)
    }

    /// Shapes of keys beside its sessions that have the id in them and are locks.
    #[must_use]
    pub fn locks(&self) -> &[Pattern] {
        &self.locks
    }

    /// The field of the hash that ends the session when it is set to 0.
    #[must_use]
    pub fn zeroed(&self) -> Option<&str> {
        self.zeroed.as_deref()
    }

    /// Whom a session belongs to, of its value; `None` too if it cannot be read.
    #[must_use]
    pub fn subject(&self, value: &[u8]) -> Option<Subject> {
        self.subject_of_value(value).ok().flatten()
    }

    /// As [`Layout::subject`], and tells nobody's from what cannot be read.
    ///
    /// # Errors
    /// [`Unreadable`] if `value` is in none of the encodings, or over a limit.
    pub fn subject_of_value(&self, value: &[u8]) -> Result<Option<Subject>, Unreadable> {
        if self.subject.paths.is_empty() {
            return Ok(None);
        }
        self.first_subject(value, &self.subject.paths, self.subject.plain.as_ref())
    }

    /// Whom a session that is a hash belongs to, by asking for its fields.
    ///
    /// # Errors
    /// [`Unreadable`] if a field that could say so is in none of the encodings, or over a limit.
    pub fn subject_of_fields<V: AsRef<[u8]>>(
        &self,
        mut field: impl FnMut(&[u8]) -> Option<V>,
    ) -> Result<Option<Subject>, Unreadable> {
        let mut unreadable = false;
        for (name, paths) in &self.subject.fields {
            // An attribute that was removed is written as nothing.
            let Some(value) = field(name).filter(|value| !value.as_ref().is_empty()) else {
                continue;
            };
            match self.first_subject(value.as_ref(), paths, None) {
                Ok(Some(subject)) => return Ok(Some(subject)),
                Ok(None) => {}
                Err(Unreadable) => unreadable = true,
            }
        }
        if unreadable {
            Err(Unreadable)
        } else {
            Ok(None)
        }
    }

    /// Whether this field of its hash may say whom the session belongs to.
    #[must_use]
    pub fn names_subject(&self, field: &[u8]) -> bool {
        let mut fields = self.subject.fields.iter();
        fields.any(|(name, _)| **name == *field)
    }

    /// Whether writing `value` into `field` of its hash ends the session.
    #[must_use]
    pub fn ends_by(&self, field: &[u8], value: &[u8]) -> bool {
        if self.zeroed.as_ref().is_none_or(|it| it.as_bytes() != field) {
            return false;
        }
        let number = self.first_subject(value, &[Path::whole()], None);
        matches!(number, Ok(Some(number)) if number.as_str() == "0")
    }

    /// The key of the session that a cookie of the framework belongs to, if the id can be found in it.
    /// `value` is as the browser sends it.
    #[must_use]
    pub fn key_of_cookie(&self, value: &str) -> Option<Vec<u8>> {
        let id = self.carried.id(value)?;
        let pattern = self.keys.iter().find(|pattern| pattern.fits(&id))?;
        Some(pattern.key(&self.head, &id))
    }

    /// Whom `paths` lead to, of which `plain` is made if they are.
    fn first_subject(
        &self,
        value: &[u8],
        paths: &[Path],
        plain: Option<&Plain>,
    ) -> Result<Option<Subject>, Unreadable> {
        for encoding in self.encodings.iter().filter(|it| it.begins(value)) {
            if *encoding == Encoding::Json
                && let Some(said) = plain.and_then(|plain| plain.subject(value))
            {
                return Ok(said);
            }
            if let Some(tree) = encoding.read(value, paths) {
                return Ok(paths.iter().find_map(|path| path.subject(&tree)));
            }
        }
        Err(Unreadable)
    }
}

impl Subjects {
    /// `None` if a path is none.
    fn parse<T: AsRef<str>>(texts: &[T], kind: Kind) -> Option<Self> {
        let mut subjects = Self::default();
        for text in texts {
            let path = Path::parse(text.as_ref())?;
            subjects.texts.push(text.as_ref().into());
            match kind {
                Kind::String => subjects.paths.push(path),
                Kind::Hash => {
                    let (field, rest) = path.after_field()?;
                    match subjects.fields.last_mut() {
                        Some((last, paths)) if **last == *field => paths.push(rest),
                        _ => subjects.fields.push((field.into(), vec![rest])),
                    }
                }
            }
        }
        subjects.plain = Plain::of(&subjects.paths);
        Some(subjects)
    }
}

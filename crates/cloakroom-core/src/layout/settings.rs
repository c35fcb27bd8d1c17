//! Layouts as an operator writes them, over those of the table:
//! `myapp key=myapp:{id:32:hex} encoding=json subject=user/id; php tombstones=always; rails off`.

use super::read::Encoding;
use super::{Carried, Kind, Layout, Pattern, Subjects, Tombstones};
use crate::{Error, ErrorKind, limits};

/// What was written about one layout, checked.
#[derive(Clone, Debug, Default)]
pub struct LayoutSetting {
    name: Box<str>,
    off: bool,
    keys: Vec<Pattern>,
    head: Option<Box<str>>,
    kind: Option<Kind>,
    encodings: Vec<Encoding>,
    subject: Vec<Box<str>>,
    tombstones: Option<Tombstones>,
    cookies: Vec<Box<str>>,
    carried: Option<Carried>,
    ids: Option<bool>,
    values: Option<bool>,
}

const KINDS: [(&str, Kind); 2] = [("string", Kind::String), ("hash", Kind::Hash)];

const IDS: [(&str, bool); 2] = [("hashed", true), ("plain", false)];
const VALUES: [(&str, bool); 2] = [("sealed", true), ("plain", false)];

/// Every choice with its name.
pub(super) const TOMBSTONES: [(&str, Tombstones); 3] = [
    ("always", Tombstones::Always),
    ("adopted", Tombstones::Adopted),
    ("never", Tombstones::Never),
];

const CARRIED: [(&str, Carried); 7] = [
    ("plain", Carried::Plain),
    ("signed", Carried::Signed),
    ("base64", Carried::Base64),
    ("securecookie", Carried::SecureCookie),
    ("sha256", Carried::Rack),
    ("ticket", Carried::OauthTicket),
    ("sealed", Carried::Sealed),
];

impl LayoutSetting {
    /// Reads rows divided by `;`. Each begins with a name and goes on with `key=`, `head=`, `type=`,
    /// `encoding=`, `subject=`, `tombstones=`, `cookie=`, `carried=`, `ids=`, `values=` (several divided
    /// by `,`), or `off`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSetting`]: which part, and what to write instead.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Error> {
        let rows = text.split(';').map(str::trim).filter(|row| !row.is_empty());
        rows.map(Self::parse).collect()
    }

    fn parse(row: &str) -> Result<Self, Error> {
        let mut words = row.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        if name.contains('=') {
            return Err(wrong(
                name,
                "a layout begins with its name: myapp key=myapp:{id}",
            ));
        }
        let mut setting = Self {
            name: name.into(),
            ..Self::default()
        };
        for word in words {
            setting.take(word)?;
        }
        Ok(setting)
    }

    fn take(&mut self, word: &str) -> Result<(), Error> {
        let Some((what, value)) = word.split_once('=') else {
            self.off = word == "off";
            return if self.off {
                Ok(())
            } else {
                Err(wrong(word, "write off, or what=value"))
            };
        };
        let each = || value.split(',').filter(|part| !part.is_empty());
        match what {
            "key" => {
                for part in each() {
                    self.keys
                        .push(Pattern::parse(part).map_err(|fix| wrong(part, fix))?);
                }
            }
            "head" => self.head = Some(value.into()),
            "type" => self.kind = Some(one_of(value, &KINDS, "type is string or hash")?),
            "encoding" => {
                for part in each() {
                    let encoding = Encoding::of_name(part).ok_or_else(|| {
                        let fix = "encodings are json, msgpack, pickle, jdk, php-session, php, \
                                   marshal, gob and sealed";
                        wrong(part, fix)
                    })?;
                    self.encodings.push(encoding);
                }
            }
            "subject" => self.subject.extend(each().map(Into::into)),
            "tombstones" => {
                let fix = "tombstones are always, adopted or never";
                self.tombstones = Some(one_of(value, &TOMBSTONES, fix)?);
            }
            "cookie" => self.cookies.extend(each().map(Into::into)),
            "carried" => {
                let fix =
                    "carried is plain, signed, base64, securecookie, sha256, ticket or sealed";
                self.carried = Some(one_of(value, &CARRIED, fix)?);
            }
            "ids" => self.ids = Some(one_of(value, &IDS, "ids are hashed or plain")?),
            "values" => self.values = Some(one_of(value, &VALUES, "values are sealed or plain")?),
            _ => {
                let fix = "a layout has key, head, type, encoding, subject, tombstones, cookie, \
                           carried, ids and values";
                return Err(wrong(word, fix));
            }
        }
        Ok(())
    }
}

/// Puts settings over rows.
pub(super) fn apply(rows: &mut Vec<Layout>, settings: &[LayoutSetting]) -> Result<(), Error> {
    for setting in settings {
        if setting.off {
            rows.retain(|row| *row.name != *setting.name);
            continue;
        }
        match rows.iter_mut().find(|row| *row.name == *setting.name) {
            Some(row) => change(row, setting)?,
            None => rows.insert(0, added(setting)?),
        }
    }
    if rows.len() > limits::LAYOUTS {
        return Err(wrong(
            "",
            "there may be 64 layouts, those of the table among them",
        ));
    }
    Ok(())
}

fn added(setting: &LayoutSetting) -> Result<Layout, Error> {
    if setting.keys.is_empty() || setting.encodings.is_empty() {
        let fix = "a layout that is not in the table needs key=.. and encoding=..";
        return Err(wrong(&setting.name, fix));
    }
    let mut layout = Layout {
        name: setting.name.clone(),
        of: "as configured".into(),
        keys: Vec::new(),
        head: Box::default(),
        kind: Kind::String,
        encodings: Vec::new(),
        subject: Subjects::default(),
        zeroed: None,
        tombstones: Tombstones::Always,
        cookies: Vec::new(),
        carried: Carried::Plain,
        companions: Vec::new(),
        locks: Vec::new(),
        ids: None,
        values: None,
        hashed: false,
        sealed: false,
    };
    change(&mut layout, setting)?;
    Ok(layout)
}

fn change(layout: &mut Layout, setting: &LayoutSetting) -> Result<(), Error> {
    fn put<T: Clone>(place: &mut Vec<T>, new: &[T]) {
        if !new.is_empty() {
            *place = new.to_vec();
        }
    }
    put(&mut layout.keys, &setting.keys);
    put(&mut layout.encodings, &setting.encodings);
    put(&mut layout.cookies, &setting.cookies);
    if let Some(head) = &setting.head {
        layout.head = head.as_bytes().into();
    }
    layout.kind = setting.kind.unwrap_or(layout.kind);
    layout.tombstones = setting.tombstones.unwrap_or(layout.tombstones);
    layout.carried = setting.carried.unwrap_or(layout.carried);
    layout.ids = setting.ids.or(layout.ids);
    layout.values = setting.values.or(layout.values);
    layout.hashed = layout.ids == Some(true);
    layout.sealed = layout.values == Some(true);
    if !setting.subject.is_empty() || setting.kind.is_some() {
        let texts = if setting.subject.is_empty() {
            &layout.subject.texts
        } else {
            &setting.subject
        };
        let subject = Subjects::parse(texts, layout.kind);
        layout.subject = subject.ok_or_else(|| {
            let fix =
                "a subject is a path: user/id, login_*, data/!php/user; of a hash its field first";
            wrong(&setting.subject.join(","), fix)
        })?;
    }
    Ok(())
}

fn one_of<T: Copy>(value: &str, all: &[(&str, T)], fix: &'static str) -> Result<T, Error> {
    let found = all.iter().find(|(name, _)| *name == value);
    found.map(|(_, it)| *it).ok_or_else(|| wrong(value, fix))
}

fn wrong(value: &str, fix: &'static str) -> Error {
    ErrorKind::InvalidSetting {
        setting: "layouts",
        value: value.to_owned(),
        fix,
    }
    .into()
}

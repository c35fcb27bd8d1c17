//! `deny.toml` at the root, as far as we use cargo-deny's format: which licences and which crates
//! may be in the tree. Read here too, so that the check needs neither the tool nor a network.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// What `deny.toml` says.
#[derive(Debug, Default)]
pub struct Deny {
    /// SPDX identifiers that are fine anywhere.
    pub licenses: BTreeSet<String>,
    /// More identifiers for one crate each.
    pub exceptions: Vec<(String, BTreeSet<String>)>,
    /// Crates that may not be in the tree.
    pub bans: Vec<Ban>,
}

/// A crate that may not be in the tree, or only below certain others.
#[derive(Debug)]
pub struct Ban {
    /// The crate's name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Crates that may depend on it all the same.
    pub wrappers: BTreeSet<String>,
}

impl Deny {
    /// Reads the file.
    ///
    /// # Errors
    /// If it is no TOML, or a ban has no reason.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: Table = text
            .parse()
            .map_err(|error: toml::de::Error| error.to_string())?;
        let licenses = file.get("licenses");
        let exceptions =
            rows(licenses, "exceptions").map(|row| (name(row), strings(row.get("allow"))));
        let bans = rows(file.get("bans"), "deny").map(|row| {
            let reason = row.get("reason").and_then(Value::as_str);
            Ok(Ban {
                name: name(row),
                reason: reason
                    .ok_or_else(|| format!("the ban of {} has no reason", name(row)))?
                    .to_owned(),
                wrappers: strings(row.get("wrappers")),
            })
        });
        Ok(Self {
            licenses: strings(licenses.and_then(|table| table.get("allow"))),
            exceptions: exceptions.collect(),
            bans: bans.collect::<Result<_, String>>()?,
        })
    }

    /// Whether `krate` may have this licence: an SPDX expression of `AND`, `OR`, `WITH` and
    /// parentheses, or the older `MIT/Apache-2.0`.
    #[must_use]
    pub fn allows(&self, krate: &str, expression: &str) -> bool {
        let spaced = expression
            .replace('(', " ( ")
            .replace(')', " ) ")
            .replace('/', " OR ");
        let spaced = spaced.replace(" WITH ", "\u{1}");
        let words: Vec<String> = spaced
            .split_whitespace()
            .map(|word| word.replace('\u{1}', " WITH "))
            .collect();
        let fine = |license: &str| {
            self.licenses.contains(license)
                || self
                    .exceptions
                    .iter()
                    .any(|(name, more)| name == krate && more.contains(license))
        };
        let mut rest = words.as_slice();
        let allowed = any_of(&mut rest, &fine);
        allowed && rest.is_empty()
    }
}

fn any_of(words: &mut &[String], fine: &dyn Fn(&str) -> bool) -> bool {
    let mut allowed = all_of(words, fine);
    while let [or, rest @ ..] = *words
        && or == "OR"
    {
        *words = rest;
        allowed |= all_of(words, fine);
    }
    allowed
}

fn all_of(words: &mut &[String], fine: &dyn Fn(&str) -> bool) -> bool {
    let mut allowed = one(words, fine);
    while let [and, rest @ ..] = *words
        && and == "AND"
    {
        *words = rest;
        allowed &= one(words, fine);
    }
    allowed
}

fn one(words: &mut &[String], fine: &dyn Fn(&str) -> bool) -> bool {
    let [word, rest @ ..] = *words else {
        return false;
    };
    *words = rest;
    if word != "(" {
        return fine(word);
    }
    let allowed = any_of(words, fine);
    if let [close, rest @ ..] = *words
        && close == ")"
    {
        *words = rest;
        return allowed;
    }
    false
}

fn rows<'a>(table: Option<&'a Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    let rows = table
        .and_then(|table| table.get(key))
        .and_then(Value::as_array);
    rows.into_iter().flatten()
}

fn name(row: &Value) -> String {
    let name = row.get("crate").or_else(|| row.get("name"));
    name.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn strings(value: Option<&Value>) -> BTreeSet<String> {
    let values = value.and_then(Value::as_array).into_iter().flatten();
    values
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

//! `tidy/exceptions.toml`: where a rule does not hold, and why. An exception that nothing needs any
//! more is a fault itself, and so is a ceiling above what is there, so the list only shrinks.

use toml::{Table, Value};

use crate::{Fault, Repo};

const PATH: &str = "tidy/exceptions.toml";

/// One place where one rule does not hold.
#[derive(Clone, Debug)]
pub struct Exception {
    /// The rule's name.
    pub rule: String,
    /// The file, as in [`Fault::path`].
    pub path: String,
    /// For a ceiling: the size that is there now, in lines.
    pub size: Option<usize>,
    /// Why.
    pub reason: String,
}

/// The exceptions of a repository; none if it has no list.
///
/// # Panics
/// If the list is no TOML or a row lacks its rule, path or reason: then no rule can be judged.
#[must_use]
pub fn read(repo: &Repo) -> Vec<Exception> {
    let text = repo.text(PATH).unwrap_or_default();
    let file: Table = text.parse().expect("tidy/exceptions.toml is TOML");
    let rows = file.get("exception").and_then(Value::as_array);
    rows.into_iter().flatten().map(row).collect()
}

/// Takes the excused faults out of what `rule` found, and adds the exceptions that excuse nothing.
#[must_use]
pub fn excuse(rule: &str, found: Vec<Fault>, exceptions: &[Exception]) -> Vec<Fault> {
    let ours = || exceptions.iter().filter(|exception| exception.rule == rule);
    let mut left: Vec<Fault> = Vec::new();
    let mut excused: Vec<Fault> = Vec::new();
    for fault in found {
        let excuse = ours().any(|it| it.path == fault.path && (fault.size <= it.size));
        if excuse { &mut excused } else { &mut left }.push(fault);
    }
    for exception in ours() {
        let of_it = || excused.iter().filter(|fault| fault.path == exception.path);
        if of_it().next().is_none() {
            let what = format!("the exception for {} is no longer needed", exception.path);
            left.push(Fault::of(PATH, what));
        } else if let Some(largest) = of_it().map(|fault| fault.size).max()
            && largest != exception.size
        {
            let what = format!("lower the exception for {} to {largest:?}", exception.path);
            left.push(Fault::of(PATH, what));
        }
    }
    left
}

fn row(row: &Value) -> Exception {
    let text = |key: &str| {
        let text = row.get(key).and_then(Value::as_str).unwrap_or_default();
        assert!(!text.is_empty(), "an exception lacks its {key}: {row}");
        text.to_owned()
    };
    let size = row.get("size").and_then(Value::as_integer);
    Exception {
        rule: text("rule"),
        path: text("path"),
        size: size.and_then(|size| usize::try_from(size).ok()),
        reason: text("reason"),
    }
}

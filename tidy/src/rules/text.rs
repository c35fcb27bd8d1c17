//! Rules about text of any kind.

use crate::{Fault, Repo};

/// Endings of files that machines run: these are ASCII. Pages for people may have letters.
const SOURCES: [&str; 6] = [".rs", ".toml", ".sh", "test", "run", ".proto"];

/// Directories that exist on a developer's machine alone, each written in two parts so that this
/// table does not break its own rule.
const MACHINE_PATHS: [(&str, &str); 4] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/home", "/"),
    ("/User", "s/"),
];

/// Hosts of package registries and mirrors, in two parts as well.
const REGISTRIES: [(&str, &str); 14] = [
    ("crates", ".io"),
    ("registry.npmjs", ".org"),
    ("npmjs", ".com"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("repo.maven", ".apache.org"),
    ("repo1.maven", ".org"),
    ("deb.debian", ".org"),
    ("archive.ubuntu", ".com"),
    ("proxy.golang", ".org"),
    ("rubygems", ".org"),
    ("packagist", ".org"),
    ("docker", ".io"),
    ("static.rust-lang", ".org"),
];

/// Cargo writes the name of the registry into every lock file.
const LOCK: &str = "Cargo.lock";

pub(super) fn ascii(repo: &Repo) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, bytes) in repo.files().filter(|(path, _)| is_source(path)) {
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if !line.is_ascii() {
                faults.push(Fault::at(
                    path,
                    index + 1,
                    "not ASCII: write \\u{..} in code, plain words in comments",
                ));
            }
        }
    }
    faults
}

pub(super) fn no_machine_paths(repo: &Repo) -> Vec<Fault> {
    needles(repo, &MACHINE_PATHS, |text, at| {
        // A path begins here, rather than being the middle of another one (`/network/`, a URL).
        let before = text[..at].chars().next_back();
        before.is_none_or(|char| !char.is_alphanumeric() && !"./-_}*".contains(char))
    })
}

pub(super) fn no_registry_hosts(repo: &Repo) -> Vec<Fault> {
    needles(repo, &REGISTRIES, |_, _| true)
}

fn needles(repo: &Repo, table: &[(&str, &str)], counts: fn(&str, usize) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let texts = repo
        .texts()
        .filter(|(path, _)| path.rsplit('/').next() != Some(LOCK));
    for (path, text) in texts {
        for (index, line) in text.lines().enumerate() {
            let found = table.iter().map(|(head, tail)| format!("{head}{tail}"));
            let found = found.filter(|needle| {
                line.match_indices(needle.as_str())
                    .any(|(at, _)| counts(line, at))
            });
            faults.extend(
                found.map(|needle| Fault::at(path, index + 1, format!("{needle} is named"))),
            );
        }
    }
    faults
}

fn is_source(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    SOURCES.iter().any(|end| {
        if end.starts_with('.') {
            name.ends_with(end)
        } else {
            name == *end
        }
    })
}

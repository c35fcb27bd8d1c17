//! What the core's source may not name: everything that makes an outcome depend on the machine.
//! That no such crate is below it is the crate picture's rule.

use crate::{Fault, Repo};

const CORE: &str = "crates/cloakroom-core/src/";

/// The kit is handed to tests of stores, which run on real machines.
const TESTKIT: &str = "crates/cloakroom-core/src/testkit/";

/// Modules of the standard library, and what to do instead.
const MODULES: [(&str, &str); 6] = [
    ("net", "sockets are a store's"),
    ("fs", "files are a store's"),
    ("env", "settings are handed in"),
    ("process", "the process is the binary's"),
    ("thread", "a `Spawn` is handed in"),
    ("io", "bytes come and go as slices"),
];

const NAMES: [(&str, &str); 5] = [
    ("SystemTime", "a `Clock` is handed in"),
    ("Instant", "a `Clock` is handed in"),
    ("tokio", "the core has no runtime"),
    ("println", "the core reports events"),
    ("eprintln", "the core reports events"),
];

pub(super) fn core_purity(repo: &Repo) -> Vec<Fault> {
    let core = repo
        .rust()
        .iter()
        .filter(|file| file.path.starts_with(CORE) && !file.path.starts_with(TESTKIT));
    let mut faults = Vec::new();
    for file in core {
        for (module, instead) in MODULES {
            let found = file.find(&["std", ":", ":", module]).collect::<Vec<_>>();
            let grouped = grouped(file, module);
            let what = format!("std::{module} in the core: {instead}");
            let lines = found
                .into_iter()
                .chain(grouped)
                .filter(|line| !file.is_test(*line));
            faults.extend(lines.map(|line| Fault::at(&file.path, line, what.clone())));
        }
        for (name, instead) in NAMES {
            let named = file
                .tokens
                .iter()
                .filter(|token| token.text == name && !file.is_test(token.line));
            faults.extend(named.map(|token| {
                Fault::at(
                    &file.path,
                    token.line,
                    format!("{name} in the core: {instead}"),
                )
            }));
        }
    }
    faults
}

/// Lines on which `use std::{..}` has `module` among the names of its group.
fn grouped(file: &crate::rust_file::RustFile, module: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    for (start, window) in file.tokens.windows(4).enumerate() {
        let texts: Vec<&str> = window.iter().map(|token| token.text.as_str()).collect();
        if texts == ["std", ":", ":", "{"] {
            let group = file.tokens[start..]
                .iter()
                .take_while(|token| token.text != ";");
            lines.extend(
                group
                    .filter(|token| token.text == module)
                    .map(|token| token.line),
            );
        }
    }
    lines
}

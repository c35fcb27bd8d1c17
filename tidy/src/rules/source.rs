//! Rules about a single Rust source.

use crate::rust_file::{RustFile, Token};
use crate::{Fault, Repo};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;

/// The one crate that may hold unsafe code; and the benchmarks, which ask the system for CPU time.
const UNSAFE_IN: [&str; 2] = ["crates/cloakroom-embedded/", "bench/"];

pub(super) fn opens_with_why(repo: &Repo) -> Vec<Fault> {
    let silent = |file: &&RustFile| {
        let why = file
            .text
            .strip_prefix("//!")
            .and_then(|rest| rest.lines().next());
        why.is_none_or(|why| why.trim().len() < 10)
    };
    let files = repo.rust().iter().filter(silent);
    files
        .map(|file| Fault::at(&file.path, 1, "open with `//!` and why the file exists"))
        .collect()
}

pub(super) fn file_ceiling(repo: &Repo) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in repo.rust() {
        let in_tests = file.is_test(1);
        let size = file.code_lines(|line| in_tests || !file.is_test(line));
        if size > FILE_LINES {
            let what = format!("{size} code lines, the ceiling is {FILE_LINES}");
            faults.push(Fault {
                size: Some(size),
                ..Fault::of(&file.path, what)
            });
        }
    }
    faults
}

pub(super) fn function_ceiling(repo: &Repo) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in repo.rust() {
        for function in &file.functions {
            let size = file.code_lines(|line| function.lines.contains(&line));
            if size > FUNCTION_LINES {
                let what = format!(
                    "fn {} has {size} code lines, the ceiling is {FUNCTION_LINES}",
                    function.name
                );
                let at = Fault::at(&file.path, *function.lines.start(), what);
                faults.push(Fault {
                    size: Some(size),
                    ..at
                });
            }
        }
    }
    faults
}

pub(super) fn no_unwrap(repo: &Repo) -> Vec<Fault> {
    let what = "no unwrap outside tests: return the error, or `expect` the invariant";
    let mut faults = Vec::new();
    for file in repo.rust() {
        let lines = file
            .find(&[".", "unwrap", "(", ")"])
            .filter(|line| !file.is_test(*line));
        faults.extend(lines.map(|line| Fault::at(&file.path, line, what)));
    }
    faults
}

pub(super) fn no_leftovers(repo: &Repo) -> Vec<Fault> {
    const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut faults = Vec::new();
    for file in repo.rust() {
        for name in MACROS {
            let lines = file.find(&[name, "!"]).collect::<Vec<_>>();
            faults.extend(
                lines
                    .iter()
                    .map(|line| Fault::at(&file.path, *line, format!("{name}! is left over"))),
            );
        }
    }
    for (path, text) in repo.texts() {
        for (index, line) in text.lines().enumerate() {
            let word = words.iter().find(|word| {
                line.split(|char: char| !char.is_ascii_alphanumeric())
                    .any(|part| part == **word)
            });
            faults.extend(word.map(|word| {
                Fault::at(
                    path,
                    index + 1,
                    format!("{word} is an issue, not a comment"),
                )
            }));
        }
    }
    faults
}

pub(super) fn no_bare_matches(repo: &Repo) -> Vec<Fault> {
    let what = "`matches!(..);` asserts nothing: assert! it";
    let files = repo.rust().iter();
    files
        .flat_map(|file| {
            file.bare_matches
                .iter()
                .map(|line| Fault::at(&file.path, *line, what))
        })
        .collect()
}

pub(super) fn no_ignored_tests(repo: &Repo) -> Vec<Fault> {
    let what = "no test is skipped: let it fail and name the command that installs what it needs";
    let mut faults = Vec::new();
    for file in repo.rust() {
        faults.extend(
            file.find(&["#", "[", "ignore"])
                .map(|line| Fault::at(&file.path, line, what)),
        );
    }
    faults
}

pub(super) fn safety(repo: &Repo) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in repo.rust() {
        for Token { line, .. } in file.tokens.iter().filter(|token| token.text == "unsafe") {
            if !UNSAFE_IN.iter().any(|place| file.path.starts_with(place)) {
                faults.push(Fault::at(
                    &file.path,
                    *line,
                    "only cloakroom-embedded may hold unsafe code",
                ));
            } else if !says_why_it_is_sound(file, *line) {
                faults.push(Fault::at(
                    &file.path,
                    *line,
                    "say above it, `// SAFETY: ...`, why it is sound",
                ));
            }
        }
    }
    faults
}

fn says_why_it_is_sound(file: &RustFile, line: usize) -> bool {
    let above: Vec<&str> = file.text.lines().take(line - 1).collect();
    let comment = above.iter().rev().take_while(|line| {
        let line = line.trim_start();
        line.starts_with("//") || line.starts_with("#[")
    });
    comment
        .into_iter()
        .any(|line| line.contains("// SAFETY: ") || line.contains("/// # Safety"))
}

//! Rules about Markdown pages.

use crate::{Fault, Repo, markdown};

/// The crate that compiles the Rust of all pages.
const COMPILES_PAGES: &str = "tidy/pages/src/lib.rs";

pub(super) fn links(repo: &Repo) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in repo.pages() {
        for (line, target) in markdown::links(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() {
                Some(path.to_owned())
            } else {
                beside(path, file)
            };
            let Some(file) = file.filter(|file| repo.contains(file)) else {
                faults.push(Fault::at(path, line, format!("{target} leads nowhere")));
                continue;
            };
            let page = repo.text(&file).unwrap_or_default();
            if !anchor.is_empty()
                && file.ends_with(".md")
                && !markdown::anchors(page).iter().any(|it| it == anchor)
            {
                faults.push(Fault::at(
                    path,
                    line,
                    format!("{file} has no heading #{anchor}"),
                ));
            }
        }
    }
    faults
}

/// Pages name files as `crates/x/src/y.rs` and functions in them as `crates/x/src/y.rs::name`.
pub(super) fn named_files(repo: &Repo) -> Vec<Fault> {
    let tops = [
        "crates/",
        "tidy/",
        "docs/",
        "bench/",
        "examples/",
        "fuzz/",
        "clients/",
        ".ci/",
    ];
    let mut faults = Vec::new();
    for (path, text) in repo.pages() {
        for (line, word) in markdown::code_words(text) {
            let is_path = tops.iter().any(|top| word.starts_with(top))
                && !word.contains(['<', '*', ' ', '{']);
            if !is_path {
                continue;
            }
            let (file, item) = word.split_once("::").unwrap_or((&word, ""));
            if !repo.contains(file) {
                faults.push(Fault::at(
                    path,
                    line,
                    format!("{file} is named but not there"),
                ));
            } else if !item.is_empty() && !has_function(repo, file, item) {
                faults.push(Fault::at(path, line, format!("{file} has no fn {item}")));
            }
        }
    }
    faults
}

pub(super) fn all_listed(repo: &Repo) -> Vec<Fault> {
    let index = "docs/README.md";
    let Some(text) = repo.text(index) else {
        return vec![Fault::of(index, "is missing: it lists the pages of docs/")];
    };
    let linked: Vec<String> = markdown::links(text)
        .into_iter()
        .filter_map(|(_, target)| beside(index, &target))
        .collect();
    let pages = repo
        .pages()
        .filter(|(path, _)| path.starts_with("docs/") && *path != index);
    let lost = pages.filter(|(path, _)| !linked.iter().any(|target| target == path));
    lost.map(|(path, _)| Fault::of(path, format!("{index} does not link to it")))
        .collect()
}

pub(super) fn changelog(repo: &Repo) -> Vec<Fault> {
    let path = "CHANGELOG.md";
    let text = repo.text(path).unwrap_or_default();
    let has_section = text.lines().any(|line| line == "## [Unreleased]");
    if has_section {
        Vec::new()
    } else {
        vec![Fault::of(path, "has no section `## [Unreleased]`")]
    }
}

pub(super) fn format_versions(repo: &Repo) -> Vec<Fault> {
    let formats = repo
        .pages()
        .filter(|(path, _)| path.starts_with("docs/formats/"));
    let has_version = |text: &str| {
        let mut versions = text.lines().filter_map(|line| line.strip_prefix("Version"));
        versions.any(|it| {
            it.trim_start_matches([':', ' '])
                .starts_with(|it: char| it.is_ascii_digit())
        })
    };
    let silent = formats.filter(|(_, text)| !has_version(text));
    silent
        .map(|(path, _)| {
            Fault::of(
                path,
                "has no line that begins with `Version` and its number",
            )
        })
        .collect()
}

pub(super) fn compiled(repo: &Repo) -> Vec<Fault> {
    let list = repo.text(COMPILES_PAGES).unwrap_or_default();
    let has_rust = |text: &str| {
        markdown::blocks(text)
            .iter()
            .any(|block| block.language.starts_with("rust"))
    };
    let pages = repo
        .pages()
        .filter(|(path, text)| has_rust(text) && !path.starts_with("crates/"));
    let lost = pages.filter(|(path, _)| !list.contains(&format!("../../../{path}\"")));
    lost.map(|(path, _)| {
        Fault::of(
            path,
            format!("has Rust that {COMPILES_PAGES} does not include"),
        )
    })
    .collect()
}

fn has_function(repo: &Repo, file: &str, name: &str) -> bool {
    let found = repo.rust().iter().find(|source| source.path == file);
    found.is_some_and(|source| {
        source
            .functions
            .iter()
            .any(|function| function.name == name)
    })
}

/// What `target` in the page `path` is from the root of the repository.
fn beside(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => {
                parts.pop()?;
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

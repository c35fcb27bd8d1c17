//! Which sources cargo compiles: the roots of crates, and what they mount with `mod`.

use std::collections::BTreeSet;

use crate::rust_file::RustFile;
use crate::{Fault, Repo};

pub(super) fn mounted(repo: &Repo) -> Vec<Fault> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<&RustFile> = repo
        .rust()
        .iter()
        .filter(|file| is_root(repo, &file.path))
        .collect();
    while let Some(file) = open.pop() {
        if !reached.insert(file.path.clone()) {
            continue;
        }
        let children = file.modules.iter().flat_map(|module| file.places(module));
        let children: Vec<String> = children.collect();
        open.extend(
            repo.rust()
                .iter()
                .filter(|other| children.contains(&other.path)),
        );
    }
    let dead = repo
        .rust()
        .iter()
        .filter(|file| !reached.contains(&file.path));
    let dead = dead.filter(|file| !is_case_of_a_test(repo, &reached, &file.path));
    dead.map(|file| {
        Fault::of(
            &file.path,
            "nobody mounts this file: add its `mod` or remove it",
        )
    })
    .collect()
}

pub(super) fn one_test_binary(repo: &Repo) -> Vec<Fault> {
    let what = "tests of a crate are modules of its tests/it/main.rs";
    let is_other = |path: &str| {
        let (_, inside) = path.split_once("/tests/").unwrap_or_default();
        let root = !inside.contains('/') || inside.ends_with("/main.rs");
        inside.ends_with(".rs") && root && inside != "it/main.rs" && inside.matches('/').count() < 2
    };
    let others = repo.rust().iter().filter(|file| is_other(&file.path));
    others.map(|file| Fault::of(&file.path, what)).collect()
}

/// Whether cargo compiles this file by itself: by its place, or because its manifest names it.
fn is_root(repo: &Repo, path: &str) -> bool {
    let Some((package, inside)) = package_of(repo, path) else {
        return false;
    };
    let parts: Vec<&str> = inside.split('/').collect();
    let target = ["tests", "benches", "examples"];
    let by_place = match parts.as_slice() {
        ["build.rs"] | ["src", "lib.rs" | "main.rs"] => true,
        ["src", "bin", rest @ ..] => matches!(rest, [_] | [_, "main.rs"]),
        [kind, rest @ ..] => target.contains(kind) && matches!(rest, [_] | [_, "main.rs"]),
        [] => false,
    };
    let manifest = repo
        .text(&format!("{package}Cargo.toml"))
        .unwrap_or_default();
    by_place || manifest.contains(&format!("path = \"{inside}\""))
}

/// The directory of the package that a file belongs to, with its slash, and the rest of the path.
fn package_of<'a>(repo: &Repo, path: &'a str) -> Option<(&'a str, &'a str)> {
    let ends = path
        .match_indices('/')
        .map(|(index, _)| index + 1)
        .chain([0]);
    let mut ends: Vec<usize> = ends.collect();
    ends.sort_unstable();
    let end = ends
        .into_iter()
        .rev()
        .find(|end| repo.contains(&format!("{}Cargo.toml", &path[..*end])))?;
    Some(path.split_at(end))
}

/// Cases that a test compiles by itself (trybuild): a mounted source names their directory.
fn is_case_of_a_test(repo: &Repo, reached: &BTreeSet<String>, path: &str) -> bool {
    let Some((package, inside)) = package_of(repo, path) else {
        return false;
    };
    let Some((dir, _)) = inside.rsplit_once('/') else {
        return false;
    };
    let named = format!("\"{dir}/");
    inside.starts_with("tests/")
        && repo.rust().iter().any(|file| {
            file.path.starts_with(package)
                && reached.contains(&file.path)
                && file.text.contains(&named)
        })
}

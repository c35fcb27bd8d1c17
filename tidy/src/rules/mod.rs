//! The table of house rules. CONTRIBUTING.md says the same in sentences.

mod crates;
mod mounted;
mod pages;
mod purity;
mod source;
mod text;

use std::fmt::Write as _;

use crate::exceptions::{self, Exception};
use crate::{Fault, Repo};

/// A house rule.
#[derive(Debug)]
pub struct Rule {
    /// How exceptions and reports call it.
    pub name: &'static str,
    /// Why it is one.
    pub because: &'static str,
    /// What breaks it.
    pub check: fn(&Repo) -> Vec<Fault>,
}

const fn rule(name: &'static str, because: &'static str, check: fn(&Repo) -> Vec<Fault>) -> Rule {
    Rule {
        name,
        because,
        check,
    }
}

/// All rules.
pub const RULES: &[Rule] = &[
    rule(
        "readable",
        "a rule cannot judge what it cannot read",
        unreadable,
    ),
    rule(
        "opens-with-why",
        "whoever opens a file learns first why it exists",
        source::opens_with_why,
    ),
    rule(
        "file-ceiling",
        "a file of over 400 code lines has more than one topic",
        source::file_ceiling,
    ),
    rule(
        "function-ceiling",
        "a function of over 70 lines is not read as a whole",
        source::function_ceiling,
    ),
    rule(
        "no-unwrap",
        "a panic on a request's path needs a reason; `expect` names it",
        source::no_unwrap,
    ),
    rule(
        "no-leftovers",
        "nothing is a stub; what is to be done is an issue, not a comment",
        source::no_leftovers,
    ),
    rule(
        "no-bare-matches",
        "`matches!(..);` looks like an assertion and asserts nothing",
        source::no_bare_matches,
    ),
    rule(
        "no-ignored-tests",
        "a test that does not run holds nothing",
        source::no_ignored_tests,
    ),
    rule(
        "safety",
        "unsafe code is one crate's, and each says why it is sound",
        source::safety,
    ),
    rule(
        "mounted",
        "a source that nobody mounts is never compiled, a test among them never run",
        mounted::mounted,
    ),
    rule(
        "one-test-binary",
        "one integration binary per crate links once",
        mounted::one_test_binary,
    ),
    rule(
        "core-purity",
        "time, randomness, disk and network are handed in, so that a test can hold them",
        purity::core_purity,
    ),
    rule(
        "ascii",
        "a look-alike character in a source or script is an attack or an accident",
        text::ascii,
    ),
    rule(
        "no-machine-paths",
        "a path of somebody's machine means nothing elsewhere",
        text::no_machine_paths,
    ),
    rule(
        "no-registry-hosts",
        "builds take packages from where cargo's own configuration says",
        text::no_registry_hosts,
    ),
    rule(
        "crate-picture",
        "an edge between crates is a decision; ARCHITECTURE.md shows them all",
        crates::picture,
    ),
    rule(
        "manifests",
        "licence, lints and edition are said once, for all crates",
        crates::manifests,
    ),
    rule(
        "bans",
        "deny.toml says which crates may not be in the tree, and why",
        crates::bans,
    ),
    rule(
        "licenses",
        "deny.toml says which licences may be in the tree",
        crates::licenses,
    ),
    rule(
        "links",
        "a link that leads nowhere teaches that links lead nowhere",
        pages::links,
    ),
    rule(
        "named-files",
        "a page that names a file or a test promises that it is there",
        pages::named_files,
    ),
    rule(
        "all-pages-listed",
        "a page that nothing links to is not found",
        pages::all_listed,
    ),
    rule(
        "changelog",
        "users see what changed before a release, not after",
        pages::changelog,
    ),
    rule(
        "format-versions",
        "bytes that outlive a process have a version",
        pages::format_versions,
    ),
    rule(
        "compiled-pages",
        "an example that is not compiled stops compiling",
        pages::compiled,
    ),
];

/// What is wrong with a repository, for people; empty if nothing is.
#[must_use]
pub fn report(repo: &Repo, exceptions: &[Exception]) -> String {
    let mut report = String::new();
    for rule in RULES {
        let faults = exceptions::excuse(rule.name, (rule.check)(repo), exceptions);
        if faults.is_empty() {
            continue;
        }
        let _ = writeln!(report, "{}: {}", rule.name, rule.because);
        for fault in faults {
            let _ = writeln!(report, "    {fault}");
        }
    }
    let unknown = exceptions
        .iter()
        .filter(|it| RULES.iter().all(|rule| rule.name != it.rule));
    for exception in unknown {
        let _ = writeln!(report, "exceptions: there is no rule {:?}", exception.rule);
    }
    report
}

fn unreadable(repo: &Repo) -> Vec<Fault> {
    repo.unreadable.clone()
}

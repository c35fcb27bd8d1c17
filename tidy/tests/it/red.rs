//! A repository that is wrong on purpose for each rule: a rule that cannot fail holds nothing.

use std::collections::BTreeMap;

use tidy::graph::{Graph, Kind, Package};
use tidy::rules::RULES;
use tidy::{Fault, Repo};

/// Rule, path, text: what the rule must find fault with.
const WRONG: &[(&str, &str, &str)] = &[
    ("readable", "src/lib.rs", "fn ("),
    ("opens-with-why", "src/lib.rs", "//! lib\n"),
    (
        "opens-with-why",
        "src/lib.rs",
        "// A comment of the right length.\n",
    ),
    ("no-unwrap", "src/lib.rs", "fn f() { g()\n.unwrap(); }"),
    (
        "no-unwrap",
        "src/lib.rs",
        "fn f() { assert!(g().unwrap()); }",
    ),
    (
        "no-unwrap",
        "src/lib.rs",
        "#[cfg(not(test))]\nmod m { fn f() { g().unwrap(); } }",
    ),
    ("no-leftovers", "src/lib.rs", "fn f() { todo!() }"),
    (
        "no-leftovers",
        "src/lib.rs",
        "fn f() { g(unimplemented!()) }",
    ),
    ("no-leftovers", "src/lib.rs", "fn f() { vec![dbg!(1)] }"),
    ("no-leftovers", "src/lib.rs", concat!("// TO", "DO: later")),
    ("no-leftovers", "a.md", concat!("FIX", "ME")),
    (
        "no-bare-matches",
        "tests/it/main.rs",
        "fn f() { matches!(1, 1); }",
    ),
    (
        "no-ignored-tests",
        "tests/it/main.rs",
        "#[test]\n#[ignore = \"slow\"]\nfn f() {}",
    ),
    (
        "safety",
        "crates/cloakroom-core/src/lib.rs",
        "// SAFETY: sound.\nunsafe fn f() {}",
    ),
    (
        "safety",
        "crates/cloakroom-embedded/src/lib.rs",
        "fn f() { unsafe { g() } }",
    ),
    ("mounted", "src/lost.rs", "fn f() {}"),
    ("mounted", "tests/it/lost.rs", "#[test]\nfn f() {}"),
    ("one-test-binary", "crates/x/tests/other.rs", ""),
    ("one-test-binary", "crates/x/tests/other/main.rs", ""),
    (
        "core-purity",
        "crates/cloakroom-core/src/lib.rs",
        "use std::fs::File;",
    ),
    (
        "core-purity",
        "crates/cloakroom-core/src/lib.rs",
        "use std::{fmt, net::TcpStream};",
    ),
    (
        "core-purity",
        "crates/cloakroom-core/src/lib.rs",
        "fn f() { std::thread::yield_now() }",
    ),
    (
        "core-purity",
        "crates/cloakroom-core/src/lib.rs",
        "use std::time::Instant;",
    ),
    ("ascii", "src/lib.rs", "// na\u{ef}ve"),
    ("ascii", "test", "# \u{2013}"),
    ("no-machine-paths", "a.md", concat!("see /wo", "rk/x")),
    ("no-machine-paths", "test", concat!("cd /ro", "ot/x")),
    (
        "no-machine-paths",
        "a.toml",
        concat!("path = \"/home", "/me\""),
    ),
    (
        "no-registry-hosts",
        "a.md",
        concat!("https://pypi", ".org/x"),
    ),
    (
        "no-registry-hosts",
        "test",
        concat!("curl https://static.crates", ".io/x"),
    ),
    (
        "manifests",
        "crates/x/Cargo.toml",
        "[package]\nname = \"x\"",
    ),
    ("links", "a.md", "[b](b.md)"),
    ("links", "a.md", "# One\n[b](#two)"),
    ("links", "docs/a.md", "![b](../img/b.svg)"),
    ("named-files", "a.md", "see `crates/x/src/lib.rs`"),
    ("all-pages-listed", "docs/a.md", "# A"),
    ("changelog", "CHANGELOG.md", "## 0.1.0"),
    ("format-versions", "docs/formats/a.md", "# A\nVersion: some"),
    ("compiled-pages", "docs/a.md", "```rust\nfn f() {}\n```"),
];

#[test]
fn every_rule_can_fail() {
    for (rule, path, text) in WRONG {
        assert_ne!(
            faults(rule, &Repo::of(&[(path, text)], vec![])),
            [],
            "{rule} passes {path}: {text}"
        );
    }
    let told_here = [
        "file-ceiling",
        "function-ceiling",
        "crate-picture",
        "bans",
        "licenses",
    ];
    for rule in RULES {
        let told =
            told_here.contains(&rule.name) || WRONG.iter().any(|(name, ..)| *name == rule.name);
        assert!(told, "{} has no sample that breaks it", rule.name);
    }
}

/// What looks wrong and is not.
const RIGHT: &[(&str, &str, &str)] = &[
    (
        "opens-with-why",
        "src/lib.rs",
        "//! Why this file exists, in prose.\n",
    ),
    (
        "no-unwrap",
        "src/lib.rs",
        "// .unwrap()\nconst A: &str = \".unwrap()\";\n/// `x.unwrap()`\nfn f() {}",
    ),
    (
        "no-unwrap",
        "src/lib.rs",
        "#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }",
    ),
    (
        "no-unwrap",
        "crates/x/tests/it/main.rs",
        "fn f() { g().unwrap(); }",
    ),
    (
        "no-bare-matches",
        "src/lib.rs",
        "fn f() -> bool { assert!(matches!(1, 1)); matches!(1, 1) }",
    ),
    (
        "safety",
        "crates/cloakroom-embedded/src/lib.rs",
        "fn f() {\n// SAFETY: it is sound.\nunsafe { g() } }",
    ),
    (
        "safety",
        "src/lib.rs",
        "//! Nothing unsafe.\n#![forbid(unsafe_code)]",
    ),
    (
        "core-purity",
        "crates/cloakroom-core/src/testkit/mod.rs",
        "use std::thread;",
    ),
    (
        "no-machine-paths",
        "a.md",
        concat!("https://x.y/wo", "rk/z and net", "/wo", "rk/"),
    ),
    (
        "no-registry-hosts",
        "Cargo.lock",
        concat!("registry+https://github.com/rust-lang/crates", ".io-index"),
    ),
    (
        "links",
        "docs/a.md",
        "[b](#the-b-of-a) [c](../docs/a.md) `[d](e)`\n# The `b` of a!\n```\n[f](g)\n```",
    ),
    (
        "format-versions",
        "docs/formats/a.md",
        "# A\n\nVersion: 1\n",
    ),
    (
        "changelog",
        "CHANGELOG.md",
        "# Changelog\n\n## [Unreleased]\n",
    ),
];

#[test]
fn no_rule_fails_what_is_right() {
    for (rule, path, text) in RIGHT {
        assert_eq!(
            faults(rule, &Repo::of(&[(path, text)], vec![])),
            [],
            "{path}: {text}"
        );
    }
}

#[test]
fn ceilings_count_code_alone() {
    let statements = |count: usize| format!("fn f() {{\n{}}}\n", "g();\n".repeat(count));
    let commented = |count: usize| format!("fn f() {{\n{}g();\n}}\n", "// why\n\n".repeat(count));
    let of = |rule: &str, text: &str| faults(rule, &Repo::of(&[("src/lib.rs", text)], vec![]));
    assert_eq!(of("function-ceiling", &statements(68)), []);
    assert_eq!(of("function-ceiling", &statements(69))[0].size, Some(71));
    assert_eq!(of("function-ceiling", &commented(200)), []);
    assert_eq!(of("file-ceiling", &statements(398)), []);
    assert_eq!(of("file-ceiling", &statements(399))[0].size, Some(401));
    let tests_on_top = format!(
        "{}\n#[cfg(test)]\nmod tests {{\n{}}}",
        statements(398),
        statements(50)
    );
    assert_eq!(of("file-ceiling", &tests_on_top), []);
}

#[test]
fn tables_of_cases_are_data_in_tests() {
    let table = format!("fn f() -> Vec<u8> {{\nvec![\n{}]\n}}\n", "1,\n".repeat(500));
    let of = |path: &str| {
        let repo = Repo::of(&[(path, &table)], vec![]);
        [
            faults("function-ceiling", &repo),
            faults("file-ceiling", &repo),
        ]
        .concat()
    };
    assert_eq!(of("crates/x/tests/it/cases.rs"), []);
    assert_eq!(of("crates/x/src/cases.rs").len(), 2);
}

#[test]
fn modules_are_found_where_cargo_finds_them() {
    let files = [
        ("Cargo.toml", ""),
        ("src/lib.rs", "mod a; mod b { mod c; }"),
        ("src/a.rs", "mod d;"),
        ("src/a/d.rs", ""),
        ("src/b/c/mod.rs", "#[path = \"other.rs\"] mod e;"),
        ("src/b/c/other.rs", ""),
        (
            "tests/it/main.rs",
            "mod f; const CASES: &str = \"tests/cases/*.rs\";",
        ),
        ("tests/it/f.rs", ""),
        ("tests/cases/one.rs", ""),
    ];
    assert_eq!(faults("mounted", &Repo::of(&files, vec![])), []);
}

#[test]
fn what_only_tests_mount_is_a_test() {
    let lost = ("src/a/b.rs", "fn f() { g().unwrap(); }");
    let of = |root: &str| {
        faults(
            "no-unwrap",
            &Repo::of(
                &[("src/lib.rs", root), ("src/a.rs", "mod b;"), lost],
                vec![],
            ),
        )
    };
    assert_eq!(of("#[cfg(test)]\nmod a;"), []);
    assert_eq!(of("mod a;").len(), 1);
}

#[test]
fn named_tests_exist() {
    let page = (
        "README.md",
        "`crates/x/tests/it/main.rs::holds` and `crates/x/tests/it/main.rs::gone`",
    );
    let tests = ("crates/x/tests/it/main.rs", "#[test]\nfn holds() {}");
    let found = faults("named-files", &Repo::of(&[page, tests], vec![]));
    assert_eq!(
        found,
        [Fault::at(
            "README.md",
            1,
            "crates/x/tests/it/main.rs has no fn gone"
        )]
    );
}

#[test]
fn edges_that_are_not_in_the_picture() {
    let picture = |packages: &[(&str, &[&str])]| {
        faults("crate-picture", &Repo::of(&[], vec![graph(packages)]))
    };
    assert_eq!(
        picture(&[("cloakroom-core", &["serde"]), ("serde", &[])]),
        []
    );
    assert_eq!(
        picture(&[
            ("cloakroom-core", &["cloakroom-embedded"]),
            ("cloakroom-embedded", &[])
        ])
        .len(),
        1
    );
    assert_eq!(
        picture(&[
            ("cloakroom-core", &["a"]),
            ("a", &["tokio"]),
            ("tokio", &[])
        ])
        .len(),
        1
    );
    assert_eq!(picture(&[("cloakroom-unheard-of", &[])]).len(), 1);
}

#[test]
fn crates_and_licenses_that_deny_toml_does_not_have() {
    let deny = "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [{ crate = \"bad\", reason = \"bad\", wrappers = [\"wrap\"] }]";
    let of = |rule: &str, packages: &[(&str, &[&str])]| {
        faults(
            rule,
            &Repo::of(&[("deny.toml", deny)], vec![graph(packages)]),
        )
    };
    assert_eq!(
        of("bans", &[("cloakroom", &["bad"]), ("bad", &[])]).len(),
        1
    );
    assert_eq!(
        of(
            "bans",
            &[("cloakroom", &["wrap"]), ("wrap", &["bad"]), ("bad", &[])]
        ),
        []
    );
    assert_eq!(of("licenses", &[("fine", &[])]), []);
    assert_eq!(of("licenses", &[("gpl", &[])]).len(), 1);
    assert_eq!(
        faults("bans", &Repo::default()),
        [Fault::of("deny.toml", "is missing")]
    );
}

/// Packages with product dependencies. Those named `cloakroom*` are members; `gpl` is under GPL.
fn graph(packages: &[(&str, &[&str])]) -> Graph {
    let package = |(name, dependencies): &(&str, &[&str])| {
        let license = if *name == "gpl" {
            "GPL-3.0-only"
        } else {
            "MIT"
        };
        let package = Package {
            name: (*name).to_owned(),
            license: Some(license.to_owned()),
            member: name.starts_with("cloakroom"),
            published: true,
            dependencies: dependencies
                .iter()
                .map(|it| ((*it).to_owned(), Kind::Product))
                .collect(),
        };
        ((*name).to_owned(), package)
    };
    Graph {
        name: "workspace",
        packages: packages.iter().map(package).collect::<BTreeMap<_, _>>(),
    }
}

fn faults(rule: &str, repo: &Repo) -> Vec<Fault> {
    let rule = RULES.iter().find(|it| it.name == rule);
    let rule = rule.expect("the table of samples names rules that exist");
    (rule.check)(repo)
}

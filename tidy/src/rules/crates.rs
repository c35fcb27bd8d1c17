//! Rules about crates: who may depend on whom, what may be in the tree, what every manifest says.

use crate::deny::Deny;
use crate::graph::{Graph, Kind, Package};
use crate::{Fault, Repo};

/// Every edge between crates of this repository that is allowed in the product. Tests may use any
/// crate below their own, and the test kit. An edge is added here and in ARCHITECTURE.md together.
const EDGES: &[(&str, &[&str])] = &[
    ("cloakroom-core", &[]),
    ("cloakroom-embedded", &["cloakroom-core"]),
    ("cloakroom-redis", &["cloakroom-core"]),
    (
        "cloakroom",
        &["cloakroom-core", "cloakroom-embedded", "cloakroom-redis"],
    ),
    (
        "cloakroom-server",
        &[
            "cloakroom-core",
            "cloakroom-embedded",
            "cloakroom-redis",
            "cloakroom",
        ],
    ),
    ("cloakroom-example-game", &["cloakroom"]),
    ("cloakroom-example-shop", &["cloakroom"]),
    ("cloakroom-example-microservices", &["cloakroom"]),
    ("cloakroom-clients", &[]),
    ("tidy", &[]),
    ("tidy-pages", &["tidy"]),
    (
        "cloakroom-bench",
        &[
            "cloakroom-core",
            "cloakroom-embedded",
            "cloakroom-redis",
            "cloakroom",
        ],
    ),
];

/// What may be nowhere below a crate, however far down: the crate, names, and why.
const NEVER_BELOW: &[(&str, &[&str], &str)] = &[
    (
        "cloakroom-core",
        &[
            "tokio",
            "async-std",
            "smol",
            "async-io",
            "mio",
            "socket2",
            "hyper",
            "reqwest",
            "futures-executor",
        ],
        "the core has no runtime and no socket",
    ),
    (
        "cloakroom-core",
        &["uuid", "rand", "fastrand"],
        "ids come from the operating system's generator alone",
    ),
    (
        "cloakroom-core",
        &["chrono", "time", "jiff"],
        "the core reads no clock",
    ),
    (
        "cloakroom-embedded",
        &["mio", "socket2", "hyper"],
        "the embedded engine has no socket",
    ),
];

pub(super) fn picture(repo: &Repo) -> Vec<Fault> {
    let mut faults = Vec::new();
    for graph in &repo.graphs {
        for package in graph.members() {
            faults.extend(wrong_edges(graph, package));
        }
    }
    for graph in &repo.graphs {
        for (name, never, because) in NEVER_BELOW {
            let Some(package) = graph.members().find(|package| package.name == *name) else {
                continue;
            };
            let below = graph.closure(package);
            let found = never.iter().filter(|never| below.contains(**never));
            faults.extend(
                found.map(|found| {
                    Fault::of(graph.name, format!("{found} is below {name}: {because}"))
                }),
            );
        }
    }
    faults
}

pub(super) fn bans(repo: &Repo) -> Vec<Fault> {
    let deny = match deny(repo) {
        Ok(deny) => deny,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    for graph in &repo.graphs {
        for ban in &deny.bans {
            let users = graph.packages.values().filter(|package| {
                let uses = graph.direct(package).any(|(used, _)| used.name == ban.name);
                uses && !ban.wrappers.contains(&package.name)
            });
            faults.extend(users.map(|user| {
                Fault::of(
                    graph.name,
                    format!("{} uses {}: {}", user.name, ban.name, ban.reason),
                )
            }));
        }
    }
    faults
}

pub(super) fn licenses(repo: &Repo) -> Vec<Fault> {
    let deny = match deny(repo) {
        Ok(deny) => deny,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    for graph in &repo.graphs {
        for package in graph
            .packages
            .values()
            .filter(|package| !package.member || package.published)
        {
            let license = package.license.as_deref().unwrap_or("(none)");
            if !deny.allows(&package.name, license) {
                faults.push(Fault::of(
                    graph.name,
                    format!("{} is under {license}", package.name),
                ));
            }
        }
    }
    faults
}

/// Lines that every manifest of the workspace has.
const MANIFEST_LINES: [&str; 5] = [
    "version.workspace = true",
    "edition.workspace = true",
    "rust-version.workspace = true",
    "license.workspace = true",
    "[lints]\nworkspace = true",
];

pub(super) fn manifests(repo: &Repo) -> Vec<Fault> {
    let mut faults = Vec::new();
    let ours = |path: &str| {
        path.ends_with("/Cargo.toml") && (path.starts_with("crates/") || path.starts_with("tidy/"))
    };
    for (path, text) in repo.texts().filter(|(path, _)| ours(path)) {
        for line in MANIFEST_LINES.iter().filter(|line| !text.contains(**line)) {
            faults.push(Fault::of(path, format!("lacks {line:?}")));
        }
        if !text.contains("description = \"") {
            faults.push(Fault::of(path, "lacks a description"));
        }
    }
    faults
}

fn wrong_edges(graph: &Graph, package: &Package) -> Vec<Fault> {
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
        let what = format!(
            "{} is not in the crate picture (tidy/src/rules/crates.rs)",
            package.name
        );
        return vec![Fault::of(graph.name, what)];
    };
    let is_ours = |name: &str| EDGES.iter().any(|(ours, _)| *ours == name);
    let edges = graph
        .direct(package)
        .filter(|(used, kind)| *kind == Kind::Product && is_ours(&used.name));
    let wrong = edges.filter(|(used, _)| !allowed.contains(&used.name.as_str()));
    wrong
        .map(|(used, _)| {
            Fault::of(
                graph.name,
                format!("{} may not depend on {}", package.name, used.name),
            )
        })
        .collect()
}

fn deny(repo: &Repo) -> Result<Deny, Fault> {
    let text = repo
        .text("deny.toml")
        .ok_or_else(|| Fault::of("deny.toml", "is missing"))?;
    Deny::parse(text).map_err(|what| Fault::of("deny.toml", what))
}

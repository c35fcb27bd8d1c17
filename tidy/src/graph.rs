//! Who depends on whom, as `cargo metadata` says it, with all features on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The packages of one workspace and everything they depend on, on this platform.
#[derive(Debug, Default)]
pub struct Graph {
    /// Which one: `"workspace"` or `"bench"`.
    pub name: &'static str,
    /// By the id that cargo gives them.
    pub packages: BTreeMap<String, Package>,
}

/// One package.
#[derive(Debug, Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The SPDX expression in its manifest.
    pub license: Option<String>,
    /// Whether it is a member of the workspace, not something it depends on.
    pub member: bool,
    /// Whether it may be published.
    pub published: bool,
    /// The ids of what it depends on, and whether only its tests do.
    pub dependencies: Vec<(String, Kind)>,
}

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The product, or a build script.
    Product,
    /// Tests, examples and benchmarks alone.
    Tests,
}

impl Graph {
    /// Asks cargo.
    ///
    /// # Errors
    /// What cargo said, if it failed; a lock file that is missing or stale is such a failure.
    pub fn load(name: &'static str, manifest: &Path) -> Result<Self, String> {
        let metadata = run(Command::new(cargo())
            .args([
                "metadata",
                "--format-version=1",
                "--locked",
                "--all-features",
            ])
            .args(["--filter-platform", &host()?])
            .arg("--manifest-path")
            .arg(manifest))?;
        let metadata: Value = serde_json::from_str(&metadata).map_err(|e| e.to_string())?;
        Ok(Self {
            name,
            packages: packages(&metadata),
        })
    }

    /// The members of the workspace.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|package| package.member)
    }

    /// The packages that `package` depends on itself.
    pub fn direct<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = (&'a Package, Kind)> {
        let edges = package.dependencies.iter();
        edges.filter_map(|(id, kind)| Some((self.packages.get(id)?, *kind)))
    }

    /// The names of all packages that the product `package` consists of, itself not among them.
    #[must_use]
    pub fn closure<'a>(&'a self, package: &'a Package) -> BTreeSet<&'a str> {
        let (mut found, mut open) = (BTreeSet::new(), vec![package]);
        while let Some(package) = open.pop() {
            for (next, kind) in self.direct(package) {
                if kind == Kind::Product && found.insert(next.name.as_str()) {
                    open.push(next);
                }
            }
        }
        found
    }
}

fn packages(metadata: &Value) -> BTreeMap<String, Package> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let members: BTreeSet<String> = list(&metadata["workspace_members"])
        .iter()
        .map(text)
        .collect();
    let described: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (text(&package["id"]), package))
        .collect();
    let mut packages = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let id = text(&node["id"]);
        let about = described.get(&id).unwrap_or(&Value::Null);
        let dependencies = list(&node["deps"]).into_iter().map(|edge| {
            let kinds = list(&edge["dep_kinds"]);
            let tests_only = kinds.iter().all(|kind| kind["kind"] == "dev");
            let kind = if tests_only {
                Kind::Tests
            } else {
                Kind::Product
            };
            (text(&edge["pkg"]), kind)
        });
        let package = Package {
            name: text(&about["name"]),
            license: about["license"].as_str().map(str::to_owned),
            member: members.contains(&id),
            published: about["publish"] != Value::Array(Vec::new()),
            dependencies: dependencies.collect(),
        };
        packages.insert(id, package);
    }
    packages
}

fn host() -> Result<String, String> {
    let about = run(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc -vV names no host".to_owned())
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

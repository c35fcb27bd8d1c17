//! The repository as the rules see it: its files in memory, and who depends on whom. Rules never
//! touch the disk, so that a test can hand them a repository that is wrong on purpose.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::graph::Graph;
use crate::rust_file::RustFile;

/// All files that belong to the repository, and its dependency graphs.
#[derive(Debug, Default)]
pub struct Repo {
    files: BTreeMap<String, Vec<u8>>,
    rust: Vec<RustFile>,
    /// Faults met while reading: sources that do not parse, a `cargo metadata` that failed.
    pub unreadable: Vec<crate::Fault>,
    /// The dependency graphs: of the workspace and of the benchmarks.
    pub graphs: Vec<Graph>,
}

impl Repo {
    /// The root of the repository that this crate was built in.
    #[must_use]
    pub fn own_root() -> PathBuf {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        own.parent().unwrap_or(own).to_owned()
    }

    /// Reads the repository at `root`, but for what its `.gitignore` names.
    ///
    /// # Errors
    /// If a file or directory cannot be read.
    pub fn at(root: &Path) -> io::Result<Self> {
        let ignored = Ignored::read(&root.join(".gitignore"))?;
        let mut files = BTreeMap::new();
        walk(root, root, &ignored, &mut files)?;
        let mut repo = Self::with(files);
        for (name, manifest) in [("workspace", "Cargo.toml"), ("bench", "bench/Cargo.toml")] {
            // Without a target, cargo refuses even to describe a package.
            let sources = manifest.replace("Cargo.toml", "src");
            if !repo.contains(manifest) || (name == "bench" && !repo.contains(&sources)) {
                continue;
            }
            match Graph::load(name, &root.join(manifest)) {
                Ok(graph) => repo.graphs.push(graph),
                Err(what) => repo.unreadable.push(crate::Fault::of(manifest, what)),
            }
        }
        Ok(repo)
    }

    /// A repository with these files (path, text) and graphs.
    #[must_use]
    pub fn of(files: &[(&str, &str)], graphs: Vec<Graph>) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_owned()));
        let mut repo = Self::with(files.collect());
        repo.graphs = graphs;
        repo
    }

    /// All files: path from the root, bytes.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// All files that are text: path from the root, text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files()
            .filter_map(|(path, bytes)| Some((path, std::str::from_utf8(bytes).ok()?)))
    }

    /// All Markdown pages: path from the root, text.
    pub fn pages(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| path.ends_with(".md"))
    }

    /// All Rust sources that parse.
    #[must_use]
    pub fn rust(&self) -> &[RustFile] {
        &self.rust
    }

    /// The text of one file.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(path)?).ok()
    }

    /// Whether there is a file or a directory with this path.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self
                .files
                .range(inside.clone()..)
                .next()
                .is_some_and(|(next, _)| next.starts_with(&inside))
    }

    fn with(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut repo = Self {
            files,
            ..Self::default()
        };
        let (mut rust, mut unreadable) = (Vec::new(), Vec::new());
        for (path, text) in repo.texts().filter(|(path, _)| path.ends_with(".rs")) {
            match RustFile::parse(path, text) {
                Ok(file) => rust.push(file),
                Err(error) => unreadable.push(crate::Fault::of(path, error.to_string())),
            }
        }
        mark_tests(&mut rust);
        repo.rust = rust;
        repo.unreadable = unreadable;
        repo
    }
}

/// Marks the files that only tests mount, and what these mount.
fn mark_tests(files: &mut [RustFile]) {
    let mut open: Vec<String> = Vec::new();
    for file in files.iter() {
        let modules = file.modules.iter().filter(|module| module.is_test);
        open.extend(modules.flat_map(|module| file.places(module)));
    }
    while let Some(path) = open.pop() {
        let found = files.iter_mut().find(|file| file.path == path);
        if let Some(file) = found.filter(|file| !file.mounted_by_test) {
            file.mounted_by_test = true;
            open.extend(file.modules.iter().flat_map(|module| file.places(module)));
        }
    }
}

fn walk(
    root: &Path,
    dir: &Path,
    ignored: &Ignored,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            if name != ".git" && !ignored.dirs.contains(&name) {
                walk(root, &path, ignored, files)?;
            }
        } else if kind.is_file() && name != ".git" && !ignored.is_file(&name) {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            files.insert(relative.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}

/// The plain forms of `.gitignore` that ours consists of: `name/`, `/path/name/` and `*.suffix`.
struct Ignored {
    dirs: Vec<String>,
    suffixes: Vec<String>,
}

impl Ignored {
    fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let lines = || text.lines().map(str::trim);
        Ok(Self {
            dirs: lines()
                .filter_map(|line| line.strip_suffix('/')?.rsplit('/').next())
                .map(str::to_owned)
                .collect(),
            suffixes: lines()
                .filter_map(|line| line.strip_prefix('*'))
                .map(str::to_owned)
                .collect(),
        })
    }

    fn is_file(&self, name: &str) -> bool {
        self.suffixes.iter().any(|suffix| name.ends_with(suffix))
    }
}

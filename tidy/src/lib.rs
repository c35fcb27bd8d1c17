//! The house rules of this repository as a test: what CONTRIBUTING.md says and a machine can see.
//!
//! It knows the product's files, not its crates, so that it still runs when the product does not
//! compile. A rule is a row of [`rules::RULES`]: a name, its because, and a function from the
//! [`Repo`] to what is wrong. Exceptions are rows of `tidy/exceptions.toml`; one that is no longer
//! needed is wrong too, so the list can only shrink.

#![forbid(unsafe_code)]

pub mod deny;
pub mod exceptions;
pub mod graph;
pub mod markdown;
pub mod repo;
pub mod rules;
pub mod rust_file;

pub use repo::Repo;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, from the root of the repository; for a dependency, the name of its graph.
    pub path: String,
    /// The line, from 1; 0 if the fault has none.
    pub line: usize,
    /// For a ceiling: the size that was found, in lines.
    pub size: Option<usize>,
    /// What is wrong, and where that helps what to do.
    pub what: String,
}

impl Fault {
    /// A fault at a line of a file.
    #[must_use]
    pub fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            size: None,
            what: what.into(),
        }
    }

    /// A fault of a whole file.
    #[must_use]
    pub fn of(path: &str, what: impl Into<String>) -> Self {
        Self::at(path, 0, what)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

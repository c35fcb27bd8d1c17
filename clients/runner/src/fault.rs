//! What went wrong, in words for whoever reads the run.

use std::fmt;

/// Something that did not come out as it must, or could not be done at all. Nobody retries and nobody
/// decides by it: it is read.
#[derive(Debug)]
pub struct Fault(String);

impl Fault {
    /// A fault with these words.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// Puts more words before it.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})"));
        Self(format!("{error}{}", cause.unwrap_or_default()))
    }
}

/// Fails with these words unless `holds`.
pub(crate) fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault(what())) }
}

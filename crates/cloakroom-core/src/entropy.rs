//! Randomness as the core sees it: something that fills bytes, and may fail.

use std::fmt;

use crate::{Error, ErrorKind};

/// A source of random bytes. In production the operating system's generator, nothing else
/// (OWASP ASVS 5.0, 7.2.3 and 11.5.1).
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `bytes`, or fails; on failure nothing of `bytes` may be used.
    ///
    /// # Errors
    /// [`EntropyFailed`] if the source cannot deliver.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFailed>;
}

/// The operating system's generator, which production code hands in.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFailed> {
        getrandom::fill(bytes).map_err(|_| EntropyFailed)
    }
}

/// The random source did not deliver. Requests that needed it must fail (ASVS 11.5.2).
#[derive(Debug)]
pub struct EntropyFailed;

impl fmt::Display for EntropyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the random generator failed")
    }
}

impl std::error::Error for EntropyFailed {}

impl From<EntropyFailed> for Error {
    fn from(source: EntropyFailed) -> Self {
        Self::new(ErrorKind::EntropyFailed).with_source(source)
    }
}

//! Random sources for tests: one that repeats itself by seed, one that fails, one that collides.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::entropy::{Entropy, EntropyFailed};

/// The same bytes for the same seed. For tests alone: whoever knows the seed knows every id.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// A source with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number.
    pub fn next_number(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): a counter, mixed; so an atomic add is enough.
        let state = self.0.fetch_add(GOLDEN, Ordering::Relaxed);
        mix(state.wrapping_add(GOLDEN))
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&self, bound: usize) -> usize {
        (self.next_number() % bound.max(1) as u64) as usize
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFailed> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_number().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A source that delivers so many times, and then no more.
#[derive(Debug)]
pub struct FailingEntropy {
    inner: SeededEntropy,
    left: AtomicUsize,
}

impl FailingEntropy {
    /// A source that fails from the call after the first `calls` on.
    #[must_use]
    pub const fn after(calls: usize) -> Self {
        Self {
            inner: SeededEntropy::new(0),
            left: AtomicUsize::new(calls),
        }
    }
}

impl Entropy for FailingEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFailed> {
        let less = |left: usize| left.checked_sub(1);
        match self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        {
            Ok(_) => self.inner.fill(bytes),
            Err(_) => Err(EntropyFailed),
        }
    }
}

/// A broken source: the same bytes at every call, so that every id collides with the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct CollidingEntropy;

impl Entropy for CollidingEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyFailed> {
        bytes.fill(0x5a);
        Ok(())
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

//! A run of numbers that is read at random, as a table is: in the pool's huge pages, if it is as large as
//! some of them, else from the allocator. Going through the allocator's small pages to a table of 6 MiB
//! costs a load nearly a tenth of its time.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{MOST_UNITS, Page, Pool, UNIT};

/// Numbers that a unit of the pool has room for.
pub(crate) const WORDS_OF_UNIT: usize = UNIT / size_of::<u32>();
/// The most that the pool has a page for.
pub(crate) const MOST_WORDS: usize = MOST_UNITS * WORDS_OF_UNIT;

/// So many numbers, of which it says in its constructor where they lie.
pub(crate) enum Words {
    Boxed(Box<[u32]>),
    Pooled(Page, Arc<Pool>),
}

impl Words {
    /// Zeros, from the allocator.
    pub(crate) fn boxed(len: usize) -> Self {
        Self::Boxed(vec![0; len].into())
    }

    /// Zeros: in a page of the pool, if they fill one.
    pub(crate) fn pooled(len: usize, pool: &Arc<Pool>) -> Self {
        if len == 0 || len > MOST_WORDS || !len.is_multiple_of(WORDS_OF_UNIT) {
            return Self::boxed(len);
        }
        let mut words = Self::Pooled(pool.take(len / WORDS_OF_UNIT), Arc::clone(pool));
        // Others had the page before.
        words.fill(0);
        words
    }
}

impl Deref for Words {
    type Target = [u32];

    #[inline]
    fn deref(&self) -> &[u32] {
        match self {
            Self::Boxed(words) => words,
            // SAFETY: the page is ours alone as long as we have it, in a chunk that is mapped as long
            // as one of its pages is out, in a pool that we hold; it begins at a multiple of a
            // unit, and whatever its bytes are, they are numbers.
            Self::Pooled(page, _) => unsafe {
                std::slice::from_raw_parts(page.start().cast(), page.bytes() / size_of::<u32>())
            },
        }
    }
}

impl DerefMut for Words {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u32] {
        match self {
            Self::Boxed(words) => words,
            // SAFETY: as in `deref`, and the borrow is exclusive.
            Self::Pooled(page, _) => unsafe {
                std::slice::from_raw_parts_mut(page.start().cast(), page.bytes() / size_of::<u32>())
            },
        }
    }
}

impl Default for Words {
    fn default() -> Self {
        Self::boxed(0)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if let Self::Pooled(page, pool) = self {
            drop(pool.put_back(page));
        }
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn pages_come_as_zeros_and_go_back() {
        let pool = Arc::new(Pool::new());
        for round in 0..3 {
            let mut all: Vec<_> = [1, 2, MOST_UNITS]
                .iter()
                .map(|units| Words::pooled(units * WORDS_OF_UNIT, &pool))
                .collect();
            for (at, words) in all.iter_mut().enumerate() {
                assert!(matches!(words, Words::Pooled(..)));
                assert!(words.iter().all(|word| *word == 0), "{round}");
                words.fill(at as u32 + 1);
            }
            for (at, words) in all.iter().enumerate() {
                assert!(words.iter().all(|word| *word == at as u32 + 1));
            }
            assert_eq!(pool.chunks.load(Ordering::Relaxed), 3);
        }
        for size in &pool.sizes {
            let size = size.lock();
            assert_eq!(size.chunks.len(), size.unused, "all came back");
        }
    }

    #[test]
    fn what_fills_no_page_is_the_allocators() {
        let pool = Arc::new(Pool::new());
        for len in [0, 16, WORDS_OF_UNIT + 1, MOST_WORDS + WORDS_OF_UNIT] {
            let words = Words::pooled(len, &pool);
            assert!(matches!(words, Words::Boxed(_)) && words.len() == len);
        }
        assert_eq!(pool.chunks.load(Ordering::Relaxed), 0);
    }
}

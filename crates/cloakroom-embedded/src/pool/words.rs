//! A run of numbers that is read at random, as a table is: once it fills a page of the pool, it lies in such
//! pages, one unit each, so that it is in huge pages; going through the allocator's small ones to a
//! table of 6 MiB costs a load nearly a tenth of its time. All of one size, because what one run gives
//! back another takes: in pages as large as they are, runs that grow leave chunks half used.

use std::fmt;
use std::sync::Arc;

use super::{Page, Pool, UNIT};

/// Numbers in a page.
pub(crate) const PAGE_WORDS: usize = UNIT / size_of::<u32>();

/// A run of numbers, by where they lie.
pub(crate) enum Words {
    Boxed(Box<[u32]>),
    Paged(Box<[Page]>, Arc<Pool>),
}

impl Words {
    /// Zeros, from the allocator.
    pub(crate) fn boxed(len: usize) -> Self {
        Self::Boxed(vec![0; len].into())
    }

    /// Zeros: in pages of the pool, if they fill some.
    pub(crate) fn paged(len: usize, pool: &Arc<Pool>) -> Self {
        if len == 0 || !len.is_multiple_of(PAGE_WORDS) {
            return Self::boxed(len);
        }
        let mut pages: Box<[Page]> = (0..len / PAGE_WORDS).map(|_| pool.take(1)).collect();
        // Others had the pages before.
        pages.iter_mut().for_each(|page| words_mut(page).fill(0));
        Self::Paged(pages, Arc::clone(pool))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Boxed(words) => words.len(),
            Self::Paged(pages, _) => pages.len() * PAGE_WORDS,
        }
    }

    /// The number at this place, if there is such a place.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&u32> {
        match self {
            Self::Boxed(words) => words.get(at),
            Self::Paged(pages, _) => {
                let page = pages.get(at / PAGE_WORDS)?;
                words_of(page).get(at % PAGE_WORDS)
            }
        }
    }

    /// Puts a number at a place that there is.
    pub(crate) fn set(&mut self, at: usize, number: u32) {
        match self {
            Self::Boxed(words) => words[at] = number,
            Self::Paged(pages, _) => {
                words_mut(&mut pages[at / PAGE_WORDS])[at % PAGE_WORDS] = number;
            }
        }
    }

    /// The numbers in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let (words, pages) = match self {
            Self::Boxed(words) => (&**words, &[][..]),
            Self::Paged(pages, _) => (&[][..], &**pages),
        };
        let paged = pages.iter().flat_map(|page| words_of(page).iter());
        words.iter().chain(paged).copied()
    }
}

#[inline]
fn words_of(page: &Page) -> &[u32] {
    // SAFETY: the page is ours alone as long as we have it, in a chunk that is mapped as long as one of
    // its pages is out, in a pool that we hold; it has a unit at least and begins at a multiple of one,
    // and whatever its bytes are, they are numbers.
    unsafe { std::slice::from_raw_parts(page.start().cast(), PAGE_WORDS) }
}

#[inline]
fn words_mut(page: &mut Page) -> &mut [u32] {
    // SAFETY: as in `words_of`, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(page.start().cast(), PAGE_WORDS) }
}

impl Default for Words {
    fn default() -> Self {
        Self::boxed(0)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if let Self::Paged(pages, pool) = self {
            pages.iter().for_each(|page| drop(pool.put_back(page)));
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
        for _ in 0..3 {
            let mut all: Vec<_> = [1, 2, 5]
                .iter()
                .map(|pages| Words::paged(pages * PAGE_WORDS, &pool))
                .collect();
            for (number, words) in all.iter_mut().enumerate() {
                assert!(matches!(words, Words::Paged(..)));
                assert!(words.iter().all(|word| word == 0));
                for at in 0..words.len() {
                    words.set(at, (at * 3 + number) as u32);
                }
                assert_eq!(words.get(words.len()), None);
            }
            for (number, words) in all.iter().enumerate() {
                for (at, word) in words.iter().enumerate() {
                    assert_eq!(word, (at * 3 + number) as u32);
                    assert_eq!(words.get(at), Some(&word));
                }
            }
            assert_eq!(pool.chunks.load(Ordering::Relaxed), 1);
        }
        let size = pool.sizes[0].lock();
        assert_eq!(size.chunks.len(), size.unused, "all came back");
    }

    #[test]
    fn what_fills_no_page_is_the_allocators() {
        let pool = Arc::new(Pool::new());
        for len in [0, 16, PAGE_WORDS + 1] {
            let mut words = Words::paged(len, &pool);
            assert!(matches!(words, Words::Boxed(_)) && words.len() == len);
            (0..len).for_each(|at| words.set(at, 7));
            assert_eq!(words.iter().filter(|word| *word == 7).count(), len);
            assert_eq!(words.get(len), None);
        }
        assert_eq!(pool.chunks.load(Ordering::Relaxed), 0);
    }
}

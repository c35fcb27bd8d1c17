//! Pages for all slabs and tables of a store, cut from chunks of 2 MiB that the kernel is asked to back with
//! huge pages; the only `unsafe` there is.
//!
//! Why: a session is read at random among hundreds of megabytes. In pages of 4 KiB that is a miss of
//! the processor's address table on top of the miss of the cache: one dependent read in 512 MiB
//! took 300 to 330 ns, and 190 to 240 in huge pages. The allocator cannot be told so.
//!
//! Chunks are shared by the shards, else each would leave a half-used one. A store of up to
//! [`SMALL`] chunks does without huge pages, so that it takes no memory that it does not use. The
//! page with the lowest address is taken first, and a chunk of which no page is in use is given
//! back, but for one of each size.

#![allow(
    unsafe_code,
    reason = "pages of one mapping belong to different shards, which no safe slice can say"
)]

mod words;

use std::alloc::{Layout, handle_alloc_error};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::MmapMut;
use parking_lot::Mutex;

pub(crate) use self::words::{PAGE_WORDS, Words};

/// Bytes that the size of each page is a multiple of.
pub(crate) const UNIT: usize = 4096;
/// The most units of a page.
pub(crate) const MOST_UNITS: usize = 32;
/// Marks that owners give their pages are below this.
pub(crate) const MARKS: usize = UNIT / MOST_UNITS;

const CHUNK: usize = 2 << 20;
/// Chunks that a store has before it asks for huge pages: 16 MiB.
const SMALL: usize = 8;
const WORDS: usize = CHUNK / UNIT / 64;

/// Where the pages of a store come from.
#[derive(Debug)]
pub(crate) struct Pool {
    /// By units of a page, less one.
    sizes: [Mutex<Size>; MOST_UNITS],
    chunks: AtomicUsize,
}

/// The chunks of one size of page, by address.
#[derive(Debug, Default)]
struct Size {
    chunks: BTreeMap<usize, Chunk>,
    /// Those with a free page, and how many of them have free ones only.
    open: BTreeSet<usize>,
    unused: usize,
}

/// The pages of one owner, by number. They go back through [`Pages::take_freed`]; what is left goes
/// with the pool.
pub(crate) struct Pages {
    pages: Vec<Option<Page>>,
    freed: Vec<Page>,
    pool: Arc<Pool>,
}

/// Pages on their way back.
pub(crate) struct Freed(Vec<Page>, Arc<Pool>);

/// A page that nobody else has: its address, and in the bits below [`UNIT`] its owner's mark and its
/// units less one.
pub(crate) struct Page(NonNull<u8>);

// SAFETY: plain bytes with one owner, as a `Box<[u8]>` is.
unsafe impl Send for Page {}
// SAFETY: a shared page is only read.
unsafe impl Sync for Page {}

/// Memory of [`CHUNK`] bytes, and what of it is free.
struct Chunk {
    /// Keeps the memory; nobody looks at it through this.
    _map: MmapMut,
    first: NonNull<u8>,
    units: usize,
    /// A bit for each page that is free.
    free: [u64; WORDS],
}

// SAFETY: the pointer is into memory that the chunk owns.
unsafe impl Send for Chunk {}

/// Asks the processor for the line of the cache where `item` lies, and does not wait for it.
#[inline]
pub(crate) fn prefetch<T>(item: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint changes nothing that a program can see, and the reference is a valid one.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
    }
    let _ = item;
}

impl Pages {
    pub(crate) const fn new(pool: Arc<Pool>) -> Self {
        Self {
            pages: Vec::new(),
            freed: Vec::new(),
            pool,
        }
    }

    /// The bytes of page `number` and its mark, if there is such a page.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<(&[u8], usize)> {
        let page = self.pages.get(number)?.as_ref()?;
        // SAFETY: the page is ours alone until it is freed, which takes `&mut self`; it lies in
        // a chunk that is mapped as long as one of its pages is out, in a pool that we hold.
        let bytes = unsafe { std::slice::from_raw_parts(page.start(), page.bytes()) };
        Some((bytes, page.mark()))
    }

    /// As [`Pages::get`], to write.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<(&mut [u8], usize)> {
        let page = self.pages.get_mut(number)?.as_mut()?;
        // SAFETY: as in `get`, and the borrow is exclusive.
        let bytes = unsafe { std::slice::from_raw_parts_mut(page.start(), page.bytes()) };
        Some((bytes, page.mark()))
    }

    /// Gives `number`, which is the next one or has no page, a page of so many units with a mark; of
    /// none, if its bytes lie elsewhere.
    pub(crate) fn put(&mut self, number: usize, units: usize, mark: usize) {
        debug_assert!(mark < MARKS);
        let page = (units > 0).then(|| self.pool.take(units).marked(mark));
        match self.pages.get_mut(number) {
            Some(free) => *free = page,
            None => self.pages.push(page),
        }
    }

    /// Bytes of the page `number`; none if there is no such page.
    pub(crate) fn bytes(&self, number: usize) -> usize {
        let page = self.pages.get(number).and_then(Option::as_ref);
        page.map_or(0, Page::bytes)
    }

    /// Frees the page of `number`.
    pub(crate) fn free(&mut self, number: usize) {
        self.freed.extend(self.pages[number].take());
    }

    /// Makes room for the pointers to `more` pages.
    pub(crate) fn reserve_exact(&mut self, more: usize) {
        self.pages.reserve_exact(more);
    }

    /// The pages that were freed since this was last asked; they go back when this is dropped.
    #[inline]
    pub(crate) fn take_freed(&mut self) -> Option<Freed> {
        if self.freed.is_empty() {
            return None;
        }
        Some(Freed(
            std::mem::take(&mut self.freed),
            Arc::clone(&self.pool),
        ))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({})", self.pages.len())
    }
}

impl Drop for Freed {
    fn drop(&mut self) {
        for page in &self.0 {
            // Unmapped here, outside of the lock.
            drop(self.1.put_back(page));
        }
    }
}

impl Page {
    fn new(start: NonNull<u8>, units: usize) -> Self {
        Self(start.map_addr(|at| at | (units - 1)))
    }

    fn marked(self, mark: usize) -> Self {
        Self(self.0.map_addr(|at| at | (mark * MOST_UNITS)))
    }

    #[inline]
    fn mark(&self) -> usize {
        self.0.addr().get() % UNIT / MOST_UNITS
    }

    #[inline]
    fn start(&self) -> *mut u8 {
        self.0.as_ptr().map_addr(|at| at & !(UNIT - 1))
    }

    #[inline]
    fn bytes(&self) -> usize {
        (self.0.addr().get() % MOST_UNITS + 1) * UNIT
    }
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self {
            sizes: Default::default(),
            chunks: AtomicUsize::new(0),
        }
    }

    fn take(&self, units: usize) -> Page {
        let mut size = self.sizes[units - 1].lock();
        let base = size.open.first().copied();
        let base = base.unwrap_or_else(|| {
            let before = self.chunks.fetch_add(1, Ordering::Relaxed);
            size.add(Chunk::new(units, before >= SMALL))
        });
        size.take(base)
    }

    /// Takes a page back that its owner forgets. Returns its chunk if that is not needed any more.
    fn put_back(&self, page: &Page) -> Option<Chunk> {
        let chunk = self.sizes[page.bytes() / UNIT - 1].lock().put_back(page);
        if chunk.is_some() {
            self.chunks.fetch_sub(1, Ordering::Relaxed);
        }
        chunk
    }
}

impl Size {
    fn add(&mut self, chunk: Chunk) -> usize {
        let base = chunk.first.addr().get();
        self.chunks.insert(base, chunk);
        self.open.insert(base);
        self.unused += 1;
        base
    }

    /// The first free page of the chunk at `base`, which is open.
    fn take(&mut self, base: usize) -> Page {
        let chunk = self.chunks.get_mut(&base).expect("it is open");
        self.unused -= usize::from(chunk.is_unused());
        let word = chunk.free.iter().position(|word| *word != 0);
        let word = word.expect("an open chunk has a free page");
        let bit = chunk.free[word].trailing_zeros() as usize;
        chunk.free[word] &= chunk.free[word] - 1;
        if chunk.free == [0; WORDS] {
            self.open.remove(&base);
        }
        let at = (word * 64 + bit) * chunk.units * UNIT;
        // SAFETY: `free` has bits only for pages that lie within the chunk.
        Page::new(unsafe { chunk.first.add(at) }, chunk.units)
    }

    fn put_back(&mut self, page: &Page) -> Option<Chunk> {
        let (at, bytes) = (page.start().addr(), page.bytes());
        let (&base, chunk) = self
            .chunks
            .range_mut(..=at)
            .next_back()
            .expect("a page lies in a chunk of its size");
        let number = (at - base) / bytes;
        chunk.free[number / 64] |= 1 << (number % 64);
        self.open.insert(base);
        if !chunk.is_unused() {
            return None;
        }
        if self.unused == 0 {
            self.unused = 1;
            return None;
        }
        self.open.remove(&base);
        self.chunks.remove(&base)
    }
}

impl Chunk {
    fn new(units: usize, huge: bool) -> Self {
        let map = |bytes| {
            let full = |_| handle_alloc_error(Layout::new::<[u8; CHUNK]>());
            MmapMut::map_anon(bytes).unwrap_or_else(full)
        };
        let mut memory = map(CHUNK);
        let mut skip = 0;
        if huge && !cfg!(miri) {
            if !memory.as_ptr().addr().is_multiple_of(CHUNK) {
                // Older kernels do not align it; what is too much is never touched.
                memory = map(2 * CHUNK);
                skip = memory.as_ptr().addr().next_multiple_of(CHUNK) - memory.as_ptr().addr();
            }
            // A kernel that refuses gives small pages, which only take longer.
            #[cfg(target_os = "linux")]
            drop(memory.advise(memmap2::Advice::HugePage));
        }
        let first = NonNull::new(memory[skip..].as_mut_ptr()).expect("a slice is somewhere");
        Self {
            _map: memory,
            first,
            units,
            free: all_free(units),
        }
    }

    fn is_unused(&self) -> bool {
        self.free == all_free(self.units)
    }
}

/// A bit for each page of so many units that a chunk has.
const fn all_free(units: usize) -> [u64; WORDS] {
    let mut free = [0; WORDS];
    let mut page = 0;
    while page < CHUNK / UNIT / units {
        free[page / 64] |= 1 << (page % 64);
        page += 1;
    }
    free
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} units)", self.units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of one owner each, written to the brim, taken and freed in turns.
    #[test]
    fn pages_do_not_overlap_and_chunks_go_back() {
        let pool = Arc::new(Pool::new());
        // Miri takes a microsecond for each byte that is looked at.
        let (count, stride) = if cfg!(miri) { (34, 4093) } else { (3_000, 1) };
        let mut owners = [(); 2].map(|()| Pages::new(Arc::clone(&pool)));
        let units = |number: usize| number % MOST_UNITS + 1;
        for number in 0..count {
            for (mark, pages) in owners.iter_mut().enumerate() {
                pages.put(number, units(number), number % MARKS);
                let (bytes, marked) = pages.get_mut(number).unwrap();
                assert_eq!(
                    (bytes.len(), marked),
                    (units(number) * UNIT, number % MARKS)
                );
                bytes.fill((number * 2 + mark) as u8);
            }
        }
        for round in 0..3 {
            for number in (round..count).step_by(3) {
                let pages = &mut owners[1];
                pages.free(number);
                assert!(pages.get(number).is_none());
            }
            drop(owners[1].take_freed());
            assert!(owners[1].take_freed().is_none());
            for number in (round..count).step_by(3) {
                owners[1].put(number, units(number), number % MARKS);
                let (bytes, _) = owners[1].get_mut(number).unwrap();
                bytes.fill((number * 2 + 1) as u8);
            }
            for number in 0..count {
                for (mark, pages) in owners.iter().enumerate() {
                    let filled = (number * 2 + mark) as u8;
                    let (bytes, mark) = pages.get(number).unwrap();
                    assert_eq!(mark, number % MARKS);
                    assert!(bytes.iter().step_by(stride).all(|byte| *byte == filled));
                }
            }
        }
        for pages in &mut owners {
            (0..count).for_each(|number| pages.free(number));
            drop(pages.take_freed());
        }
        // One chunk of each size waits for whoever comes.
        assert_eq!(pool.chunks.load(Ordering::Relaxed), MOST_UNITS);
        for size in &pool.sizes {
            let size = size.lock();
            assert_eq!((size.chunks.len(), size.open.len(), size.unused), (1, 1, 1));
        }
    }
}

//! Where the bytes of sessions lie: slots of a few sizes, many to a page, so that a session costs
//! no allocation of its own and a free slot is used again.
//!
//! Sizes go in steps of 16 bytes up to 1 KiB (the rounding costs 8 bytes on average), then in
//! eighths of a doubling; above 4 KiB a slot has a page of its own. A page is about 8 KiB: with 32
//! shards and 50 sizes in use, half-filled pages cost 32 x 50 x 4 KiB = 6 MiB, which is 6 bytes
//! for each of a million sessions. A size of which there are many gets pages of up to 128 KiB: what is
//! noted of pages is read on the way to every session, and so should stay in a cache. Pages of slots
//! up to 2 KiB come from the store's pool; larger ones, of which few fit a page, from the allocator.
//! A page whose last slot is freed goes back.

mod shape;

use std::sync::Arc;

use hashbrown::HashMap;

use self::shape::{
    BOX_NOTES, CLASSES, LARGE, POOLED, POOLED_SIZES, SLOT_SIZES, Shape, class_of, page_cost, shape,
};
use crate::pool::{Freed, Pages, Pool};
use crate::table::NUMBER_BITS;

/// Names a slot: the page's number (17 bits), then nine bits for the slot in it. The bits above are
/// never set, so others use them for marks.
pub(crate) type SlotRef = u32;

const SLOT_BITS: u32 = 9;
const SLOTS: usize = 1 << SLOT_BITS;
const WORDS: usize = SLOTS / 64;
const PAGES: usize = 1 << (NUMBER_BITS - SLOT_BITS);
/// Pages of a class after which the next ones are large, and again larger.
const FEW_PAGES: [u32; 2] = [32, 96];
/// Bytes of a shard that may have large pages, of which one is then less than a 500th.
const ROOMY: u64 = 16 << 20;
const END: u32 = u32::MAX;
/// What the slab notes of each page.
const PAGE_NOTES: usize = size_of::<Page>() + size_of::<usize>() + size_of::<u8>();

/// Slots of bytes.
#[derive(Debug)]
pub(crate) struct Slab {
    /// What finding a slot reads, apart from the rest: 8 bytes for a page, with its class as the
    /// mark, are mostly in the cache, so that a session costs one miss and not two.
    pooled: Pages,
    classes: Vec<u8>,
    /// The pages that are not the pool's.
    boxed: HashMap<u32, Box<[u8]>>,
    pages: Vec<Page>,
    /// First page with a free slot, by class; linked by `Page::next` and `prev`.
    open: [u32; CLASSES],
    /// First page without bytes, linked by `next`.
    empty: u32,
    /// Pages of the pool in use, by class.
    counts: [u32; POOLED],
    /// As [`FEW_PAGES`].
    few: [u32; 2],
    bytes: usize,
    freed: Vec<Box<[u8]>>,
}

/// Pages that go back once the shard's lock is let go of: the system may take them, many at a time,
/// and that takes milliseconds.
pub(crate) struct FreedPages {
    _pooled: Option<Freed>,
    _boxed: Vec<Box<[u8]>>,
}

#[derive(Debug)]
struct Page {
    /// A bit for each slot, and how many are set.
    used: [u64; WORDS],
    count: u16,
    slots: u16,
    next: u32,
    prev: u32,
}

impl Page {
    /// Takes the first free slot of a page that has one.
    fn take(&mut self) -> u32 {
        let free = |word: &u64| *word != u64::MAX;
        let at = self
            .used
            .iter()
            .position(free)
            .expect("an open page has room");
        let bit = self.used[at].trailing_ones();
        self.used[at] |= 1 << bit;
        self.count += 1;
        at as u32 * 64 + bit
    }

    fn give(&mut self, slot: usize) {
        self.used[slot / 64] &= !(1 << (slot % 64));
        self.count -= 1;
    }

    const fn is_full(&self) -> bool {
        self.count == self.slots
    }

    /// The first slot in use at `from` or behind it.
    fn first_from(&self, from: usize) -> Option<u32> {
        let mut mask = u64::MAX << (from % 64);
        for at in from / 64..WORDS {
            let used = self.used[at] & mask;
            if used != 0 {
                return Some(at as u32 * 64 + used.trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }
}

impl Slab {
    /// A slab without pages. `limit` is about the bytes that it may take: room is made page by page, and
    /// so pages are large only where few of them are no great part of it.
    pub(crate) fn new(pool: Arc<Pool>, limit: Option<u64>) -> Self {
        let roomy = limit.is_none_or(|limit| limit >= ROOMY);
        Self {
            pooled: Pages::new(pool),
            classes: Vec::new(),
            boxed: HashMap::new(),
            pages: Vec::new(),
            open: [END; CLASSES],
            empty: END,
            counts: [0; POOLED],
            few: if roomy { FEW_PAGES } else { [u32::MAX; 2] },
            bytes: 0,
            freed: Vec::new(),
        }
    }

    /// A zeroed or used slot of at least `len` bytes, for which [`Slab::cost`] said that there is
    /// one.
    pub(crate) fn alloc(&mut self, len: usize) -> SlotRef {
        let class = class_of(len);
        let number = match self.open.get(usize::from(class)) {
            Some(&number) if number != END => number,
            _ => self.add_page(class, len),
        };
        let page = &mut self.pages[number as usize];
        let slot = page.take();
        if class != LARGE && page.is_full() {
            self.unlink(number);
        }
        number << SLOT_BITS | slot
    }

    /// Frees a slot, and its page with the last one.
    pub(crate) fn free(&mut self, slot: SlotRef) {
        let number = slot >> SLOT_BITS;
        let page = &mut self.pages[number as usize];
        let was_full = page.is_full();
        page.give(slot as usize % SLOTS);
        let (left, class) = (page.count, self.classes[number as usize]);
        if was_full && class != LARGE {
            self.link(number);
        }
        if left == 0 {
            if class != LARGE {
                self.unlink(number);
            }
            match self.counts.get_mut(usize::from(class)) {
                Some(count) => {
                    *count -= 1;
                    self.bytes -= self.pooled.bytes(number as usize);
                    self.pooled.free(number as usize);
                }
                None => {
                    let page = self.boxed.remove(&number).expect("the page was in use");
                    self.bytes -= page.len() + BOX_NOTES;
                    self.freed.push(page);
                }
            }
            self.pages[number as usize].next = self.empty;
            self.empty = number;
        }
    }

    /// The pages that are free since this was last asked, to be dropped outside of the lock.
    #[inline]
    pub(crate) fn take_freed(&mut self) -> FreedPages {
        FreedPages {
            _pooled: self.pooled.take_freed(),
            _boxed: std::mem::take(&mut self.freed),
        }
    }

    /// The slot's bytes, all that it has.
    #[inline]
    pub(crate) fn get(&self, slot: SlotRef) -> &[u8] {
        let number = (slot >> SLOT_BITS) as usize;
        match self.pooled.get(number) {
            Some((page, class)) => {
                let bytes = usize::from(POOLED_SIZES[class]);
                &page[slot as usize % SLOTS * bytes..][..bytes]
            }
            None => {
                let page = &*self.boxed[&(number as u32)];
                &page[in_box(page, self.classes[number].into(), slot)]
            }
        }
    }

    /// The slot's bytes, all that it has.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: SlotRef) -> &mut [u8] {
        let number = (slot >> SLOT_BITS) as usize;
        match self.pooled.get_mut(number) {
            Some((page, class)) => {
                let bytes = usize::from(POOLED_SIZES[class]);
                &mut page[slot as usize % SLOTS * bytes..][..bytes]
            }
            None => {
                let page = self.boxed.get_mut(&(number as u32));
                let page = &mut **page.expect("the page is in use");
                let range = in_box(page, self.classes[number].into(), slot);
                &mut page[range]
            }
        }
    }

    /// Bytes that [`Slab::alloc`] of `len` bytes would take from the system; `None` if all page
    /// numbers are taken.
    pub(crate) fn cost(&self, len: usize) -> Option<usize> {
        let class = class_of(len);
        if self
            .open
            .get(usize::from(class))
            .is_some_and(|page| *page != END)
        {
            return Some(0);
        }
        let growth = match self.pages.len() {
            _ if self.empty != END => 0,
            PAGES => return None,
            len if len == self.pages.capacity() => len.max(4) * PAGE_NOTES,
            _ => 0,
        };
        Some(page_cost(self.shape(class, len)) + growth)
    }

    /// Whether a slot of `len` bytes would be as large as `slot` is.
    pub(crate) fn fits_exactly(&self, slot: SlotRef, len: usize) -> bool {
        let class = self.classes[(slot >> SLOT_BITS) as usize];
        class == class_of(len) && len <= self.get(slot).len()
    }

    /// The first slot in use at `from` or behind it, in the order of their numbers.
    pub(crate) fn used_from(&self, from: SlotRef) -> Option<SlotRef> {
        let first = (from >> SLOT_BITS) as usize;
        let mut from = from as usize % SLOTS;
        for (number, page) in self.pages.iter().enumerate().skip(first) {
            if let Some(slot) = page.first_from(from) {
                return Some((number as u32) << SLOT_BITS | slot);
            }
            from = 0;
        }
        None
    }

    /// Bytes taken from the system.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes + self.pages.capacity() * PAGE_NOTES
    }

    fn add_page(&mut self, class: u8, len: usize) -> u32 {
        let shape = self.shape(class, len);
        let page = Page {
            used: [0; WORDS],
            count: 0,
            slots: shape.slots as u16,
            next: END,
            prev: END,
        };
        let number = if self.empty == END {
            self.make_number();
            self.classes.push(class);
            self.pages.push(page);
            self.pages.len() as u32 - 1
        } else {
            let number = self.empty as usize;
            self.empty = self.pages[number].next;
            self.classes[number] = class;
            self.pages[number] = page;
            number as u32
        };
        self.pooled.put(number as usize, shape.units, class.into());
        match self.counts.get_mut(usize::from(class)) {
            Some(count) => *count += 1,
            None => {
                let bytes = vec![0; shape.bytes * shape.slots].into_boxed_slice();
                self.boxed.insert(number, bytes);
            }
        }
        self.bytes += page_cost(shape);
        if class != LARGE {
            self.link(number);
        }
        number
    }

    /// How the next page of a class is divided.
    fn shape(&self, class: u8, len: usize) -> Shape {
        let count = self.counts.get(usize::from(class)).copied().unwrap_or(0);
        let tier = self.few.iter().filter(|few| count >= **few).count();
        shape(class, len, tier)
    }

    /// Makes room for the notes on one page more. The three lists grow alike, so that one capacity
    /// counts for all.
    fn make_number(&mut self) {
        let len = self.pages.len();
        if len == self.pages.capacity() {
            self.pooled.reserve_exact(len.max(4));
            self.classes.reserve_exact(len.max(4));
            self.pages.reserve_exact(len.max(4));
        }
    }

    fn link(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        let head = &mut self.open[usize::from(self.classes[number as usize])];
        page.prev = END;
        page.next = *head;
        *head = number;
        if page.next != END {
            let next = page.next as usize;
            self.pages[next].prev = number;
        }
    }

    fn unlink(&mut self, number: u32) {
        let page = &self.pages[number as usize];
        let (class, next, prev) = (self.classes[number as usize], page.next, page.prev);
        if prev == END {
            self.open[usize::from(class)] = next;
        } else {
            self.pages[prev as usize].next = next;
        }
        if next != END {
            self.pages[next as usize].prev = prev;
        }
    }
}

/// Where in a page that is not the pool's a slot is.
fn in_box(page: &[u8], class: usize, slot: SlotRef) -> std::ops::Range<usize> {
    match SLOT_SIZES.get(class) {
        Some(&bytes) => {
            let first = slot as usize % SLOTS * usize::from(bytes);
            first..first + usize::from(bytes)
        }
        None => 0..page.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_keep_their_bytes_and_memory_goes_back(
            steps in prop::collection::vec((1_usize..6000, any::<u8>(), any::<bool>()), 1..300),
            few in 0_u32..3,
        ) {
            let mut slab = Slab::new(Arc::new(Pool::new()), None);
            slab.few = [few, few * 2];
            let mut model: BTreeMap<SlotRef, (usize, u8)> = BTreeMap::new();
            for (len, byte, free) in steps {
                if free && !model.is_empty() {
                    let slot = *model.keys().nth(usize::from(byte) % model.len()).unwrap();
                    model.remove(&slot);
                    slab.free(slot);
                } else {
                    let (cost, before) = (slab.cost(len).unwrap(), slab.bytes());
                    let slot = slab.alloc(len);
                    prop_assert!(slab.bytes() - before <= cost);
                    slab.get_mut(slot)[..len].fill(byte);
                    prop_assert!(model.insert(slot, (len, byte)).is_none());
                }
                let mut from = 0;
                for (&slot, &(len, byte)) in &model {
                    prop_assert!(slab.get(slot)[..len].iter().all(|found| *found == byte));
                    prop_assert_eq!(slab.used_from(from), Some(slot));
                    from = slot + 1;
                }
                prop_assert_eq!(slab.used_from(from), None);
            }
            for slot in model.into_keys() {
                slab.free(slot);
            }
            prop_assert_eq!(slab.bytes, 0);
        }
    }
}

//! Where the bytes of sessions lie: slots of a few sizes, many to a page, so that a session costs
//! no allocation of its own and a free slot is used again.
//!
//! Sizes go in steps of 16 bytes up to 1 KiB (the rounding costs 8 bytes on average), then in
//! eighths of a doubling; above 4 KiB a slot has a page of its own. A page is about 8 KiB: with 64
//! shards and 50 sizes in use, half-filled pages cost 64 x 50 x 4 KiB = 12 MiB, which is 12 bytes
//! for each of a million sessions. A page whose last slot is freed goes back to the allocator.

use crate::table::NUMBER_BITS;

/// Names a slot: the page's number (20 bits), then six bits for the slot in it. The bits above are
/// never set, so others use them for marks.
pub(crate) type SlotRef = u32;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const PAGES: usize = 1 << (NUMBER_BITS - SLOT_BITS);
const PAGE_BYTES: usize = 8 * 1024;
const STEP: usize = 16;
const FINE: usize = 1024;
const COARSE: usize = 4096;
const CLASSES: usize = FINE / STEP + 16;
const LARGE: u8 = CLASSES as u8;
const LARGE_STEP: usize = 512;
const END: u32 = u32::MAX;
/// What the allocator adds to each page (glibc: an 8-byte header, sizes rounded up to 16).
const PAGE_HEADER: usize = 16;

/// Slots of bytes.
#[derive(Debug)]
pub(crate) struct Slab {
    pages: Vec<Page>,
    /// First page with a free slot, by class; linked by `Page::next` and `prev`.
    open: [u32; CLASSES],
    /// First page without bytes, linked by `next`.
    empty: u32,
    bytes: usize,
}

#[derive(Debug)]
struct Page {
    bytes: Box<[u8]>,
    used: u64,
    slot_bytes: u32,
    next: u32,
    prev: u32,
    class: u8,
    slots: u8,
}

impl Slab {
    pub(crate) const fn new() -> Self {
        Self {
            pages: Vec::new(),
            open: [END; CLASSES],
            empty: END,
            bytes: 0,
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
        let slot = page.used.trailing_ones();
        page.used |= 1 << slot;
        if class != LARGE && page.used.count_ones() == u32::from(page.slots) {
            self.unlink(number);
        }
        number << SLOT_BITS | slot
    }

    /// Frees a slot, and its page with the last one.
    pub(crate) fn free(&mut self, slot: SlotRef) {
        let number = slot >> SLOT_BITS;
        let page = &mut self.pages[number as usize];
        let was_full = page.used.count_ones() == u32::from(page.slots);
        page.used &= !(1 << (slot as usize % SLOTS));
        let (used, class) = (page.used, page.class);
        if was_full && class != LARGE {
            self.link(number);
        }
        if used == 0 {
            if class != LARGE {
                self.unlink(number);
            }
            let page = &mut self.pages[number as usize];
            self.bytes -= page.bytes.len() + PAGE_HEADER;
            page.bytes = Box::default();
            page.next = self.empty;
            self.empty = number;
        }
    }

    /// The slot's bytes, all that it has.
    pub(crate) fn get(&self, slot: SlotRef) -> &[u8] {
        let page = &self.pages[(slot >> SLOT_BITS) as usize];
        let at = slot as usize % SLOTS * page.slot_bytes as usize;
        &page.bytes[at..at + page.slot_bytes as usize]
    }

    /// The slot's bytes, all that it has.
    pub(crate) fn get_mut(&mut self, slot: SlotRef) -> &mut [u8] {
        let page = &mut self.pages[(slot >> SLOT_BITS) as usize];
        let at = slot as usize % SLOTS * page.slot_bytes as usize;
        &mut page.bytes[at..at + page.slot_bytes as usize]
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
        let (slot_bytes, slots) = shape(class, len);
        let growth = match self.pages.len() {
            _ if self.empty != END => 0,
            PAGES => return None,
            len if len == self.pages.capacity() => len.max(4) * size_of::<Page>(),
            _ => 0,
        };
        Some(slot_bytes * slots + PAGE_HEADER + growth)
    }

    /// Whether a slot of `len` bytes would be as large as `slot` is.
    pub(crate) fn fits_exactly(&self, slot: SlotRef, len: usize) -> bool {
        let page = &self.pages[(slot >> SLOT_BITS) as usize];
        page.class == class_of(len) && len <= page.slot_bytes as usize
    }

    /// The first slot in use at `from` or behind it, in the order of their numbers.
    pub(crate) fn used_from(&self, from: SlotRef) -> Option<SlotRef> {
        let first = (from >> SLOT_BITS) as usize;
        let mut mask = u64::MAX << (from as usize % SLOTS);
        for (number, page) in self.pages.iter().enumerate().skip(first) {
            let used = page.used & mask;
            mask = u64::MAX;
            if used != 0 {
                return Some((number as u32) << SLOT_BITS | used.trailing_zeros());
            }
        }
        None
    }

    /// Bytes taken from the system.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes + self.pages.capacity() * size_of::<Page>()
    }

    fn add_page(&mut self, class: u8, len: usize) -> u32 {
        let (slot_bytes, slots) = shape(class, len);
        let page = Page {
            bytes: vec![0; slot_bytes * slots].into_boxed_slice(),
            used: 0,
            slot_bytes: slot_bytes as u32,
            next: END,
            prev: END,
            class,
            slots: slots as u8,
        };
        let number = if self.empty == END {
            self.pages.push(page);
            self.pages.len() as u32 - 1
        } else {
            let number = self.empty;
            self.empty = self.pages[number as usize].next;
            self.pages[number as usize] = page;
            number
        };
        self.bytes += slot_bytes * slots + PAGE_HEADER;
        if class != LARGE {
            self.link(number);
        }
        number
    }

    fn link(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        let head = &mut self.open[usize::from(page.class)];
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
        let (class, next, prev) = (page.class, page.next, page.prev);
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

fn class_of(len: usize) -> u8 {
    let class = match len {
        0..=FINE => len.div_ceil(STEP).max(1) - 1,
        1025..=2048 => FINE / STEP + (len - FINE).div_ceil(128) - 1,
        2049..=COARSE => FINE / STEP + 8 + (len - 2048).div_ceil(256) - 1,
        _ => CLASSES,
    };
    class as u8
}

/// Bytes of a slot, and slots of a page.
fn shape(class: u8, len: usize) -> (usize, usize) {
    const FINE_CLASSES: usize = FINE / STEP;
    let bytes = match usize::from(class) {
        class @ ..FINE_CLASSES => (class + 1) * STEP,
        CLASSES.. => return (len.next_multiple_of(LARGE_STEP), 1),
        class if class < FINE_CLASSES + 8 => FINE + (class - FINE_CLASSES + 1) * 128,
        class => 2048 + (class - FINE_CLASSES - 7) * 256,
    };
    (bytes, (PAGE_BYTES / bytes).clamp(4, SLOTS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_length_has_the_smallest_class_that_holds_it() {
        let mut last = 0;
        for len in 1..=300_000 {
            let (bytes, slots) = shape(class_of(len), len);
            assert!(bytes >= len && bytes >= last, "{len} in {bytes}");
            assert!(bytes - len < STEP.max(bytes / 8), "{len} in {bytes}");
            assert!((1..=SLOTS).contains(&slots));
            last = bytes;
        }
    }

    proptest! {
        #[test]
        fn slots_keep_their_bytes_and_memory_goes_back(
            steps in prop::collection::vec((1_usize..6000, any::<u8>(), any::<bool>()), 1..300)
        ) {
            let mut slab = Slab::new();
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

//! How pages are divided into slots, by the length of what goes into them: a pure table.

use super::SLOTS;
use crate::pool::{MOST_UNITS, UNIT};

const PAGE_BYTES: usize = 8 * 1024;
/// Units that a page has at most while its class has few pages.
const FEW_UNITS: usize = 4;
/// Units of a page at most, once its class has many pages.
const LARGE_UNITS: [usize; 2] = [8, MOST_UNITS];
/// Classes whose pages are the pool's: slots up to 2 KiB.
pub(super) const POOLED: usize = FINE / STEP + 8;
const STEP: usize = 16;
const FINE: usize = 1024;
const COARSE: usize = 4096;
pub(super) const CLASSES: usize = FINE / STEP + 16;
pub(super) const LARGE: u8 = CLASSES as u8;
const LARGE_STEP: usize = 512;
/// What a page from the allocator costs beside its bytes: glibc adds 16, and its place in the map
/// of them is 25 bytes that may be used by less than half.
pub(super) const BOX_NOTES: usize = 80;

pub(super) fn class_of(len: usize) -> u8 {
    let class = match len {
        0..=FINE => len.div_ceil(STEP).max(1) - 1,
        1025..=2048 => FINE / STEP + (len - FINE).div_ceil(128) - 1,
        2049..=COARSE => FINE / STEP + 8 + (len - 2048).div_ceil(256) - 1,
        _ => CLASSES,
    };
    class as u8
}

/// How a page is divided; by `tier`, a usual one, a large one or one of the largest.
pub(super) fn shape(class: u8, len: usize, tier: usize) -> Shape {
    let class = usize::from(class);
    let shapes = &POOLED_SHAPES[tier];
    let boxed = |bytes, slots| Shape {
        bytes,
        slots,
        units: 0,
    };
    match (shapes.get(class), SLOT_SIZES.get(class)) {
        (Some(shape), _) => *shape,
        (None, Some(&bytes)) => boxed(bytes.into(), 4),
        (None, None) => boxed(len.next_multiple_of(LARGE_STEP), 1),
    }
}

/// Bytes that a page takes.
pub(super) const fn page_cost(shape: Shape) -> usize {
    match shape.units {
        0 => shape.bytes * shape.slots + BOX_NOTES,
        units => units * UNIT,
    }
}

/// How a page of the pool is divided.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Of a slot.
    pub(super) bytes: usize,
    pub(super) slots: usize,
    /// Of the page, if it is the pool's.
    pub(super) units: usize,
}

/// How the pool's pages are divided, by class: they have about [`PAGE_BYTES`], or another size if that loses
/// less to the remainder.
const USUAL_SHAPES: [Shape; POOLED] = {
    let mut shapes = [Shape {
        bytes: 0,
        slots: 0,
        units: 0,
    }; POOLED];
    let mut class = 0;
    while class < shapes.len() {
        let bytes = SLOT_SIZES[class] as usize;
        let mut best = shape_of(bytes, PAGE_BYTES / UNIT);
        let mut units = 1;
        while units <= FEW_UNITS {
            let other = shape_of(bytes, units);
            // Shares lost, compared without a division; few are as good as none.
            let (lost, less) = (lost(best) * other.units, lost(other) * best.units);
            if lost > best.units * other.units * UNIT / 32 && less < lost {
                best = other;
            }
            units += 1;
        }
        shapes[class] = best;
        class += 1;
    }
    shapes
};

/// How pages of each tier are divided, by class.
const POOLED_SHAPES: [[Shape; POOLED]; 3] = [
    USUAL_SHAPES,
    larger(USUAL_SHAPES, LARGE_UNITS[0]),
    larger(larger(USUAL_SHAPES, LARGE_UNITS[0]), LARGE_UNITS[1]),
];

/// Pages of up to so many units, by class: they have as many slots as a page can have of which less
/// than a 128th is lost to the remainder; else they are as before. Above eight units only doublings,
/// which a chunk of the pool has room for without a remainder, and so that few sizes take chunks.
const fn larger(mut shapes: [Shape; POOLED], most: usize) -> [Shape; POOLED] {
    let mut class = 0;
    while class < POOLED {
        let mut units = 1;
        while units <= most {
            let large = shape_of(SLOT_SIZES[class] as usize, units);
            if lost(large) * 128 < units * UNIT && large.slots > shapes[class].slots {
                shapes[class] = large;
            }
            units = if units < 8 { units + 1 } else { units * 2 };
        }
        class += 1;
    }
    shapes
}

/// Bytes of a slot of the pool's pages, by class, on as few lines of the cache as there are.
pub(super) const POOLED_SIZES: [u16; POOLED] = {
    let mut sizes = [0; POOLED];
    let mut class = 0;
    while class < POOLED {
        sizes[class] = SLOT_SIZES[class];
        class += 1;
    }
    sizes
};

const fn shape_of(bytes: usize, units: usize) -> Shape {
    let fit = units * UNIT / bytes;
    let slots = if fit < SLOTS { fit } else { SLOTS };
    Shape {
        bytes,
        slots,
        units,
    }
}

const fn lost(shape: Shape) -> usize {
    shape.units * UNIT - shape.slots * shape.bytes
}

/// Bytes of a slot, by class.
pub(super) const SLOT_SIZES: [u16; CLASSES] = {
    const FINE_CLASSES: usize = FINE / STEP;
    let mut sizes = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let bytes = match class {
            ..FINE_CLASSES => (class + 1) * STEP,
            _ if class < FINE_CLASSES + 8 => FINE + (class - FINE_CLASSES + 1) * 128,
            _ => 2048 + (class - FINE_CLASSES - 7) * 256,
        };
        sizes[class] = bytes as u16;
        class += 1;
    }
    sizes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_the_smallest_class_that_holds_it() {
        let mut last = 0;
        for len in 1..=300_000 {
            let [usual, large, largest] = [0, 1, 2].map(|tier| shape(class_of(len), len, tier));
            let bytes = usual.bytes;
            assert!(bytes >= len && bytes >= last, "{len} in {bytes}");
            assert!(bytes - len < STEP.max(bytes / 8), "{len} in {bytes}");
            assert!((1..=SLOTS).contains(&usual.slots));
            assert!((usual.slots..=SLOTS).contains(&large.slots));
            assert!((large.slots..=SLOTS).contains(&largest.slots));
            assert!(largest.units <= MOST_UNITS && large.units <= LARGE_UNITS[0]);
            assert!(large.bytes == bytes && largest.bytes == bytes);
            last = bytes;
        }
    }
}

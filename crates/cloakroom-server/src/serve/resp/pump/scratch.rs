//! The buffers of a thread, which all its connections share: one that waits holds none.

use std::cell::RefCell;

use super::super::ahead::Ahead;
use super::super::decode::Place;
use super::super::limits;

/// The buffers of a thread.
pub(super) struct Scratch {
    pub(super) read: Box<[u8]>,
    pub(super) out: Vec<u8>,
    pub(super) ahead: Ahead,
    pub(super) words: Vec<Place>,
}

impl Scratch {
    /// Those of this thread, which it has anew if they are not there.
    pub(super) fn of_this_thread() -> Self {
        SCRATCH.with(RefCell::take).unwrap_or_else(|| Self {
            read: vec![0; limits::READ_BYTES].into_boxed_slice(),
            out: Vec::with_capacity(limits::READ_BYTES),
            ahead: Ahead::default(),
            words: Vec::new(),
        })
    }

    /// The next connection has them.
    pub(super) fn give_back(self) {
        SCRATCH.with(|kept| kept.replace(Some(self)));
    }

    /// What was answered is sent, or kept elsewhere.
    pub(super) fn forget_answers(&mut self) {
        self.out.clear();
        if self.out.capacity() > 4 * limits::WRITE_BYTES {
            self.out = Vec::new();
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

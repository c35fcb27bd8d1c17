//! Who waits for a sync, and how all of them are woken at once.
//!
//! A sync of fifty writes ends the waiting of fifty tasks. The thread that syncs wakes one of them, and that one
//! wakes the others, from its own executor: there it costs a place in a queue each, while from here each may cost a
//! call of the kernel and two changes of threads. Who is slow to do so holds up nobody for long: what it did not pass
//! on by then is woken from here.

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_seq: BTreeMap<(u64, u64), Waker>,
    /// Those who are to be woken by the one that was.
    to_pass_on: Vec<Waker>,
}

impl Waiters {
    /// Has `waker` woken when `seq` is on the disk; 0 when writes are taken again. Whoever waits already says by
    /// which ticket. Returns the ticket.
    pub(super) fn enter(&self, seq: u64, ticket: Option<u64>, waker: &Waker) -> u64 {
        let mut waiting = self.0.lock();
        let ticket = ticket.unwrap_or_else(|| {
            waiting.next += 1;
            waiting.next
        });
        waiting.by_seq.insert((seq, ticket), waker.clone());
        let woken = mem::take(&mut waiting.to_pass_on);
        drop(waiting);
        wake_all(woken);
        ticket
    }

    /// It waits no longer, whether it was woken or not.
    pub(super) fn leave(&self, seq: u64, ticket: u64) {
        let mut waiting = self.0.lock();
        waiting.by_seq.remove(&(seq, ticket));
        let woken = mem::take(&mut waiting.to_pass_on);
        drop(waiting);
        wake_all(woken);
    }

    /// Wakes those who wait for `seq` or less.
    pub(super) fn wake(&self, seq: u64) {
        let (late, first) = {
            // The first may look before it is woken: so it finds the others here, or is not among them.
            let mut waiting = self.0.lock();
            let rest = waiting.by_seq.split_off(&(seq.saturating_add(1), 0));
            let mut ready = mem::replace(&mut waiting.by_seq, rest).into_values();
            let first = ready.next();
            (
                mem::replace(&mut waiting.to_pass_on, ready.collect()),
                first,
            )
        };
        wake_all(late);
        wake_all(first);
    }

    /// Whether the one that was woken has others to wake still.
    pub(super) fn are_passed_on(&self) -> bool {
        self.0.lock().to_pass_on.is_empty()
    }

    /// Wakes those whom the one that was woken has not.
    pub(super) fn pass_on(&self) {
        let woken = mem::take(&mut self.0.lock().to_pass_on);
        wake_all(woken);
    }
}

/// Without the lock, because a waker is somebody else's code.
fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

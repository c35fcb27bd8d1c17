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

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake};
    use std::time::Instant;

    use super::super::{Shared, Wait};
    use super::*;
    use crate::journal::{Durability, JournalError};

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// Three that wait for their syncs, and what of them was woken.
    struct Three {
        shared: Arc<Shared>,
        waits: Vec<Wait>,
        flags: [Arc<Flag>; 3],
    }

    impl Three {
        fn wait() -> Self {
            let shared = Arc::new(Shared::new(Durability::Always, 0));
            let mut three = Self {
                waits: Vec::new(),
                flags: Default::default(),
                shared,
            };
            for at in 0..3 {
                let seq = three.shared.append(b"record");
                three.waits.push(Wait::sync(Arc::clone(&three.shared), seq));
                assert!(!three.look(at));
            }
            three
        }

        fn look(&mut self, at: usize) -> bool {
            let waker = Waker::from(Arc::clone(&self.flags[at]));
            let wait = Pin::new(&mut self.waits[at]);
            wait.poll(&mut Context::from_waker(&waker)).is_ready()
        }

        fn woken(&self) -> [bool; 3] {
            self.flags
                .each_ref()
                .map(|flag| flag.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn the_first_wakes_the_others_when_it_looks_and_when_it_goes() {
        for looks in [true, false] {
            let mut three = Three::wait();
            three.shared.synced(3);
            assert_eq!(three.woken(), [true, false, false]);
            match looks {
                true => assert!(three.look(0)),
                false => drop(three.waits.remove(0)),
            }
            assert_eq!(three.woken(), [true; 3], "the first looks: {looks}");
        }
    }

    #[test]
    fn who_looks_before_it_is_woken_is_not_waited_for() {
        let mut three = Three::wait();
        three.shared.durable.store(1, Ordering::SeqCst);
        assert!(three.look(0));
        three.shared.synced(3);
        assert_eq!(three.woken(), [false, true, false]);
        assert!(three.look(1));
        assert_eq!(three.woken(), [false, true, true]);
    }

    #[test]
    fn the_others_are_woken_all_the_same_if_the_first_does_nothing() {
        let ways: [fn(&Shared); 3] = [
            |shared| shared.watch(Instant::now()),
            |shared| shared.synced(4),
            |shared| shared.break_down(JournalError::Closed),
        ];
        for (way, happens) in ways.into_iter().enumerate() {
            let three = Three::wait();
            three.shared.synced(3);
            assert_eq!(three.woken(), [true, false, false]);
            happens(&three.shared);
            assert_eq!(three.woken(), [true; 3], "way {way}");
        }
    }

    /// Nobody looks after a failure but those who are told of it.
    #[test]
    fn all_are_woken_at_once_when_the_disk_fails() {
        let three = Three::wait();
        three.shared.break_down(JournalError::Closed);
        assert_eq!(three.woken(), [true; 3]);
    }
}

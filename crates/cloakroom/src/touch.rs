//! Records activity off the request's path: what is due waits a moment for company, and goes to the
//! store in batches. Bounded; what does not fit is dropped and counted, because losing one touch
//! costs a visitor nothing as long as they come back within the idle limit.

use std::sync::Arc;

use cloakroom_core::observe::{Event, Operation};
use cloakroom_core::{Sessions, StoredKey, limits};
use parking_lot::Mutex;
use tokio::runtime::Handle;

/// Activity that waits to be recorded.
#[derive(Debug, Default)]
pub(crate) struct TouchQueue {
    waiting: Mutex<Waiting>,
    /// Held while a batch is with the store, so that a flush can wait for it.
    sending: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    keys: Vec<StoredKey>,
    /// Whether a task will come for them.
    expected: bool,
}

impl TouchQueue {
    /// Puts `key` in line. The first one in an empty line starts the task that sends them; it ends
    /// when the line is empty again, so an idle application has none.
    pub(crate) fn push(self: &Arc<Self>, key: StoredKey, sessions: &Sessions) {
        let mut waiting = self.waiting.lock();
        if waiting.keys.len() >= limits::TOUCH_QUEUE {
            drop(waiting);
            sessions.observed_by().observe(&Event::TouchesDropped(1));
            return;
        }
        waiting.keys.push(key);
        if waiting.expected {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            // Nobody will come: a response that is made outside a runtime.
            let dropped = std::mem::take(&mut waiting.keys).len();
            drop(waiting);
            sessions
                .observed_by()
                .observe(&Event::TouchesDropped(dropped));
            return;
        };
        waiting.expected = true;
        drop(waiting);
        let task = Sender {
            queue: Arc::clone(self),
            sessions: sessions.clone(),
        };
        runtime.spawn(task.run());
    }

    /// Sends all that waits, and returns when the store has it.
    pub(crate) async fn flush(&self, sessions: &Sessions) {
        let _sending = self.sending.lock().await;
        let mut keys = std::mem::take(&mut self.waiting.lock().keys);
        keys.sort_unstable();
        keys.dedup();
        for batch in keys.chunks(limits::TOUCH_BATCH) {
            if let Err(error) = sessions.store().touch(batch).await {
                let observer = sessions.observed_by();
                observer.observe(&Event::StoreFailed(Operation::Touch, error.kind().clone()));
                observer.observe(&Event::TouchesDropped(batch.len()));
            }
        }
    }
}

struct Sender {
    queue: Arc<TouchQueue>,
    sessions: Sessions,
}

impl Sender {
    async fn run(self) {
        loop {
            tokio::time::sleep(limits::TOUCH_DELAY).await;
            self.queue.flush(&self.sessions).await;
            let mut waiting = self.queue.waiting.lock();
            if waiting.keys.is_empty() {
                // Still under the lock: who pushes next has to start another task.
                waiting.expected = false;
                return;
            }
        }
    }
}

/// A runtime that ends takes its tasks along; the next push starts another one elsewhere.
impl Drop for Sender {
    fn drop(&mut self) {
        self.queue.waiting.lock().expected = false;
    }
}

#[cfg(test)]
mod tests {
    use cloakroom_core::id::SlotTag;
    use cloakroom_core::testkit::ReferenceStore;
    use cloakroom_core::{Observer, OsEntropy};

    use super::*;
    use crate::spawn::TokioSpawn;

    #[derive(Debug, Default)]
    struct Dropped(Mutex<Vec<Event>>);

    impl Observer for Dropped {
        fn observe(&self, event: &Event) {
            self.0.lock().push(event.clone());
        }
    }

    fn sessions(observer: &Arc<Dropped>) -> Sessions {
        let (store, _) = ReferenceStore::manual();
        let spawn = Arc::new(TokioSpawn::current());
        Sessions::new(store, Arc::new(OsEntropy), spawn).observer(Arc::clone(observer) as _)
    }

    fn key(number: usize) -> StoredKey {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        StoredKey::from_parts(SlotTag::new(0).expect("0 is a tag"), hash)
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts() {
        let observer = Arc::new(Dropped::default());
        let (queue, sessions) = (Arc::new(TouchQueue::default()), sessions(&observer));
        for number in 0..limits::TOUCH_QUEUE {
            queue.push(key(number), &sessions);
        }
        assert_eq!(*observer.0.lock(), []);
        assert!(queue.waiting.lock().expected, "one task for all of them");
        queue.push(key(limits::TOUCH_QUEUE), &sessions);
        assert_eq!(*observer.0.lock(), [Event::TouchesDropped(1)]);
        queue.flush(&sessions).await;
        assert_eq!(queue.waiting.lock().keys, []);
        queue.push(key(0), &sessions);
        assert_eq!(observer.0.lock().len(), 1);
    }

    #[test]
    fn outside_a_runtime_nothing_waits_for_ever() {
        let observer = Arc::new(Dropped::default());
        let (queue, sessions) = (Arc::new(TouchQueue::default()), sessions(&observer));
        queue.push(key(0), &sessions);
        assert_eq!(*observer.0.lock(), [Event::TouchesDropped(1)]);
        assert_eq!(queue.waiting.lock().keys, []);
    }

    #[test]
    fn a_runtime_that_ends_does_not_take_the_queue_along() {
        let observer = Arc::new(Dropped::default());
        let (queue, sessions) = (Arc::new(TouchQueue::default()), sessions(&observer));
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            runtime
                .expect("a runtime")
                .block_on(async { queue.push(key(0), &sessions) });
            assert!(
                !queue.waiting.lock().expected,
                "the task went with its runtime"
            );
        }
    }
}

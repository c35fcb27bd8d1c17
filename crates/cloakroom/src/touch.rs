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

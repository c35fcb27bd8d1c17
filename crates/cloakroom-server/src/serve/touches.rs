//! Activity, recorded off the request's path: a bounded queue, emptied in batches.

use std::sync::Arc;

use cloakroom_core::{Event, Observer, Store, StoredKey, limits};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Takes note of activity. When the queue is full it is dropped, and counted: the next read of the
/// session finds it due again.
#[derive(Clone, Debug)]
pub(crate) struct Touches {
    queue: mpsc::Sender<StoredKey>,
    observer: Arc<dyn Observer>,
}

/// Sessions waiting to be touched: 16 batches, 140 KB.
const QUEUE: usize = 16 * limits::TOUCH_BATCH;

impl Touches {
    /// Starts the task that records; it ends when the last clone of the queue is gone.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        observer: Arc<dyn Observer>,
    ) -> (Self, JoinHandle<()>) {
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        let task = tokio::spawn(async move {
            let mut batch = Vec::with_capacity(limits::TOUCH_BATCH);
            while waiting.recv_many(&mut batch, limits::TOUCH_BATCH).await > 0 {
                // A failure is counted by the store's wrapper; the next read tries again.
                let _ = store.touch(&batch).await;
                batch.clear();
            }
        });
        (Self { queue, observer }, task)
    }

    /// The session under `key` was active.
    pub(crate) fn note(&self, key: StoredKey) {
        if self.queue.try_send(key).is_err() {
            self.observer.observe(&Event::TouchesDropped(1));
        }
    }
}

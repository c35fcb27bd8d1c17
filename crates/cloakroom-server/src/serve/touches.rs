//! Activity, recorded off the request's path: a bounded queue, emptied in batches.

use std::sync::Arc;

use cloakroom_core::{Event, Observer, Store, StoredKey, limits};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Takes note of activity. When the queue is full it is dropped, and counted: the next read of the
/// session finds it due again.
#[derive(Clone, Debug)]
pub(crate) struct Touches {
    queue: mpsc::Sender<StoredKey>,
    observer: Arc<dyn Observer>,
}

/// The task that records.
#[derive(Debug)]
pub(crate) struct Recording {
    task: JoinHandle<()>,
    last: oneshot::Sender<()>,
}

/// Sessions waiting to be touched: 16 batches, 140 KB.
const QUEUE: usize = 16 * limits::TOUCH_BATCH;

impl Touches {
    /// Starts the task that records.
    pub(crate) fn start(store: Arc<dyn Store>, observer: Arc<dyn Observer>) -> (Self, Recording) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (last, ending) = oneshot::channel();
        let task = tokio::spawn(record(store, Arc::clone(&observer), waiting, ending));
        (Self { queue, observer }, Recording { task, last })
    }

    /// The session under `key` was active.
    pub(crate) fn note(&self, key: StoredKey) {
        if self.queue.try_send(key).is_err() {
            self.observer.observe(&Event::TouchesDropped(1));
        }
    }
}

impl Recording {
    /// Writes what is waiting, and ends: also if connections that were cut still hold the queue.
    pub(crate) async fn finish(self) {
        // Both fail if the task has ended already, and then there is nothing left to write.
        let _ = self.last.send(());
        let _ = self.task.await;
    }
}

async fn record(
    store: Arc<dyn Store>,
    observer: Arc<dyn Observer>,
    mut waiting: mpsc::Receiver<StoredKey>,
    mut ending: oneshot::Receiver<()>,
) {
    let mut batch = Vec::with_capacity(limits::TOUCH_BATCH);
    loop {
        let count = tokio::select! {
            count = waiting.recv_many(&mut batch, limits::TOUCH_BATCH) => count,
            _ = &mut ending, if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        };
        if count == 0 {
            return;
        }
        // A failure is counted by the store's wrapper; the next read tries again.
        let recorded = store.touch(&batch).await;
        if recorded.is_err() && waiting.is_closed() {
            // A store that is lost would keep the server from its end, batch after batch.
            observer.observe(&Event::TouchesDropped(count + waiting.len()));
            return;
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloakroom_core::id::SlotTag;
    use cloakroom_core::observe::{Operation, Unobserved};
    use cloakroom_core::testkit::CountingStore;
    use cloakroom_core::{OsEntropy, SessionId, limits};
    use cloakroom_embedded::EmbeddedStore;

    use super::{QUEUE, Touches};

    #[tokio::test]
    async fn what_waits_is_written_though_somebody_still_holds_the_queue() {
        let store = CountingStore::counting(Arc::new(EmbeddedStore::default()));
        let (touches, recording) = Touches::start(store.clone(), Arc::new(Unobserved));
        let tag = SlotTag::new(0).expect("the test's own set-up");
        for _ in 0..QUEUE {
            let id = SessionId::generate(tag, &OsEntropy).expect("the test's own set-up");
            touches.note(id.key());
        }
        recording.finish().await;
        assert_eq!(store.calls(Operation::Touch), QUEUE / limits::TOUCH_BATCH);
        drop(touches);
    }
}

//! Sessions of this process that are moving to another node, which takes two steps. Others wait until
//! both are taken, so that within a process a move is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloakroom_core::id::{SlotTag, StoredKey};
use parking_lot::Mutex;
use tokio::sync::watch;

/// The moves that are under way.
#[derive(Debug, Default)]
pub(super) struct Moves {
    count: AtomicUsize,
    under_way: Mutex<Vec<(StoredKey, StoredKey, watch::Receiver<()>)>>,
}

/// A move; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct Move {
    moves: Arc<Moves>,
    old: StoredKey,
    new: StoredKey,
    _over: watch::Sender<()>,
}

impl Moves {
    pub(super) fn begin(self: &Arc<Self>, old: StoredKey, new: StoredKey) -> Move {
        let (over, waiting) = watch::channel(());
        self.under_way.lock().push((old, new, waiting));
        self.count.fetch_add(1, Ordering::SeqCst);
        Move {
            moves: Arc::clone(self),
            old,
            new,
            _over: over,
        }
    }

    /// Whether there are any.
    pub(super) fn are_under_way(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Waits for the moves of this session that are under way now.
    pub(super) async fn of(&self, key: &StoredKey) {
        if self.are_under_way() {
            Box::pin(self.wait(|old, new| old == key || new == key)).await;
        }
    }

    /// Waits for the moves into this tag, and out of it, that are under way now.
    pub(super) async fn in_tag(&self, tag: SlotTag) {
        if self.are_under_way() {
            self.wait(|old, new| old.tag() == tag || new.tag() == tag)
                .await;
        }
    }

    async fn wait(&self, concerns: impl Fn(&StoredKey, &StoredKey) -> bool) {
        let waiting: Vec<_> = {
            let under_way = self.under_way.lock();
            let concerned = under_way.iter().filter(|(old, new, _)| concerns(old, new));
            concerned.map(|(_, _, over)| over.clone()).collect()
        };
        for mut over in waiting {
            // Nobody ever sends; it ends by the sender's end.
            drop(over.changed().await);
        }
    }
}

impl Drop for Move {
    fn drop(&mut self) {
        let mut under_way = self.moves.under_way.lock();
        let this = |(old, new, _): &(_, _, _)| (*old, *new) == (self.old, self.new);
        if let Some(at) = under_way.iter().position(this) {
            under_way.swap_remove(at);
            self.moves.count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

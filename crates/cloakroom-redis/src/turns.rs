//! Writers of one process take turns on what they contend for, so that a compare-and-set fails only
//! because of another process, and nobody starves.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{Mutex, MutexGuard};

const GATES: usize = 64;

/// Gates; what hashes alike shares one.
#[derive(Debug)]
pub(crate) struct Turns(Vec<Mutex<()>>);

impl Turns {
    /// Waits for the turn of `thing`. It lasts until the guard is dropped.
    pub(crate) async fn wait(&self, thing: &impl Hash) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        let gate = hasher.finish() as usize % GATES;
        self.0[gate].lock().await
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self((0..GATES).map(|_| Mutex::default()).collect())
    }
}

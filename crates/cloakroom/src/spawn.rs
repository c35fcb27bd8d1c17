//! Where a write goes on when the client that asked for it has gone away.

use cloakroom_core::session::{BoxFuture, Spawn};
use tokio::runtime::Handle;

/// Finishes on the tokio runtime what a dropped request had begun.
#[derive(Clone, Debug)]
pub(crate) struct TokioSpawn {
    /// The runtime in which the application was set up, for futures that are dropped outside any.
    fallback: Option<Handle>,
}

impl TokioSpawn {
    /// On the runtime that is entered when a future is dropped, else on the one entered now.
    pub(crate) fn current() -> Self {
        let fallback = Handle::try_current().ok();
        Self { fallback }
    }
}

impl Spawn for TokioSpawn {
    fn spawn(&self, rest: BoxFuture<()>) {
        match Handle::try_current().ok().or_else(|| self.fallback.clone()) {
            Some(runtime) => {
                runtime.spawn(rest);
            }
            None => tracing::warn!(
                "a request was dropped outside a tokio runtime; a write of its session may be \
                 unfinished"
            ),
        }
    }
}

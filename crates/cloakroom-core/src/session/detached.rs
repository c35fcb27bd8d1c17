//! A write that began is finished, even if the request that asked for it goes away: dropping the
//! future hands the rest of it to whoever can run it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A future on the heap that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs a future to its end, somewhere. Runtimes implement it; the core has none.
pub trait Spawn: Send + Sync + fmt::Debug {
    /// Runs `rest` to its end without being waited for.
    fn spawn(&self, rest: BoxFuture<()>);
}

/// A future that is run in place, and elsewhere to its end if it is dropped after it began.
pub(super) struct Detached<'a, T: Send + 'static> {
    future: Option<BoxFuture<T>>,
    began: bool,
    spawn: &'a Arc<dyn Spawn>,
}

impl<'a, T: Send + 'static> Detached<'a, T> {
    pub(super) fn new(
        spawn: &'a Arc<dyn Spawn>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self {
            future: Some(Box::pin(future)),
            began: false,
            spawn,
        }
    }
}

impl<T: Send + 'static> Future for Detached<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.began = true;
        // Out of here while it runs: if it panics, nobody asks it again.
        let Some(mut future) = self.future.take() else {
            return Poll::Pending;
        };
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            self.future = Some(future);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Detached<'_, T> {
    fn drop(&mut self) {
        if let (true, Some(future)) = (self.began, self.future.take()) {
            self.spawn
                .spawn(Box::pin(async move { drop(future.await) }));
        }
    }
}

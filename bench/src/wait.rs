//! Waiting for a store that waits for its disk, without a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// The answer of a future that may wait for the disk.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    // Mostly it is ready at once.
    let mut waker = Waker::noop().clone();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending if waker.will_wake(Waker::noop()) => {
                waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            }
            Poll::Pending => std::thread::park(),
        }
    }
}

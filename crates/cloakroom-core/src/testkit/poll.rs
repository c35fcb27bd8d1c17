//! Running futures without a runtime: just enough to let operations meet, to drop one half-way, and
//! to run some on threads.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use parking_lot::Mutex;

use crate::session::{BoxFuture, Spawn};

/// Runs `future` to its end on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Lets everybody else go first, once.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs futures on this task, each one step at a time in turn: the same interleaving every time.
pub async fn join_all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures
        .into_iter()
        .map(|future| Slot::Running(Box::pin(future)))
        .collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for slot in &mut running {
            if let Slot::Running(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Slot::Done(output),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    let outputs = running.into_iter().filter_map(|slot| match slot {
        Slot::Done(output) => Some(output),
        Slot::Running(_) => None,
    });
    outputs.collect()
}

/// Polls `future` at most `polls` times, then drops it as a caller does who goes away. `None`: it
/// was dropped.
pub async fn cancel_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Some(Box::pin(future));
    let mut left = polls;
    std::future::poll_fn(|context| {
        let Some(running) = future.as_mut().filter(|_| left > 0) else {
            future = None;
            return Poll::Ready(None);
        };
        left -= 1;
        match running.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => {
                future = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Runs futures wherever `spawn` runs them, at the same time. One that panicked gives `None`.
pub async fn spawn_all<T: Send + 'static>(
    spawn: &dyn Spawn,
    futures: impl IntoIterator<Item = BoxFuture<T>>,
) -> Vec<Option<T>> {
    let mut waiting = Vec::new();
    for future in futures {
        let sender = Sender(Arc::new(Mutex::new(Post::Open(None))));
        waiting.push(Arc::clone(&sender.0));
        spawn.spawn(Box::pin(async move {
            let output = future.await;
            sender.deliver(Post::Delivered(output));
        }));
    }
    join_all(waiting.iter().map(|post| receive(post))).await
}

/// Runs each future on a thread of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadSpawn;

impl Spawn for ThreadSpawn {
    fn spawn(&self, rest: BoxFuture<()>) {
        drop(thread::spawn(|| block_on(rest)));
    }
}

/// Keeps what it is asked to run until a test lets it run: shows what happens in between.
#[derive(Default)]
pub struct HeldSpawn(Mutex<Vec<BoxFuture<()>>>);

impl HeldSpawn {
    /// Runs all that is held to its end. Returns how many there were.
    pub fn run(&self) -> usize {
        let held = std::mem::take(&mut *self.0.lock());
        let count = held.len();
        for rest in held {
            block_on(rest);
        }
        count
    }
}

impl Spawn for HeldSpawn {
    fn spawn(&self, rest: BoxFuture<()>) {
        self.0.lock().push(rest);
    }
}

impl std::fmt::Debug for HeldSpawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeldSpawn({} held)", self.0.lock().len())
    }
}

enum Slot<T, F> {
    Running(Pin<Box<F>>),
    Done(T),
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What a spawned future left for whoever waits for it.
enum Post<T> {
    Open(Option<Waker>),
    Delivered(T),
    Lost,
}

struct Sender<T>(Arc<Mutex<Post<T>>>);

impl<T> Sender<T> {
    fn deliver(&self, post: Post<T>) {
        let mut shared = self.0.lock();
        if let Post::Open(waiting) = &mut *shared {
            let waiting = waiting.take();
            *shared = post;
            drop(shared);
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.deliver(Post::Lost);
    }
}

async fn receive<T>(post: &Mutex<Post<T>>) -> Option<T> {
    std::future::poll_fn(|context| {
        let mut shared = post.lock();
        match std::mem::replace(&mut *shared, Post::Lost) {
            Post::Open(_) => {
                *shared = Post::Open(Some(context.waker().clone()));
                Poll::Pending
            }
            Post::Delivered(output) => Poll::Ready(Some(output)),
            Post::Lost => Poll::Ready(None),
        }
    })
    .await
}

//! The task that sends what callers of one connection put down, and tells whose time is over.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::aio::MultiplexedConnection;
use tokio::time::Sleep;

use super::super::open::transmit;
use super::{Bundle, CALLED, Delivery, Desk, ON_THE_WAY};

/// The sending task's own. When the task ends, also with its runtime, who waits is told.
pub(super) struct Sending {
    pub(super) desk: Arc<Desk>,
    /// Who has got replies and was not called yet.
    pub(super) called: VecDeque<Waker>,
    /// Rings when somebody's time may be over.
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

impl Sending {
    /// Tells whose time is over; nobody's is before `due`.
    fn look_at_the_time(&mut self, due: Option<Instant>, cx: &mut Context<'_>) {
        if self.timer.is_none() {
            let timer = due.map(|due| Box::pin(tokio::time::sleep_until(due.into())));
            self.timer = timer;
        }
        while let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            match self.desk.give_up(&mut self.called) {
                Some(due) => timer.as_mut().reset(due.into()),
                None => self.timer = None,
            }
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.desk.close();
        self.called.drain(..).for_each(Waker::wake);
    }
}

/// Sends what callers put down, until no caller is left.
pub(super) async fn send_all(
    desk: Arc<Desk>,
    connection: MultiplexedConnection,
    timeout: Duration,
) {
    let mut sending = Sending {
        desk,
        called: VecDeque::new(),
        timer: None,
    };
    let mut on_the_way = FuturesUnordered::new();
    poll_fn(|cx| {
        let Sending { desk, called, .. } = &mut sending;
        let due = loop {
            while let Poll::Ready(Some(delivery)) = on_the_way.poll_next_unpin(cx) {
                desk.deliver(delivery, called);
            }
            match desk.next(on_the_way.len() < ON_THE_WAY, cx) {
                Ok(bundle) => on_the_way.push(send(bundle, connection.clone(), timeout)),
                Err(due) => break due,
            }
        };
        sending.look_at_the_time(due, cx);
        let Sending { desk, called, .. } = &mut sending;
        let some = called.len().min(CALLED);
        called.drain(..some).for_each(Waker::wake);
        if !called.is_empty() {
            come_again(cx);
        } else if on_the_way.is_empty() && desk.is_left() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// Has this task run again, after those that it has called. A task that wakes itself may be first, if
/// those run in a set of their own (a `LocalSet`, as in actix-web): then all were called before one of them could
/// ask, and the server and this process waited for each other.
pub(super) fn come_again(cx: &mut Context<'_>) {
    let again = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert!(again.is_pending(), "it yields once");
}

async fn send(
    bundle: Bundle,
    mut connection: MultiplexedConnection,
    timeout: Duration,
) -> Delivery {
    let sent = transmit(&mut connection, bundle.commands);
    let answer = match tokio::time::timeout(timeout, sent).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    };
    (bundle.places, answer)
}

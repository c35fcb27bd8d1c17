//! Waiting for the journal, as a future that needs no runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Shared;
use crate::journal::{JournalError, JournalState};

/// Resolves when a record is on the disk, or when it is clear that nobody can say so.
#[derive(Debug)]
#[must_use = "nothing is waited for until this is awaited"]
pub struct Wait {
    shared: Arc<Shared>,
    seq: Option<u64>,
    ticket: Option<u64>,
}

impl Wait {
    /// For the sync of a record.
    pub(crate) const fn sync(shared: Arc<Shared>, seq: u64) -> Self {
        Self {
            shared,
            seq: Some(seq),
            ticket: None,
        }
    }

    /// For writes to be taken.
    pub(crate) const fn admission(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            seq: None,
            ticket: None,
        }
    }

    fn look(&self) -> Poll<Result<(), JournalError>> {
        let shared = &self.shared;
        match self.seq {
            None => shared.admits(),
            Some(seq) if shared.durable() >= seq => Poll::Ready(Ok(())),
            Some(_) => match shared.state() {
                JournalState::Open | JournalState::Behind => Poll::Pending,
                JournalState::Full | JournalState::Broken | JournalState::Stalled => {
                    Poll::Ready(Err(shared.fault()))
                }
            },
        }
    }

    fn forget(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.waiters.leave(self.seq.unwrap_or(0), ticket);
        }
    }
}

impl Future for Wait {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.look().is_pending() {
            let seq = self.seq.unwrap_or(0);
            let waiters = &self.shared.waiters;
            self.ticket = Some(waiters.enter(seq, self.ticket, context.waker()));
            if seq > 0 {
                self.shared.want(seq);
            }
        }
        // Again, because it may have happened before the waker was there to be woken.
        let result = self.look();
        if result.is_ready() {
            self.forget();
        }
        result
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.forget();
    }
}

//! Calls that are put down at once, because nothing has to be waited for before: one small future, where
//! the long way is a chain of boxed ones with a timer. Where something has to be waited for (a connection
//! that is not open, sentinels whose word is asked for, replicas that must confirm) there is no such
//! call, and the long way is taken. The futures are written out, because what an `async fn` is awaited in has
//! a place for it and for each of its parts, and these are moved and allocated with every call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use cloakroom_core::id::SlotTag;
use futures_util::FutureExt as _;

use super::bundle::{Answered, Asked, Asking};
use super::known::Ask;
use super::lane::{RedisWire, Slot, Waiting, is_no_primary};
use super::open::{OpenShared, check};
use super::{Command, Lane, Question, Reply, Seen, Wire as _};
use crate::failure::{Class, Failure};

/// A call that was begun. It ends by itself when the time of an operation is over.
pub(crate) struct Begun<'a> {
    wire: &'a RedisWire,
    waiting: Waiting<'a>,
    asking: Asking,
}

/// A read that was begun.
pub(crate) struct BegunRead<'a> {
    call: Begun<'a>,
    open: Arc<OpenShared>,
    ask: Ask,
}

impl RedisWire {
    /// Begins what [`super::Wire::read`] does, at `since`.
    pub(super) fn begin_read_now(
        &self,
        tag: SlotTag,
        question: Question<'_>,
        since: Instant,
    ) -> Option<BegunRead<'_>> {
        let slot = self.next_slot();
        let (generation, open) = self.at_hand(slot)?;
        let ask = open.known.ask(tag, since);
        Some(BegunRead {
            call: self.begin(
                (slot, generation),
                &open,
                open.asked(&ask, question()),
                since,
            ),
            open,
            ask,
        })
    }

    /// Begins what [`super::Wire::call`] does, at `since`.
    pub(super) fn begin_call_now(
        &self,
        lane: Lane,
        command: Command,
        since: Instant,
    ) -> Option<Begun<'_>> {
        let slot = self.slot(lane)?;
        let (generation, open) = self.at_hand(slot)?;
        Some(self.begin((slot, generation), &open, Asked::One(command), since))
    }

    fn begin<'a>(
        &'a self,
        (slot, generation): (&'a Slot, u64),
        open: &OpenShared,
        asked: Asked,
        since: Instant,
    ) -> Begun<'a> {
        let timeout = self.timeout();
        Begun {
            wire: self,
            waiting: Waiting::new(slot, generation, timeout, since),
            asking: open.bundler.ask(asked, Some(since + timeout)),
        }
    }
}

impl Begun<'_> {
    fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answered, Failure>> {
        let answered = ready!(self.asking.poll_unpin(cx));
        let told = self.wire.told(&mut self.waiting, answered);
        Poll::Ready(told.map_err(|failure| self.wire.named(failure)))
    }
}

/// Gives the reply, which is no error.
impl Future for Begun<'_> {
    type Output = Result<Reply, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = match ready!(self.poll_answered(cx))? {
            Answered::One(reply) => reply,
            Answered::Many(replies) => {
                let [reply] = super::exactly(replies)?;
                reply
            }
        };
        if is_no_primary(&reply) {
            self.wire.let_go();
        }
        let reply = check(&reply).map(|()| reply);
        Poll::Ready(reply.map_err(|failure| self.wire.named(failure)))
    }
}

/// Gives what was seen; `None` if the epoch changed while the reply was on its way.
impl Future for BegunRead<'_> {
    type Output = Result<Option<Seen>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(self.call.poll_answered(cx))?;
        let seen = self.open.seen(&self.ask, answered).transpose();
        if let Err(failure) = &seen
            && failure.class() == Class::ReadOnly
        {
            self.call.wire.let_go();
        }
        Poll::Ready(seen.map_err(|failure| self.call.wire.named(failure)))
    }
}

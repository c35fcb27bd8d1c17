//! Calls that are put down at once, because nothing has to be waited for before: one small future, where
//! the long way is a chain of boxed ones with a timer. Where something has to be waited for (a connection
//! that is not open, sentinels whose word is asked for, replicas that must confirm) there is no such
//! call, and the long way is taken.

use std::sync::Arc;
use std::time::Instant;

use cloakroom_core::id::SlotTag;

use super::bundle::{Answered, Asked, Asking};
use super::known::Ask;
use super::lane::{RedisWire, Slot, Waiting, is_no_primary};
use super::open::{OpenShared, check};
use super::{Lane, Question, Reply, Seen};
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
        question: Question<'_>,
        since: Instant,
    ) -> Option<Begun<'_>> {
        let slot = self.slot(lane)?;
        let (generation, open) = self.at_hand(slot)?;
        Some(self.begin((slot, generation), &open, Asked::One(question()), since))
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
    /// The reply, which is no error.
    pub(crate) async fn reply(self) -> Result<Reply, Failure> {
        let wire = self.wire;
        let reply = match self.answered().await? {
            Answered::One(reply) => reply,
            Answered::Many(replies) => {
                let [reply] = super::exactly(replies)?;
                reply
            }
        };
        if is_no_primary(&reply) {
            wire.let_go();
        }
        check(&reply).map(|()| reply)
    }

    async fn answered(self) -> Result<Answered, Failure> {
        let answered = self.asking.await;
        self.wire.told(self.waiting, answered)
    }
}

impl BegunRead<'_> {
    /// What was seen; `None` if the epoch changed while the reply was on its way.
    pub(crate) async fn seen(self) -> Result<Option<Seen>, Failure> {
        let wire = self.call.wire;
        let answered = self.call.answered().await?;
        let seen = self.open.seen(&self.ask, answered).transpose();
        if let Err(failure) = &seen
            && failure.class() == Class::ReadOnly
        {
            wire.let_go();
        }
        seen
    }
}

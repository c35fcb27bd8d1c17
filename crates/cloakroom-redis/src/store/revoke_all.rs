//! Ending everything: each tag gets a new epoch, and none is missed. Tags are told in one trip to
//! each node; those that could not be told are told again until the deadline.

use std::time::Duration;

use cloakroom_core::Error;
use cloakroom_core::id::SlotTag;

use super::RedisStore;
use crate::epoch;
use crate::failure::{Class, Failure};
use crate::keys;
use crate::route::Batch;
use crate::wire::{Command, Lane, Reply};

/// Between two tries, so that a node which comes back is not hammered.
const PAUSE: Duration = Duration::from_millis(20);

impl RedisStore {
    pub(super) async fn revoke_everything(&self) -> Result<(), Error> {
        let (id, epoch) = (epoch::fresh()?, epoch::fresh()?);
        let everything = self.shared.revoked.note_everything(epoch);
        // Longer than this call may take: a tag may not open while another is not told.
        let longest = self.deadline * 2;
        let close = |tag| epoch::close_and_set(tag, id, epoch, longest);
        let telling = self.tell_all(close, |reply| {
            if let Some(epoch) = epoch::decode(reply)? {
                everything.ended(epoch);
            }
            Ok(())
        });
        match tokio::time::timeout(self.deadline, telling).await {
            Ok(told) => told.map_err(Failure::partly)?,
            Err(_) => {
                let late = Failure::new(Class::Timeout, "the operation took too long");
                return Err(late.partly().into());
            }
        }
        everything.is_done();
        self.shared.recent.clear();
        // Everything is ended by now. A tag that cannot be opened opens by itself.
        let opening = self.tell_all(|tag| vec![epoch::open(tag, id)], |_| Ok(()));
        if !matches!(
            tokio::time::timeout(self.deadline, opening).await,
            Ok(Ok(()))
        ) {
            tracing::warn!("logins may have to wait for a moment after a mass revocation");
        }
        Ok(())
    }

    /// Sends every tag its commands, again and again until it answers; hands over the last reply.
    ///
    /// Then the nodes that sessions are moving from, or will move to.
    async fn tell_all(
        &self,
        commands: impl Fn(SlotTag) -> Vec<Command> + Send + Sync,
        mut heard: impl FnMut(Reply) -> Result<(), Failure> + Send,
    ) -> Result<(), Failure> {
        for elsewhere in [false, true] {
            self.tell_each(elsewhere, &commands, &mut heard).await?;
        }
        Ok(())
    }

    async fn tell_each(
        &self,
        elsewhere: bool,
        commands: &(impl Fn(SlotTag) -> Vec<Command> + Send + Sync),
        heard: &mut (impl FnMut(Reply) -> Result<(), Failure> + Send),
    ) -> Result<(), Failure> {
        let mut waiting: Vec<SlotTag> = keys::tags().collect();
        loop {
            let batch = |tag: &SlotTag| Batch {
                tag: *tag,
                commands: commands(*tag),
            };
            let batches = waiting.iter().map(batch).collect();
            let answers = match elsewhere {
                false => self.route.send_each(Lane::Final, batches).await,
                true => self.route.send_each_elsewhere(Lane::Final, batches).await,
            };
            let mut left = Vec::new();
            for (tag, answer) in waiting.into_iter().zip(answers) {
                match answer {
                    Ok(mut replies) => heard(replies.pop().unwrap_or_default())?,
                    Err(failure) if failure.class().is_retryable() => left.push(tag),
                    Err(failure) => return Err(failure),
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            waiting = left;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

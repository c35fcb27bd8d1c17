//! Says again what was revoked, to a server that may not know: one that restarted, was promoted, or
//! got slots of another. It is said before anybody trusts that server's answers.

use cloakroom_core::id::SlotTag;
use redis::aio::MultiplexedConnection;

use super::open::{check, transmit};
use super::{Command, Reply};
use crate::epoch;
use crate::failure::{Failure, Redirect};
use crate::revoked::Revoked;

/// Commands in one batch.
const BATCH: usize = 1_000;
/// Sessions that are ended again in one go.
const AT_ONCE: usize = 250;

/// What it means that the server has not a tag, or not a key of it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Who has it now is told as well.
    IsFine,
    /// It was said to have it.
    IsWrong,
}

/// Says again what was revoked of these tags.
pub(super) async fn retell(
    connection: &mut MultiplexedConnection,
    revoked: &Revoked,
    holds: &(dyn Fn(SlotTag) -> bool + Sync),
    elsewhere: Elsewhere,
) -> Result<(), Failure> {
    // They may be many: made some at a time, so that whoever shares the thread has a turn meanwhile.
    for keys in revoked.ended(holds).chunks(AT_ONCE) {
        let commands = keys.iter().flat_map(|key| revoked.end(key));
        tell(connection, commands.collect(), elsewhere).await?;
    }
    let tags = revoked.tags_to_check(holds);
    let questions = tags.iter().map(|tag| epoch::read(*tag)).collect();
    let mut late = Vec::new();
    for (tag, reply) in tags
        .iter()
        .zip(tell(connection, questions, elsewhere).await?)
    {
        if epoch::decode(reply)?.is_some_and(|epoch| revoked.is_over(epoch)) {
            // Not the epoch of then: another process may have revoked all since.
            let fresh = epoch::fresh().map_err(|_| Failure::protocol("there is no entropy"))?;
            late.push(epoch::set(*tag, fresh));
        }
    }
    tell(connection, late, elsewhere).await?;
    Ok(())
}

async fn tell(
    connection: &mut MultiplexedConnection,
    mut commands: Vec<Command>,
    elsewhere: Elsewhere,
) -> Result<Vec<Reply>, Failure> {
    let mut replies = Vec::with_capacity(commands.len());
    while !commands.is_empty() {
        let rest = commands.split_off(commands.len().min(BATCH));
        let told = transmit(connection, commands).await;
        for reply in told.map_err(|error| Failure::of(&error))? {
            replies.push(match check(&reply) {
                Err(failure) if is_elsewhere(&failure, elsewhere) => Reply::Nil,
                Err(failure) => return Err(failure),
                Ok(()) => reply,
            });
        }
        commands = rest;
    }
    Ok(replies)
}

/// A key that is moving away and not here is not here to be revived.
fn is_elsewhere(failure: &Failure, elsewhere: Elsewhere) -> bool {
    match failure.redirect() {
        Some(Redirect::Ask(_)) => true,
        Some(Redirect::Moved(_)) => elsewhere == Elsewhere::IsFine,
        None => false,
    }
}

//! Says again what was revoked, to a server that may not know: one that restarted, was promoted, or
//! got slots of another. It is said before anybody trusts that server's answers.

use cloakroom_core::id::SlotTag;
use redis::aio::MultiplexedConnection;

use super::open::{transmit, without_errors};
use super::{Command, Reply};
use crate::epoch;
use crate::failure::Failure;
use crate::revoked::Revoked;

/// Commands in one batch.
const BATCH: usize = 1_000;

/// Says again what was revoked of these tags.
pub(super) async fn retell(
    connection: &mut MultiplexedConnection,
    revoked: &Revoked,
    holds: &(dyn Fn(SlotTag) -> bool + Sync),
) -> Result<(), Failure> {
    tell(connection, revoked.endings(holds)).await?;
    let tags = revoked.tags_to_check(holds);
    let questions = tags.iter().map(|tag| epoch::read(*tag)).collect();
    let mut late = Vec::new();
    for (tag, reply) in tags.iter().zip(tell(connection, questions).await?) {
        if epoch::decode(reply)?.is_some_and(|epoch| revoked.is_over(epoch)) {
            // Not the epoch of then: another process may have revoked all since.
            let fresh = epoch::fresh().map_err(|_| Failure::protocol("there is no entropy"))?;
            late.push(epoch::set(*tag, fresh));
        }
    }
    tell(connection, late).await?;
    Ok(())
}

async fn tell(
    connection: &mut MultiplexedConnection,
    mut commands: Vec<Command>,
) -> Result<Vec<Reply>, Failure> {
    let mut replies = Vec::with_capacity(commands.len());
    while !commands.is_empty() {
        let rest = commands.split_off(commands.len().min(BATCH));
        let told = transmit(connection, commands).await;
        replies.extend(without_errors(told.map_err(|error| Failure::of(&error))?)?);
        commands = rest;
    }
    Ok(replies)
}

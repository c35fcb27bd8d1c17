//! Epochs: what `revoke_all` changes. Each slot tag has one, so that a step and the epoch that it
//! checks are on one node. A record carries the epoch of its creation, and lives while its tag's is
//! the same.
//!
//! Tags are told of a mass revocation one after another. While that lasts, a session could move from
//! a tag that does not know of it to one that does, and would outlive it. So each tag is *closing*
//! from just before it is told until all were told: sessions of other tags may not move there.

use std::time::Duration;

use cloakroom_core::Error;
use cloakroom_core::entropy::{Entropy, OsEntropy};
use cloakroom_core::id::SlotTag;

use crate::failure::Failure;
use crate::keys;
use crate::wire::{self, Command, Reply};

/// Which mass revocation a record is younger than: 8 bytes that are only compared.
pub(crate) type Epoch = [u8; 8];

/// An epoch that no other is.
pub(crate) fn fresh() -> Result<Epoch, Error> {
    let mut epoch = Epoch::default();
    OsEntropy.fill(&mut epoch)?;
    Ok(epoch)
}

/// Reads a tag's epoch.
pub(crate) fn read(tag: SlotTag) -> Command {
    wire::command("GET", [keys::epoch(tag)])
}

/// What [`read`] was answered.
pub(crate) fn decode(reply: Reply) -> Result<Option<Epoch>, Failure> {
    Ok(wire::bytes(reply)?.and_then(|epoch| epoch.try_into().ok()))
}

/// Puts the sessions of other epochs under this tag to an end.
pub(crate) fn set(tag: SlotTag, epoch: Epoch) -> Command {
    let mut set = wire::command("SET", [keys::epoch(tag)]);
    set.arg(&epoch[..]);
    set
}

/// As [`set`], closing the tag before; the last reply is the epoch that was there. `id` names the
/// revocation. Should nobody open the tag again, it opens after `longest`.
pub(crate) fn close_and_set(
    tag: SlotTag,
    id: Epoch,
    epoch: Epoch,
    longest: Duration,
) -> Vec<Command> {
    let key = keys::closing(tag);
    let mut close = wire::command("SADD", [&key]);
    close.arg(&id[..]);
    let mut expire = wire::command("PEXPIRE", [&key]);
    expire.arg(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX));
    let mut set = set(tag, epoch);
    set.arg("GET");
    vec![close, expire, set]
}

/// Opens a tag that `id` closed, unless somebody else closed it as well.
pub(crate) fn open(tag: SlotTag, id: Epoch) -> Command {
    let mut open = wire::command("SREM", [keys::closing(tag)]);
    open.arg(&id[..]);
    open
}

/// Whether a tag is closing.
pub(crate) fn is_closing(tag: SlotTag) -> Command {
    wire::command("EXISTS", [keys::closing(tag)])
}

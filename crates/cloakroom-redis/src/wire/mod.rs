//! The seam to the wire client: few verbs, so that the client can be changed, and so that what it
//! lacks is added in one place (deadlines, TCP settings, a watchdog for hung servers). A [`Wire`] goes
//! to one node; which node has a session is [`crate::route`]'s to say.

mod concerns;
mod exclusive;
mod known;
mod lane;
mod open;
mod retell;
mod sentinel;
mod shared;

use async_trait::async_trait;
use cloakroom_core::UnixMillis;
use cloakroom_core::id::SlotTag;
use futures_util::future::BoxFuture;

use crate::epoch::Epoch;
use crate::failure::Failure;

pub(crate) use concerns::Concerns;
pub(crate) use lane::RedisWire;
pub(crate) use redis::{Cmd as Command, Value as Reply};
pub(crate) use shared::Shared;

/// Which connections a batch goes over, so that what is slow never stands before what is urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Requests of visitors.
    Main,
    /// Scans and numbers.
    Bulk,
    /// What must not be lost: where replicas confirm, it is answered when all that keep up have it.
    /// `WAIT` blocks its connection, so this has one of its own then.
    Safe,
}

/// What a read of a key saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) reply: Reply,
    /// The epoch of the key's tag, no older than the call.
    pub(crate) epoch: Option<Epoch>,
    /// The server's time, or a little later, by less than a trip.
    pub(crate) now: UnixMillis,
    /// The same, or a little earlier.
    pub(crate) now_at_least: UnixMillis,
}

/// Sends commands to one node, gets replies. Every call has a deadline.
#[async_trait]
pub(crate) trait Wire: Send + Sync + std::fmt::Debug {
    /// Reads one key of a tag, and with it what tells whether a session lives. The deadline is the
    /// caller's.
    fn read(&self, tag: SlotTag, command: Command) -> BoxFuture<'_, Result<Seen, Failure>>;

    /// Sends `commands` in one trip; as many replies, none of them an error.
    async fn send(&self, lane: Lane, commands: Vec<Command>) -> Result<Vec<Reply>, Failure>;

    /// Sends several batches in one trip; what the server answered to each of them.
    async fn send_each(
        &self,
        lane: Lane,
        batches: Vec<Vec<Command>>,
    ) -> Result<Vec<Result<Vec<Reply>, Failure>>, Failure>;

    /// A connection that nobody else uses, for a transaction.
    async fn exclusive(&self) -> Result<Box<dyn Exclusive>, Failure>;
}

/// A connection for a transaction. Dropped before [`Exclusive::release`], it is closed, and the
/// server forgets what was watched and queued.
#[async_trait]
pub(crate) trait Exclusive: Send {
    /// As [`Wire::send`].
    async fn send(&mut self, commands: Vec<Command>) -> Result<Vec<Reply>, Failure>;

    /// As [`Wire::send`] on [`Lane::Safe`].
    async fn send_safe(&mut self, commands: Vec<Command>) -> Result<Vec<Reply>, Failure>;

    /// Gives the connection back; nothing is watched or queued on it.
    fn release(self: Box<Self>);
}

/// A command from its words.
pub(crate) fn command<A: redis::ToRedisArgs>(
    name: &str,
    args: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = redis::cmd(name);
    for arg in args {
        command.arg(arg);
    }
    command
}

/// A command that reads one key.
pub(crate) fn read_command(name: &str, key: &str) -> Command {
    let mut command = Command::with_capacity(2, name.len() + key.len());
    command.arg(name).arg(key);
    command
}

/// The bytes of a reply that may be missing.
pub(crate) fn bytes(reply: Reply) -> Result<Option<Vec<u8>>, Failure> {
    match reply {
        Reply::BulkString(bytes) => Ok(Some(bytes)),
        Reply::SimpleString(text) => Ok(Some(text.into_bytes())),
        Reply::VerbatimString { text, .. } => Ok(Some(text.into_bytes())),
        Reply::Nil => Ok(None),
        _ => Err(Failure::protocol("a reply is not a string")),
    }
}

pub(crate) fn integer(reply: &Reply) -> Result<i64, Failure> {
    match reply {
        Reply::Int(number) => Ok(*number),
        Reply::BulkString(bytes) => {
            let text = str::from_utf8(bytes).ok();
            let number = text.and_then(|text| text.parse().ok());
            number.ok_or_else(|| Failure::protocol("a reply is not a number"))
        }
        _ => Err(Failure::protocol("a reply is not a number")),
    }
}

pub(crate) fn array(reply: Reply) -> Result<Vec<Reply>, Failure> {
    match reply {
        Reply::Array(items) | Reply::Set(items) => Ok(items),
        Reply::Map(pairs) => Ok(pairs.into_iter().flat_map(|(k, v)| [k, v]).collect()),
        _ => Err(Failure::protocol("a reply is not a list")),
    }
}

/// Exactly `N` replies.
pub(crate) fn exactly<const N: usize>(replies: Vec<Reply>) -> Result<[Reply; N], Failure> {
    let wrong = |_| Failure::protocol("not as many replies as commands");
    replies.try_into().map_err(wrong)
}

//! The seam to the wire client: few verbs, so that the client can be changed, and so that what it
//! lacks is added in one place (deadlines, TCP settings, a watchdog for hung servers). A [`Wire`] goes
//! to one node; which node has a session is [`crate::route`]'s to say.

mod begun;
mod bundle;
mod client;
mod concerns;
mod exclusive;
mod known;
mod lane;
mod open;
mod reading;
mod retell;
mod sentinel;
mod shared;
mod trust;

use std::time::Instant;

use async_trait::async_trait;
use cloakroom_core::UnixMillis;
use cloakroom_core::id::{SlotTag, StoredKey};
use futures_util::future::BoxFuture;

use crate::epoch::Epoch;
use crate::failure::Failure;
use crate::keys;

pub(crate) use begun::{Begun, BegunRead};
pub(crate) use concerns::Concerns;
pub(crate) use lane::RedisWire;
pub(crate) use redis::{Cmd as Command, Value as Reply};
pub(crate) use shared::{Durability, Holds, Shared};
pub(crate) use trust::{LEASE, PROMPT};

/// Which connections a batch goes over, so that what is slow never stands before what is urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// What visitors read.
    Main,
    /// What visitors change; the primary alone acknowledges it.
    Write,
    /// Scans and numbers.
    Bulk,
    /// What must not be lost: where replicas confirm, it is answered when all that keep up have it.
    /// `WAIT` blocks its connection, so this has one of its own then.
    Safe,
    /// An end: as [`Lane::Safe`], wherever there are replicas. It is answered only when no process
    /// reads from an older primary any more.
    Final,
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

/// Makes the command of a read, which may have to be sent more than once.
pub(crate) type Question<'a> = &'a (dyn Fn() -> Command + Sync);

/// Sends commands to one node, gets replies. Every call has a deadline.
#[async_trait]
pub(crate) trait Wire: Send + Sync + std::fmt::Debug {
    /// Reads one key of a tag, and with it what tells whether a session lives. The deadline is the
    /// caller's.
    fn read<'a>(
        &'a self,
        tag: SlotTag,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<Seen, Failure>>;

    /// Sends `commands` in one trip; as many replies, errors of the server among them.
    async fn exchange(&self, lane: Lane, commands: Vec<Command>) -> Result<Answers, Failure>;

    /// Sends one command; its reply, which is no error.
    fn call(&self, lane: Lane, command: Command) -> BoxFuture<'_, Result<Reply, Failure>>;

    /// Begins what [`Wire::read`] does, if nothing has to be waited for before. It began at `since`, and has
    /// the deadline of an operation.
    fn begin_read<'a>(
        &'a self,
        _tag: SlotTag,
        _question: Question<'_>,
        _since: Instant,
    ) -> Option<BegunRead<'a>> {
        None
    }

    /// As [`Wire::begin_read`], of [`Wire::call`].
    fn begin_call<'a>(
        &'a self,
        _lane: Lane,
        _command: Command,
        _since: Instant,
    ) -> Option<Begun<'a>> {
        None
    }

    /// A connection that nobody else uses, for a transaction.
    async fn exclusive(&self) -> Result<Box<dyn Exclusive>, Failure>;

    /// The same failure, naming the node.
    fn named(&self, failure: Failure) -> Failure;

    /// Sends `commands` in one trip; as many replies, none of them an error.
    async fn send(&self, lane: Lane, commands: Vec<Command>) -> Result<Vec<Reply>, Failure> {
        let answers = self.exchange(lane, commands).await?;
        answers.all().map_err(|failure| self.named(failure))
    }
}

/// What was answered to some commands.
#[derive(Debug)]
pub(crate) struct Answers {
    /// A reply to each.
    pub(crate) replies: Vec<Reply>,
    /// Whether the replicas have what was written, where they must.
    pub(crate) confirmed: Result<(), Failure>,
}

impl Answers {
    /// All replies, if none is an error.
    pub(crate) fn all(self) -> Result<Vec<Reply>, Failure> {
        let replies = open::without_errors(self.replies)?;
        self.confirmed.map(|()| replies)
    }

    /// Whether nothing went wrong.
    pub(crate) fn are_clean(&self) -> bool {
        self.confirmed.is_ok() && self.replies.iter().all(|reply| open::check(reply).is_ok())
    }

    /// The next reply, if it is no error.
    pub(crate) fn take(
        replies: &mut impl Iterator<Item = Reply>,
        confirmed: &Result<(), Failure>,
    ) -> Result<Reply, Failure> {
        let missing = || Failure::protocol("not as many replies as commands");
        let reply = replies.next().ok_or_else(missing)?;
        open::check(&reply)?;
        confirmed.clone().map(|()| reply)
    }
}

/// A connection for a transaction. Dropped before [`Exclusive::release`], it is closed, and the
/// server forgets what was watched and queued.
#[async_trait]
pub(crate) trait Exclusive: Send {
    /// As [`Wire::send`].
    async fn send(&mut self, commands: Vec<Command>) -> Result<Vec<Reply>, Failure>;

    /// As [`Wire::send`] on [`Lane::Safe`] or [`Lane::Final`].
    async fn send_safe(
        &mut self,
        lane: Lane,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, Failure>;

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

/// Whether this is a command of that name.
pub(crate) fn is_named(command: &Command, name: &str) -> bool {
    let first = command.args_iter().next();
    matches!(first, Some(redis::Arg::Simple(word)) if word == name.as_bytes())
}

/// A command that reads one key.
pub(crate) fn read_command(name: &str, key: &str) -> Command {
    let mut command = Command::with_capacity(2, name.len() + key.len());
    command.arg(name).arg(key);
    command
}

/// The same of a session.
pub(crate) fn load_command(name: &str, key: &StoredKey) -> Command {
    let mut command = Command::with_capacity(2, name.len() + 64);
    command.arg(name);
    keys::add_session(&mut command, key);
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

/// As [`bytes`], where the reply has them.
pub(crate) fn bytes_in(reply: &Reply) -> Result<Option<&[u8]>, Failure> {
    match reply {
        Reply::BulkString(bytes) => Ok(Some(bytes)),
        Reply::SimpleString(text) | Reply::VerbatimString { text, .. } => Ok(Some(text.as_bytes())),
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

//! Every bound of the RESP front, with its unit and its reason. Redis has most of them too; where ours is
//! lower, `docs/commands.md` says so.

use std::time::Duration;

/// Bytes of one argument. A session is a few kilobytes; what is larger belongs elsewhere, and a claim of
/// 512 MB (Redis' limit) is an attack.
pub(crate) const BULK_BYTES: usize = 64 << 20;

/// Arguments of one command: `DEL` and `MGET` of a whole shop's sessions.
pub(crate) const ARGUMENTS: usize = 1 << 20;

/// Bytes of one command with all its arguments, and of all commands that a transaction has queued.
pub(crate) const COMMAND_BYTES: usize = 128 << 20;

/// Bytes of an inline command, and of a line that announces a length. As Redis.
pub(crate) const LINE_BYTES: usize = 64 << 10;

/// Arguments, and bytes of each, that a connection may send before it has signed in. As Redis.
pub(crate) const STRANGER_ARGUMENTS: usize = 10;
/// See [`STRANGER_ARGUMENTS`].
pub(crate) const STRANGER_BULK_BYTES: usize = 16 << 10;

/// Commands that a transaction may queue.
pub(crate) const QUEUED_COMMANDS: usize = 1 << 16;

/// Bytes of replies that wait for their reader until the connection is read no further: enough for
/// clients that write a whole pipeline before they read.
pub(crate) const OUTPUT_PAUSE_BYTES: usize = 32 << 20;

/// Bytes of replies that wait for their reader until it is cut off: one reply that is larger than what
/// any session application asks for.
pub(crate) const OUTPUT_BYTES: usize = 256 << 20;

/// Bytes of pushed messages that wait for a subscriber until it is cut off. As Redis' `pubsub` class.
pub(crate) const PUSH_BYTES: usize = 32 << 20;

/// Bytes of them that may wait for [`PUSH_SOFT_TIME`] only. As Redis.
pub(crate) const PUSH_SOFT_BYTES: usize = 8 << 20;
/// See [`PUSH_SOFT_BYTES`].
pub(crate) const PUSH_SOFT_TIME: Duration = Duration::from_secs(60);

/// How long a reader may take no byte of what waits for it until it is cut off.
pub(crate) const SLOW_READER: Duration = Duration::from_secs(30);

/// Bytes read at once from a connection; one such buffer per thread, none per connection.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// How long the commands of a pipeline may take until others have their turn, those that came by HTTP among them. One command
/// is not divided.
pub(crate) const TURN: Duration = Duration::from_millis(10);

/// Channels, and patterns, that a connection which is over lets go of until others have their turn: two hundred connections with
/// twenty thousand each held up everybody for three seconds.
pub(crate) const LET_GO: usize = 256;

/// Commands of a pipeline that are found before the first is run. What they will read has to stay in the
/// first cache, of which a session takes half a kilobyte.
pub(crate) const AHEAD: usize = 32;

/// Bytes of reply that are gathered before they are written although more commands wait.
pub(crate) const WRITE_BYTES: usize = 256 << 10;

/// Channels and patterns that one connection subscribes to, and keys that it watches: each is looked
/// for by name when it ends.
pub(crate) const SUBSCRIPTIONS: usize = 1 << 16;

/// Prefixes that one connection is told of by `CLIENT TRACKING .. BCAST`: each is compared with the others, and
/// with every key that changes.
pub(crate) const PREFIXES: usize = 1 << 10;

/// Keys that `CLIENT TRACKING` remembers over all connections; beyond it the oldest memory is
/// given up by telling its clients to forget. As Redis' `tracking-table-max-keys`.
pub(crate) const TRACKED_KEYS: usize = 1_000_000;

/// Entries of the slow log that are kept by default. As Redis.
pub(crate) const SLOWLOG_ENTRIES: usize = 128;

/// Bytes of the text of a known script: longer ones are not looked at.
pub(crate) const SCRIPT_BYTES: usize = 64 << 10;

/// Texts of scripts that `SCRIPT LOAD` remembers, so that it can answer for them.
pub(crate) const SCRIPTS: usize = 1_024;

/// Bytes of a client's name and of what it says of its library.
pub(crate) const NAME_BYTES: usize = 1 << 10;

/// Arguments of a command that the slow log keeps (of each its length: they are secrets). As Redis.
pub(crate) const SLOWLOG_ARGUMENTS: usize = 32;

/// Bytes of all that one script makes in its interpreter: a session application's scripts move kilobytes.
#[cfg(feature = "lua")]
pub(crate) const LUA_BYTES: usize = 64 << 20;

/// Bytes that a script has in the log by one call. As Redis.
#[cfg(feature = "lua")]
pub(crate) const LUA_LOG_BYTES: usize = 1 << 10;

/// Steps that one matching of a pattern may take: seconds at the worst, and it cannot be interrupted.
#[cfg(feature = "lua")]
pub(crate) const LUA_PATTERN: u64 = 1 << 30;

/// Wrong passwords of a connection after which it is closed: who guesses has to connect for every few guesses, and each of them
/// is a line in the log. A client that was set up wrongly names one.
pub(crate) const WRONG_PASSWORDS: u8 = 10;

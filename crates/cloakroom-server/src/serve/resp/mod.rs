//! The Redis protocol (RESP2 and RESP3) over the engine in this process, so that what already speaks to "a
//! Redis" keeps its sessions here without a change.
//!
//! A request's way: `pump` reads bytes, `decode` finds commands in them, `conn` looks each up in `table` and
//! lets it pass or not, `commands` do what they say on keys behind the `gate`, `reply` writes the
//! answer into the buffer that goes out. Beside it: `hub` (who listens to what), `tracking`,
//! `transaction`, `scripts`, `users`.

mod admission;
mod ahead;
mod args;
mod call;
mod client;
mod commands;
mod conn;
mod decode;
mod events;
mod fail;
mod gate;
mod glob;
mod hub;
mod kept_names;
mod limits;
mod listen;
#[cfg(feature = "lua")]
mod lua;
mod number;
mod pace;
mod pump;
mod reply;
mod scripts;
mod server;
#[cfg(test)]
mod sick_disk;
mod slowlog;
mod table;
mod tracking;
mod transaction;
mod users;
mod wide;
#[cfg(test)]
mod wired;

pub(crate) use events::parse as events_asked_for;
pub(crate) use listen::Front;
pub(crate) use server::{Counts, Server};
pub(crate) use table::docs::page as commands_page;

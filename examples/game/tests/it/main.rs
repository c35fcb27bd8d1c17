//! The game as it is run: two processes, one Redis, players on both, and what happens to them when a
//! session or a process ends.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod browser;
mod hostile;
mod player;
mod process;
mod rounds;
mod seen;

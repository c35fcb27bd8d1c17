//! The Redis protocol, as its clients speak it: byte by byte, by Debian's own programs, and side by side
//! with a redis-server.

mod bounds;
mod described;
mod differential;
mod exporter;
mod handshakes;
mod insight;
mod listening;
mod looks;
#[cfg(feature = "lua")]
mod lua;
mod programs;
mod random;
mod scripts;
mod steps;
pub(crate) mod wire;

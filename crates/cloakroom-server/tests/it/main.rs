//! The server as its users meet it: a process, its flags, its files, HTTP.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod api;
mod at_rest;
mod backup;
mod bench;
mod crashes;
mod foreign;
mod gateways;
mod golden;
mod limits;
mod logs;
mod outages;
mod process;
mod resp;
mod settings;
mod start;
mod stop;
mod stores;
mod tls;
mod two_servers;
mod verify;

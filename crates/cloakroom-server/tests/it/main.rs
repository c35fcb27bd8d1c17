//! The server as its users meet it: a process, its flags, its files, HTTP.

mod api;
mod gateways;
mod golden;
mod limits;
mod logs;
mod process;
mod settings;
mod start;
mod stop;
mod tls;
mod verify;

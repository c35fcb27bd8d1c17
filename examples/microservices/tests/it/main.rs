//! The town as its visitors meet it: a real Redis, the session server, nginx with the configuration
//! of this example, and the three services, all on free loopback ports.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod scenarios;
mod town;
mod visitor;

//! Runs the applications of `clients/` against Redis and against Cloakroom, and compares. A crate of its own,
//! because it needs neither server to compile and no other crate needs it.

#![forbid(unsafe_code)]

mod application;
mod apps;
mod cell;
mod checks;
mod fault;
mod gate;
mod matrix;
mod server;
mod visitor;
mod wire;

pub use apps::{ALL, App, Difference, Late, Variant};
pub use cell::{Cell, Outcome, Places, prepare, run};
pub use checks::{Check, Verdict};
pub use fault::Fault;
pub use matrix::{expected, observed};
pub use server::Kind;

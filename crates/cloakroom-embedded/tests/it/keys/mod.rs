//! The keyspaces from outside: what each kind does, and who is told.

mod beside_model;
mod room;
mod semantics;
mod simple;
mod threads;
mod told;

//! The keyspaces from outside: what each kind does, and who is told.

mod semantics;
mod told;

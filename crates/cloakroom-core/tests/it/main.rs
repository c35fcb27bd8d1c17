//! The core's tests, one theme a module, in one binary.

mod kit;

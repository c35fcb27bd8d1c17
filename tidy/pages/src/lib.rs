//! Compiles the Rust of every page, as documentation tests.

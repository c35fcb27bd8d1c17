//! What the pages of `docs/frameworks` show is what the applications are.

mod pages;

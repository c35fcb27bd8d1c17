//! The rules hold in this repository, and each of them can fail.

mod expressions;
mod red;
mod repository;

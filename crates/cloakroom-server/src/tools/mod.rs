//! Tools for whoever runs sessions, one file each.

mod repair;

pub(crate) use repair::repair;

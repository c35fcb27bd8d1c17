//! What the commands do, family by family, each with its rows of the table.

mod acl;
mod client;
mod client_tracking;
mod connection;
mod expiry;
mod hash_expiry;
mod hashes;
mod info;
mod introspection;
mod keys;
mod pubsub;
mod scan;
mod scripting;
mod server;
mod set_algebra;
mod sets;
mod settings;
mod sorted;
mod sorted_algebra;
mod sorted_range;
mod strings;
mod strings_change;
mod transactions;

use super::table::Command;

/// All families.
pub(super) static FAMILIES: [&[Command]; 21] = [
    &keys::ROWS,
    &expiry::ROWS,
    &scan::ROWS,
    &strings::ROWS,
    &strings_change::ROWS,
    &hashes::ROWS,
    &hash_expiry::ROWS,
    &sets::ROWS,
    &set_algebra::ROWS,
    &sorted::ROWS,
    &sorted_range::ROWS,
    &sorted_algebra::ROWS,
    &pubsub::ROWS,
    &transactions::ROWS,
    &scripting::ROWS,
    &connection::ROWS,
    &client::ROWS,
    &acl::ROWS,
    &server::ROWS,
    &settings::ROWS,
    &introspection::ROWS,
];

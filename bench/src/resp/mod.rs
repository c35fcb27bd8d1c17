//! The servers of the Redis protocol beside each other, and the load that `cloakroom bench` makes for them.

mod load;
mod servers;

pub use load::{Load, Outcome, Row, outcome};
pub use servers::{Kind, Programs, Server, Setup};

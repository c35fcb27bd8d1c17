//! Tools for whoever runs sessions, one file each.

mod backup;
mod repair;

use cloakroom_embedded::journal::{Effects, Refused};

pub(crate) use backup::backup;
pub(crate) use repair::repair;

/// Whether a record is one that this version understands.
fn understood(record: &[u8]) -> Result<(), Refused> {
    Effects::of(record).try_for_each(|effect| effect.map(drop))
}

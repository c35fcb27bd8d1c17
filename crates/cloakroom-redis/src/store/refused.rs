//! Changes that fields refuse. Where they were reckoned from what was seen of a session some time ago, that may be
//! why, so who is refused looks at the session as it is now, once, before the caller is told.

use cloakroom_core::{Error, ErrorKind};

/// Whether the fields refuse the changes, and others might not.
pub(super) fn is_about_fields(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Limit { .. } | ErrorKind::NotAnInteger { .. }
    )
}

//! The session as a handler gets it. A type of this crate, because only its own types can be
//! extractors of somebody else's framework; all it can do is the core's.

use std::ops::Deref;

/// The visitor's session, as an argument of a handler.
///
/// Costs nothing until it is used: no store is asked for a handler that only takes it. Everything
/// it can do is documented at [`cloakroom_core::Session`].
///
/// Once the head of the response is decided, the handle is finished: a body that streams and a
/// web socket may go on reading what was read, and a change is refused with
/// [`ErrorKind::Finished`](crate::ErrorKind::Finished).
#[derive(Clone, Debug)]
pub struct Session(pub(crate) cloakroom_core::Session);

impl Deref for Session {
    type Target = cloakroom_core::Session;

    fn deref(&self) -> &cloakroom_core::Session {
        &self.0
    }
}

//! The session as a handler gets it. A type of this crate, because only its own types can be
//! extractors of somebody else's framework; all it can do is the core's.

use std::fmt;
use std::ops::Deref;

use crate::config::SessionConfig;

/// The visitor's session, as an argument of a handler.
///
/// Costs nothing until it is used: no store is asked for a handler that only takes it. Everything
/// it can do is documented at [`cloakroom_core::Session`].
///
/// Once the head of the response is decided, the handle is finished: a body that streams may go on
/// reading what was read, and a change is refused with
/// [`ErrorKind::Finished`](crate::ErrorKind::Finished). For a web socket or a stream of events
/// there is [`Session::watch`].
#[derive(Clone)]
pub struct Session {
    session: cloakroom_core::Session,
    config: SessionConfig,
}

impl Session {
    pub(crate) fn new(session: cloakroom_core::Session, config: &SessionConfig) -> Self {
        let config = config.clone();
        Self { session, config }
    }

    pub(crate) fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The session that the layer put into a request's extensions, for services that are no axum
    /// handlers.
    ///
    /// # Errors
    /// If no session layer is around the service: never an empty session instead, because a visitor
    /// who is signed in would silently not be.
    #[cfg(feature = "tower-0_5")]
    pub fn of(extensions: &http::Extensions) -> crate::Result<Self> {
        let session = extensions.get::<Self>();
        session.cloned().ok_or_else(crate::Error::no_layer)
    }
}

impl Deref for Session {
    type Target = cloakroom_core::Session;

    fn deref(&self) -> &cloakroom_core::Session {
        &self.session
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}

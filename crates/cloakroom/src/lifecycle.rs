//! From a request to a session, and from what became of it to the response: the decisions, for
//! every carrier the same. Nothing here knows a framework or a type of HTTP.

use cloakroom_core::PresentedId;
use cloakroom_core::observe::{CookieFault, Event};
use cloakroom_core::session::{Cookie, Outcome};

use crate::config::SessionConfig;
use crate::cookie;
use crate::error::{Answer, answer_to_unsaved};
use crate::session::Session;

/// One request on its way through the application.
#[derive(Debug)]
pub(crate) struct Visit {
    session: Session,
    /// Whether this request's host may have our cookies at all.
    served: bool,
}

/// What a response needs on top of what the application made it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponsePlan {
    /// A `Set-Cookie` header's value; `Cache-Control: no-store` goes with it.
    pub(crate) set_cookie: Option<String>,
    /// Whether the response depends on the cookie.
    pub(crate) vary: bool,
    /// What to answer in place of the application's response, which claims what is not stored.
    pub(crate) instead: Option<&'static Answer>,
}

impl SessionConfig {
    /// Begins the visit of a request with these `Cookie` headers. `host` is asked in development
    /// mode alone.
    pub(crate) fn visit<'a>(
        &self,
        cookies: impl Iterator<Item = &'a [u8]>,
        host: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Visit {
        let parts = self.parts();
        let served = parts.cookie.serves(host);
        let presented = if served {
            self.presented(cookies)
        } else {
            Ok(None)
        };
        let presented = presented.unwrap_or_else(|fault| {
            let event = Event::CookieRejected(fault);
            parts.sessions.observed_by().observe(&event);
            None
        });
        let session = Session::new(parts.sessions.open(presented.as_ref()), self);
        Visit { session, served }
    }

    fn presented<'a>(
        &self,
        cookies: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<PresentedId>, CookieFault> {
        let parts = self.parts();
        let name = parts.cookie.full_name();
        match cookie::value_of(cookies, name)? {
            Some(value) => cookie::read(value, name, parts.keys.as_ref()).map(Some),
            None => Ok(None),
        }
    }
}

impl Visit {
    /// The session for the handler.
    pub(crate) fn session(&self) -> Session {
        self.session.clone()
    }

    /// Closes the session, when the response is there and before its first byte. `None`: something
    /// is left to be written, so [`Visit::save`] has to be awaited.
    pub(crate) fn finish(&self) -> Option<ResponsePlan> {
        let outcome = self.session.finish_now()?;
        Some(self.plan(&outcome))
    }

    /// Writes what is left, and closes the session. Dropped after its first poll, what it began is
    /// finished all the same.
    pub(crate) async fn save(self) -> ResponsePlan {
        let outcome = self.session.finish().await;
        self.plan(&outcome)
    }

    fn plan(&self, outcome: &Outcome) -> ResponsePlan {
        let parts = self.session.config().parts();
        if let Some(key) = outcome.touch {
            parts.touches.push(key, &parts.sessions);
        }
        ResponsePlan {
            set_cookie: self.set_cookie(&outcome.cookie),
            vary: outcome.accessed,
            instead: outcome.saved.as_ref().err().map(answer_to_unsaved),
        }
    }

    /// A cookie follows the fact: even if a later save failed, an id that was written is told.
    fn set_cookie(&self, cookie: &Cookie) -> Option<String> {
        let parts = self.session.config().parts();
        let header = parts.cookie.header(cookie, parts.keys.as_ref())?;
        if !self.served {
            tracing::warn!(
                "no session cookie is set: development mode is on, and this request's host is not \
                 localhost, 127.0.0.1 or [::1]"
            );
            return None;
        }
        Some(header)
    }
}

/// Whether `Vary` has to be extended, given its present values.
pub(crate) fn must_vary<'a>(mut present: impl Iterator<Item = &'a [u8]>) -> bool {
    !present.any(|line| has_token(line, b"cookie") || has_token(line, b"*"))
}

/// Whether `Cache-Control` has to be replaced, given its present values: anything but `no-store`
/// may keep a response with an id in some cache.
pub(crate) fn must_forbid_storing<'a>(mut present: impl Iterator<Item = &'a [u8]>) -> bool {
    !present.any(|line| has_token(line, b"no-store"))
}

fn has_token(line: &[u8], token: &[u8]) -> bool {
    line.split(|&byte| byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

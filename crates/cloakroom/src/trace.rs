//! Events as `tracing` lines: what security wants to see as warnings, ordinary life for debugging.
//! A session is named by its public handle, never by its id (ASVS 5.0, 16.2.5).

use cloakroom_core::observe::{Event, Observer};

/// Reports every event to `tracing`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traced;

impl Observer for Traced {
    fn observe(&self, event: &Event) {
        let name = event.name();
        match event {
            Event::CookieRejected(fault) => tracing::warn!(name, ?fault, "session cookie rejected"),
            Event::UseAfterEnd | Event::LoginRefused | Event::Undecodable => {
                tracing::warn!(name, "session");
            }
            Event::LimitExceeded(what) => tracing::warn!(name, what, "session limit exceeded"),
            Event::StoreFailed(operation, kind) => {
                tracing::warn!(
                    name,
                    operation = operation.name(),
                    ?kind,
                    "session store failed"
                );
            }
            Event::TouchesDropped(count) => tracing::warn!(name, count, "session activity lost"),
            Event::Revoked(count) => tracing::info!(name, count, "sessions revoked"),
            Event::LoggedIn(handle) | Event::LoggedOut(Some(handle)) => {
                tracing::info!(name, session = %handle, "session");
            }
            Event::LoggedOut(None) => tracing::info!(name, "session"),
            Event::Created(handle) | Event::Renewed(handle) => {
                tracing::debug!(name, session = %handle, "session");
            }
            Event::Expired(limit) => tracing::debug!(name, ?limit, "session expired"),
            _ => tracing::debug!(name, "session"),
        }
    }
}

//! Logs: structured, to standard error, as text or JSON. Other crates speak from `warn` on only:
//! at `trace` some of them print headers, and ids travel in headers.

mod lines;
pub(crate) mod often;

use std::sync::Arc;

use cloakroom_core::{Event, Observer};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use self::lines::Lines;
pub(crate) use self::lines::Written;
use crate::serve::http::Metrics;
use crate::settings::{LogFormat, Settings};

/// Sends this process's logs to standard error, the last of them when what is returned is dropped.
pub(crate) fn start(settings: &Settings) -> Written {
    let (writer, written) = Lines::start(std::io::stderr());
    let ours = Targets::new()
        .with_target("cloakroom", settings.log)
        .with_default(LevelFilter::from_level(
            settings.log.min(tracing::Level::WARN),
        ));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false);
    let registry = tracing_subscriber::registry().with(ours);
    match settings.log_format {
        LogFormat::Text => registry.with(lines).init(),
        LogFormat::Json => registry.with(lines.json()).init(),
    }
    written
}

/// Logs and counts what sessions report.
#[derive(Debug)]
pub(crate) struct Events {
    metrics: Arc<Metrics>,
    /// Whether a line tells of each login and logout. What is seen of other frameworks' sessions is no call that
    /// somebody made, and comes as fast as their commands do: of that, `/metrics` has the sums.
    tells_logins: bool,
}

impl Events {
    /// Those of sessions whose application calls us.
    pub(crate) const fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            tells_logins: true,
        }
    }

    /// Those of other frameworks' sessions, which are told from what their clients write.
    pub(crate) const fn of_frameworks(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            tells_logins: false,
        }
    }
}

impl Observer for Events {
    fn observe(&self, event: &Event) {
        let name = event.name();
        self.metrics.event(name);
        match event {
            // One for each request: `observed` tells of the outage, once.
            Event::StoreFailed(operation, kind) => {
                tracing::debug!(event = name, operation = operation.name(), ?kind);
            }
            Event::LoggedIn(handle) | Event::LoggedOut(Some(handle)) if self.tells_logins => {
                tracing::info!(event = name, %handle);
            }
            Event::Created(handle)
            | Event::Renewed(handle)
            | Event::LoggedIn(handle)
            | Event::LoggedOut(Some(handle)) => tracing::debug!(event = name, %handle),
            Event::LoggedOut(None) => tracing::info!(event = name),
            Event::Revoked(count) => tracing::info!(event = name, count),
            Event::UseAfterEnd | Event::CookieRejected(_) if often::COOKIES.has_a_line() => {
                tracing::warn!(event = name);
            }
            Event::LoginRefused if often::LOGINS.has_a_line() => tracing::warn!(event = name),
            _ => tracing::debug!(event = name),
        }
    }
}

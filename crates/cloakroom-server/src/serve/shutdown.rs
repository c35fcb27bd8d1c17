//! How the server ends: SIGTERM or SIGINT begins to drain (readiness says no), then it stops.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Where the server is on its way to the end. Clones see the same.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(watch::Sender<Phase>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Somebody who may has asked for the end.
    Asked,
    Draining,
    Stopped,
}

impl Shutdown {
    /// A server that serves.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    /// Whether the end has begun: no new work should be sent here.
    pub(crate) fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Waits until no more connections are to be taken.
    pub(crate) async fn stopped(&self) {
        let mut phase = self.0.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = phase.wait_for(|phase| *phase == Phase::Stopped).await;
    }

    /// Begins the end now, as a signal would.
    pub(crate) fn begin(&self) {
        self.0.send_if_modified(|phase| {
            let begins = *phase == Phase::Serving;
            if begins {
                *phase = Phase::Asked;
            }
            begins
        });
    }

    /// Ends the server on SIGTERM or SIGINT, `delay` after its readiness said no. A limit of files ends it no more.
    pub(crate) fn on_signal(&self, delay: Duration) -> std::io::Result<()> {
        survive_limits()?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let phase = self.0.clone();
        tokio::spawn(async move {
            let mut asked = phase.subscribe();
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = asked.wait_for(|phase| *phase == Phase::Asked) => {}
            }
            tracing::info!("draining: /readyz answers 503");
            phase.send_replace(Phase::Draining);
            tokio::time::sleep(delay).await;
            tracing::info!("stopping: no new connections, finishing what is in flight");
            phase.send_replace(Phase::Stopped);
        });
        Ok(())
    }
}

/// SIGHUP, at which files are read again.
pub(crate) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Sees to it that a file which may grow no further (`ulimit -f`) is an error of the write, and not the
/// end of the process.
fn survive_limits() -> std::io::Result<()> {
    // Once somebody listens, the system's own answer is off for good.
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}

/// Its number on Linux, macOS and the BSDs, on all processors but MIPS.
const SIGXFSZ: i32 = 25;

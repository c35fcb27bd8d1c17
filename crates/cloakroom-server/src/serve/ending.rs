//! How a listener and its connections end without losing a request. Three places lose one: the
//! kernel's queue, whose connections are reset when the listener is closed; a connection that was
//! accepted and not read yet; and one that is kept alive, into whose end the next request is sent
//! (for that one, answers say `Connection: close` as soon as the server drains).

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::patience::{Heard, Patient};

/// Tells all connections to end, and waits for it.
#[derive(Debug)]
pub(crate) struct Endings(watch::Sender<bool>);

/// One connection's part of it.
#[derive(Clone, Debug)]
pub(crate) struct Ending(watch::Receiver<bool>);

type Connection<S> = http1::Connection<TokioIo<Patient<S>>, TowerToHyperService<Router>>;

/// How long a connection that said nothing yet is waited for: whoever connects to ask does it at
/// once, and a browser that connected in advance must not hold up the end.
const FIRST_BYTE: Duration = Duration::from_millis(500);
/// How long no connection must have come until the queue counts as empty: handshakes that began
/// before are over by then, or their first packet was lost and is sent again much later.
#[cfg(target_os = "linux")]
const QUIET: Duration = Duration::from_millis(100);

impl Endings {
    /// No connection yet, and no end.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// The part of a new connection.
    pub(crate) fn of_one(&self) -> Ending {
        Ending(self.0.subscribe())
    }

    /// Lets connections end after what is in flight on them, and waits until all are gone.
    pub(crate) async fn begin_and_wait(self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}

impl Ending {
    /// Serves a connection, until it ends by itself or has to.
    pub(crate) async fn watch<S>(
        mut self,
        connection: Connection<S>,
        heard: &Heard,
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut connection = pin!(connection);
        let must_end = async {
            // The sender outlives the connections, so this ends by the signal.
            let _ = self.0.wait_for(|must_end| *must_end).await;
            if !heard.anything() {
                tokio::time::sleep(FIRST_BYTE).await;
            }
        };
        // The connection is asked first, so that it reads what has come before it is told to end.
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = must_end => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }
}

/// From now on the kernel begins no new connection here: the first packet of one is dropped, and its
/// sender learns at the second try that nobody listens. Connections that have begun go on. Returns how
/// long none must have come for the queue to be empty; nothing where there is no such filter.
#[cfg(target_os = "linux")]
pub(crate) fn refuse_new(listener: &TcpListener) -> Duration {
    use socket2::{SockFilter, SockRef};

    const FLAGS: u32 = 13; // the byte in the TCP header (RFC 9293, 3.1)
    const SYN_AND_ACK: u32 = 0x12;
    const SYN: u32 = 0x02;
    const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let filter = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    match SockRef::from(listener).attach_filter(&filter) {
        Ok(()) => QUIET,
        Err(error) => {
            tracing::debug!(%error, "cannot stop new connections before the listener is closed");
            Duration::ZERO
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn refuse_new(_: &TcpListener) -> Duration {
    Duration::ZERO
}

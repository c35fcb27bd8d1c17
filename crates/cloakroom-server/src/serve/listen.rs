//! Takes connections and speaks HTTP/1.1 on them, within bounds: so many at a time, so long for a
//! handshake, for headers and for a visitor to read. Protocols are not guessed from first bytes, because a guess that
//! waits has no timeout. How it ends is in `ending`.

use std::error::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ending::{self, Ending, Endings};
use super::patience::Patient;
use super::shutdown::Shutdown;
use super::tls::Tls;
use crate::logs::often::NOT_TAKEN;
use crate::serve::http::Metrics;
use crate::settings::Settings;

/// An address that is taken, and how connections to it are served.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
    slots: Arc<Semaphore>,
    header_timeout: Duration,
    drain_timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Listener {
    /// Takes the address that the settings name.
    pub(crate) async fn bind(
        settings: &Settings,
        tls: Option<Arc<Tls>>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Box<dyn Error>> {
        let tcp = TcpListener::bind(settings.http)
            .await
            .map_err(|error| cannot_listen(settings.http, &error))?;
        Ok(Self {
            tcp,
            tls,
            slots: Arc::new(Semaphore::new(settings.max_connections)),
            header_timeout: settings.header_timeout,
            drain_timeout: settings.drain_timeout,
            metrics,
        })
    }

    /// The address, with the port that was found if none was named.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves `router` until `shutdown` says stop; then finishes what is in flight, for the drain
    /// timeout at most. Returns how many connections had to be cut.
    pub(crate) async fn serve(self, router: Router, shutdown: &Shutdown) -> usize {
        let endings = Endings::new();
        loop {
            let next = tokio::select! {
                biased;
                () = shutdown.stopped() => break,
                next = self.next() => next,
            };
            match next {
                Ok((stream, slot)) => self.spawn(stream, slot, &router, endings.of_one()),
                Err(error) => {
                    // Most often out of file descriptors: wait until some are free again.
                    if NOT_TAKEN.has_a_line() {
                        tracing::warn!(%error, "cannot accept a connection");
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        let (metrics, drain_timeout) = (Arc::clone(&self.metrics), self.drain_timeout);
        let drained = tokio::time::timeout(drain_timeout, async move {
            let quiet = ending::refuse_new(&self.tcp);
            while let Ok(Ok((stream, slot))) = tokio::time::timeout(quiet, self.next()).await {
                self.spawn(stream, slot, &router, endings.of_one());
            }
            drop(self);
            endings.begin_and_wait().await;
        });
        match drained.await {
            Ok(()) => 0,
            Err(_) => metrics.connections_open(),
        }
    }

    async fn next(&self) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| ErrorKind::Interrupted)?;
        let (stream, _) = self.tcp.accept().await?;
        Ok((stream, slot))
    }

    fn spawn(
        &self,
        stream: TcpStream,
        slot: OwnedSemaphorePermit,
        router: &Router,
        ending: Ending,
    ) {
        self.metrics.connection_began();
        let metrics = Arc::clone(&self.metrics);
        let (tls, router, timeout) = (self.tls.clone(), router.clone(), self.header_timeout);
        tokio::spawn(async move {
            // A response is one small write; waiting to batch it helps nobody.
            let _ = stream.set_nodelay(true);
            match tls {
                None => speak(stream, router, timeout, ending).await,
                Some(tls) => {
                    let handshake = tls.acceptor().accept(stream);
                    match tokio::time::timeout(timeout, handshake).await {
                        Ok(Ok(stream)) => speak(stream, router, timeout, ending).await,
                        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                        Err(_) => tracing::debug!("TLS handshake took too long"),
                    }
                }
            }
            drop(slot);
            metrics.connection_ended();
        });
    }
}

async fn speak<S>(stream: S, router: Router, timeout: Duration, ending: Ending)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, heard) = Patient::new(stream, timeout);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = ending.watch(connection, &heard).await {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Bytes of a request line with its headers: four times the longest `Cookie` header looked at.
const MAX_HEAD_BYTES: usize = 4 * cloakroom_core::limits::COOKIE_HEADER_BYTES;

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> String {
    let fix = match error.kind() {
        ErrorKind::AddrInUse => {
            "stop the program that uses it, or take another port with --http 127.0.0.1:PORT \
             (port 0 finds a free one)"
        }
        ErrorKind::PermissionDenied => "ports below 1024 need a privilege; take a higher one",
        _ => "name an address of this machine with --http IP:PORT",
    };
    format!("cannot listen on {address} ({error}): {fix}")
}

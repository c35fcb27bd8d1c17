//! Takes connections of the RESP front: plain on loopback, TLS beyond it, a unix socket. Too many are told
//! so, and all are let end well.

use std::error::Error;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloakroom_embedded::{Engine, Foreign};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::client::Peer;
use super::conn::Conn;
use super::pump::Pump;
use super::server::{Parts, Server};
use super::users::Users;
use crate::logs::often::NOT_TAKEN;
use crate::serve::ending::refuse_new;
use crate::serve::http::Metrics;
use crate::serve::shutdown::Shutdown;
use crate::serve::tls::Tls;
use crate::settings::{Secret, Settings};

/// The listeners, and what their connections share.
#[derive(Debug)]
pub(crate) struct Front {
    server: Arc<Server>,
    plain: Option<TcpListener>,
    secure: Option<(TcpListener, Arc<Tls>)>,
    unix: Option<(UnixListener, PathBuf)>,
    handshake: Duration,
    /// As many TLS handshakes at a time as connections.
    handshakes: Arc<Semaphore>,
    drain: Duration,
}

/// What to paste, for each page in `docs/frameworks`.
const TO_PASTE: [(&str, &str); 12] = [
    ("Express", r#"createClient({ url: "{url}" })"#),
    ("Fastify", r#"createClient({ url: "{url}" })"#),
    ("Flask", r#"SESSION_REDIS = Redis.from_url("{url}")"#),
    ("Django", r#"CACHES["default"]["LOCATION"] = "{url}""#),
    (
        "Starlette",
        r#"RedisStore(connection=Redis.from_url("{url}"))"#,
    ),
    ("Spring", "spring.data.redis.url={url}"),
    ("PHP", r#"session.save_path = "{scheme}://{address}""#),
    ("", "session.save_handler = redis"),
    ("Symfony", r#"framework.session.handler_id: "{url}""#),
    ("Laravel", "REDIS_URL={url}"),
    ("Go", r#"redis.ParseURL("{url}")"#),
    ("Rack", r#"redis_server: "{url}/0/rack:session""#),
];

impl Front {
    /// Takes the places that the settings name; nothing if they name none.
    pub(crate) async fn bind(
        settings: &Settings,
        engine: Engine,
        tls: Option<&Arc<Tls>>,
        shutdown: Shutdown,
        metrics: &Metrics,
    ) -> Result<Option<Self>, Box<dyn Error>> {
        let resp = &settings.resp;
        if resp.plain.is_none() && resp.secure.is_none() && resp.socket.is_none() {
            return Ok(None);
        }
        let password = resp.password.as_ref().map(Secret::reveal);
        let users = Users::of(password, resp.users.as_deref())?;
        let plain = match resp.plain {
            Some(address) => Some(bind(address, "resp").await?),
            None => None,
        };
        let secure = match (resp.secure, tls) {
            (Some(address), Some(tls)) => {
                let listener = bind(address, "resp-tls").await?;
                Some((listener, Arc::clone(tls)))
            }
            _ => None,
        };
        let unix = match &resp.socket {
            Some(path) => Some((bind_unix(path)?, path.clone())),
            None => None,
        };
        let first = plain.as_ref().or(secure.as_ref().map(|(tcp, _)| tcp));
        let port = first.map_or(Ok(0), |tcp| tcp.local_addr().map(|address| address.port()))?;
        let server = Server::new(Parts {
            engine,
            users,
            shutdown,
            port,
            max_clients: resp.max_connections,
            max_memory: settings.max_memory,
            eviction: settings.eviction_name,
            script_time: resp.script_time,
        });
        let events = &server.hub.events;
        events.store(resp.events, Ordering::Relaxed);
        metrics.watch_resp(Arc::clone(&server.counts));
        Ok(Some(Self {
            server,
            plain,
            secure,
            unix,
            handshake: settings.header_timeout,
            handshakes: Arc::new(Semaphore::new(
                resp.max_connections.min(Semaphore::MAX_PERMITS),
            )),
            drain: settings.drain_timeout,
        }))
    }

    /// What its connections share.
    pub(crate) fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server)
    }

    /// From now on this holds for keys that are sessions of other frameworks.
    pub(crate) fn keep(&self, foreign: Arc<Foreign>) {
        // It is said once, before anybody connects.
        let _ = self.server.hub.foreign.set(foreign);
    }

    /// The rows of the banner: where it listens, and what to paste where.
    pub(crate) fn show(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut url = None;
        if let Some(tcp) = &self.plain {
            let address = tcp.local_addr()?;
            writeln!(out, "  redis    redis://{address}")?;
            url = Some((format!("redis://{address}"), address));
        }
        if let Some((tcp, _)) = &self.secure {
            let address = tcp.local_addr()?;
            writeln!(out, "  redis    rediss://{address}")?;
            url.get_or_insert((format!("rediss://{address}"), address));
        }
        if let Some((_, path)) = &self.unix {
            writeln!(out, "  redis    unix:{}", path.display())?;
        }
        let Some((url, address)) = url else {
            return Ok(());
        };
        let address = address.to_string();
        let scheme = if url.starts_with("rediss") {
            "tls"
        } else {
            "tcp"
        };
        for (framework, line) in TO_PASTE {
            let line = line
                .replace("{url}", &url)
                .replace("{scheme}", scheme)
                .replace("{address}", &address);
            writeln!(out, "    {framework:<9} {line}")?;
        }
        Ok(())
    }

    /// Serves until `shutdown` says stop; then lets connections end after what was sent on them, for
    /// the drain timeout at most. Returns how many had to be cut.
    pub(crate) async fn serve(self, shutdown: &Shutdown) -> usize {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            let next = tokio::select! {
                biased;
                () = shutdown.stopped() => break,
                _ = seconds.tick() => {
                    self.server.take_pace();
                    continue;
                }
                next = self.next() => next,
            };
            if let Err(error) = next {
                // Most often out of file descriptors: wait until some are free again.
                if NOT_TAKEN.has_a_line() {
                    tracing::warn!(%error, "cannot accept a RESP connection");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        // Who connected before is in the kernel's queue, and may have sent something: it is served.
        let secure = self.secure.as_ref().map(|(tcp, _)| tcp);
        let listeners = [self.plain.as_ref(), secure].into_iter().flatten();
        let quiet = listeners.map(refuse_new).max().unwrap_or_default();
        while let Ok(Ok(())) = tokio::time::timeout(quiet.min(self.drain), self.next()).await {}
        let Self {
            server,
            plain,
            secure,
            unix,
            drain,
            ..
        } = self;
        drop((plain, secure));
        if let Some((listener, path)) = unix {
            drop(listener);
            let _ = fs::remove_file(path);
        }
        server.drain();
        let drained = tokio::time::timeout(drain, async {
            while open(&server) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        match drained.await {
            Ok(()) => 0,
            Err(_) => open(&server),
        }
    }

    async fn next(&self) -> std::io::Result<()> {
        tokio::select! {
            taken = accept(self.plain.as_ref()) => {
                let (stream, peer, local) = taken?;
                self.spawn(stream, &Peer::Tcp { peer, local });
            }
            taken = accept(self.secure.as_ref().map(|(tcp, _)| tcp)) => {
                let (stream, peer, local) = taken?;
                self.shake_hands(stream, Peer::Tcp { peer, local });
            }
            taken = accept_unix(self.unix.as_ref().map(|(unix, _)| unix)) => {
                let path = self.unix.as_ref().map(|(_, path)| path.display().to_string());
                self.spawn(taken?, &Peer::Unix(path.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn shake_hands(&self, stream: tokio::net::TcpStream, peer: Peer) {
        let Some((_, tls)) = &self.secure else {
            return;
        };
        let server = Arc::clone(&self.server);
        // Who is not known yet has no place among the connections, and there would be no end of them.
        let Ok(permit) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            server.counts.refused.fetch_add(1, Ordering::Relaxed);
            if NOT_TAKEN.has_a_line() {
                tracing::warn!(?peer, "too many TLS handshakes of RESP at a time; refused");
            }
            return;
        };
        let (acceptor, timeout) = (tls.acceptor_without_protocols(), self.handshake);
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(timeout, acceptor.accept(stream)).await;
            drop(permit);
            match shaken {
                Ok(Ok(stream)) => speak(server, stream, &peer).await,
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            }
        });
    }

    fn spawn<S>(&self, stream: S, peer: &Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (server, peer) = (Arc::clone(&self.server), peer.clone());
        tokio::spawn(async move { speak(server, stream, &peer).await });
    }
}

async fn speak<S>(server: Arc<Server>, mut stream: S, peer: &Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(client) = server.enter(peer) else {
        let _ = stream
            .write_all(b"-ERR max number of clients reached\r\n")
            .await;
        return;
    };
    let conn = Conn::new(server, client);
    Pump::new(stream, conn).await;
}

fn open(server: &Server) -> usize {
    server.counts.open.load(Ordering::SeqCst)
}

type Accepted = (tokio::net::TcpStream, SocketAddr, SocketAddr);

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<Accepted> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (stream, peer) = listener.accept().await?;
    // An answer is one write; waiting to batch it helps nobody.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr()?;
    Ok((stream, peer, local))
}

async fn accept_unix(listener: Option<&UnixListener>) -> std::io::Result<tokio::net::UnixStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        let fix = match error.kind() {
            ErrorKind::AddrInUse => {
                "stop the program that uses it, or take another port (port 0 finds a free one, \
                 none turns it off)"
            }
            ErrorKind::PermissionDenied => "ports below 1024 need a privilege; take a higher one",
            _ => "name an address of this machine, or none",
        };
        format!("cannot listen on {address} ({error}): {fix}: --{setting} 127.0.0.1:PORT")
    })
}

/// A socket that only this user can open. One that a server left behind is taken over.
fn bind_unix(path: &Path) -> Result<UnixListener, String> {
    let shown = path.display();
    let refused = |error: std::io::Error| {
        format!(
            "cannot listen on the socket {shown} ({error}): name another with --resp-socket FILE"
        )
    };
    if let Ok(known) = fs::symlink_metadata(path) {
        if !known.file_type().is_socket() {
            return Err(format!(
                "{shown} is there and is no socket: --resp-socket names another"
            ));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(format!("another server listens on the socket {shown}"));
        }
        fs::remove_file(path).map_err(refused)?;
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(refused)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpStream;

    use cloakroom_embedded::EmbeddedConfig;

    use super::*;

    /// A connection waits in the kernel's queue, with a command on it, when the end has come already.
    #[tokio::test]
    async fn who_connected_before_the_end_is_answered() {
        let shutdown = Shutdown::new();
        let server = Server::new(Parts {
            engine: Engine::new(EmbeddedConfig::new()).unwrap(),
            users: Users::new(None),
            shutdown: shutdown.clone(),
            port: 0,
            max_clients: 10,
            max_memory: None,
            eviction: "noeviction",
            script_time: Duration::from_secs(1),
        });
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut waiting = TcpStream::connect(plain.local_addr().unwrap()).unwrap();
        waiting.write_all(b"PING\r\n").unwrap();
        shutdown.on_signal(Duration::ZERO).unwrap();
        shutdown.begin();
        shutdown.stopped().await;
        let front = Front {
            server,
            plain: Some(plain),
            secure: None,
            unix: None,
            handshake: Duration::from_secs(10),
            handshakes: Arc::new(Semaphore::new(1)),
            drain: Duration::from_secs(60),
        };
        assert_eq!(front.serve(&shutdown).await, 0, "none is cut");
        let mut heard = String::new();
        waiting.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "+PONG\r\n");
    }
}

//! A proxy in front of a server that counts trips: how often something was sent after an answer. What is
//! asked about a cluster, in the background, is no visitor's trip. And it can let a connection hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What connections ask that are for questions alone.
const ASIDE: &[u8] = b"CLUSTER\r\n";
/// What a load asks.
const LOAD: &[u8] = b"GET\r\n";

/// Counts the trips of whoever connects to `port`.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    trips: Arc<AtomicUsize>,
    answered: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let proxy = Self {
            port: listener.local_addr().expect("it is bound").port(),
            trips: Arc::default(),
            answered: Arc::new(AtomicBool::new(true)),
            hangs: Arc::default(),
        };
        let (trips, answered) = (Arc::clone(&proxy.trips), Arc::clone(&proxy.answered));
        let hangs = Arc::clone(&proxy.hangs);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let backend = TcpStream::connect(("127.0.0.1", server)).await;
                let backend = backend.expect("the server runs");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = backend.into_split();
                let (trips, heard) = (Arc::clone(&trips), Arc::clone(&answered));
                let aside = Arc::new(AtomicBool::new(false));
                let is_aside = Arc::clone(&aside);
                let hangs = Arc::clone(&hangs);
                tokio::spawn(copy(from_client, to_server, move |bytes| {
                    if bytes.windows(ASIDE.len()).any(|word| word == ASIDE) {
                        aside.store(true, Ordering::SeqCst);
                    }
                    let is_trip = !aside.load(Ordering::SeqCst);
                    if is_trip && heard.swap(false, Ordering::SeqCst) {
                        trips.fetch_add(1, Ordering::SeqCst);
                    }
                    let is_load = bytes.windows(LOAD.len()).any(|word| word == LOAD);
                    !(is_load && hangs.swap(false, Ordering::SeqCst))
                }));
                let answered = Arc::clone(&answered);
                tokio::spawn(copy(from_server, to_client, move |_| {
                    if !is_aside.load(Ordering::SeqCst) {
                        answered.store(true, Ordering::SeqCst);
                    }
                    true
                }));
            }
        });
        proxy
    }

    /// Trips since the last call. Only one operation may run at a time.
    pub(crate) fn trips(&self) -> usize {
        self.trips.swap(0, Ordering::SeqCst)
    }

    /// The connection by which somebody loads next hangs from then on: it stays open, and nothing gets through.
    pub(crate) fn hang(&self) {
        self.hangs.store(true, Ordering::SeqCst);
    }

    /// Whether it does.
    pub(crate) fn has_hung(&self) -> bool {
        !self.hangs.load(Ordering::SeqCst)
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    notice: impl Fn(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = from.read(&mut buffer).await
        && read > 0
    {
        if !notice(&buffer[..read]) {
            std::future::pending::<()>().await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

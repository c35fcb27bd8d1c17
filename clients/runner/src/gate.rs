//! Where slow requests wait: an address that answers when the run says so. So "meanwhile" is an order of
//! events, and no timer.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::fault::Fault;

/// Longer than any request needs to get here; then it never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The address.
#[derive(Debug)]
pub(crate) struct Gate {
    listener: TcpListener,
    /// What a request has to be told.
    pub(crate) url: String,
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waiting(TcpStream);

impl Gate {
    /// Opens a gate on a free port of loopback.
    pub(crate) async fn open() -> Result<Self, Fault> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://127.0.0.1:{}/", listener.local_addr()?.port());
        Ok(Self { listener, url })
    }

    /// Waits until the next request is here.
    pub(crate) async fn arrival(&self) -> Result<Waiting, Fault> {
        let came = timeout(PATIENCE, async {
            let (mut stream, _) = self.listener.accept().await?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            Ok::<_, Fault>(Waiting(stream))
        });
        came.await
            .map_err(|_| Fault::new("the slow request never asked for its URL"))?
    }
}

impl Waiting {
    /// Lets the request go on.
    pub(crate) async fn release(mut self) -> Result<(), Fault> {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\ngo";
        self.0.write_all(answer).await?;
        Ok(self.0.shutdown().await?)
    }
}

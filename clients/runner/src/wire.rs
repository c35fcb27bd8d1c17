//! A wire between an application and its server that can be slow at the right moment: it holds back the next
//! command of one name, while other connections go on.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::fault::Fault;

/// The wire. It is open for as long as the run.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    /// Where the application connects to.
    pub(crate) port: u16,
    trap: Arc<Mutex<Option<Trap>>>,
}

/// What is to be held back.
#[derive(Debug)]
struct Trap {
    command: &'static str,
    caught: oneshot::Sender<Held>,
}

/// A command that is on its way. It arrives when this is dropped.
#[derive(Debug)]
pub(crate) struct Held(
    #[expect(dead_code, reason = "dropping it is the message")] oneshot::Sender<()>,
);

impl Wire {
    /// Opens a wire to the server on that port.
    pub(crate) async fn to(server: u16) -> Result<Self, Fault> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let wire = Self {
            port: listener.local_addr()?.port(),
            trap: Arc::default(),
        };
        let here = wire.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // While the server is down, its clients are cut off as they would be.
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(here.clone().forth(from_client, to_server));
                tokio::spawn(back(from_server, to_client));
            }
        });
        Ok(wire)
    }

    /// Holds back the next command of that name; the receiver has it when it comes.
    pub(crate) fn hold(&self, command: &'static str) -> oneshot::Receiver<Held> {
        let (caught, held) = oneshot::channel();
        *self.trap() = Some(Trap { command, caught });
        held
    }

    async fn forth(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(size @ 1..) = from.read(&mut buffer).await {
            if let Some(trap) = self.caught_by(&buffer[..size]) {
                let (held, released) = oneshot::channel();
                // Whoever set the trap may have given up; then nothing is held.
                if trap.caught.send(Held(held)).is_ok() {
                    let _ = released.await;
                }
            }
            if to.write_all(&buffer[..size]).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    }

    /// Takes the trap if a command of its name begins here. Clients send a command in one piece, and its name
    /// is its first word: `*5\r\n$3\r\nSET\r\n`.
    fn caught_by(&self, sent: &[u8]) -> Option<Trap> {
        let name = sent.split(|byte| *byte == b'\n').nth(2)?;
        let name = name.strip_suffix(b"\r")?;
        self.trap()
            .take_if(|trap| name.eq_ignore_ascii_case(trap.command.as_bytes()))
    }

    fn trap(&self) -> std::sync::MutexGuard<'_, Option<Trap>> {
        self.trap.lock().expect("nobody panics with it")
    }
}

async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

//! A network that can be cut in two, without root: every server is reached through a proxy that knows
//! on which side it stands and from which side somebody comes. While it is cut, what crosses is held
//! back and nothing is closed, as on a network that loses packets; or all that crosses is closed, as by
//! a firewall that says so.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::OnceLock;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Where somebody stands. Servers tell it by the address that they call from, clients by the name
/// that they sign in with, or by the door that they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    /// What a server on this side calls from (`bind-source-addr`); nothing listens there.
    pub(crate) const fn address(self) -> Ipv4Addr {
        match self {
            Self::Left => Ipv4Addr::new(127, 0, 0, 2),
            Self::Right => Ipv4Addr::new(127, 0, 0, 3),
        }
    }

    /// What a client on this side signs in as.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    fn of_address(address: IpAddr) -> Option<Self> {
        [Self::Left, Self::Right]
            .into_iter()
            .find(|side| side.address() == address)
    }

    fn of_greeting(bytes: &[u8]) -> Self {
        let name = Self::Left.name().as_bytes();
        let left = bytes.windows(name.len()).any(|window| window == name);
        if left { Self::Left } else { Self::Right }
    }
}

/// The network. It goes down when it is dropped.
pub(crate) struct Mesh {
    runtime: Runtime,
    cut: watch::Sender<Cut>,
}

/// What becomes of that which crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Passes,
    IsHeldBack,
    IsClosed,
}

/// The way to one server, which may be started later.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) port: u16,
    server: Arc<OnceLock<u16>>,
}

impl Door {
    /// The port of the server behind it.
    pub(crate) fn leads_to(&self, server: u16) {
        self.server.set(server).expect("a door leads to one server");
    }
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self {
            runtime: runtime.expect("a runtime starts"),
            cut: watch::channel(Cut::Passes).0,
        }
    }

    /// A door to a server on side `at`. Clients that take it come from `from`, or from where their
    /// greeting says.
    pub(crate) fn door(&self, at: Side, from: Option<Side>) -> Door {
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port is free");
        let door = Door {
            port: listener.local_addr().expect("it is bound").port(),
            server: Arc::default(),
        };
        let (server, cut) = (Arc::clone(&door.server), self.cut.subscribe());
        self.runtime.spawn(async move {
            while let Ok((client, peer)) = listener.accept().await {
                let from = Side::of_address(peer.ip()).or(from);
                if let Some(server) = server.get() {
                    tokio::spawn(join(client, from, *server, at, cut.clone()));
                }
            }
        });
        door
    }

    pub(crate) fn cut(&self, how: Cut) {
        self.cut.send_replace(how);
    }

    pub(crate) fn heal(&self) {
        self.cut.send_replace(Cut::Passes);
    }
}

/// Joins a client with a server, unless and until they are cut off from each other.
async fn join(
    mut client: TcpStream,
    from: Option<Side>,
    server: u16,
    at: Side,
    cut: watch::Receiver<Cut>,
) -> std::io::Result<()> {
    let mut greeting = vec![0; 1 << 12];
    let from = match from {
        Some(from) => {
            greeting.clear();
            from
        }
        None => {
            let read = client.read(&mut greeting).await?;
            greeting.truncate(read);
            Side::of_greeting(&greeting)
        }
    };
    let cut = (from != at).then_some(cut);
    passable(cut.clone()).await;
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    server.write_all(&greeting).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        done = carry(from_client, to_server, cut.clone()) => done,
        done = carry(from_server, to_client, cut.clone()) => done,
        () = closed(cut) => Ok(()),
    }
}

/// Waits until what is joined has to be closed.
async fn closed(cut: Option<watch::Receiver<Cut>>) {
    if let Some(mut cut) = cut
        && cut.wait_for(|cut| *cut == Cut::IsClosed).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    cut: Option<watch::Receiver<Cut>>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer).await?;
        passable(cut.clone()).await;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// Waits until the way is open.
async fn passable(cut: Option<watch::Receiver<Cut>>) {
    if let Some(mut cut) = cut {
        // The network goes down only when the test is over.
        drop(cut.wait_for(|cut| *cut == Cut::Passes).await);
    }
}

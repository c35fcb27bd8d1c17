//! For tests of connections without a socket: when a client leaves and when a reply is written is then in the
//! test's hands.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_embedded::Engine;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::client::Peer;
use super::conn::Conn;
use super::pump::Pump;
use super::server::{Parts, Server};
use super::users::Users;
use crate::serve::shutdown::Shutdown;

/// A server of what is in `engine`, for all who come.
pub(super) fn server_of(engine: Engine) -> Arc<Server> {
    Server::new(Parts {
        engine,
        users: Users::new(None),
        shutdown: Shutdown::new(),
        port: 0,
        script_time: Duration::from_secs(1),
        max_clients: 10,
        max_memory: None,
        eviction: "noeviction",
    })
}

/// One end of a connection, whose other end a pump has.
pub(super) struct Client(DuplexStream);

impl Client {
    /// A new client of `server`.
    pub(super) fn of(server: &Arc<Server>) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let peer = Peer::Unix(String::new());
        let client = server.enter(&peer).expect("there is a place");
        let conn = Conn::new(Arc::clone(server), client);
        tokio::spawn(Pump::new(theirs, conn));
        Self(ours)
    }

    pub(super) async fn send(&mut self, command: &str) {
        let line = format!("{command}\r\n");
        self.0.write_all(line.as_bytes()).await.unwrap();
    }

    /// The first line of the answer; `None` if the connection was cut.
    pub(super) async fn answer(&mut self) -> Option<String> {
        let mut bytes = [0; 4_096];
        let count = self.0.read(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        text.lines().next().map(str::to_owned)
    }

    pub(super) async fn ask(&mut self, command: &str) -> String {
        self.send(command).await;
        self.answer().await.unwrap_or_default()
    }
}

#[tokio::test]
async fn what_a_client_did_not_wait_for_is_told_to_nobody_else() {
    let server = server_of(cloakroom_embedded::EmbeddedStore::default().engine());
    let mut other = Client::of(&server);
    assert_eq!(other.ask("SET secret of-the-first").await, "+OK");
    for _ in 0..3 {
        let mut first = Client::of(&server);
        first.send("GET secret").await;
        drop(first);
        tokio::task::yield_now().await;
        assert_eq!(other.ask("PING").await, "+PONG");
    }
}

/// Between the word that it knew and its name as that user, when those who are to be cut off are looked for.
#[test]
fn who_signs_in_while_the_user_is_changed_is_cut_off() {
    let server = server_of(cloakroom_embedded::EmbeddedStore::default().engine());
    let client = server.enter(&Peer::Unix(String::new())).unwrap();
    let mut conn = Conn::new(Arc::clone(&server), Arc::clone(&client));
    let user = server.users.sign_in(b"default", b"any");
    assert!(user.is_some());
    conn.becomes(user.clone());
    let mut letters = Vec::new();
    client
        .take(&mut letters, true)
        .expect("nothing was changed");
    server.users.read_again(Some("a-word")).unwrap();
    conn.becomes(user);
    client.take(&mut letters, true).expect_err("it was changed");
}

/// Reads until so many answers have come.
async fn answers(client: &mut Client, count: usize) {
    let (mut lines, mut bytes) = (0, [0; 4_096]);
    while lines < count {
        let read = client.0.read(&mut bytes).await.unwrap();
        lines += bytes[..read].iter().filter(|byte| **byte == b'\n').count();
    }
}

#[tokio::test]
async fn others_have_their_turn_while_much_is_let_go_of() {
    const CHANNELS: usize = 10_000;
    let server = server_of(cloakroom_embedded::EmbeddedStore::default().engine());
    let (mut listener, mut other) = (Client::of(&server), Client::of(&server));
    let names: String = (0..CHANNELS).map(|name| format!(" {name}")).collect();
    for word in ["SUBSCRIBE", "PSUBSCRIBE"] {
        listener.send(&format!("{word}{names}")).await;
        // Three parts, and the name has a line for its length.
        answers(&mut listener, 6 * CHANNELS).await;
    }
    drop(listener);
    assert_eq!(other.ask("PING").await, "+PONG");
    let left = server.hub.subscribed(false);
    assert!(left > CHANNELS / 2, "{left} before anybody else was served");
    while server.hub.subscribed(true) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.hub.subscribed(false), 0);
}

#[tokio::test]
async fn others_have_their_turn_between_commands_that_take_long() {
    const COMMANDS: usize = 30;
    let server = server_of(cloakroom_embedded::EmbeddedStore::default().engine());
    let (mut slow, mut other) = (Client::of(&server), Client::of(&server));
    let name = "a".repeat(8_000);
    assert_eq!(other.ask(&format!("SET {name} v")).await, "+OK");
    let keys = format!("KEYS *{}b\r\n", "a".repeat(400));
    slow.send(&keys.repeat(COMMANDS)).await;
    assert_eq!(other.ask("PING").await, "+PONG");
    let mut answered = [0; 1 << 10];
    let read = slow.0.read(&mut answered).await.unwrap();
    let all = "*0\r\n".len() * COMMANDS;
    assert!(
        read < all,
        "all {read} bytes came before anybody else was served"
    );
    answers(&mut slow, COMMANDS - read / "*0\r\n".len()).await;
}

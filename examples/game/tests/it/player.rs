//! A player without a browser: a cookie, and sockets that say what they see.

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::process::{Game, PATIENCE};

/// Who is signed in.
#[derive(Clone)]
pub(crate) struct Player {
    cookie: String,
}

/// A socket of a player.
pub(crate) struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What `you` and the game were last said to be.
    pub(crate) you: Value,
    pub(crate) game: Value,
}

impl Player {
    pub(crate) async fn join(game: &Game, name: &str) -> Self {
        Self::join_as(game, name, "").await
    }

    /// The same browser signs in once more, as somebody else.
    pub(crate) async fn join_again(&self, game: &Game, name: &str) -> Self {
        Self::join_as(game, name, &self.cookie).await
    }

    async fn join_as(game: &Game, name: &str, cookie: &str) -> Self {
        let answer = client().post(game.url("/join")).header(COOKIE, cookie);
        let answer = answer.header(ORIGIN, game.url("")).form(&[("name", name)]);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { cookie }
    }

    /// Sends a form without fields.
    pub(crate) async fn post(&self, game: &Game, path: &str) {
        let post = client().post(game.url(path)).header(ORIGIN, game.url(""));
        let answer = post.header(COOKIE, &self.cookie).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[LOCATION]),
            (303, &"/".parse().unwrap())
        );
    }

    /// Opens a socket and waits until it has said what there is.
    pub(crate) async fn play(&self, game: &Game) -> Socket {
        let opened = self.open(game, Some(&game.url(""))).await;
        let mut socket = opened.unwrap_or_else(|status| panic!("refused with {status}"));
        socket.until(|socket| socket.game.is_object()).await;
        socket
    }

    /// Opens a socket from a page at `origin`, or gives the status of the refusal.
    pub(crate) async fn open(&self, game: &Game, origin: Option<&str>) -> Result<Socket, u16> {
        upgrade(game, origin, Some(&self.cookie)).await
    }
}

/// Asks for a socket with these headers.
pub(crate) async fn upgrade(
    game: &Game,
    origin: Option<&str>,
    cookie: Option<&str>,
) -> Result<Socket, u16> {
    let url = format!("ws://{}/play", game.address);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in [("origin", origin), ("cookie", cookie)] {
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    let opened = timeout(PATIENCE, connect_async_with_config(request, None, true))
        .await
        .unwrap();
    match opened {
        Ok((socket, _)) => Ok(Socket {
            socket,
            you: Value::Null,
            game: Value::Null,
        }),
        Err(Error::Http(refusal)) => Err(refusal.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

impl Socket {
    /// Clicks a cell, one with a coin if any was seen, and waits for what comes of it.
    pub(crate) async fn click(&mut self) {
        let cell = self.game["board"][0].as_u64().unwrap_or(0);
        self.click_at(cell).await;
    }

    pub(crate) async fn click_at(&mut self, cell: u64) {
        self.send(Message::text(cell.to_string())).await;
        let answer = async {
            loop {
                let news = self.hear().await.expect("the socket was closed");
                if news["you"].is_object() {
                    return;
                }
            }
        };
        timeout(PATIENCE, answer).await.expect("an answer");
    }

    /// Clicks until there is one coin more.
    pub(crate) async fn win(&mut self) {
        let before = self.coins();
        while self.coins() == before {
            self.click().await;
        }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.push(message).await.unwrap();
    }

    /// Sends what the server may refuse while it is on its way.
    pub(crate) async fn push(&mut self, message: Message) -> Result<(), Error> {
        timeout(PATIENCE, self.socket.send(message)).await.unwrap()
    }

    pub(crate) fn coins(&self) -> i64 {
        self.you["coins"].as_i64().unwrap()
    }

    /// Who is online, with their coins.
    pub(crate) fn players(&self) -> Vec<(String, i64)> {
        let players = self.game["players"].as_array().unwrap().iter();
        let line = |player: &Value| {
            let coins = player["coins"].as_i64().unwrap();
            (player["name"].as_str().unwrap().to_owned(), coins)
        };
        let mut players: Vec<_> = players.map(line).collect();
        players.sort();
        players
    }

    pub(crate) async fn until_players_are(&mut self, players: &[(&str, i64)]) {
        let players: Vec<_> = players
            .iter()
            .map(|(name, coins)| ((*name).to_owned(), *coins))
            .collect();
        self.until(|socket| socket.players() == players).await;
    }

    /// Waits until something holds.
    pub(crate) async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                assert!(self.hear().await.is_some(), "the socket was closed");
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "it never was: {} {}", self.you, self.game);
    }

    /// Waits for the end: the code of the close frame, or `None` if there was none.
    pub(crate) async fn end(&mut self) -> Option<u16> {
        let end = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        timeout(PATIENCE, end)
            .await
            .expect("the socket is still open")
    }

    /// Pings without a pause until the end, as no player does.
    pub(crate) async fn ping_until_the_end(&mut self) -> Option<u16> {
        let end = async {
            loop {
                if self.socket.send(Message::Ping("".into())).await.is_err() {
                    return None;
                }
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        timeout(PATIENCE, end)
            .await
            .expect("the socket is still open")
    }

    /// The next piece of news; `None` at the end.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            let message = timeout(PATIENCE, self.socket.next())
                .await
                .expect("no news");
            match message {
                Some(Ok(Message::Text(text))) => {
                    let news: Value = serde_json::from_str(&text).unwrap();
                    if news["you"].is_object() {
                        self.you = news["you"].clone();
                    } else if news["board"].is_array() {
                        self.game = news.clone();
                    }
                    return Some(news);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}

pub(crate) fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    client.build().unwrap()
}

//! The socket of a player. It was opened with a session, and it ends with it: the session is watched
//! for as long as the socket lives.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cloakroom::core::Error;
use cloakroom::{End, ErrorKind, Session, WatchedSession};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::world::{CELLS, Seat, World};

/// Sockets of one process; one more is a 503, and the page tries again.
const SOCKETS: u32 = 1024;
/// A move is the number of a cell.
const MOVE_BYTES: usize = 16;
/// Browsers answer a ping by themselves: this finds dead connections, and keeps no session alive.
const PING: Duration = Duration::from_secs(20);
/// Two pings without an answer, and some.
const SILENCE: Duration = Duration::from_secs(50);
/// Who does not take what is sent for so long is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the players of this process sit.
#[derive(Debug)]
pub(crate) struct Table {
    world: Arc<World>,
    places: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

/// Why a socket is closed, and what the page makes of it: codes of RFC 6455, and one of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    /// The process ends: play on at another one.
    GoingAway,
    /// What came is no move.
    NoMove,
    /// A store did not answer: try again later.
    TryAgainLater,
    /// The session is over: sign in.
    SessionEnded,
}

pub(crate) fn routes(table: &Arc<Table>) -> Router {
    Router::new()
        .route("/play", get(open))
        .with_state(Arc::clone(table))
}

/// Everything that can be refused is refused here, where there still is a status to say it with.
async fn open(
    session: Session,
    State(table): State<Arc<Table>>,
    upgrade: WebSocketUpgrade,
) -> cloakroom::Result<Response> {
    let session = session.watch().await?;
    if session.subject().is_none() {
        return Err(Error::new(ErrorKind::NotLoggedIn).into());
    }
    let place = Arc::clone(&table.places).try_acquire_owned();
    let (Ok(place), false) = (place, *table.closing.borrow()) else {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, "the table is full").into_response());
    };
    let upgrade = upgrade
        .max_message_size(MOVE_BYTES)
        .max_frame_size(MOVE_BYTES);
    Ok(upgrade.on_upgrade(move |socket| play(table, session, socket, place)))
}

async fn play(
    table: Arc<Table>,
    session: WatchedSession,
    mut socket: WebSocket,
    _place: OwnedSemaphorePermit,
) {
    let close = match rounds(&table, &session, &mut socket).await {
        Ok(Some(close)) => close,
        // The player left, or was lost.
        Ok(None) => return,
        Err(error) => Close::of(&error),
    };
    say_goodbye(socket, close).await;
}

/// Plays until there is a reason to close the socket; `None` if it is closed already.
async fn rounds(
    table: &Table,
    session: &WatchedSession,
    socket: &mut WebSocket,
) -> Result<Option<Close>, Error> {
    let (mut view, mut closing) = (table.world.view(), table.closing.subscribe());
    let mut you = You::of(session).await?;
    let handle = session.handle().to_string();
    let seat = table.world.sit(&handle, &you.name, you.coins);
    let mut news = vec![you.to_json(), view.borrow_and_update().to_string()];
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        for text in news.drain(..) {
            if !send(socket, Message::Text(text.into())).await {
                return Ok(None);
            }
        }
        tokio::select! {
            end = session.ended() => return Ok(Some(end.into())),
            () = async { drop(closing.wait_for(|closing| *closing).await) } => return Ok(Some(Close::GoingAway)),
            Ok(()) = view.changed() => news.push(view.borrow_and_update().to_string()),
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE || !send(socket, Message::Ping("".into())).await {
                    return Ok(None);
                }
            }
            message = socket.recv() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => {
                        let Some(cell) = cell_of(&text) else {
                            return Ok(Some(Close::NoMove));
                        };
                        you.grab(table, session, &seat, cell).await?;
                        news.push(you.to_json());
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Binary(_))) => return Ok(Some(Close::NoMove)),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
                }
            }
        }
    }
}

/// What a player's session counts, as this socket last heard.
#[derive(Serialize)]
struct You {
    name: String,
    coins: i64,
    tries: i64,
}

impl You {
    async fn of(session: &WatchedSession) -> Result<Self, Error> {
        let name = session.subject().map_or("", |subject| subject.as_str());
        Ok(Self {
            name: name.to_owned(),
            coins: session.get("coins").await?.unwrap_or(0),
            tries: session.get("tries").await?.unwrap_or(0),
        })
    }

    /// One move: a try, and perhaps a coin. The next one is read when this is done, so nobody plays
    /// faster than Redis answers.
    async fn grab(
        &mut self,
        table: &Table,
        session: &WatchedSession,
        seat: &Seat,
        cell: u8,
    ) -> Result<(), Error> {
        // A write is activity: it is what keeps the session alive.
        self.tries = session.increment("tries", 1).await?;
        let taken = table.world.take_coin(cell).await;
        let lost = |error| Error::new(ErrorKind::StoreUnavailable).with_source(error);
        if taken.map_err(lost)? {
            self.coins = session.increment("coins", 1).await?;
            seat.has(self.coins);
        }
        Ok(())
    }

    fn to_json(&self) -> String {
        serde_json::json!({ "you": self }).to_string()
    }
}

fn cell_of(text: &str) -> Option<u8> {
    text.parse().ok().filter(|cell| *cell < CELLS)
}

/// `false`: nobody takes it.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(PATIENCE, socket.send(message)).await, Ok(Ok(())))
}

/// Says why, and waits a moment for the other side to have heard it.
async fn say_goodbye(mut socket: WebSocket, close: Close) {
    let (code, reason) = close.words();
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    if send(&mut socket, Message::Close(Some(frame))).await {
        let heard = async { while let Some(Ok(_)) = socket.recv().await {} };
        // Not heard in time is as good.
        drop(timeout(PATIENCE, heard).await);
    }
}

impl Table {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            places: Arc::new(Semaphore::new(SOCKETS as usize)),
            closing: watch::Sender::new(false),
        }
    }

    /// Closes all sockets and waits until they are, within [`PATIENCE`].
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        // All places are free when every socket is closed; who dawdles is left behind.
        drop(timeout(PATIENCE, self.places.acquire_many(SOCKETS)).await);
        self.world.say_goodbye().await;
    }
}

impl Close {
    const fn words(self) -> (u16, &'static str) {
        match self {
            Self::GoingAway => (1001, "this server ends, another one goes on"),
            Self::NoMove => (1008, "that is no move"),
            Self::TryAgainLater => (1013, "try again later"),
            Self::SessionEnded => (4401, "the session has ended"),
        }
    }

    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::SessionEnded => Self::SessionEnded,
            _ => Self::TryAgainLater,
        }
    }
}

impl From<End> for Close {
    fn from(end: End) -> Self {
        match end {
            End::Gone => Self::SessionEnded,
            _ => Self::TryAgainLater,
        }
    }
}

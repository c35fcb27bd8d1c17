//! What of the game is no session: the coins on the board, who is online, their scores. It belongs to
//! nobody's session, so it lives beside them, in three small keys of the same Redis.
//!
//! Each process beats once a second, and at once when something changed: one script says who plays
//! here and gives back the whole game. A message between processes is only a nudge to beat now, so a
//! lost one costs a second. Who is not heard of for three is offline, by Redis' clock: that is
//! how players of a process vanish which was killed and could not say goodbye.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cloakroom::core::{Error, ErrorKind};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisResult, Script};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Cells of the board, in rows of 12.
pub(crate) const CELLS: u8 = 96;

const COINS: u8 = 10;
const BEAT: Duration = Duration::from_secs(1);
/// Three beats: one may be late, and one lost.
const SEAT_MS: usize = 3_000;
/// Between two beats at least, so that many clicks are one.
const PAUSE: Duration = Duration::from_millis(25);
const ONLINE: &str = "game:online";
const PLAYERS: &str = "game:players";
const BOARD: &str = "game:board";
const CHANGED: &str = "game:changed";

/// The game as this process sees it.
#[derive(Debug)]
pub(crate) struct World {
    client: Client,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    /// This process' name in the seats, so that one session may sit at two processes.
    process: String,
    seats: Mutex<HashMap<String, Seated>>,
    changed: Notify,
    /// Somebody else changed something.
    nudged: Notify,
    view: watch::Sender<Arc<str>>,
}

/// A player's place at this process; it is left when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    world: Arc<World>,
    seat: String,
}

#[derive(Debug)]
struct Seated {
    sockets: usize,
    player: Player,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Player {
    name: String,
    coins: i64,
}

impl World {
    /// Enters the game in the Redis of this store URL.
    pub(crate) fn enter(store: &str) -> Result<Arc<Self>, Error> {
        // The parameters are the session store's.
        let address = store.split('?').next().unwrap_or(store);
        let client = Client::open(address)
            .map_err(|error| Error::new(ErrorKind::StoreRefused).with_source(error))?;
        let process = getrandom::u64().map_err(|_| ErrorKind::EntropyFailed)?;
        let world = Arc::new(Self {
            client,
            connection: tokio::sync::Mutex::new(None),
            process: format!("{process:016x}"),
            seats: Mutex::default(),
            changed: Notify::new(),
            nudged: Notify::new(),
            view: watch::Sender::new("{}".into()),
        });
        tokio::spawn(Arc::clone(&world).beat_for_ever());
        tokio::spawn(Arc::clone(&world).listen_for_ever());
        Ok(world)
    }

    /// The whole game as JSON, and each newer one. Who is slow misses some, and never the last.
    pub(crate) fn view(&self) -> watch::Receiver<Arc<str>> {
        self.view.subscribe()
    }

    /// The player `handle` (a session's public name) sits down.
    pub(crate) fn sit(self: &Arc<Self>, handle: &str, name: &str, coins: i64) -> Seat {
        let seat = format!("{}:{handle}", self.process);
        let mut seats = self.seats.lock();
        let seated = seats.entry(seat.clone()).or_insert_with(|| Seated {
            sockets: 0,
            player: Player {
                name: name.to_owned(),
                coins,
            },
        });
        seated.sockets += 1;
        seated.player.coins = seated.player.coins.max(coins);
        drop(seats);
        self.changed.notify_one();
        let world = Arc::clone(self);
        Seat { world, seat }
    }

    /// Takes the coin from a cell, if one is there: of all who try, over all processes, one has it.
    pub(crate) async fn take_coin(&self, cell: u8) -> RedisResult<bool> {
        let mut take = redis::cmd("SREM");
        take.arg(BOARD).arg(cell);
        let mut connection = self.connection().await?;
        let taken = take.query_async(&mut connection).await;
        self.unless_broken(taken).await
    }

    /// Tells the others now that nobody sits here any more.
    pub(crate) async fn say_goodbye(&self) {
        if let Err(error) = self.beat(true).await {
            tracing::warn!(%error, "the players of this process stay online for 3 s");
        }
    }

    async fn beat_for_ever(self: Arc<Self>) {
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                _ = ticks.tick() => false,
                () = self.nudged.notified() => false,
                () = self.changed.notified() => true,
            };
            if let Err(error) = self.beat(changed).await {
                tracing::warn!(%error, "the game is not in touch with its Redis");
            }
            sleep(PAUSE).await;
        }
    }

    /// Says who plays here, and learns what there is.
    async fn beat(&self, changed: bool) -> RedisResult<()> {
        let script = Script::new(include_str!("beat.lua"));
        let mut call = script.key(ONLINE);
        call.key(PLAYERS).key(BOARD);
        call.arg(SEAT_MS).arg(COINS).arg(CELLS);
        // A generator that fails makes coins predictable, and no secret.
        call.arg(getrandom::u32().unwrap_or_default() % u32::from(CELLS));
        call.arg(&self.process)
            .arg(if changed { "changed" } else { "" });
        let mut left = Vec::new();
        for (seat, seated) in self.seats.lock().iter() {
            let gone = seated.sockets == 0;
            let line = serde_json::to_string(&seated.player).unwrap_or_default();
            call.arg(seat).arg(if gone { String::new() } else { line });
            if gone {
                left.push(seat.clone());
            }
        }
        let mut connection = self.connection().await?;
        let game = call.invoke_async(&mut connection).await;
        let (coins, players): (Vec<u8>, BTreeMap<String, String>) =
            self.unless_broken(game).await?;
        let mut seats = self.seats.lock();
        for seat in left {
            // Unless somebody sat down there meanwhile.
            if seats.get(&seat).is_some_and(|seated| seated.sockets == 0) {
                seats.remove(&seat);
            }
        }
        drop(seats);
        self.show(coins, &players);
        Ok(())
    }

    fn show(&self, mut coins: Vec<u8>, seats: &BTreeMap<String, String>) {
        // A session that plays at two processes has two seats, of which one is behind.
        let mut sessions: BTreeMap<&str, Player> = BTreeMap::new();
        for (seat, line) in seats {
            let handle = seat.split_once(':').map_or("", |(_, handle)| handle);
            let Ok(player) = serde_json::from_str::<Player>(line) else {
                continue;
            };
            let known = sessions.entry(handle).or_insert_with(|| player.clone());
            known.coins = known.coins.max(player.coins);
        }
        // And a player may be signed in on two devices.
        let mut names: BTreeMap<String, i64> = BTreeMap::new();
        for player in sessions.into_values() {
            let coins = names.entry(player.name).or_default();
            *coins = coins.saturating_add(player.coins);
        }
        let mut players: Vec<_> = names
            .into_iter()
            .map(|(name, coins)| Player { name, coins })
            .collect();
        players.sort_by_key(|player| std::cmp::Reverse(player.coins));
        coins.sort_unstable();
        let view: Arc<str> = serde_json::json!({ "board": coins, "players": players })
            .to_string()
            .into();
        self.view.send_if_modified(|old| {
            let new = *old != view;
            *old = view;
            new
        });
    }

    async fn listen_for_ever(self: Arc<Self>) {
        loop {
            if let Err(error) = self.listen().await {
                tracing::warn!(%error, "news of other processes come with the beat until this mends");
            }
            sleep(BEAT).await;
        }
    }

    async fn listen(&self) -> RedisResult<()> {
        let mut news = self.client.get_async_pubsub().await?;
        news.subscribe(CHANGED).await?;
        let mut news = news.into_on_message();
        while let Some(message) = news.next().await {
            if message.get_payload_bytes() != self.process.as_bytes() {
                self.nudged.notify_one();
            }
        }
        Ok(())
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.connection.lock().await;
        if let Some(there) = &*connection {
            return Ok(there.clone());
        }
        let new = self.client.get_multiplexed_async_connection().await?;
        Ok(connection.insert(new).clone())
    }

    /// A connection that failed is not asked again; one that is silent may be dead.
    async fn unless_broken<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        let broken =
            |error: &redis::RedisError| error.is_unrecoverable_error() || error.is_timeout();
        if result.as_ref().is_err_and(broken) {
            *self.connection.lock().await = None;
        }
        result
    }
}

impl Seat {
    /// The player's coins, as the session counts them.
    pub(crate) fn has(&self, coins: i64) {
        if let Some(seated) = self.world.seats.lock().get_mut(&self.seat) {
            seated.player.coins = seated.player.coins.max(coins);
        }
        self.world.changed.notify_one();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(seated) = self.world.seats.lock().get_mut(&self.seat) {
            seated.sockets -= 1;
        }
        self.world.changed.notify_one();
    }
}

//! What all connections of the RESP front share: the engine, who is connected, what is counted and what
//! can be set while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cloakroom_core::{Entropy as _, OsEntropy};
use cloakroom_embedded::Engine;
use parking_lot::Mutex;

use super::client::{Client, Peer};
use super::hub::Hub;
use super::limits;
use super::pace::Pace;
use super::scripts::Scripts;
use super::slowlog::Slowlog;
use super::table;
use super::users::{User, Users};
use crate::serve::shutdown::Shutdown;

/// The front, as its connections see it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) hub: Arc<Hub>,
    pub(crate) users: Users,
    pub(crate) slowlog: Slowlog,
    pub(crate) scripts: Scripts,
    pub(crate) counts: Arc<Counts>,
    pub(crate) shutdown: Shutdown,
    pub(crate) started: Instant,
    pub(crate) run_id: String,
    pub(crate) port: u16,
    pub(crate) max_clients: usize,
    pub(crate) max_memory: Option<u64>,
    pub(crate) eviction: &'static str,
    /// How long a script may run.
    pub(crate) script_time: Duration,
    pub(crate) draining: AtomicBool,
    looked: Mutex<Looked>,
    pub(crate) pace: Mutex<Pace>,
    /// Microseconds from which on a command is slow; negative: none is.
    pub(crate) slower_than: AtomicI64,
    next_client: AtomicU64,
}

/// Hits and misses that no connection counts any more, and those before counting began anew.
#[derive(Debug, Default)]
struct Looked {
    gone: (u64, u64),
    before: (u64, u64),
}

/// What is counted.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Calls of each command, by its number, and the microseconds of those that were timed.
    pub(crate) calls: Box<[AtomicU64]>,
    pub(crate) micros: Box<[AtomicU64]>,
    pub(crate) connections: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) slow_readers: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) open: AtomicUsize,
}

/// What a server is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) users: Users,
    pub(crate) shutdown: Shutdown,
    pub(crate) port: u16,
    pub(crate) max_clients: usize,
    pub(crate) max_memory: Option<u64>,
    pub(crate) eviction: &'static str,
    pub(crate) script_time: Duration,
}

impl Server {
    /// A front on this engine. The engine tells it of changes from now on.
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let hub = Arc::new(Hub::default());
        let sink: Arc<dyn cloakroom_embedded::Watcher> = Arc::clone(&hub) as _;
        parts.engine.watch(sink);
        Arc::new(Self {
            engine: parts.engine,
            hub,
            users: parts.users,
            slowlog: Slowlog::new(),
            scripts: Scripts::default(),
            counts: Arc::new(Counts::new()),
            shutdown: parts.shutdown,
            started: Instant::now(),
            run_id: run_id(),
            port: parts.port,
            max_clients: parts.max_clients,
            max_memory: parts.max_memory,
            eviction: parts.eviction,
            script_time: parts.script_time,
            draining: AtomicBool::new(false),
            looked: Mutex::default(),
            pace: Mutex::default(),
            slower_than: AtomicI64::new(10_000),
            next_client: AtomicU64::new(1),
        })
    }

    /// Takes in a connection; nothing if there are too many.
    pub(crate) fn enter(&self, peer: &Peer) -> Option<Arc<Client>> {
        let open = self.counts.open.fetch_add(1, Ordering::SeqCst);
        if open >= self.max_clients {
            self.counts.open.fetch_sub(1, Ordering::SeqCst);
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        let id = self.next_client.fetch_add(1, Ordering::Relaxed);
        let client = Arc::new(Client::new(id, peer));
        self.hub.clients.lock().insert(id, Arc::clone(&client));
        Some(client)
    }

    /// A connection is gone.
    pub(crate) fn leave(&self, client: &Client) {
        {
            // Both under one lock, so that what it looked up is neither missing in a sum nor there twice.
            let mut clients = self.hub.clients.lock();
            clients.remove(&client.id);
            let (hits, misses) = client.looked();
            let gone = &mut self.looked.lock().gone;
            *gone = (gone.0 + hits, gone.1 + misses);
        }
        self.counts.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// Reads the users again, of whom the default one has this password, and returns how many there are. Whoever signed
    /// in as one that is gone or is another by now is cut off: nobody goes on with rights, or with a password, that
    /// were taken away.
    pub(crate) fn read_users_again(&self, password: Option<&str>) -> Result<usize, String> {
        let before = self.users.all();
        let count = self.users.read_again(password)?;
        let mut gone = before;
        gone.retain(|user| !self.users.has(user));
        for client in self.hub.clients.lock().values() {
            let is_theirs = |user: &Arc<User>| client.told.lock().user == user.name;
            if gone.iter().any(is_theirs) {
                client.end(USER_CHANGED);
            }
        }
        Ok(count)
    }

    /// Keys that were looked up and found, and not found, since that was last counted anew.
    pub(crate) fn looked(&self) -> (u64, u64) {
        let (hits, misses) = self.looked_ever();
        let before = self.looked.lock().before;
        (hits - before.0, misses - before.1)
    }

    /// Counts them anew. Connections' own sums go on: nobody else may write those.
    pub(crate) fn forget_looked(&self) {
        let ever = self.looked_ever();
        self.looked.lock().before = ever;
    }

    fn looked_ever(&self) -> (u64, u64) {
        let clients = self.hub.clients.lock();
        let gone = self.looked.lock().gone;
        clients.values().fold(gone, |sum, client| {
            let (hits, misses) = client.looked();
            (sum.0 + hits, sum.1 + misses)
        })
    }

    /// Lets connections end after what was sent on them.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for client in self.hub.clients.lock().values() {
            client.wake();
        }
    }

    /// Whether a command that took so long is to be remembered.
    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        let least = self.slower_than.load(Ordering::Relaxed);
        u64::try_from(least).is_ok_and(|least| took >= Duration::from_micros(least))
    }

    /// Whether even commands that take constant time are timed.
    pub(crate) fn times_all(&self) -> bool {
        (0..1_000).contains(&self.slower_than.load(Ordering::Relaxed))
    }
}

impl Counts {
    fn new() -> Self {
        let zeros = || (0..table::count()).map(|_| AtomicU64::new(0)).collect();
        Self {
            calls: zeros(),
            micros: zeros(),
            connections: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            slow_readers: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        }
    }

    /// How many commands were run.
    pub(crate) fn commands(&self) -> u64 {
        let calls = self.calls.iter();
        calls.map(|calls| calls.load(Ordering::Relaxed)).sum()
    }
}

/// Why a connection is cut off whose user is not what it was.
pub(super) const USER_CHANGED: &str = "its user was changed";

/// Microseconds since 1970.
pub(crate) fn micros_now() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_micros()
}

/// 40 hexadecimal digits, another at every start.
fn run_id() -> String {
    let mut bytes = [0; 20];
    // Without entropy the time has to do: this is no secret.
    if OsEntropy.fill(&mut bytes).is_err() {
        bytes[..16].copy_from_slice(&micros_now().to_le_bytes());
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const _: () = assert!(limits::OUTPUT_PAUSE_BYTES < limits::OUTPUT_BYTES);

//! What `RedisStore` costs beyond the wire client below it: CPU of this process for an operation
//! beside the bare client sending the very same command, `GET`, `HGETALL` or `EVALSHA`, byte for byte,
//! with its usual timeout; CPU of Redis for a load beside one `GET` or `HGETALL`, by `INFO
//! commandstats` and in all; memory of a session in both layouts.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin client-cpu -- [operations] [rounds] [sessions] [words in a row's name]`
//!
//! 64 tasks in one thread, one connection, a processor for this process and one for Redis. Rounds of
//! all rows are interleaved; the least of them is shown. The bare client builds each command from words
//! that are at hand, and drops the reply; in rows that say "made before" the command is there already.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloakroom_bench::redis_server::{RedisServer, number};
use cloakroom_bench::wire::Capture;
use cloakroom_bench::{FIELDS, field, key, mix, process_cpu, session, tie_to_processor, value};
use cloakroom_core::record::{Changes, Condition, NewSession};
use cloakroom_core::store::{Applied, Lookup};
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

const TASKS: u64 = 64;

fn main() {
    let argument = |at, usual: u64| {
        let given = std::env::args().nth(at);
        given.map_or(usual, |text| text.parse().expect("arguments are numbers"))
    };
    let (operations, rounds) = (argument(1, 64_000), argument(2, 5));
    tie_to_processor(1);
    let redis = RedisServer::start();
    tie_to_processor(0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let named = std::env::args().nth(4).unwrap_or_default();
    runtime.block_on(operations_of(&redis, operations, rounds, &named));
    runtime.block_on(memory(argument(3, 100_000)));
}

/// One row: what is done, once for each number.
#[derive(Clone)]
enum Work {
    Made(MultiplexedConnection, Arc<Vec<redis::Cmd>>),
    Read(MultiplexedConnection, &'static str, Arc<Vec<String>>),
    Call(MultiplexedConnection, Arc<Vec<Call>>),
    Load(Arc<RedisStore>, Arc<Vec<StoredKey>>),
    Apply(Arc<RedisStore>, Arc<Vec<StoredKey>>),
}

/// What the store called a script with to save a session, and which version it wrote.
struct Call {
    words: Vec<Vec<u8>>,
    version: Option<AtomicU64>,
}

impl Call {
    /// The call that saves the session as it is now.
    fn command(&self) -> redis::Cmd {
        let mut command = redis::cmd("EVALSHA");
        let Some(version) = &self.version else {
            command.arg(&self.words[1..]);
            return command;
        };
        let version = version.fetch_add(1, Ordering::Relaxed);
        // What was there, and what shall be there: both begin with the handle and the version.
        let (mut before, mut after) = ([0; 18], [0; 30]);
        before.copy_from_slice(&self.words[5]);
        after.copy_from_slice(&self.words[6]);
        before[12..].copy_from_slice(&version.to_be_bytes()[2..]);
        after[12..18].copy_from_slice(&(version + 1).to_be_bytes()[2..]);
        command.arg(&self.words[1..5]);
        command
            .arg(&before[..])
            .arg(&after[..])
            .arg(&self.words[7..]);
        command
    }
}

impl Work {
    async fn once(&mut self, at: u64) {
        match self {
            Self::Made(connection, commands) => {
                send(connection, &commands[at as usize % commands.len()]).await;
            }
            Self::Read(connection, command, names) => {
                let name = &names[at as usize % names.len()];
                send(connection, redis::cmd(command).arg(name)).await;
            }
            Self::Call(connection, calls) => {
                let command = calls[at as usize % calls.len()].command();
                let reply = send(connection, &command).await;
                assert!(matches!(reply, redis::Value::Int(_)), "it is saved");
            }
            Self::Load(store, keys) => {
                let found = store.load(&keys[at as usize % keys.len()]).await;
                assert!(matches!(found, Ok(Lookup::Found(_))), "it is there");
            }
            Self::Apply(store, keys) => {
                let key = &keys[at as usize % keys.len()];
                let done = store.apply(key, &one_field(at), &Condition::Always).await;
                assert!(matches!(done, Ok(Applied::Done { .. })), "it is there");
            }
        }
    }

    async fn all(&self, operations: u64, round: u64) {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let mut work = self.clone();
            tasks.spawn(async move {
                for step in 0..operations / TASKS {
                    // Each task has sessions of its own, so that nobody is faster than it.
                    let random = mix(step * TASKS + task + (round << 40));
                    work.once(random / TASKS * TASKS + task).await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("the work is done");
        }
    }
}

async fn send(connection: &mut MultiplexedConnection, command: &redis::Cmd) -> redis::Value {
    let reply: redis::RedisResult<redis::Value> = connection.send_packed_command(command).await;
    let reply = reply.expect("Redis answers in time");
    assert_ne!(reply, redis::Value::Nil, "it is there");
    reply
}

fn one_field(number: u64) -> Changes {
    let mut changes = Changes::new();
    let set = changes.set(&field(3), value(number, false));
    set.expect("within the limits");
    changes
}

/// What was measured of a row, the least of all rounds, in us for one.
#[derive(Clone, Debug)]
struct Least {
    client: f64,
    server: f64,
    commands: f64,
}

async fn operations_of(redis: &RedisServer, operations: u64, rounds: u64, named: &str) {
    let mut rows = rows(redis, sessions_for(operations), named).await;
    rows.retain(|(name, _)| name.contains(named));
    let mut least: Vec<Option<Least>> = vec![None; rows.len()];
    for round in 0..=rounds {
        for ((_, work), least) in rows.iter().zip(&mut least) {
            let (client, server, before) = (process_cpu(), redis.cpu(), spent(redis));
            work.all(operations, round).await;
            let each = |micros: f64| micros / operations as f64;
            let now = Least {
                client: each((process_cpu() - client).as_secs_f64() * 1e6),
                server: each((redis.cpu() - server).as_secs_f64() * 1e6),
                commands: each(between(&before, &spent(redis))),
            };
            if round > 0 {
                *least = Some(match least.take() {
                    None => now,
                    Some(old) => Least {
                        client: old.client.min(now.client),
                        server: old.server.min(now.server),
                        commands: old.commands.min(now.commands),
                    },
                });
            }
        }
    }
    println!("CPU in us per operation, the least of {rounds} rounds of {operations}:\n");
    println!("| | client | x bare | Redis, in commands | x bare | Redis, in all | x bare |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut bare = None;
    for ((name, _), least) in rows.iter().zip(least.into_iter().flatten()) {
        if name.starts_with("bare") {
            bare = Some(least.clone());
        }
        let of = bare.as_ref().unwrap_or(&least);
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            least.client,
            least.client / of.client,
            least.commands,
            least.commands / of.commands,
            least.server,
            least.server / of.server
        );
    }
}

/// Sessions of the store's rows, and as many others of each row of the bare client that saves: as many as
/// there are operations, 9600 at most, and a multiple of [`TASKS`].
fn sessions_for(operations: u64) -> u64 {
    operations.clamp(TASKS, 9_600) / TASKS * TASKS
}

/// What is measured: the bare client, then the store on the same connection's protocol.
async fn rows(redis: &RedisServer, sessions: u64, named: &str) -> Vec<(String, Work)> {
    let mut rows = Vec::new();
    for (database, layout, command) in [(0, "packed", "GET"), (1, "fields", "HGETALL")] {
        let mut make = true;
        for (protocol, note, others) in [("resp2", "", 1), ("resp3", ", RESP3", 2)] {
            // One row alone, for a profiler: nothing else is done then.
            let names = [
                format!("bare {command}, made before{note}"),
                format!("bare {command}{note}"),
                format!("{layout}: load{note}"),
                format!("bare EVALSHA of {layout}{note}"),
                format!("{layout}: apply of one field{note}"),
            ];
            if !names.iter().any(|name| name.contains(named)) {
                continue;
            }
            let address = |port| {
                let settings = format!("connections=1&timeout=30000&protocol={protocol}");
                format!("redis://127.0.0.1:{port}/{database}?layout={layout}&{settings}")
            };
            let bare = format!(
                "redis://127.0.0.1:{}/{database}?protocol={protocol}",
                redis.port()
            );
            let client = redis::Client::open(bare).expect("a URL");
            let connection = client.get_multiplexed_async_connection().await;
            let connection = connection.expect("Redis runs");
            let store = RedisStore::open(&address(redis.port())).await;
            let store = Arc::new(store.expect("Redis runs"));
            let keys = Arc::new(filled(&store, 0..sessions, make).await);
            let bare_keys = filled(&store, others * sessions..(others + 1) * sessions, true).await;
            make = false;
            let calls = Arc::new(captured(redis, &address, &bare_keys).await);
            let words = calls
                .iter()
                .map(|call| String::from_utf8(call.words[3].clone()));
            let words: Result<Vec<String>, _> = words.collect();
            let words = Arc::new(words.expect("names are text"));
            let made = words.iter().map(|name| with(command, &[name]));
            let made = Work::Made(connection.clone(), Arc::new(made.collect()));
            let read = Work::Read(connection.clone(), command, words);
            let load = Work::Load(Arc::clone(&store), Arc::clone(&keys));
            let call = Work::Call(connection, calls);
            let apply = Work::Apply(store, keys);
            rows.extend(names.into_iter().zip([made, read, load, call, apply]));
        }
    }
    rows
}

/// What a store says to Redis to save each of these sessions.
async fn captured(
    redis: &RedisServer,
    address: &impl Fn(u16) -> String,
    keys: &[StoredKey],
) -> Vec<Call> {
    let capture = Capture::start(redis.port());
    let store = RedisStore::open(&address(capture.port())).await;
    let store = store.expect("Redis runs");
    // Redis gets to know the script.
    let changes = one_field(0);
    let known = store.apply(&keys[0], &changes, &Condition::Always).await;
    known.expect("it is there");
    let mut calls = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        // A save of the packed layout is one trip after a load.
        store.load(key).await.expect("it is there");
        drop(capture.take());
        let changes = one_field(number as u64);
        let saved = store.apply(key, &changes, &Condition::Always).await;
        let Ok(Applied::Done { version, .. }) = saved else {
            panic!("it is there");
        };
        let mut sent = capture.take().words;
        let words = sent.pop().expect("it was told");
        assert!(sent.is_empty(), "a save is one command");
        assert_eq!(words[0], b"EVALSHA", "Redis 7 has no IFEQ");
        let compares = words.len() == 9 && words[5].len() == 18;
        let version = compares.then(|| AtomicU64::new(version));
        calls.push(Call { words, version });
    }
    calls
}

fn with(command: &str, args: &[&str]) -> redis::Cmd {
    let mut command = redis::cmd(command);
    command.arg(args);
    command
}

/// Microseconds that Redis has spent in each command.
type Spent = BTreeMap<String, f64>;

fn spent(redis: &RedisServer) -> Spent {
    let stats = redis.info("commandstats");
    let rows = stats.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let (_, rest) = rest.split_once("usec=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    });
    rows.collect()
}

/// What the work between two looks took, without the looking itself.
fn between(before: &Spent, after: &Spent) -> f64 {
    let took = |name: &str| {
        let before = before.get(name).copied().unwrap_or_default();
        after.get(name).copied().unwrap_or_default() - before
    };
    let scripts = took("evalsha") + took("eval");
    if scripts > 0.0 {
        // What a script calls is in its own time as well.
        return scripts;
    }
    let looking = ["info", "hello", "client|setinfo"];
    let others = after
        .keys()
        .filter(|name| !looking.contains(&name.as_str()));
    others.map(|name| took(name)).sum()
}

/// The keys of sessions that are there, from the one with the number `first` on; `make` makes them.
async fn filled(store: &RedisStore, numbers: Range<u64>, make: bool) -> Vec<StoredKey> {
    let mut keys = Vec::new();
    for at in numbers {
        let key = key(at, 0);
        if make {
            store.create(&key, &session(at, false)).await.expect("room");
        }
        keys.push(key);
    }
    keys
}

/// Bytes of `used_memory` for one session.
async fn memory(sessions: u64) {
    println!(
        "\nBytes of Redis for a session of 400 bytes in {FIELDS} fields, {sessions} sessions:\n"
    );
    println!("| | 8 fields of 50 bytes | one over 64 bytes | with a subject and its index |");
    println!("| --- | ---: | ---: | ---: |");
    for layout in ["packed", "fields"] {
        let mut cells = Vec::new();
        for (large, with_subject) in [(false, false), (true, false), (false, true)] {
            let redis = RedisServer::start();
            let url = format!(
                "redis://127.0.0.1:{}/0?layout={layout}&timeout=30000",
                redis.port()
            );
            let store = Arc::new(RedisStore::open(&url).await.expect("Redis runs"));
            let used = || number(&redis.info("memory"), "used_memory:").expect("it is there");
            create(&store, 0, large, with_subject).await;
            let before = used();
            let mut tasks = JoinSet::new();
            for first in 0..TASKS {
                let store = Arc::clone(&store);
                tasks.spawn(async move {
                    for at in (1 + first..=sessions).step_by(TASKS as usize) {
                        create(&store, at, large, with_subject).await;
                    }
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.expect("they are created");
            }
            cells.push((used() - before) / sessions as f64);
        }
        println!(
            "| {layout} | {:.0} | {:.0} | {:.0} |",
            cells[0], cells[1], cells[2]
        );
    }
}

async fn create(store: &RedisStore, at: u64, large: bool, with_subject: bool) {
    let mut new: NewSession = session(at, large);
    if !with_subject {
        new.subject = None;
    }
    store.create(&key(at, 0), &new).await.expect("room");
}

//! What `RedisStore` costs beyond the wire client below it: CPU of this process for an operation
//! beside the bare client sending one command for the same bytes; CPU of Redis for a load beside one
//! `GET` or `HGETALL`, by `INFO commandstats` and in all; memory of a session in both layouts.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin client-cpu -- [operations] [rounds] [sessions]`
//!
//! 64 tasks in one thread, one connection, a processor for this process and one for Redis. Rounds of
//! all rows are interleaved; the least of them is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloakroom_bench::redis_server::{RedisServer, number};
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
    runtime.block_on(operations_of(&redis, operations, rounds));
    runtime.block_on(memory(argument(3, 100_000)));
}

/// One row: what is done, once for each number.
#[derive(Clone)]
enum Work {
    Bare(MultiplexedConnection, Arc<Vec<redis::Cmd>>),
    Load(Arc<RedisStore>, Arc<Vec<StoredKey>>),
    Apply(Arc<RedisStore>, Arc<Vec<StoredKey>>),
}

impl Work {
    async fn once(&mut self, at: u64) {
        match self {
            Self::Bare(connection, commands) => {
                let command = &commands[at as usize % commands.len()];
                let reply: redis::RedisResult<redis::Value> =
                    connection.send_packed_command(command).await;
                assert!(reply.is_ok_and(|reply| reply != redis::Value::Nil));
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
                    work.once(mix(step * TASKS + task + (round << 40))).await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("the work is done");
        }
    }
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

async fn operations_of(redis: &RedisServer, operations: u64, rounds: u64) {
    let rows = rows(redis).await;
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

/// What is measured: the bare client, then the store on the same connection's protocol.
async fn rows(redis: &RedisServer) -> Vec<(String, Work)> {
    let mut rows = Vec::new();
    for (database, layout, command) in [(0, "packed", "GET"), (1, "fields", "HGETALL")] {
        let of = format!("redis://127.0.0.1:{}/{database}", redis.port());
        for (protocol, note) in [("resp2", ""), ("resp3", ", RESP3")] {
            let bare = format!("{of}?protocol={protocol}");
            let client = redis::Client::open(bare).expect("a URL");
            let connection = client.get_multiplexed_async_connection().await;
            let mut connection = connection.expect("Redis runs");
            let address =
                format!("{of}?layout={layout}&connections=1&timeout=30000&protocol={protocol}");
            let store = Arc::new(RedisStore::open(&address).await.expect("Redis runs"));
            let keys = Arc::new(filled(&store, 10_000, note.is_empty()).await);
            let names: Vec<String> = redis::cmd("KEYS")
                .arg("session:{*")
                .query_async(&mut connection)
                .await
                .expect("it answers");
            let reads = names.iter().map(|name| with(command, &[name]));
            let text = "0123456789012345678901234567890123456789";
            let writes = names.iter().map(|name| match layout {
                "packed" => with("SET", &[&format!("bare:{name}"), &text.repeat(12)]),
                _ => with("HSET", &[&format!("bare:{name}"), &field(3), text]),
            });
            let (reads, writes) = (
                Arc::new(reads.collect()),
                Arc::new(writes.collect::<Vec<_>>()),
            );
            let to = |commands| Work::Bare(connection.clone(), commands);
            rows.push((format!("bare {command}{note}"), to(reads)));
            let load = Work::Load(Arc::clone(&store), Arc::clone(&keys));
            rows.push((format!("{layout}: load{note}"), load));
            let write = ["bare HSET of one field", "bare SET"][usize::from(layout == "packed")];
            rows.push((format!("{write}{note}"), to(writes)));
            let apply = Work::Apply(store, keys);
            rows.push((format!("{layout}: apply of one field{note}"), apply));
        }
    }
    rows
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

/// The keys of sessions that are there; `make` makes them.
async fn filled(store: &RedisStore, count: u64, make: bool) -> Vec<StoredKey> {
    let mut keys = Vec::new();
    for at in 0..count {
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

//! What an operation costs, beside the bare wire client sending one GET or HGETALL of the same value:
//! client CPU, server CPU, throughput with 64 tasks. Run it on a server that nobody else uses:
//! `cargo run --release -p cloakroom-redis --example cost -- redis://127.0.0.1:6379/0`

#![allow(
    clippy::disallowed_macros,
    reason = "a table is what this program is for"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom_core::codec::Codec;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::{Changes, Condition, Fields, NewSession, Value};
use cloakroom_core::store::Lookup;
use cloakroom_core::{Handle, Lifetimes, OsEntropy, SessionId, Store, StoredKey};
use cloakroom_redis::RedisStore;
use redis::aio::MultiplexedConnection;

const SESSIONS: usize = 10_000;
const TASKS: usize = 64;
const EACH: usize = 3_000;
const ROUNDS: usize = 3;

type Failed = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "redis://127.0.0.1:6379/0".to_owned());
    let mut server = redis::Client::open(url.clone())?
        .get_multiplexed_async_connection()
        .await?;
    eprintln!(
        "{:34} {:>9} {:>9} {:>9}",
        "", "client us", "server us", "ops/s"
    );
    for layout in ["packed", "fields"] {
        let () = redis::cmd("FLUSHDB").query_async(&mut server).await?;
        let store = RedisStore::open(&format!("{url}?layout={layout}&connections=1")).await?;
        let store = Arc::new(store);
        let keys = Arc::new(fill(&store).await?);
        let names: Vec<String> = redis::cmd("KEYS")
            .arg("session:{*")
            .query_async(&mut server)
            .await?;
        let names = Arc::new(names);
        let command = if layout == "packed" { "GET" } else { "HGETALL" };
        let bare = server.clone();
        let run = |number| bare_read(bare.clone(), command, Arc::clone(&names), number);
        measure(&format!("bare {command}"), &mut server, run).await?;
        let run = |number| load(Arc::clone(&store), Arc::clone(&keys), number);
        measure(&format!("{layout}: load"), &mut server, run).await?;
        let run = |number| apply(Arc::clone(&store), Arc::clone(&keys), number);
        measure(
            &format!("{layout}: load, then apply one field"),
            &mut server,
            run,
        )
        .await?;
        let used: String = redis::cmd("INFO")
            .arg("memory")
            .query_async(&mut server)
            .await?;
        let bytes = info(&used, "used_memory_dataset:") / SESSIONS as f64;
        eprintln!("{layout}: {bytes:.0} bytes a session, 400 in 8 fields (used_memory_dataset)");
    }
    Ok(())
}

/// Runs `task` in many tasks, some rounds, and prints the best.
async fn measure<F>(
    name: &str,
    server: &mut MultiplexedConnection,
    task: impl Fn(usize) -> F,
) -> Result<(), Failed>
where
    F: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let mut best = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let (client, busy, began) = (cpu()?, server_cpu(server).await?, Instant::now());
        let running: Vec<_> = (0..TASKS)
            .map(|number| tokio::spawn(task(number)))
            .collect();
        for task in running {
            task.await??;
        }
        let per = |seconds: f64| seconds * 1e6 / (TASKS * EACH) as f64;
        best.0 = best.0.min(per((cpu()? - client).as_secs_f64()));
        best.1 = best.1.min(per(server_cpu(server).await? - busy));
        best.2 = best.2.min(per(began.elapsed().as_secs_f64()));
    }
    eprintln!(
        "{name:34} {:9.2} {:9.2} {:9.0}",
        best.0,
        best.1,
        1e6 / best.2
    );
    Ok(())
}

async fn fill(store: &RedisStore) -> Result<Vec<StoredKey>, Failed> {
    let mut changes = Changes::new();
    for number in 0..8 {
        let value = Value::new(Codec::Json, format!("\"{}\"", "x".repeat(43)).into_bytes());
        changes.set(&format!("field{number}"), value)?;
    }
    let fields = Fields::default().changed(&changes)?.0;
    let mut keys = Vec::new();
    for _ in 0..SESSIONS {
        let id = SessionId::generate(SlotTag::random(&OsEntropy)?, &OsEntropy)?;
        let new = NewSession {
            handle: Handle::generate(&OsEntropy)?,
            lifetimes: Lifetimes::new(Duration::from_secs(1800), Duration::from_secs(28_800))?,
            subject: None,
            label: None,
            max_sessions: None,
            fields: fields.clone(),
        };
        store.create(&id.key(), &new).await?;
        keys.push(id.key());
    }
    Ok(keys)
}

async fn bare_read(
    mut server: MultiplexedConnection,
    command: &'static str,
    names: Arc<Vec<String>>,
    number: usize,
) -> Result<(), Failed> {
    for step in 0..EACH {
        let name = &names[(number * EACH + step) % names.len()];
        let value: redis::Value = redis::cmd(command)
            .arg(name)
            .query_async(&mut server)
            .await?;
        if value == redis::Value::Nil {
            return Err("a session is missing".into());
        }
    }
    Ok(())
}

async fn load(
    store: Arc<RedisStore>,
    keys: Arc<Vec<StoredKey>>,
    number: usize,
) -> Result<(), Failed> {
    for step in 0..EACH {
        let key = &keys[(number * EACH + step) % keys.len()];
        if !matches!(store.load(key).await?, Lookup::Found(_)) {
            return Err("a session is missing".into());
        }
    }
    Ok(())
}

async fn apply(
    store: Arc<RedisStore>,
    keys: Arc<Vec<StoredKey>>,
    number: usize,
) -> Result<(), Failed> {
    for step in 0..EACH {
        let key = &keys[(number * EACH + step) % keys.len()];
        store.load(key).await?;
        let mut changes = Changes::new();
        changes.set(
            "field3",
            Value::new(Codec::Json, step.to_string().into_bytes()),
        )?;
        store.apply(key, &changes, &Condition::Always).await?;
    }
    Ok(())
}

/// CPU time of this process, user and system.
fn cpu() -> Result<Duration, Failed> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = text.rsplit_once(')').ok_or("no process name")?.1;
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

async fn server_cpu(server: &mut MultiplexedConnection) -> Result<f64, Failed> {
    let text: String = redis::cmd("INFO").arg("cpu").query_async(server).await?;
    Ok(info(&text, "used_cpu_user:") + info(&text, "used_cpu_sys:"))
}

fn info(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or_default()
}

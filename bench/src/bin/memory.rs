//! Resident memory per session over a million sessions of 400 bytes in 8 fields with a lifetime:
//! the embedded store with its subject index, and the hash that guides for Redis describe, with a
//! TTL. With and without one field over 64 bytes, where Redis leaves its compact encoding. And of keys, alone
//! and as sessions of another framework. `memory [sessions]`. Needs Debian's redis-server.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use cloakroom_bench::redis_server::RedisServer;
use cloakroom_bench::{fields, key, mix, ready, resident, session, size_argument, string_key};
use cloakroom_core::Store;
use cloakroom_embedded::{
    EmbeddedConfig, EmbeddedStore, Engine, Foreign, ForeignConfig, KeyError, Tx, Written,
};

/// What the embedded engine is filled with, in a process that does nothing else, so that nothing that was
/// freed before makes it look small.
const KINDS: [(&str, fn(u64) -> u64); 6] = [
    ("store", |sessions| store(sessions, false)),
    ("store-large", |sessions| store(sessions, true)),
    ("hash", |sessions| hashes(sessions, false)),
    ("hash-large", |sessions| hashes(sessions, true)),
    ("string", strings),
    ("session", sessions),
];

fn main() {
    if let Some(wanted) = std::env::args().nth(2) {
        let known = KINDS.iter().find(|(kind, _)| *kind == wanted);
        let (_, fill) = known.expect("a kind of the table");
        println!("{}", fill(size_argument(1)));
        return;
    }
    let count = size_argument(1_000_000);
    let cell = |bytes: u64| format!("{:.0}", bytes as f64 / count as f64);
    let row = |name: &str, cells: &[String]| {
        println!("| {name} | {} |", cells.join(" | "));
        std::io::stdout().flush().expect("standard output takes it");
    };
    println!(
        "| resident bytes per session, {count} sessions | 8 fields of 50 bytes | one over 64 bytes |"
    );
    println!("| --- | --- | --- |");
    let of = |kind: &str| cell(in_own_process(count, kind));
    row(
        "cloakroom-embedded, subject index included",
        &[of("store"), of("store-large")],
    );
    row(
        "cloakroom-embedded, hash with TTL",
        &[of("hash"), of("hash-large")],
    );
    row(
        "redis-server, hash with TTL",
        &[false, true].map(|large| cell(redis(count, large))),
    );
    println!(
        "\n| resident bytes per key of 43 bytes, {count} keys | string of 400 bytes, TTL |\n| --- | --- |"
    );
    row("cloakroom-embedded", &[of("string")]);
    row(
        "cloakroom-embedded, a session of another framework, with its subject",
        &[of("session")],
    );
    row("redis-server", &[cell(redis_strings(count))]);
}

fn in_own_process(count: u64, kind: &str) -> u64 {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program)
        .args([&*count.to_string(), kind])
        .stderr(Stdio::inherit())
        .output()
        .expect("this program can be started");
    assert!(output.status.success(), "the measuring process failed");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("it prints a number of bytes")
}

fn store(sessions: u64, large: bool) -> u64 {
    let own = std::process::id();
    let before = resident(own);
    let store = EmbeddedStore::default();
    for number in 0..sessions {
        ready(store.create(&key(number, 0), &session(number, large))).expect("room");
    }
    let after = resident(own);
    let stats = ready(store.stats()).expect("it answers");
    assert_eq!(stats.sessions, sessions);
    eprintln!("it counts {} bytes for each itself", stats.bytes / sessions);
    after - before
}

/// Fills an engine, each key in a step of its own. Returns the resident bytes.
fn engine(
    count: u64,
    name: impl Fn(u64) -> Vec<u8>,
    mut write: impl FnMut(&mut Tx<'_>, u64, &[u8]) -> Result<(), KeyError>,
) -> u64 {
    let own = std::process::id();
    let before = resident(own);
    let engine = Engine::new(EmbeddedConfig::new()).expect("the defaults are valid");
    for number in 0..count {
        let key = name(number);
        let written = engine.with_key(0, &key, |tx| {
            write(tx, number, &key)?;
            let deadline = tx.now().saturating_add(Duration::from_secs(86_400));
            tx.set_deadline(0, &key, Some(deadline));
            Ok::<_, KeyError>(())
        });
        written.expect("room");
    }
    let after = resident(own);
    assert_eq!(engine.len(0) as u64, count);
    let counted = engine.stats().bytes / count;
    eprintln!("it counts {counted} bytes for each itself");
    after - before
}

fn strings(keys: u64) -> u64 {
    let value = [b'v'; 400];
    let name = |number| string_key(number).to_vec();
    engine(keys, name, |tx, _, key| {
        let deadline = tx.now().saturating_add(Duration::from_secs(86_400));
        tx.set_string(0, key, &value, Some(deadline))
    })
}

/// As the server holds sessions of express-session, each of a subject of its own.
fn sessions(count: u64) -> u64 {
    let foreign = Foreign::new(ForeignConfig::default()).expect("the defaults are valid");
    let name = |number| {
        let [one, two] = [2 * number, 2 * number + 1].map(mix);
        format!("sess:{one:016x}{two:016x}123456").into_bytes()
    };
    let filled = engine(count, name, |tx, number, key| {
        let start = format!(r#"{{"cookie":{{}},"passport":{{"user":"user{number:07}"}},"pad":""#);
        let pad = "x".repeat(400 - start.len() - 2);
        let value = format!("{start}{pad}\"}}");
        let written = Written::Value(value.as_bytes());
        let deadline = tx.now().saturating_add(Duration::from_secs(86_400));
        foreign.write(tx, 0, key, written, (), |tx| {
            tx.set_string(0, key, value.as_bytes(), Some(deadline))
        })
    });
    filled
}

/// The name of a hash as guides for Redis have it.
fn hash_name(number: u64) -> String {
    let hash = key(number, 0)
        .hash()
        .map(|byte| format!("{byte:02x}"))
        .concat();
    format!("session:{}", &hash[..32])
}

fn hashes(count: u64, large: bool) -> u64 {
    let name = |number| hash_name(number).into_bytes();
    engine(count, name, |tx, number, key| {
        for (field, value) in &fields(number, large) {
            tx.hash_set(0, key, field.as_bytes(), value.bytes)?;
        }
        Ok(())
    })
}

fn redis_strings(keys: u64) -> u64 {
    let value = [b'v'; 400];
    in_redis(keys, |pipeline, number| {
        let key = &string_key(number)[..];
        let mut set = redis::cmd("SET");
        set.arg(key).arg(&value[..]).arg("EX").arg(86_400);
        pipeline.add_command(set).ignore();
    })
}

fn redis(sessions: u64, large: bool) -> u64 {
    in_redis(sessions, |pipeline, number| {
        let name = hash_name(number);
        let mut write = redis::cmd("HSET");
        write.arg(&name);
        for (field, value) in &fields(number, large) {
            write.arg(field).arg(value.bytes);
        }
        pipeline.add_command(write).ignore();
        pipeline.cmd("EXPIRE").arg(&name).arg(86_400).ignore();
    })
}

/// Fills a Redis of its own. Returns the resident bytes.
fn in_redis(count: u64, write: impl Fn(&mut redis::Pipeline, u64)) -> u64 {
    let server = RedisServer::start();
    let before = resident(server.id());
    let mut connection = server.connect();
    for first in (0..count).step_by(1_000) {
        let mut pipeline = redis::pipe();
        (first..(first + 1_000).min(count)).for_each(|number| write(&mut pipeline, number));
        pipeline
            .query::<()>(&mut connection)
            .expect("redis takes them");
    }
    let held: u64 = redis::cmd("DBSIZE")
        .query(&mut connection)
        .expect("redis counts");
    assert_eq!(held, count);
    resident(server.id()) - before
}

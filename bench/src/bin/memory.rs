//! Resident memory per session over a million sessions of 400 bytes in 8 fields with a lifetime:
//! the embedded store with its subject index, and the hash that guides for Redis describe, with a
//! TTL. With and without one field over 64 bytes, where Redis leaves its compact encoding.
//! `memory [sessions]`. Needs Debian's redis-server.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use cloakroom_bench::redis_server::RedisServer;
use cloakroom_bench::{fields, key, ready, resident, session, size_argument, string_key};
use cloakroom_core::Store;
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore, Engine};

fn main() {
    if std::env::args().nth(2).as_deref() == Some("string") {
        println!("{}", strings(size_argument(1)));
        return;
    }
    if let Some(large) = std::env::args().nth(2) {
        let bytes = embedded(size_argument(1), large == "large");
        println!("{bytes}");
        return;
    }
    let sessions = size_argument(1_000_000);
    println!(
        "| resident bytes per session, {sessions} sessions | 8 fields of 50 bytes | one over 64 bytes |"
    );
    println!("| --- | --- | --- |");
    let row = |name: &str, of: &dyn Fn(bool) -> u64| {
        let [usual, large] = [false, true].map(|large| of(large) as f64 / sessions as f64);
        println!("| {name} | {usual:.0} | {large:.0} |");
        std::io::stdout().flush().expect("standard output takes it");
    };
    row("cloakroom-embedded, subject index included", &|large| {
        in_own_process(sessions, if large { "large" } else { "usual" })
    });
    row("redis-server, hash with TTL, no index", &|large| {
        redis(sessions, large)
    });
    println!();
    println!(
        "| resident bytes per key, {sessions} keys | string key of 43 bytes, 400 bytes, TTL |"
    );
    println!("| --- | --- |");
    for (name, bytes) in [
        ("cloakroom-embedded", in_own_process(sessions, "string")),
        ("redis-server", redis_strings(sessions)),
    ] {
        println!("| {name} | {:.0} |", bytes as f64 / sessions as f64);
    }
}

/// A key of 43 bytes with 400 bytes and a deadline, as a session of another framework is.
fn strings(keys: u64) -> u64 {
    let own = std::process::id();
    let before = resident(own);
    let engine = Engine::new(EmbeddedConfig::new()).expect("the defaults are valid");
    let value = [b'v'; 400];
    for number in 0..keys {
        let key = string_key(number);
        engine
            .with_key(0, &key, |tx| {
                let deadline = tx.now().saturating_add(Duration::from_secs(86_400));
                tx.set_string(0, &key, &value, Some(deadline))
            })
            .expect("room");
    }
    let after = resident(own);
    assert_eq!(engine.len(0) as u64, keys);
    let counted = engine.stats().bytes / keys;
    eprintln!("embedded: it counts {counted} bytes per key itself");
    after - before
}

fn redis_strings(keys: u64) -> u64 {
    let server = RedisServer::start();
    let before = resident(server.id());
    let mut connection = server.connect();
    let value = [b'v'; 400];
    for first in (0..keys).step_by(1_000) {
        let mut pipeline = redis::pipe();
        for number in first..(first + 1_000).min(keys) {
            let key = &string_key(number)[..];
            let mut set = redis::cmd("SET");
            set.arg(key).arg(&value[..]).arg("EX").arg(86_400);
            pipeline.add_command(set).ignore();
        }
        pipeline
            .query::<()>(&mut connection)
            .expect("redis takes the keys");
    }
    resident(server.id()) - before
}

/// The embedded store is measured in a process that does nothing else, so that nothing that was
/// freed before makes it look small.
fn in_own_process(sessions: u64, kind: &str) -> u64 {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program)
        .args([&*sessions.to_string(), kind])
        .stderr(Stdio::inherit())
        .output()
        .expect("this program can be started");
    assert!(output.status.success(), "the measuring process failed");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("it prints a number of bytes")
}

fn embedded(sessions: u64, large: bool) -> u64 {
    let own = std::process::id();
    let before = resident(own);
    let store = EmbeddedStore::default();
    for number in 0..sessions {
        ready(store.create(&key(number, 0), &session(number, large))).expect("room");
    }
    let after = resident(own);
    let stats = ready(store.stats()).expect("it answers");
    assert_eq!(stats.sessions, sessions);
    eprintln!(
        "embedded: it counts {} bytes per session itself",
        stats.bytes / sessions
    );
    after - before
}

fn redis(sessions: u64, large: bool) -> u64 {
    let server = RedisServer::start();
    let before = resident(server.id());
    let mut connection = server.connect();
    for first in (0..sessions).step_by(1_000) {
        let mut pipeline = redis::pipe();
        for number in first..(first + 1_000).min(sessions) {
            let hash = key(number, 0)
                .hash()
                .map(|byte| format!("{byte:02x}"))
                .concat();
            let name = format!("session:{}", &hash[..32]);
            let mut write = redis::cmd("HSET");
            write.arg(&name);
            for (field, value) in &fields(number, large) {
                write.arg(field).arg(value.bytes);
            }
            pipeline.add_command(write).ignore();
            pipeline.cmd("EXPIRE").arg(&name).arg(86_400).ignore();
        }
        pipeline
            .query::<()>(&mut connection)
            .expect("redis takes the sessions");
    }
    let count: u64 = redis::cmd("DBSIZE")
        .query(&mut connection)
        .expect("redis counts");
    assert_eq!(count, sessions);
    resident(server.id()) - before
}

//! What sessions of other frameworks cost beside plain keys: telling one from other keys, reading whose
//! it is, a write, bytes. `cargo run --release -p cloakroom-embedded --example foreign`

#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cloakroom_core::layout::Layouts;
use cloakroom_embedded::{EmbeddedConfig, Engine, Foreign, ForeignConfig, Written};

const SESSIONS: usize = 200_000;
const ROUNDS: usize = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);

fn main() -> Result<(), cloakroom_core::Error> {
    recognition();
    subjects();
    writes()
}

fn each(what: &str, rounds: usize, mut work: impl FnMut(usize)) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        for round in 0..rounds {
            work(round);
        }
        let nanos = begun.elapsed().as_secs_f64() * 1e9;
        best = best.min(nanos / rounds as f64);
    }
    println!("{what:<48} {best:>8.1} ns");
}

fn recognition() {
    let layouts = Layouts::standard();
    for key in [
        "cache:page:/index",
        "user:42",
        "session:short",
        "sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK",
        ":1:django.contrib.sessions.cachebb3359dt4far6th8u259psvlf2n69gnb",
    ] {
        each(&format!("recognise {key:.36}"), ROUNDS, |_| {
            black_box(layouts.find(black_box(key.as_bytes())));
        });
    }
}

fn subjects() {
    let layouts = Layouts::standard();
    let json = format!(
        "{{\"cookie\":{{}},\"cart\":[{}],\"passport\":{{\"user\":\"alice\"}}}}",
        ["\"coat\""; 44].join(",")
    );
    let pickle = b"\x80\x05\x95\xe9\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04cart\x94]\x94(K\x01K\x02K\x03e\x8c\x0d_auth_user_id\x94\x8c\x011\x94u.";
    for (name, value) in [("connect-redis", json.as_bytes()), ("django-cache", pickle)] {
        let Some(layout) = layouts.named(name) else {
            continue;
        };
        let what = format!("subject of {name}, {} bytes", value.len());
        each(&what, ROUNDS / 10, |_| {
            black_box(layout.subject(black_box(value)));
        });
    }
}

fn writes() -> Result<(), cloakroom_core::Error> {
    let value = format!(
        "{{\"passport\":{{\"user\":\"alice\"}},\"pad\":\"{}\"}}",
        "x".repeat(364)
    );
    for (what, prefix, kept) in [
        ("plain keys, nobody asked", "none:", false),
        ("plain keys", "none:", true),
        ("sessions of a subject each", "sess:", true),
    ] {
        let engine = Engine::new(EmbeddedConfig::new())?;
        let foreign = Foreign::new(ForeignConfig::default())?;
        let empty = engine.stats().bytes;
        let keys: Vec<_> = (0..SESSIONS)
            .map(|number| format!("{prefix}{number:038}"))
            .collect();
        let resident = resident();
        each(&format!("SET EX, {what}"), SESSIONS, |number| {
            let (key, db) = (keys[number].as_bytes(), 0);
            let done = engine.with_key(db, key, |tx| {
                let deadline = Some(tx.now().saturating_add(HOUR));
                let value = value.as_bytes();
                if kept {
                    foreign.write(tx, db, key, Written::Value(value), (), |tx| {
                        tx.set_string(db, key, value, deadline)
                    })
                } else {
                    tx.set_string(db, key, value, deadline)
                }
            });
            assert!(done.is_ok(), "there is room");
        });
        let bytes = (engine.stats().bytes - empty) as usize / SESSIONS;
        let real = resident_since(resident) / SESSIONS;
        println!(
            "  bytes each: {bytes} in the engine, {real} resident; of a subject: {}",
            foreign.with_subject(&engine)
        );
    }
    Ok(())
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

fn resident_since(before: usize) -> usize {
    resident().saturating_sub(before)
}

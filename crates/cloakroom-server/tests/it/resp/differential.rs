//! Random commands, sent to a server of ours and to Debian's redis-server: what they answer and what they
//! hold has to be the same, but for what `docs/commands.md` says.
//! `CLOAKROOM_DIFF_COMMANDS` says how many, `CLOAKROOM_DIFF_SEED` which.

use std::collections::BTreeSet;

use super::random::{FORMS, Random, command};
use super::wire::{Reply, Wire, encode};
use crate::process::Server;
use crate::stores::Redis;

/// What is tested elsewhere, or has nothing to compare: a version, a time, a place, what `docs/commands.md`
/// says to differ.
const ELSEWHERE: &[&str] = &[
    "randomkey",
    "subscribe",
    "psubscribe",
    "unsubscribe",
    "punsubscribe",
    "eval",
    "hello",
    "auth",
    "quit",
    "reset",
    "time",
    "info",
    "save",
    "bgrewriteaof",
    "shutdown",
    "role",
    "replicaof",
    "monitor",
    "debug",
    "latency",
    "module",
    "cluster",
    "lolwut",
    "readwrite",
    "flushall",
    "hexpire",
    "hpexpire",
    "hexpireat",
    "hpexpireat",
    "hpersist",
    "httl",
    "hpttl",
    "hexpiretime",
    "hpexpiretime",
];

/// Commands in one write: long enough to be quick, short enough to show where it went wrong.
const BATCH: usize = 50;

#[test]
fn random_commands_are_answered_as_by_redis() {
    let number = |name: &str, usual: usize| {
        let given = std::env::var(name).ok();
        given.map_or(usual, |text| text.parse().unwrap())
    };
    let count = number("CLOAKROOM_DIFF_COMMANDS", 20_000);
    let seed = number("CLOAKROOM_DIFF_SEED", 1) as u64;
    let (server, redis) = (Server::start(&[]), Redis::start());
    for protocol in ["2", "3"] {
        let mut ours = Wire::to(&server);
        let mut theirs = Wire::at(&format!("127.0.0.1:{}", redis.port));
        assert_eq!(
            theirs.ask(&format!("AUTH {}", crate::stores::PASSWORD)),
            Reply::ok()
        );
        for wire in [&mut ours, &mut theirs] {
            wire.ask(&format!("HELLO {protocol}"));
            assert_eq!(wire.ask("FLUSHALL"), Reply::ok());
        }
        let mut random = Random::new(seed);
        let mut log = Vec::new();
        for _ in 0..count / BATCH / 2 {
            batch(&mut ours, &mut theirs, &mut random, &mut log);
        }
    }
}

fn batch(ours: &mut Wire, theirs: &mut Wire, random: &mut Random, log: &mut Vec<String>) {
    let mut bytes = Vec::new();
    let mut commands = Vec::new();
    // Of the transaction that has begun.
    let mut queued: Vec<String> = Vec::new();
    for _ in 0..BATCH {
        let form = FORMS[random.below(FORMS.len())];
        let words = command(form, random);
        let slices: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        encode(&slices, &mut bytes);
        commands.push(words);
    }
    ours.raw(&bytes);
    theirs.raw(&bytes);
    let mut commands = commands.into_iter();
    while let Some(words) = commands.next() {
        let (our, their) = (ours.reply(), theirs.reply());
        log.push(format!("{words:?} -> {their:?}"));
        let name = words[0].as_str();
        let same = match (name, &our, &their) {
            ("exec", Reply::Array(our), Reply::Array(their)) => {
                let names = queued.iter().map(String::as_str);
                let mut answers = names.zip(our.iter().zip(their));
                our.len() == their.len()
                    && answers.all(|(name, (our, their))| same(name, our, their))
            }
            _ => same(name, &our, &their),
        };
        match name {
            "exec" | "discard" => queued.clear(),
            _ if our == Reply::Simple("QUEUED".to_owned()) => queued.push(name.to_owned()),
            _ => {}
        }
        if !same && is_beyond(name, &their) {
            // Known, and later commands meet it: all begins anew behind this batch.
            commands.for_each(|_| drop((ours.reply(), theirs.reply())));
            for wire in [ours, theirs] {
                wire.ask("DISCARD");
                wire.ask("SELECT 0");
                assert_eq!(wire.ask("FLUSHALL"), Reply::ok());
            }
            return;
        }
        if !same {
            // A key may have been watched a thousand commands ago.
            let lines = if name == "exec" { 2_000 } else { 60 };
            let first = log.len().saturating_sub(lines);
            panic!(
                "{}\n{words:?}\nours:   {our:?}\ntheirs: {their:?}",
                log[first..].join("\n")
            );
        }
    }
    // A transaction does not go on in the next batch, so that what is held can be looked at.
    for wire in [&mut *ours, &mut *theirs] {
        wire.ask("DISCARD");
    }
    for db in 0..3 {
        let (our, their) = (contents(ours, db), contents(theirs, db));
        for (our, their) in our.iter().zip(&their) {
            let latest = || log[log.len() - BATCH..].join("\n");
            assert!(
                our == their,
                "{}\nours:   {our:?}\ntheirs: {their:?}",
                latest()
            );
        }
        assert_eq!(our.len(), their.len());
    }
    for wire in [ours, theirs] {
        wire.ask("SELECT 0");
    }
}

/// What all keys of a keyspace hold.
fn contents(wire: &mut Wire, db: usize) -> Vec<(String, Reply, bool)> {
    wire.ask(&format!("SELECT {db}"));
    let mut keys: Vec<String> = wire.ask("KEYS *").items().iter().map(Reply::text).collect();
    keys.sort_unstable();
    let mut contents = Vec::new();
    for key in keys {
        let (command, sorts) = match wire.ask(&format!("TYPE {key}")).text().as_str() {
            "string" => (format!("GET {key}"), "get"),
            "hash" => (format!("HGETALL {key}"), "hgetall"),
            "set" => (format!("SMEMBERS {key}"), "smembers"),
            "zset" => (format!("ZRANGE {key} 0 -1 WITHSCORES"), "zrange"),
            kind => panic!("{key} is of kind {kind}"),
        };
        let held = sorted(sorts, wire.ask(&command));
        let ends = wire.ask(&format!("PTTL {key}")).integer() > 0;
        contents.push((key, held, ends));
    }
    contents
}

fn same(name: &str, our: &Reply, their: &Reply) -> bool {
    if our == their {
        return true;
    }
    match name {
        "ttl" | "pttl" | "expiretime" | "pexpiretime" => close(our, their),
        // Which one is taken is chance; what is left is looked at where all are taken.
        "srandmember" | "hrandfield" | "zrandmember" => shape(our) == shape(their),
        _ => sorted(name, our.clone()) == sorted(name, their.clone()),
    }
}

/// A sum of more digits than are reckoned as Redis does: `docs/commands.md` says so.
fn is_beyond(name: &str, reply: &Reply) -> bool {
    let digits = |text: &[u8]| text.iter().filter(|byte| byte.is_ascii_digit()).count();
    match reply {
        Reply::Bulk(text) => name.ends_with("incrbyfloat") && digits(text) > 38,
        Reply::Array(items) => {
            name == "exec" && items.iter().any(|it| is_beyond("incrbyfloat", it))
        }
        _ => false,
    }
}

/// Times that were told a moment apart.
fn close(our: &Reply, their: &Reply) -> bool {
    match (our, their) {
        (Reply::Integer(our), Reply::Integer(their)) => {
            our == their || (*our > 100 && our.abs_diff(*their) <= 2_000)
        }
        _ => our == their,
    }
}

fn shape(reply: &Reply) -> usize {
    match reply {
        Reply::Array(items) => items.len(),
        Reply::Nil => 0,
        Reply::Error(text) => 1_000_000 + text.len(),
        _ => 1,
    }
}

/// A reply in an order of its own, where there is none to keep.
fn sorted(name: &str, reply: Reply) -> Reply {
    match (name, reply) {
        (
            "smembers" | "sinter" | "sunion" | "sdiff" | "keys" | "hkeys" | "hvals" | "spop",
            reply,
        ) => match reply {
            Reply::Array(mut items) => {
                items.sort();
                Reply::Array(items)
            }
            Reply::Set(mut items) => {
                items.sort();
                Reply::Set(items)
            }
            other => other,
        },
        ("hgetall", Reply::Array(items) | Reply::Map(items)) => in_pairs(&items),
        ("scan" | "hscan" | "sscan" | "zscan", Reply::Array(items)) if items.len() == 2 => {
            let found = items[1].items();
            let found = match name {
                "scan" | "sscan" => {
                    let mut found = found.to_vec();
                    found.sort();
                    Reply::Array(found)
                }
                _ => in_pairs(found),
            };
            Reply::Array(vec![items[0].clone(), found])
        }
        (_, reply) => reply,
    }
}

fn in_pairs(items: &[Reply]) -> Reply {
    let mut pairs: Vec<Reply> = items
        .chunks(2)
        .map(|pair| Reply::Array(pair.to_vec()))
        .collect();
    pairs.sort();
    Reply::Array(pairs)
}

#[test]
fn every_command_has_a_form_or_a_reason() {
    let server = Server::start(&["--log", "warn"]);
    let mut wire = Wire::to(&server);
    let names: BTreeSet<String> = wire
        .ask("COMMAND LIST")
        .items()
        .iter()
        .map(Reply::text)
        .collect();
    let formed: BTreeSet<String> = FORMS
        .iter()
        .map(|form| form.split(' ').next().unwrap().to_owned())
        .collect();
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !formed.contains(*name) && !ELSEWHERE.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "no form: {missing:?}");
    for name in ELSEWHERE {
        assert!(names.contains(*name), "{name} is no command");
        assert!(!formed.contains(*name), "{name} has a form");
    }
}

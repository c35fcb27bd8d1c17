//! What `INFO` counts as hits and misses: the same as a redis-server, command by command.

use super::random::{FORMS, Random, command};
use super::wire::{Reply, Wire};
use crate::process::Server;
use crate::stores::{PASSWORD, Redis};

/// Commands that are tried: each form comes up about 30 times.
const COMMANDS: usize = 4_000;

/// What begins something that later commands are part of, and what chooses another keyspace.
const NOT_ALONE: &[&str] = &[
    "multi", "exec", "discard", "watch", "unwatch", "select", "config",
];

/// What counts in Redis by how it is done inside: `SCAN` with `TYPE` a hit for each key that it goes over, `SPOP` one
/// if it takes all, as it reads them first. Here neither asked for a key to read.
const INSIDE: &[&str] = &["scan", "spop"];

fn looked(wire: &mut Wire) -> (u64, u64) {
    let stats = wire.ask("INFO stats").text();
    let number = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse().unwrap()
    };
    (number("keyspace_hits:"), number("keyspace_misses:"))
}

fn pair(redis: &Redis, server: &Server) -> [Wire; 2] {
    let mut theirs = Wire::at(&format!("127.0.0.1:{}", redis.port));
    assert_eq!(theirs.ask(&format!("AUTH {PASSWORD}")), Reply::ok());
    [Wire::to(server), theirs]
}

#[test]
fn each_command_counts_its_lookups_as_redis_does() {
    let (server, redis) = (Server::start(&[]), Redis::start());
    let mut both = pair(&redis, &server);
    let mut random = Random::new(7);
    for _ in 0..COMMANDS {
        let words = command(FORMS[random.below(FORMS.len())], &mut random);
        let line = words.join(" ");
        if NOT_ALONE.contains(&words[0].as_str()) || INSIDE.contains(&words[0].as_str()) {
            continue;
        }
        let [ours, theirs] = both.each_mut().map(|wire| {
            let before = looked(wire);
            let said = wire.ask(&line);
            let after = looked(wire);
            (said, (after.0 - before.0, after.1 - before.1))
        });
        // What is refused may be so before or after the look.
        if !matches!(theirs.0, Reply::Error(_)) {
            assert_eq!(ours.1, theirs.1, "{line}: {:?} and {:?}", ours.0, theirs.0);
        }
    }
}

#[test]
fn scripts_and_transactions_count_and_counting_begins_anew() {
    let (server, redis) = (Server::start(&[]), Redis::start());
    let unlock = "if redis.call(\"get\",KEYS[1]) == ARGV[1] then return redis.call(\"del\",KEYS[1]) \
                  else return 0 end";
    for mut wire in pair(&redis, &server) {
        wire.ask("SET lock mine");
        for line in ["MULTI", "GET lock", "GET none", "EXEC"] {
            wire.ask(line);
        }
        assert_eq!(looked(&mut wire), (1, 1));
        for own in ["other", "mine", "mine"] {
            wire.send(&[b"EVAL", unlock.as_bytes(), b"1", b"lock", own.as_bytes()]);
            wire.reply();
        }
        assert_eq!(looked(&mut wire), (3, 2));
        wire.ask("CONFIG RESETSTAT");
        assert_eq!(looked(&mut wire), (0, 0));
        wire.ask("GET none");
        assert_eq!(looked(&mut wire), (0, 1));
    }
    // Of connections that are gone as well.
    let mut wire = Wire::to(&server);
    wire.ask("GET none");
    wire.ask("QUIT");
    assert_eq!(wire.rest(), "");
    let mut wire = Wire::to(&server);
    wire.ask("GET none");
    let [ours, _] = &mut pair(&redis, &server);
    while looked(ours) != (0, 3) {
        std::thread::yield_now();
    }
}

#[test]
fn misses_are_told_to_whoever_listens() {
    let (server, redis) = (Server::start(&[]), Redis::start());
    let heard = pair(&redis, &server).map(|mut wire| {
        wire.ask("CONFIG SET notify-keyspace-events Em");
        wire.ask("SET here 1");
        wire.ask("SADD set 1");
        let [mut ear, other] = pair(&redis, &server);
        if wire.stream().peer_addr().unwrap() != ear.stream().peer_addr().unwrap() {
            ear = other;
        }
        ear.ask("SUBSCRIBE __keyevent@0__:keymiss");
        for line in [
            "GET a",
            "MGET b here c",
            "EXISTS d",
            "HGETALL e",
            "GETEX f EX 10",
            "SINTER g set",
            "TTL h",
            "EXPIRE i 10",
            "SET j 1 GET",
            "GET here",
            "OBJECT ENCODING k",
            "GET last",
        ] {
            wire.ask(line);
        }
        let mut keys = Vec::new();
        while keys.last().is_none_or(|key| key != "last") {
            keys.push(ear.reply().items()[2].text());
        }
        keys
    });
    assert_eq!(heard[0], heard[1]);
}

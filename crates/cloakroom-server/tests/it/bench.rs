//! `cloakroom bench`, against a server of ours and against a redis-server: what it says it did is what the server
//! saw, and nothing of it depends on how fast either is.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::process::{Server, TempDir, cloakroom};
use crate::resp::wire::{Reply, Wire};
use crate::stores::{PASSWORD, Redis};

/// A short run.
const SHORT: [&str; 8] = [
    "--sessions",
    "300",
    "--connections",
    "4",
    "--seconds",
    "1",
    "--warm-up",
    "0",
];

fn bench(address: &str, arguments: &[&str]) -> Command {
    let mut command = cloakroom();
    command
        .args(["bench", "--url", &format!("redis://{address}"), "--json"])
        .args(SHORT)
        .args(arguments)
        .env_remove("REDISCLI_AUTH");
    command
}

/// What it printed, if all went well.
fn report(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn failure(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

/// How often an operation was done, as the report has it.
fn count(report: &Value, operation: &str) -> u64 {
    let rows = report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["operation"] == operation);
    row.map_or(0, |row| row["count"].as_u64().unwrap())
}

/// How often a command was called, as the server has it.
fn calls(wire: &mut Wire, command: &str) -> u64 {
    let stats = wire.ask("INFO commandstats").text();
    let line = format!("cmdstat_{command}:calls=");
    let mut found = stats.lines().filter_map(|it| it.strip_prefix(&line));
    found
        .next()
        .map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

#[test]
fn what_it_says_it_did_is_what_the_server_saw() {
    let redis = Redis::start();
    let ours = Server::start(&["--log", "warn"]);
    for (address, password) in [
        (ours.resp("redis://"), ""),
        (format!("127.0.0.1:{}", redis.port), PASSWORD),
    ] {
        let mut wire = Wire::at(&address);
        if !password.is_empty() {
            assert_eq!(wire.ask(&format!("AUTH {password}")), Reply::ok());
        }
        let mut before = 0;
        for mix in ["m1", "m2", "m3", "m4"] {
            let mut command = bench(&address, &["--mix", mix, "--pipeline", "8"]);
            let report = report(command.env("REDISCLI_AUTH", password));
            let of = |names: &[&str]| names.iter().map(|name| count(&report, name)).sum::<u64>();
            assert_eq!(
                calls(&mut wire, "get"),
                of(&["read", "unknown id"]),
                "{mix}"
            );
            assert_eq!(calls(&mut wire, "expire"), of(&["touch"]), "{mix}");
            assert_eq!(calls(&mut wire, "del"), of(&["revoke"]), "{mix}");
            let set = of(&["rewrite", "update", "create"]) + 300;
            assert_eq!(calls(&mut wire, "set"), set, "{mix}");
            assert!(of(&["read"]) > 0 && of(&["create"]) > 0, "{report}");
            let all: u64 = of(&["all"]);
            let seen = ["get", "expire", "del", "set"].map(|it| calls(&mut wire, it));
            assert_eq!(all + 300, seen.iter().sum::<u64>());
            before += all;
            assert_eq!(report["unanswered"], 0);
            assert_eq!(wire.ask("CONFIG RESETSTAT"), Reply::ok());
            assert_eq!(wire.ask("FLUSHALL"), Reply::ok());
        }
        assert!(before > 0);
    }
}

#[test]
fn single_commands_find_every_session_and_each_has_a_deadline() {
    let server = Server::start(&["--log", "warn"]);
    let address = server.resp("redis://");
    let mut wire = Wire::to(&server);
    let process = std::process::id().to_string();
    for (mix, command) in [
        ("get", "get"),
        ("getex", "getex"),
        ("expire", "expire"),
        ("set", "set"),
        ("change", "set"),
        ("hgetall", "hgetall"),
        ("hset", "hset"),
    ] {
        let report = report(&mut bench(
            &address,
            &["--mix", mix, "--server-pid", &process],
        ));
        let all = &report["rows"][0];
        assert_eq!((&all["missing"], &all["errors"]), (&0.into(), &0.into()));
        assert!(report["server_cpu_us"].as_f64().is_some(), "{report}");
        assert!(calls(&mut wire, command) >= all["count"].as_u64().unwrap());
    }
    // 300 strings, and 300 hashes under other names.
    assert_eq!(wire.ask("DBSIZE").integer(), 600);
    let keyspace = wire.ask("INFO keyspace").text();
    assert!(keyspace.contains("keys=600,expires=600,"), "{keyspace}");
}

#[test]
fn sessions_can_be_loaded_once_and_used_by_many_runs() {
    let server = Server::start(&["--log", "warn"]);
    let address = server.resp("redis://");
    let load = report(&mut bench(&address, &["--mix", "get", "--seconds", "0"]));
    assert_eq!(count(&load, "all"), 0);
    let next = |arguments: &[&str]| {
        report(&mut bench(
            &address,
            &[&["--no-load", "--mix", "get"], arguments].concat(),
        ))
    };
    let run = next(&[]);
    assert_eq!(run["rows"][0]["missing"], 0);
    assert!(run["load_seconds"].is_null());
    // Another seed has other sessions, and these are not there.
    let other = next(&["--seed", "2"]);
    assert_eq!(other["rows"][0]["missing"], other["rows"][0]["count"]);
}

#[test]
fn in_an_open_loop_a_wait_is_everybodys() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 65_536];
        let mut asked = 0_u64;
        loop {
            let read = stream.read(&mut bytes).unwrap();
            if read == 0 {
                return asked;
            }
            // No key has a star in it.
            let commands = bytes[..read].iter().filter(|byte| **byte == b'*').count();
            for _ in 0..commands {
                // The first command takes most of the run.
                if asked == 0 {
                    std::thread::sleep(Duration::from_millis(800));
                }
                asked += 1;
                stream.write_all(b"+OK\r\n").unwrap();
            }
        }
    });
    let arguments = [
        "--mix",
        "get",
        "--no-load",
        "--rate",
        "500",
        "--connections",
        "1",
    ];
    let report = report(&mut bench(&address, &arguments));
    let all = &report["rows"][0];
    // As many as were due in a second, whatever the server did. Those of the first 800 ms waited for what was
    // left of them: half of all for 300 ms or so.
    let count = all["count"].as_u64().unwrap();
    assert!((430..570).contains(&count), "{report}");
    assert!(all["p50_us"].as_f64().unwrap() > 150_000.0, "{report}");
    assert_eq!(report["unanswered"], 0);
    assert_eq!(server.join().unwrap(), count);
}

#[test]
fn a_server_that_refuses_is_no_figure() {
    let dir = TempDir::new();
    // SHA-256 of `hush`.
    let hash = "dc8331bcb2283e89d275a1c2fe66f7bf5ac3163ec1967f149dd7e27906365f0c";
    let users = dir.write("users", &format!("user reader on #{hash} ~* +@read\n"));
    let server = Server::start(&[
        "--resp-password",
        "hush-a-bye",
        "--resp-users",
        users.to_str().unwrap(),
    ]);
    let address = server.resp("redis://");
    let said = failure(&mut bench(&address, &[]));
    assert!(said.contains("answered with an error: NOAUTH"), "{said}");
    let said = failure(bench(&address, &[]).env("REDISCLI_AUTH", "wrong"));
    assert!(said.contains("AUTH is refused: WRONGPASS"), "{said}");
    let said = failure(&mut bench(&format!("reader:hush@{address}"), &[]));
    assert!(said.contains("answered with an error: NOPERM"), "{said}");
    let http = server.address();
    let said = failure(&mut bench(http, &[]));
    assert!(said.contains("does not speak the Redis protocol"), "{said}");
}

#[test]
fn a_table_is_what_people_get() {
    let server = Server::start(&["--log", "warn"]);
    let url = format!("redis://{}", server.resp("redis://"));
    let output = cloakroom()
        .args(["bench", "--url", &url])
        .args(SHORT)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.starts_with("300 sessions loaded in "), "{text}");
    assert!(
        text.contains(
            "m1 (mostly reads): 300 sessions, 4 connections, pipeline 1, closed loop, 1 s"
        )
    );
    for operation in [
        "all",
        "read",
        "touch",
        "update",
        "create",
        "revoke",
        "unknown id",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(operation)),
            "{operation}: {text}"
        );
    }
}

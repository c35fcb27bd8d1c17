//! Debian's own redis-cli and redis-benchmark against a server of ours.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::wire::{Wire, encode};
use crate::process::{Server, program};

fn run(name: &str, server: &Server, arguments: &[&str]) -> String {
    let address = server.resp("redis://");
    let (host, port) = address.rsplit_once(':').unwrap();
    let output = Command::new(program(name, "redis-tools"))
        .args(["-h", host, "-p", port])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn redis_cli_speaks_both_protocols() {
    let server = Server::start(&[]);
    let cli = |arguments: &[&str]| run("redis-cli", &server, arguments);
    assert_eq!(cli(&["HSET", "h", "f", "v", "g", "w"]), "2\n");
    assert_eq!(cli(&["HGETALL", "h"]), "f\nv\ng\nw\n");
    assert_eq!(
        cli(&["-3", "--json", "HGETALL", "h"]),
        "{\"f\":\"v\",\"g\":\"w\"}\n"
    );
    assert_eq!(cli(&["--scan", "--pattern", "h*"]), "h\n");
    assert!(cli(&["--bigkeys"]).contains("1 hashs with 2 fields"));
    assert!(cli(&["INFO", "server"]).contains("redis_version:7.0.15"));
    let help = cli(&["COMMAND", "DOCS", "get"]);
    assert!(help.contains("Returns the value of a key."), "{help}");
}

#[test]
fn redis_cli_loads_by_pipe_and_tells_memory() {
    let server = Server::start(&[]);
    let address = server.resp("redis://");
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut cli = Command::new(program("redis-cli", "redis-tools"))
        .args(["-h", host, "-p", port, "--pipe"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut commands = Vec::new();
    for number in 0..1_000 {
        let key = format!("key:{number}");
        encode(
            &[b"SET", key.as_bytes(), b"value", b"EX", b"600"],
            &mut commands,
        );
    }
    // Dropped at its end, so that the other end sees one.
    cli.stdin.take().unwrap().write_all(&commands).unwrap();
    let said = String::from_utf8(cli.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("errors: 0, replies: 1000"), "{said}");
    let cli = |arguments: &[&str]| run("redis-cli", &server, arguments);
    assert_eq!(cli(&["DBSIZE"]), "1000\n");
    let memory = cli(&["--memkeys"]);
    assert!(memory.contains("1000 strings with "), "{memory}");
}

/// What redis-benchmark 7.0 does without being told, but for lists, of which the next test is.
const BENCHMARK: &str = "ping,set,get,incr,sadd,hset,spop,zadd,zpopmin,mset";

#[test]
fn redis_benchmark_runs_to_its_end() {
    let server = Server::start(&["--log", "warn"]);
    let said = run(
        "redis-benchmark",
        &server,
        &[
            "-n", "2000", "-c", "20", "-P", "16", "--csv", "-t", BENCHMARK,
        ],
    );
    for test in [
        "PING_INLINE",
        "PING_MBULK",
        "SET",
        "GET",
        "INCR",
        "SADD",
        "HSET",
        "SPOP",
        "ZADD",
        "ZPOPMIN",
        "MSET (10 keys)",
    ] {
        assert!(said.contains(&format!("\"{test}\"")), "{test}: {said}");
    }
    let mut wire = Wire::to(&server);
    let stats = wire.ask("INFO commandstats").text();
    assert!(stats.contains("cmdstat_get:calls=2000,"), "{stats}");
    assert!(
        wire.ask("INFO stats")
            .text()
            .contains("total_error_replies:0\r\n")
    );
}

#[test]
fn redis_benchmark_ends_at_the_first_list() {
    let server = Server::start(&["--log", "warn"]);
    let address = server.resp("redis://");
    let (host, port) = address.rsplit_once(':').unwrap();
    let output = Command::new(program("redis-benchmark", "redis-tools"))
        .args(["-h", host, "-p", port, "-n", "20", "-c", "2", "--csv"])
        .output()
        .unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    assert!(!output.status.success(), "{out}");
    assert!(out.contains("\"INCR\""), "{out}");
    assert!(!out.contains("\"LPUSH\""), "{out}");
    assert!(
        (out + &err).contains("ERR unknown command 'LPUSH'"),
        "{err}"
    );
}

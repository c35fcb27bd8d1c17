//! Debian's own redis-cli and redis-benchmark against a server of ours.

use std::process::Command;

use super::wire::Wire;
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
fn redis_benchmark_runs_to_its_end() {
    let server = Server::start(&["--log", "warn"]);
    let tests = "ping,set,get,incr,sadd,hset,spop,zadd,zpopmin,mset";
    let said = run(
        "redis-benchmark",
        &server,
        &["-n", "2000", "-c", "20", "-P", "16", "--csv", "-t", tests],
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

//! What RedisInsight asks when it connects and when somebody browses, as its source has it
//! (`database-info.provider.ts`, `database-overview.provider.ts`, `standalone.scanner.strategy.ts`,
//! `*.key-info.strategy.ts`). It is a desktop program and cannot be part of a test, so its questions are played to a
//! server of ours and to a redis-server, and answers have to be of one shape.

use std::collections::BTreeMap;

use super::wire::{Reply, Wire};
use crate::process::Server;
use crate::stores::{PASSWORD, Redis};

/// The questions, in its order.
const ASKED: &[&str] = &[
    // ioredis: is it ready, and who am I.
    "INFO",
    "CLIENT SETNAME redisinsight-common-1234",
    // Is it a sentinel, a cluster, which modules are there, how many keyspaces.
    "SENTINEL MASTERS",
    "CLUSTER INFO",
    "MODULE LIST",
    "COMMAND INFO json.get ft.search",
    "INFO server",
    "CONFIG GET databases",
    "CLIENT LIST",
    "INFO keyspace",
    "DBSIZE",
    // The browser.
    "SCAN 0 MATCH * COUNT 500",
    "SCAN 0 MATCH * COUNT 500 TYPE hash",
    "MEMORY USAGE text samples 0",
    "TYPE text",
    "TTL text",
    "TYPE none",
    "MEMORY USAGE none samples 0",
    // A value of each kind.
    "STRLEN text",
    "GETRANGE text 0 4999",
    "GET text",
    "HLEN hash",
    "HSCAN hash 0 MATCH * COUNT 500",
    "HTTL hash FIELDS 1 f",
    "SCARD set",
    "SSCAN set 0 MATCH * COUNT 500",
    "ZCARD sorted",
    "ZRANGE sorted 0 499 WITHSCORES",
    "ZSCAN sorted 0 MATCH * COUNT 500",
    "OBJECT ENCODING hash",
    // What can be changed there.
    "SET new value NX",
    "EXPIRE new 100",
    "PERSIST new",
    "RENAMENX new newer",
    "HSET hash g w",
    "HDEL hash g",
    "DEL newer none",
    // The other pages: slow commands, messages, the command line.
    "SLOWLOG GET 50",
    "SLOWLOG RESET",
    "CONFIG GET slowlog*",
    "CONFIG SET slowlog-max-len 128",
    "PUBSUB CHANNELS",
    "PUBLISH channel message",
    "COMMAND",
    "SELECT 1",
    "DBSIZE",
    "ACL WHOAMI",
];

/// What Redis 7.0 does not have, or has more of, and so is not compared.
fn is_other(question: &str) -> bool {
    // Fields that end by themselves came with Redis 7.4; a table of all commands has what each server has.
    ["HTTL", "COMMAND"].iter().any(|word| {
        question.split(' ').next() == Some(word) && !question.starts_with("COMMAND INFO")
    })
}

/// What a reply is made of; of an error only that it is one, and its first word.
fn shape(reply: &Reply) -> String {
    match reply {
        Reply::Simple(text) => format!("+{text}"),
        Reply::Error(text) => format!("-{}", text.split(' ').next().unwrap()),
        Reply::Integer(_) => "integer".to_owned(),
        Reply::Bulk(_) => "bulk".to_owned(),
        Reply::Nil => "nil".to_owned(),
        Reply::Array(items) => {
            let items: Vec<String> = items.iter().map(shape).collect();
            format!("[{}]", items.join(" "))
        }
        other => format!("{other:?}"),
    }
}

/// `INFO` as it is read: sections of fields.
fn sections(info: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut sections = BTreeMap::new();
    for part in info.split("\r\n\r\n") {
        let mut lines = part.lines();
        let name = lines.next().unwrap().trim_start_matches("# ");
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        sections.insert(name.to_lowercase(), fields.collect());
    }
    sections
}

#[test]
fn its_questions_are_answered_in_the_shape_that_it_reads() {
    let (server, redis) = (Server::start(&[]), Redis::start());
    let mut theirs = Wire::at(&format!("127.0.0.1:{}", redis.port));
    assert_eq!(theirs.ask(&format!("AUTH {PASSWORD}")), Reply::ok());
    let mut ours = Wire::to(&server);
    for wire in [&mut ours, &mut theirs] {
        for line in [
            "SET text abc EX 600",
            "HSET hash f v",
            "SADD set a",
            "ZADD sorted 1 a",
        ] {
            assert!(!matches!(wire.ask(line), Reply::Error(_)), "{line}");
        }
    }
    for question in ASKED {
        let (our, their) = (ours.ask(question), theirs.ask(question));
        if is_other(question) {
            assert!(!matches!(our, Reply::Error(_)), "{question}: {our:?}");
        } else {
            assert_eq!(
                shape(&our),
                shape(&their),
                "{question}: {our:?} and {their:?}"
            );
        }
    }
}

/// What its overview, its list of databases and redis_exporter's `-include-system-metrics` read of `INFO`.
const READ: &[(&str, &str)] = &[
    ("server", "redis_version"),
    ("server", "redis_mode"),
    ("server", "uptime_in_seconds"),
    ("server", "process_id"),
    ("server", "tcp_port"),
    ("clients", "connected_clients"),
    ("clients", "blocked_clients"),
    ("memory", "used_memory"),
    ("memory", "used_memory_rss"),
    ("memory", "used_memory_peak"),
    ("memory", "total_system_memory"),
    ("memory", "mem_fragmentation_ratio"),
    ("stats", "total_commands_processed"),
    ("stats", "total_connections_received"),
    ("stats", "instantaneous_ops_per_sec"),
    ("stats", "instantaneous_input_kbps"),
    ("stats", "instantaneous_output_kbps"),
    ("stats", "keyspace_hits"),
    ("stats", "keyspace_misses"),
    ("replication", "role"),
    ("cpu", "used_cpu_sys"),
    ("cpu", "used_cpu_user"),
    ("cpu", "used_cpu_sys_children"),
    ("cpu", "used_cpu_user_children"),
];

#[tokio::test]
async fn the_overview_finds_its_figures_and_they_move() {
    let (server, redis) = (Server::start(&[]), Redis::start());
    let theirs = sections(
        &redis
            .cli(&["INFO"])
            .replace('\n', "\r\n")
            .replace("\r\r", "\r"),
    );
    let mut wire = Wire::to(&server);
    let mut ask = || sections(&wire.ask("INFO").text());
    let ours = ask();
    for (section, name) in READ {
        let [our, their] = [&ours, &theirs].map(|info| info[*section].get(*name));
        let (our, their) = (our.expect(name), their.expect(name));
        let number = |text: &str| text.parse::<f64>().is_ok();
        assert_eq!(number(our), number(their), "{name}: {our} and {their}");
    }
    let number = |info: &BTreeMap<String, BTreeMap<String, String>>, section: &str, name: &str| {
        info[section][name].parse::<f64>().unwrap()
    };
    // CPU time and pace are of a server that works: it is asked until both have moved.
    loop {
        let now = ask();
        let spent = number(&now, "cpu", "used_cpu_user") + number(&now, "cpu", "used_cpu_sys");
        let pace = number(&now, "stats", "instantaneous_ops_per_sec");
        let bytes = number(&now, "stats", "instantaneous_output_kbps");
        if spent > 0.0 && pace > 0.0 && bytes > 0.0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let resident = number(&ask(), "memory", "used_memory_rss");
    assert!(resident > number(&ours, "memory", "used_memory"));
}

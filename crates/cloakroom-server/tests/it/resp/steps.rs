//! Several connections at once: transactions and watches, messages and keyspace events, tracking.

use std::time::Duration;

use super::wire::{Reply, Wire};
use crate::process::Server;

fn two(server: &Server) -> (Wire, Wire) {
    (Wire::to(server), Wire::to(server))
}

#[test]
fn a_transaction_runs_only_if_what_it_watches_did_not_change() {
    let server = Server::start(&[]);
    let (mut ours, mut other) = two(&server);
    for (change, runs) in [
        ("SET k other", false),
        ("DEL k", false),
        ("EXPIRE k 100", false),
        ("HSET k f v", true),
        ("SET elsewhere x", true),
        ("GET k", true),
        ("SWAPDB 0 0", true),
    ] {
        ours.ask("SET k v");
        ours.ask("WATCH k");
        other.ask(change);
        assert_eq!(ours.ask("MULTI"), Reply::ok());
        assert_eq!(ours.ask("SET done yes"), Reply::Simple("QUEUED".to_owned()));
        let done = ours.ask("EXEC");
        assert_eq!(done != Reply::Nil, runs, "{change}: {done:?}");
    }
    // What is emptied or changes places has changed only if something was there, or is.
    for change in ["FLUSHDB", "FLUSHALL", "SWAPDB 0 1"] {
        for (key, runs) in [("k", false), ("none", true)] {
            ours.ask("SET k v");
            ours.ask(&format!("WATCH {key}"));
            other.ask(change);
            ours.ask("MULTI");
            ours.ask("PING");
            let done = ours.ask("EXEC");
            assert_eq!(done != Reply::Nil, runs, "{change} with {key} watched");
        }
    }
    // What ends by itself while it is watched has changed, too.
    ours.ask("SET k v PX 30");
    ours.ask("WATCH k");
    std::thread::sleep(Duration::from_millis(60));
    ours.ask("MULTI");
    ours.ask("PING");
    assert_eq!(ours.ask("EXEC"), Reply::Nil);
    // What had ended before has not.
    ours.ask("SET k v PX 30");
    std::thread::sleep(Duration::from_millis(60));
    ours.ask("WATCH k");
    ours.ask("MULTI");
    ours.ask("PING");
    assert_ne!(ours.ask("EXEC"), Reply::Nil);
    ours.ask("WATCH k");
    other.ask("SET k v");
    ours.ask("UNWATCH");
    ours.ask("MULTI");
    assert_eq!(ours.ask("EXEC"), Reply::Array(Vec::new()));
}

#[test]
fn a_refused_command_ends_the_transaction_and_a_failing_one_does_not() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    wire.ask("MULTI");
    wire.ask("NONSENSE");
    let said = wire.ask("EXEC").text();
    assert_eq!(
        said,
        "EXECABORT Transaction discarded because of previous errors."
    );
    // scs' commit: one write, one after another.
    wire.raw(
        b"MULTI\r\nSET k v\r\nPEXPIREAT k 4000000000000\r\nHGET k f\r\nDBSIZE\r\nGET k\r\nEXEC\r\n",
    );
    wire.hears(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
    let answers = wire.reply();
    let expected = [
        Reply::ok(),
        Reply::Integer(1),
        Reply::Error(
            "WRONGTYPE Operation against a key holding the wrong kind of value".to_owned(),
        ),
        Reply::Integer(1),
        Reply::bulk("v"),
    ];
    assert_eq!(answers.items(), expected);
    assert_eq!(wire.ask("EXEC").text(), "ERR EXEC without MULTI");
    assert_eq!(wire.ask("DISCARD").text(), "ERR DISCARD without MULTI");
    wire.ask("MULTI");
    assert_eq!(
        wire.ask("MULTI").text(),
        "ERR MULTI calls can not be nested"
    );
    assert_eq!(
        wire.ask("WATCH k").text(),
        "ERR WATCH inside MULTI is not allowed"
    );
    assert_eq!(wire.ask("RESET"), Reply::Simple("RESET".to_owned()));
    assert_eq!(wire.ask("GET k"), Reply::bulk("v"));
}

#[test]
fn transactions_on_the_same_keys_do_not_mix() {
    let server = Server::start(&["--log", "warn"]);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mut wire = Wire::to(&server);
            std::thread::spawn(move || {
                for _ in 0..100 {
                    wire.raw(b"MULTI\r\nINCR a\r\nINCR b\r\nINCR c\r\nMGET a b c\r\nEXEC\r\n");
                    for _ in 0..5 {
                        wire.reply();
                    }
                    let answers = wire.reply();
                    let seen = answers.items()[3].items().to_vec();
                    assert!(seen[0] == seen[1] && seen[1] == seen[2], "{seen:?}");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(Wire::to(&server).ask("GET a"), Reply::bulk("400"));
}

#[test]
fn messages_reach_who_listens_in_either_protocol() {
    let server = Server::start(&[]);
    let (mut two, mut three) = (Wire::to(&server), Wire::to(&server));
    let mut other = Wire::to(&server);
    two.send(&[b"SUBSCRIBE", b"news", b"more"]);
    two.hears(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nmore\r\n:2\r\n");
    three.ask("HELLO 3");
    three.send(&[b"PSUBSCRIBE", b"n*"]);
    three.hears(b">3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n");
    assert_eq!(other.ask("PUBLISH news hi"), Reply::Integer(2));
    two.hears(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
    three.hears(b">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
    let said = two.ask("GET k").text();
    assert!(
        said.starts_with("ERR Can't execute 'get': only (P|S)SUBSCRIBE"),
        "{said}"
    );
    two.send(&[b"PING"]);
    two.hears(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert_eq!(three.ask("GET k"), Reply::Nil);
    two.send(&[b"UNSUBSCRIBE"]);
    two.hears(b"*3\r\n$11\r\nunsubscribe\r\n$4\r\nmore\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n");
    two.send(&[b"UNSUBSCRIBE"]);
    two.hears(b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
    assert_eq!(two.ask("GET k"), Reply::Nil);
    assert_eq!(other.ask("PUBSUB NUMPAT"), Reply::Integer(1));
    drop(three);
    while other.ask("PUBLISH news hi") != Reply::Integer(0) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn spring_hears_of_what_ends() {
    let server = Server::start(&[]);
    let (mut spring, mut other) = two(&server);
    spring.send(&[b"CONFIG", b"GET", b"notify-keyspace-events"]);
    spring.hears(b"*2\r\n$22\r\nnotify-keyspace-events\r\n$0\r\n\r\n");
    assert_eq!(
        spring.ask("CONFIG SET notify-keyspace-events Egx"),
        Reply::ok()
    );
    spring.ask("SUBSCRIBE __keyevent@0__:del __keyevent@0__:expired");
    spring.reply();
    let mut hears = |event: &str, key: &str| {
        let message = spring.reply();
        let channel = format!("__keyevent@0__:{event}");
        let expected = ["message", &channel, key].map(Reply::bulk);
        assert_eq!(message.items(), expected);
    };
    other.ask("SET a v");
    other.ask("DEL a");
    hears("del", "a");
    other.ask("APPEND b v");
    other.ask("PEXPIRE b -1000");
    hears("del", "b");
    // It is swept or looked at, whichever comes first: it is told once.
    other.ask("SET c v PX 20");
    std::thread::sleep(Duration::from_millis(40));
    assert_eq!(other.ask("EXISTS c"), Reply::Integer(0));
    hears("expired", "c");
    other.ask("SET d v PX 20");
    hears("expired", "d");
    other.ask("SADD e x");
    other.ask("SREM e x");
    hears("del", "e");
}

#[test]
fn what_was_read_is_told_when_it_changes() {
    let server = Server::start(&[]);
    let (mut reader, mut writer) = two(&server);
    reader.ask("HELLO 3");
    assert_eq!(reader.ask("CLIENT TRACKING ON"), Reply::ok());
    writer.ask("SET k v");
    reader.ask("GET k");
    writer.ask("SET k w");
    reader.hears(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
    // It is told once, and comes before the answer of what is asked after it.
    writer.ask("SET k x");
    reader.ask("GET k");
    writer.ask("DEL k");
    reader.send(&[b"GET", b"k"]);
    reader.hears(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n_\r\n");
    writer.ask("FLUSHALL");
    reader.hears(b">2\r\n$10\r\ninvalidate\r\n_\r\n");
    assert_eq!(reader.ask("CLIENT TRACKING OFF"), Reply::ok());

    assert_eq!(reader.ask("CLIENT TRACKING ON OPTIN NOLOOP"), Reply::ok());
    reader.ask("GET a");
    reader.ask("CLIENT CACHING YES");
    reader.ask("GET b");
    reader.ask("GET c");
    reader.ask("SET b mine");
    reader.ask("CLIENT CACHING YES");
    reader.ask("GET d");
    for key in ["a", "b", "c", "d"] {
        writer.ask(&format!("SET {key} v"));
    }
    reader.hears(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nd\r\n");
    assert_eq!(reader.ask("PING").text(), "PONG");
    reader.ask("CLIENT TRACKING OFF");

    assert_eq!(
        reader.ask("CLIENT TRACKING ON BCAST PREFIX sess:"),
        Reply::ok()
    );
    writer.ask("SET other v");
    writer.ask("SET sess:1 v EX 100");
    reader.hears(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nsess:1\r\n");
    writer.ask("DEL other");

    // Prefixes are gathered, and none is told of twice.
    for (words, overlaps) in [
        ("PREFIX sess:1", Some(("sess:1", "an existing", "sess:"))),
        ("PREFIX a PREFIX ab", Some(("a", "another provided", "ab"))),
        ("PREFIX other", None),
    ] {
        let said = reader.ask(&format!("CLIENT TRACKING ON BCAST {words}"));
        let expected = overlaps.map_or(Reply::ok(), |(prefix, what, other)| {
            Reply::Error(format!(
                "ERR Prefix '{prefix}' overlaps with {what} prefix '{other}'. Prefixes for a single client \
                 must not overlap."
            ))
        });
        assert_eq!(said, expected, "{words}");
    }
    let many: String = (0..1_023).map(|it| format!(" PREFIX {it:04}")).collect();
    let said = reader.ask(&format!("CLIENT TRACKING ON BCAST{many}"));
    assert_eq!(said.text(), "ERR too many prefixes");
    // A command is one change of a key, however much it writes there.
    writer.ask("SADD other a b c");
    writer.ask("SET sess:1 v EX 100");
    for key in ["other", "sess:1"] {
        assert_eq!(reader.reply().items()[1].items(), [Reply::bulk(key)]);
    }
    assert_eq!(reader.ask("PING").text(), "PONG");
}

#[test]
fn connections_are_named_listed_and_ended() {
    let server = Server::start(&[]);
    let (mut ours, mut other) = two(&server);
    ours.ask("CLIENT SETNAME ours");
    let id = other.ask("CLIENT ID").integer();
    let list = ours.ask("CLIENT LIST").text();
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(
        list.contains("name=ours") && list.contains(&format!("id={id} ")),
        "{list}"
    );
    assert_eq!(ours.ask(&format!("CLIENT KILL ID {id}")), Reply::Integer(1));
    assert_eq!(other.rest(), "");
    assert_eq!(
        ours.ask("CLIENT KILL 1.2.3.4:5").text(),
        "ERR No such client"
    );
    ours.raw(b"CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\nCLIENT REPLY OFF\r\nGET a\r\nCLIENT REPLY ON\r\n");
    ours.hears(b"$1\r\n1\r\n+OK\r\n");
    ours.raw(b"QUIT\r\nPING\r\n");
    assert_eq!(ours.rest(), "+OK\r\n");
}

#[test]
fn fields_end_one_by_one() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    wire.ask("HSET h a 1 b 2 c 3");
    let integers =
        |reply: &Reply| -> Vec<i64> { reply.items().iter().map(Reply::integer).collect() };
    let set = wire.ask("HEXPIRE h 100 FIELDS 3 a b missing");
    assert_eq!(integers(&set), [1, 1, -2]);
    assert_eq!(integers(&wire.ask("HEXPIRE h 50 GT FIELDS 1 a")), [0]);
    assert_eq!(
        integers(&wire.ask("HTTL h FIELDS 3 a c missing")),
        [100, -1, -2]
    );
    assert_eq!(integers(&wire.ask("HPERSIST h FIELDS 2 b c")), [1, -1]);
    assert_eq!(integers(&wire.ask("HPEXPIRE h 0 FIELDS 1 c")), [2]);
    assert_eq!(wire.ask("HLEN h"), Reply::Integer(2));
    assert_eq!(integers(&wire.ask("HPEXPIRE h 20 FIELDS 1 a")), [1]);
    std::thread::sleep(Duration::from_millis(40));
    assert_eq!(wire.ask("HGET h a"), Reply::Nil);
    assert_eq!(wire.ask("HKEYS h").items(), [Reply::bulk("b")]);
    let said = wire.ask("HEXPIRE h 10 FIELDS 2 b").text();
    assert_eq!(
        said,
        "ERR The `numfields` parameter must match the number of arguments"
    );
}

//! How client libraries begin, byte by byte as they were traced, and what they must hear.

use super::wire::{Reply, Wire};
use crate::process::Server;

/// The seven pairs of HELLO, in Redis' order, with the number of the connection cut out.
fn hello(wire: &mut Wire, protocol: i64) {
    let reply = wire.reply();
    let ((Reply::Map(items), 3) | (Reply::Array(items), 2)) = (&reply, protocol) else {
        panic!("{reply:?}")
    };
    assert_eq!(items.len(), 14);
    let names: Vec<String> = items.iter().step_by(2).map(Reply::text).collect();
    let expected = [
        "server", "version", "proto", "id", "mode", "role", "modules",
    ];
    assert_eq!(names, expected);
    assert_eq!(items[1], Reply::bulk("redis"));
    assert_eq!(items[3], Reply::bulk("7.0.15"));
    assert_eq!(items[5], Reply::Integer(protocol));
    assert!(items[7].integer() > 0);
    assert_eq!(items[9], Reply::bulk("standalone"));
    assert_eq!(items[11], Reply::bulk("master"));
    assert_eq!(items[13], Reply::Array(Vec::new()));
}

fn refused(wire: &mut Wire) {
    let reply = wire.reply();
    assert!(
        matches!(&reply, Reply::Error(text) if text.starts_with("ERR ")),
        "{reply:?}"
    );
}

#[test]
fn node_redis_sends_all_at_once_and_hears_in_order() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    wire.raw(
        b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n\
          *2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n\
          *4\r\n$6\r\nCLIENT\r\n$7\r\nSETINFO\r\n$7\r\nLIB-VER\r\n$5\r\n6.3.1\r\n\
          *4\r\n$6\r\nCLIENT\r\n$7\r\nSETINFO\r\n$8\r\nLIB-NAME\r\n$10\r\nnode-redis\r\n\
          *3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n\
          *5\r\n$6\r\nCLIENT\r\n$19\r\nMAINT_NOTIFICATIONS\r\n$2\r\nON\r\n\
          $20\r\nmoving-endpoint-type\r\n$11\r\nexternal-ip\r\n",
    );
    hello(&mut wire, 3);
    for _ in 0..4 {
        wire.hears(b"+OK\r\n");
    }
    refused(&mut wire);
    let info = wire.ask("CLIENT INFO").text();
    assert!(info.contains("lib-name=node-redis lib-ver=6.3.1"), "{info}");
    assert!(
        info.contains(" db=1 ") && info.contains(" resp=3 "),
        "{info}"
    );
}

#[test]
fn ioredis_and_old_node_redis_read_info_before_they_begin() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    wire.raw(b"*2\r\n$5\r\nhello\r\n$1\r\n3\r\n*1\r\n$4\r\ninfo\r\n");
    hello(&mut wire, 3);
    assert!(wire.reply().text().contains("loading:0\r\n"));
    let mut wire = Wire::to(&server);
    wire.raw(b"*1\r\n$4\r\ninfo\r\n");
    let info = wire.reply();
    assert!(matches!(info, Reply::Bulk(_)), "{info:?}");
    assert!(info.text().contains("\r\nredis_version:7.0.15\r\n"));
    assert!(info.text().contains("\r\nloading:0\r\n"));
}

#[test]
fn redis_py_waits_for_each_answer() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    wire.raw(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
    hello(&mut wire, 3);
    wire.send(&[
        b"CLIENT",
        b"MAINT_NOTIFICATIONS",
        b"ON",
        b"moving-endpoint-type",
        b"internal-ip",
    ]);
    refused(&mut wire);
    for line in [
        "CLIENT SETNAME web-1",
        "CLIENT SETINFO LIB-NAME redis-py",
        "CLIENT SETINFO LIB-VER 8.1.0",
        "SELECT 15",
    ] {
        wire.raw(format!("{line}\r\n").as_bytes());
        wire.hears(b"+OK\r\n");
    }
    wire.send(&[b"CLIENT", b"GETNAME"]);
    wire.hears(b"$5\r\nweb-1\r\n");
    wire.send(&[b"SELECT", b"16"]);
    wire.hears(b"-ERR DB index is out of range\r\n");
}

#[test]
fn go_lettuce_predis_and_php_begin_in_their_ways() {
    let server = Server::start(&[]);
    let mut go = Wire::to(&server);
    go.raw(b"*4\r\n$5\r\nhello\r\n$1\r\n3\r\n$7\r\nsetname\r\n$2\r\ngo\r\n");
    hello(&mut go, 3);
    go.send(&[b"client", b"setinfo", b"LIB-NAME", b"go-redis(,go1.19.8)"]);
    go.hears(b"+OK\r\n");

    let mut predis = Wire::to(&server);
    predis.raw(
        b"*4\r\n$5\r\nHELLO\r\n$1\r\n2\r\n$7\r\nSETNAME\r\n$6\r\npredis\r\n\
          *4\r\n$6\r\nCLIENT\r\n$7\r\nSETINFO\r\n$8\r\nLIB-NAME\r\n$6\r\npredis\r\n",
    );
    hello(&mut predis, 2);
    predis.hears(b"+OK\r\n");

    let mut php = Wire::to(&server);
    php.raw(b"*2\r\n$4\r\nECHO\r\n$14\r\nphpredis:ab:cd\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
    php.hears(b"$14\r\nphpredis:ab:cd\r\n+OK\r\n");
    php.raw(b"*4\r\n$5\r\nSETEX\r\n$1\r\ns\r\n$4\r\n1440\r\n$4\r\ndata\r\n");
    php.hears(b"+OK\r\n");
    php.raw(b"*3\r\n$6\r\nEXPIRE\r\n$1\r\ns\r\n$4\r\n1440\r\n*2\r\n$6\r\nEXISTS\r\n$1\r\ns\r\n");
    php.hears(b":1\r\n:1\r\n");
    php.raw(b"*2\r\n$3\r\nDEL\r\n$1\r\ns\r\n*2\r\n$3\r\nDEL\r\n$1\r\ns\r\n");
    php.hears(b":1\r\n:0\r\n");

    let mut lettuce = Wire::to(&server);
    assert_eq!(
        lettuce.ask("HELLO 4").text(),
        "NOPROTO unsupported protocol version"
    );
    lettuce.send(&[b"RENAME", b"missing", b"other"]);
    lettuce.hears(b"-ERR no such key\r\n");
    lettuce.send(&[b"ZADD", b"expirations", b"1.795304519046E12", b"id"]);
    lettuce.hears(b":1\r\n");
    lettuce.send(&[
        b"ZREVRANGEBYSCORE",
        b"expirations",
        b"1795304519046",
        b"0",
        b"LIMIT",
        b"0",
        b"100",
    ]);
    lettuce.hears(b"*1\r\n$2\r\nid\r\n");
}

#[test]
fn a_password_is_asked_for_as_redis_asks() {
    let server = Server::start(&["--resp-password", "hush-a-bye"]);
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask("GET x").text(), "NOAUTH Authentication required.");
    assert!(
        wire.ask("HELLO 3")
            .text()
            .starts_with("NOAUTH HELLO must be called")
    );
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(wire.ask("AUTH wrong").text(), wrong);
    assert_eq!(wire.ask("AUTH nobody hush-a-bye").text(), wrong);
    wire.send(&[
        b"HELLO",
        b"3",
        b"AUTH",
        b"default",
        b"hush-a-bye",
        b"SETNAME",
        b"me",
    ]);
    hello(&mut wire, 3);
    assert_eq!(wire.ask("GET x"), Reply::Nil);
    assert_eq!(wire.ask("ACL WHOAMI"), Reply::bulk("default"));
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask("AUTH hush-a-bye"), Reply::ok());
    assert_eq!(wire.ask("PING"), Reply::Simple("PONG".to_owned()));
    assert!(!server.quiet_log().contains("hush-a-bye"));
    let mut stranger = Wire::to(&server);
    stranger.raw(b"*11\r\n");
    assert_eq!(
        stranger.rest(),
        "-ERR Protocol error: unauthenticated multibulk length\r\n"
    );
    let mut stranger = Wire::to(&server);
    stranger.raw(b"*1\r\n$20000\r\n");
    assert_eq!(
        stranger.rest(),
        "-ERR Protocol error: unauthenticated bulk length\r\n"
    );
}

#[test]
fn without_a_password_auth_says_so() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let said = wire.ask("AUTH x").text();
    assert!(
        said.starts_with("ERR AUTH <password> called without any password"),
        "{said}"
    );
}

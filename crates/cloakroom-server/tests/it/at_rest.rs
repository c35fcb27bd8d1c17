//! What lies in memory and on the disk of other frameworks' sessions, when ids are hashed and values
//! sealed: their clients are told the same as without, and whoever copies the data directory finds neither.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::process::{Server, TempDir, cloakroom, refused, serving};
use crate::resp::wire::{Reply, Wire};

const SID: &str = "mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK";
const OTHER: &str = "PLz4gpC5rDXpQmcqw0SHh6hwCBUxYXo-";
const PHP: &str = "e3ekp9klit8708kcuf1pkg0noe";
const SPRING: &str = "25352345-18f8-4e05-8fda-88c1b6ae9100";
const SPRING_NEW: &str = "0c70138d-0047-4ddb-a7e7-256b888ffa7a";
const DJANGO: &str = "ydjdqhogl0076rl0qrc3nahbf1txxxko";
const ALICE: &str = r#"{"passport":{"user":"alice-in-the-journal"},"cart":"coat-in-the-journal"}"#;
/// Stays readable, because sessions are found by it.
const SUBJECT: &str = "alice-in-the-journal";
const SECRETS: [&str; 7] = [
    SID,
    OTHER,
    PHP,
    SPRING,
    SPRING_NEW,
    DJANGO,
    "coat-in-the-journal",
];

/// What clients send, and some that none does but anybody may. `{sid}` and so on are ids.
const SAID: &str = "\
SET sess:{sid} {alice} EX 3600
GET sess:{sid}
EXPIRE sess:{sid} 1800
TTL sess:{sid}
EXISTS sess:{sid}
TYPE sess:{sid}
STRLEN sess:{sid}
GETRANGE sess:{sid} 2 9
APPEND sess:{sid} x
SETRANGE sess:{sid} 1 y
GET sess:{sid}
SET sess:{sid} {alice} KEEPTTL GET
GETEX sess:{sid} EX 1800
MGET sess:{sid} sess:{other} nothing
SET sess:{sid} {alice} NX EX 60
SETNX sess:{other} 5
INCR sess:{other}
INCRBYFLOAT sess:{other} 0.5
COPY sess:{other} plain
GET plain
GETSET sess:{other} {alice}
HSET sess:{other} field value
COPY sess:{other} sess:0123456789abcdef
GET sess:0123456789abcdef
RENAME sess:0123456789abcdef sess:{other}
GET sess:{other}
RENAMENX sess:{other} sess:{sid}
DEL sess:{other}
SET sess:{other} {alice} EX 60
GET sess:{other}
EXISTS :1:django.contrib.sessions.cache{django}
SET :1:django.contrib.sessions.cache{django} {alice} NX EX 1209600
GET :1:django.contrib.sessions.cache{django}
SET PHPREDIS_SESSION:{php}_LOCK web|1 NX PX 30000
SETEX PHPREDIS_SESSION:{php} 1440 user|s:5:\"coat-in-the-journal\";
GET PHPREDIS_SESSION:{php}
EVALSHA b70c2384248f88e6b75b9f89241a180f856ad852 1 PHPREDIS_SESSION:{php}_LOCK web|1
EXISTS PHPREDIS_SESSION:{php}_LOCK
SET PHPREDIS_SESSION:{php}_LOCK web|2 NX
HMSET spring:session:sessions:{spring} creationTime 1 lastAccessedTime 1 sessionAttr:cart {alice} sessionAttr:gone\u{20}
PEXPIREAT spring:session:sessions:{spring} 4102444800000
HGETALL spring:session:sessions:{spring}
HMGET spring:session:sessions:{spring} creationTime sessionAttr:cart nothing
HSTRLEN spring:session:sessions:{spring} sessionAttr:cart
HINCRBY spring:session:sessions:{spring} creationTime 5
HINCRBYFLOAT spring:session:sessions:{spring} creationTime 0.5
HSETNX spring:session:sessions:{spring} creationTime 7
HVALS spring:session:sessions:{spring}
HSCAN spring:session:sessions:{spring} 0
HDEL spring:session:sessions:{spring} creationTime nothing
HRANDFIELD spring:session:sessions:{spring} 3 WITHVALUES
RENAME spring:session:sessions:{spring} spring:session:sessions:{new}
HGETALL spring:session:sessions:{spring}
HGETALL spring:session:sessions:{new}
HMSET spring:session:sessions:{spring} lastAccessedTime 2
EXISTS spring:session:sessions:{spring}
MULTI
SET scs:session:BzRW-EhiMp4GMRMbfm5MSzeJ8f9lCEII38-BmAdzKOw {alice}
PEXPIREAT scs:session:BzRW-EhiMp4GMRMbfm5MSzeJ8f9lCEII38-BmAdzKOw 4102444800000
GET scs:session:BzRW-EhiMp4GMRMbfm5MSzeJ8f9lCEII38-BmAdzKOw
EXEC
WATCH sess:{sid}
SET sess:{sid} {alice} EX 3600
MULTI
GET sess:{sid}
EXEC
DBSIZE
SELECT 3
SET sess:{sid} {alice} EX 3600
MOVE sess:{sid} 4
SELECT 4
GET sess:{sid}
SELECT 0";

fn line(template: &str) -> String {
    let names = [
        ("{sid}", SID),
        ("{other}", OTHER),
        ("{php}", PHP),
        ("{spring}", SPRING),
        ("{new}", SPRING_NEW),
        ("{django}", DJANGO),
        ("{alice}", ALICE),
    ];
    names.iter().fold(template.to_owned(), |text, (name, id)| {
        text.replace(name, id)
    })
}

/// All files below a directory that hold this text.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NEW_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Writes a file with keys that its owner alone may read.
fn keys(dir: &TempDir, keys: &[&str]) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.write(
        "seal.keys",
        &format!("# made by a test\n{}\n", keys.join("\n")),
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn start(dir: TempDir, keys: Option<&str>) -> Server {
    let mut flags = vec!["--durability", "always"];
    if let Some(keys) = keys {
        flags.extend(["--layout-hash-ids", "yes", "--layout-seal-key-file", keys]);
    }
    Server::start_in(dir, &flags)
}

/// Has the journal written anew, and waits until what was before is gone.
fn rewrite(server: &Server, wire: &mut Wire) {
    let segments = || -> Vec<_> {
        let files = fs::read_dir(server.data().join("journal")).unwrap();
        files.map(|file| file.unwrap().file_name()).collect()
    };
    let before = segments();
    wire.ask("BGREWRITEAOF");
    for _ in 0..600 {
        if segments()
            .iter()
            .all(|name| !before.contains(name) || name == "lock")
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no rewrite came about: {before:?}, {:?}", segments());
}

#[test]
fn clients_are_told_the_same_and_the_disk_knows_nothing() {
    let held = TempDir::new();
    let keys = keys(&held, &[KEY]);
    let (plain, hidden) = (
        start(TempDir::new(), None),
        start(TempDir::new(), Some(&keys)),
    );
    let (mut one, mut two) = (Wire::to(&plain), Wire::to(&hidden));
    for template in SAID.lines() {
        let said = line(template);
        assert_eq!(one.ask(&said), two.ask(&said), "{template}");
    }
    // That the search finds what is there is shown by the server that hides nothing.
    for secret in SECRETS {
        assert!(!holding(&plain.data(), secret).is_empty(), "{secret}");
        assert_eq!(holding(&hidden.data(), secret), Vec::<String>::new());
    }
    assert!(!holding(&hidden.data(), SUBJECT).is_empty());
    rewrite(&hidden, &mut two);
    for secret in SECRETS {
        assert_eq!(holding(&hidden.data(), secret), Vec::<String>::new());
    }
    let hidden = start(hidden.killed(), Some(&keys));
    let mut two = Wire::to(&hidden);
    for template in [
        "GET sess:{other}",
        "GET sess:{sid}",
        "HGETALL spring:session:sessions:{new}",
        "GET :1:django.contrib.sessions.cache{django}",
        "HMSET spring:session:sessions:{spring} lastAccessedTime 2",
        "EXISTS spring:session:sessions:{spring}",
        "DBSIZE",
    ] {
        let said = line(template);
        assert_eq!(one.ask(&said), two.ask(&said), "{template}, after a kill");
    }
    for secret in SECRETS {
        assert_eq!(holding(&hidden.data(), secret), Vec::<String>::new());
        assert!(!hidden.quiet_log().contains(secret));
    }
}

#[tokio::test]
async fn a_listed_name_opens_nothing_and_can_be_removed() {
    let held = TempDir::new();
    let server = start(TempDir::new(), Some(&keys(&held, &[KEY])));
    let mut wire = Wire::to(&server);
    wire.ask(&line("SET sess:{sid} {alice} EX 3600"));
    let name = wire.ask("KEYS sess:*").items()[0].text();
    assert!(name.starts_with("sess:~") && name.len() == 51, "{name}");
    let found = wire.ask("SCAN 0 MATCH sess:* COUNT 100");
    assert_eq!(found.items()[1], Reply::Array(vec![Reply::bulk(&name)]));
    for reads in ["GET", "EXISTS", "GETEX", "GETDEL", "STRLEN", "PERSIST"] {
        let told = wire.ask(&format!("{reads} {name}"));
        assert!(
            matches!(told, Reply::Nil | Reply::Integer(0)),
            "{reads}: {told:?}"
        );
    }
    wire.ask(&format!("SET {name} forged"));
    wire.ask(&format!("RENAME {name} taken"));
    assert_eq!(wire.ask(&line("GET sess:{sid}")), Reply::bulk(ALICE));
    assert_eq!(
        wire.ask(&format!("TYPE {name}")),
        Reply::Simple("string".to_owned())
    );
    assert_eq!(wire.ask(&format!("TTL {name}")), Reply::Integer(3600));
    let tracking = wire.ask("CLIENT TRACKING ON");
    assert!(tracking.text().contains("layout-hash-ids"), "{tracking:?}");

    // The HTTP API knows the session by its cookie and its handle, as ever.
    let cookie = format!("connect.sid=s%3A{SID}.x");
    let request = server.open_request(Method::GET, "/v1/verify");
    let answer = request.header("cookie", &cookie).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cloakroom-subject"], SUBJECT);
    let forged = format!("connect.sid={}", name.trim_start_matches("sess:"));
    let request = server.open_request(Method::GET, "/v1/verify");
    let answer = request.header("cookie", &forged).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let path = format!("/v1/subjects/{SUBJECT}/sessions");
    let answer = server.request(Method::GET, &path).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    let handle = body["sessions"][0]["handle"].as_str().unwrap();
    let one = format!("{path}/{handle}");
    let answer = server.request(Method::DELETE, &one).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["ended"], true);
    assert_eq!(wire.ask(&line("GET sess:{sid}")), Reply::Nil);

    // As connect-redis clears: it scans, and removes what it found. What was removed stays ended.
    wire.ask(&line("SET sess:{other} {alice}"));
    let names = wire.ask("KEYS sess:*");
    let name = names.items().iter().map(Reply::text);
    let all: Vec<_> = name.collect();
    assert!(wire.ask(&format!("DEL {}", all.join(" "))).integer() >= 1);
    wire.ask(&line("SET sess:{other} {alice}"));
    assert_eq!(wire.ask(&line("GET sess:{other}")), Reply::Nil);
}

#[test]
fn switching_on_or_to_another_key_is_a_restart() {
    let held = TempDir::new();
    let plain = start(TempDir::new(), None);
    let mut wire = Wire::to(&plain);
    for template in [
        "SET sess:{sid} {alice} EX 3600",
        "SET sess:{other} {alice} EX 3600",
        "DEL sess:{other}",
        "HMSET spring:session:sessions:{spring} creationTime 1 sessionAttr:cart {alice}",
    ] {
        wire.ask(&line(template));
    }
    let dir = plain.killed();
    let there = |wire: &mut Wire, when: &str| {
        let get = |wire: &mut Wire, said| wire.ask(&line(said));
        assert_eq!(get(wire, "GET sess:{sid}"), Reply::bulk(ALICE), "{when}");
        let cart = get(
            wire,
            "HGET spring:session:sessions:{spring} sessionAttr:cart",
        );
        assert_eq!(cart, Reply::bulk(ALICE), "{when}");
        get(wire, "SET sess:{other} {alice} EX 3600");
        assert_eq!(
            get(wire, "GET sess:{other}"),
            Reply::Nil,
            "{when}: it ended"
        );
    };
    let server = start(dir, Some(&keys(&held, &[KEY])));
    let mut wire = Wire::to(&server);
    there(&mut wire, "switched on");
    rewrite(&server, &mut wire);
    for secret in [SID, OTHER, SPRING, "coat-in-the-journal"] {
        assert_eq!(holding(&server.data(), secret), Vec::<String>::new());
    }
    let dir = server.killed();

    // The wrong key, and none: the start says which one is missing.
    let data = dir.path().join("data");
    let wrong = keys(&held, &[NEW_KEY]);
    for flags in [
        vec!["--layout-hash-ids", "yes", "--layout-seal-key-file", &wrong],
        vec![],
    ] {
        let said = refused(&mut serving(&data, &flags)).stderr;
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.contains("sealed with key") && said.contains("layout-seal-key-file"),
            "{said}"
        );
        assert!(!said.contains(KEY) && !said.contains(NEW_KEY), "{said}");
    }
    // Rotated: the new one in front, and at the next start the old one is needed no more.
    let server = start(dir, Some(&keys(&held, &[NEW_KEY, KEY])));
    there(&mut Wire::to(&server), "with a new key");
    let server = start(server.killed(), Some(&keys(&held, &[NEW_KEY])));
    let mut wire = Wire::to(&server);
    there(&mut wire, "without the old key");
    // Switched off: values are opened; what nobody can name any more is over.
    let both = [
        "--layout-seal-key-file",
        &keys(&held, &[NEW_KEY]),
        "--layouts",
    ];
    let dir = server.killed();
    let mut flags = both.to_vec();
    flags.push("connect-redis ids=plain values=plain; spring-session ids=hashed values=plain");
    let server = Server::start_in(dir, &flags);
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask(&line("GET sess:{sid}")), Reply::Nil);
    let cart = wire.ask(&line(
        "HGET spring:session:sessions:{spring} sessionAttr:cart",
    ));
    assert_eq!(cart, Reply::bulk(ALICE));
    assert_eq!(wire.ask("DBSIZE"), Reply::Integer(1));
}

#[test]
fn a_key_file_that_is_none_stops_the_start() {
    let held = TempDir::new();
    let open = held.write("open.keys", KEY).display().to_string();
    for (file, layouts, told) in [
        ("/nowhere/seal.keys", "", "cannot read it"),
        (&*open, "", "chmod 600"),
        (&*keys(&held, &["abc"]), "", "64 hexadecimal digits"),
        ("", "php values=sealed", "name a file"),
    ] {
        let data = TempDir::new();
        let mut command = cloakroom();
        command
            .arg("serve")
            .arg("--data")
            .arg(data.path().join("data"));
        command.args(["--layout-seal-key-file", file, "--layouts", layouts]);
        let said = String::from_utf8(refused(&mut command).stderr).unwrap();
        assert!(
            said.contains("layout-seal-key-file") && said.contains(told),
            "{said}"
        );
    }
}

/// A pipeline's commands are understood before the first is run, by the names that were sent; the shards that
/// they lock are those of the names that are kept.
#[test]
fn a_pipeline_finds_what_is_kept_by_other_names() {
    let held = TempDir::new();
    let server = start(TempDir::new(), Some(&keys(&held, &[KEY])));
    let mut wire = Wire::to(&server);
    let names: Vec<_> = (0..60).map(|n| format!("sess:{n:032}")).collect();
    let sets = names.iter().map(|it| format!("SET {it} {it} EX 60\r\n"));
    let gets = names.iter().map(|it| format!("GET {it}\r\n"));
    let said: String = sets.chain(gets).collect();
    wire.raw(said.as_bytes());
    for name in &names {
        assert_eq!(wire.reply(), Reply::ok(), "{name}");
    }
    for name in &names {
        assert_eq!(wire.reply(), Reply::bulk(name));
    }
    // These look for each name by itself.
    let values = names.iter().map(|it| Reply::bulk(it)).collect();
    let all = names.join(" ");
    assert_eq!(wire.ask(&format!("MGET {all}")), Reply::Array(values));
    assert_eq!(wire.ask(&format!("DEL {all}")), Reply::Integer(60));
    assert_eq!(wire.ask("DBSIZE"), Reply::Integer(0));
}

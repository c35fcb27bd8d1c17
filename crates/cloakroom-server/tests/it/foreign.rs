//! Sessions of other frameworks, through the Redis protocol and the HTTP API: plain clients that do as
//! the frameworks do (`peers-web` traced them), beside a real Redis, and what the API shows of it.

use reqwest::Method;
use serde_json::Value;

use crate::process::{Server, TempDir, answer};
use crate::resp::wire::{Reply, Wire};
use crate::stores::{PASSWORD, Redis};

const SID: &str = "mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK";
const COOKIE: &str =
    "s%3AmNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK.%2BDomfD24zghQ8vqCzTr0x4lVPbCVs2WAu7FhtI8pIzg";
const ALICE: &str = r#"{"cookie":{},"passport":{"user":"alice"}}"#;
const GUEST: &str = r#"{"cookie":{},"cart":[]}"#;

/// What a framework sends: signing in, a slow request's read, the logout of another, the slow request's
/// save; and what tells whether the session is there.
struct Race {
    framework: &'static str,
    sign_in: &'static [&'static str],
    read: &'static [&'static str],
    logout: &'static [&'static str],
    save: &'static [&'static str],
    look: &'static str,
}

const RACES: [Race; 9] = [
    Race {
        framework: "express-session",
        sign_in: &["SET sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK alice EX 3600"],
        read: &["GET sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK"],
        logout: &["DEL sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK"],
        save: &["SET sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK alice EX 3600"],
        look: "EXISTS sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK",
    },
    Race {
        framework: "Flask-Session",
        sign_in: &["SET session:qQqoOt9pNJZiLUPZjhMBcjbFCMtDaNXYn2xquJHw-6s alice EX 2678400"],
        read: &["GET session:qQqoOt9pNJZiLUPZjhMBcjbFCMtDaNXYn2xquJHw-6s"],
        logout: &["DEL session:qQqoOt9pNJZiLUPZjhMBcjbFCMtDaNXYn2xquJHw-6s"],
        save: &["SET session:qQqoOt9pNJZiLUPZjhMBcjbFCMtDaNXYn2xquJHw-6s alice EX 2678400"],
        look: "EXISTS session:qQqoOt9pNJZiLUPZjhMBcjbFCMtDaNXYn2xquJHw-6s",
    },
    Race {
        // The reader misses the cache, reads the row, and fills the cache after the logout.
        framework: "Django cached_db",
        sign_in: &[],
        read: &["GET :1:django.contrib.sessions.cached_dbydjdqhogl0076rl0qrc3nahbf1txxxko"],
        logout: &["DEL :1:django.contrib.sessions.cached_dbydjdqhogl0076rl0qrc3nahbf1txxxko"],
        save: &[
            "SET :1:django.contrib.sessions.cached_dbydjdqhogl0076rl0qrc3nahbf1txxxko alice EX 1209600",
        ],
        look: "EXISTS :1:django.contrib.sessions.cached_dbydjdqhogl0076rl0qrc3nahbf1txxxko",
    },
    Race {
        framework: "starsessions",
        sign_in: &["SET starsessions.91de87482ba01d30adc2d2348ba53fe8 alice EX 3600"],
        read: &["GET starsessions.91de87482ba01d30adc2d2348ba53fe8"],
        logout: &["DEL starsessions.91de87482ba01d30adc2d2348ba53fe8"],
        save: &["SET starsessions.91de87482ba01d30adc2d2348ba53fe8 alice EX 3600"],
        look: "EXISTS starsessions.91de87482ba01d30adc2d2348ba53fe8",
    },
    Race {
        // The other request got a new id; this one writes a field, and half a session comes of it.
        framework: "Spring Session",
        sign_in: &[
            "HMSET spring:session:sessions:25352345-18f8-4e05-8fda-88c1b6ae9100 creationTime 1 lastAccessedTime 1",
        ],
        read: &["EXISTS spring:session:sessions:25352345-18f8-4e05-8fda-88c1b6ae9100"],
        logout: &[
            "RENAME spring:session:sessions:25352345-18f8-4e05-8fda-88c1b6ae9100 spring:session:sessions:0c70138d-0047-4ddb-a7e7-256b888ffa7a",
        ],
        save: &[
            "HMSET spring:session:sessions:25352345-18f8-4e05-8fda-88c1b6ae9100 lastAccessedTime 2",
            "PEXPIREAT spring:session:sessions:25352345-18f8-4e05-8fda-88c1b6ae9100 4102444800000",
        ],
        look: "EXISTS spring:session:sessions:25352345-18f8-4e05-8fda-88c1b6ae9100",
    },
    Race {
        // With session.use_strict_mode=1, which the server is told below.
        framework: "phpredis",
        sign_in: &["SETEX PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe 1440 alice"],
        read: &[
            "SET PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe_LOCK web|1 NX PX 30000",
            "GET PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe",
        ],
        logout: &[
            "DEL PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe_LOCK",
            "DEL PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe",
        ],
        save: &["SETEX PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe 1440 alice"],
        look: "EXISTS PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe",
    },
    Race {
        framework: "Symfony",
        sign_in: &["SETEX sf_s2ckf1krdbdjou5gftjvjte16ms 1440 alice"],
        read: &["GET sf_s2ckf1krdbdjou5gftjvjte16ms"],
        logout: &["UNLINK sf_s2ckf1krdbdjou5gftjvjte16ms"],
        save: &["SETEX sf_s2ckf1krdbdjou5gftjvjte16ms 1440 alice"],
        look: "EXISTS sf_s2ckf1krdbdjou5gftjvjte16ms",
    },
    Race {
        framework: "scs",
        sign_in: &["SET scs:session:BzRW-EhiMp4GMRMbfm5MSzeJ8f9lCEII38-BmAdzKOw alice"],
        read: &["GET scs:session:BzRW-EhiMp4GMRMbfm5MSzeJ8f9lCEII38-BmAdzKOw"],
        logout: &["DEL scs:session:BzRW-EhiMp4GMRMbfm5MSzeJ8f9lCEII38-BmAdzKOw"],
        save: &[
            "MULTI",
            "SET scs:session:BzRW-EhiMp4GMRMbfm5MSzeJ8f9lCEII38-BmAdzKOw alice",
            "PEXPIREAT scs:session:BzRW-EhiMp4GMRMbfm5MSzeJ8f9lCEII38-BmAdzKOw 4102444800000",
            "EXEC",
        ],
        look: "EXISTS scs:session:BzRW-EhiMp4GMRMbfm5MSzeJ8f9lCEII38-BmAdzKOw",
    },
    Race {
        framework: "redis-rack",
        sign_in: &[
            "SETEX rack:session:2::eb055fbccefd547aab938be68270f28ac4759bbc0b2785f03148b770db085447 3600 alice",
        ],
        read: &[
            "GET rack:session:2::eb055fbccefd547aab938be68270f28ac4759bbc0b2785f03148b770db085447",
        ],
        logout: &[
            "DEL rack:session:e8e8374cd3f32248be00c0984a3718fae995dfdf974c3cffc0c0105bd1786895",
            "DEL rack:session:2::eb055fbccefd547aab938be68270f28ac4759bbc0b2785f03148b770db085447",
        ],
        save: &[
            "SETEX rack:session:2::eb055fbccefd547aab938be68270f28ac4759bbc0b2785f03148b770db085447 3600 alice",
        ],
        look: "EXISTS rack:session:2::eb055fbccefd547aab938be68270f28ac4759bbc0b2785f03148b770db085447",
    },
];

impl Race {
    /// Runs it over two connections. Returns whether the session came back, and what the slow request
    /// was answered.
    fn run(&self, slow: &mut Wire, other: &mut Wire) -> (bool, Vec<Reply>) {
        let say = |wire: &mut Wire, lines: &[&str]| -> Vec<Reply> {
            lines.iter().map(|line| wire.ask(line)).collect()
        };
        say(other, self.sign_in);
        say(slow, self.read);
        say(other, self.logout);
        let answered = say(slow, self.save);
        (other.ask(self.look) == Reply::Integer(1), answered)
    }
}

#[test]
fn the_logout_race_is_lost_on_redis_and_won_here() {
    let redis = Redis::start();
    let server = Server::start(&[
        "--resp",
        "127.0.0.1:0",
        "--layouts",
        "php tombstones=always",
    ]);
    for race in &RACES {
        let address = format!("127.0.0.1:{}", redis.port);
        let mut there = [Wire::at(&address), Wire::at(&address)];
        for wire in &mut there {
            assert_eq!(wire.ask(&format!("AUTH {PASSWORD}")), Reply::ok());
        }
        let [slow, other] = &mut there;
        let (back, _) = race.run(slow, other);
        assert!(back, "{}: a plain Redis lets it come back", race.framework);

        let (mut slow, mut other) = (Wire::to(&server), Wire::to(&server));
        let (back, answered) = race.run(&mut slow, &mut other);
        assert!(!back, "{}: it is out", race.framework);
        for answer in &answered {
            let refused = matches!(answer, Reply::Error(_));
            assert!(!refused, "{}: its client is told nothing", race.framework);
        }
    }
}

async fn listed(server: &Server, subject: &str) -> Vec<Value> {
    let path = format!("/v1/subjects/{subject}/sessions");
    let answer = server.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    body["sessions"].as_array().unwrap().clone()
}

/// All sessions by the API's count, and those of them that frameworks keep.
async fn counted(server: &Server) -> (u64, u64) {
    let (_, stats) = answer(server.request(Method::GET, "/v1/stats")).await;
    let number = |name: &str| stats[name].as_u64().unwrap();
    (number("sessions"), number("of_frameworks"))
}

async fn verify(server: &Server, cookie: &str) -> (u16, Option<String>) {
    let request = server.open_request(Method::GET, "/v1/verify");
    let answer = request.header("cookie", cookie).send().await.unwrap();
    let subject = answer.headers().get("cloakroom-subject");
    let subject = subject.map(|it| it.to_str().unwrap().to_owned());
    (answer.status().as_u16(), subject)
}

#[tokio::test]
async fn the_api_shows_and_ends_what_frameworks_keep() {
    let server = Server::start(&["--resp", "127.0.0.1:0"]);
    let mut wire = Wire::to(&server);
    let key = format!("sess:{SID}");
    assert_eq!(wire.ask(&format!("SET {key} {ALICE} EX 3600")), Reply::ok());
    let own = server.login("alice").await;

    wire.ask("SET cache:page x");
    assert_eq!(counted(&server).await, (2, 1), "a key is no session");
    let sessions = listed(&server, "alice").await;
    assert_eq!(sessions.len(), 2);
    let theirs = sessions
        .iter()
        .find(|it| it["label"] == "connect-redis")
        .unwrap();
    let handle = theirs["handle"].as_str().unwrap();
    assert!(!theirs.to_string().contains(SID), "an id is in no list");

    let cookie = format!("connect.sid={COOKIE}");
    assert_eq!(
        verify(&server, &cookie).await,
        (200, Some("alice".to_owned()))
    );
    // Two cookies that lead somewhere: one was planted.
    assert_eq!(verify(&server, &format!("{cookie}; {cookie}")).await.0, 401);
    assert_eq!(verify(&server, "connect.sid=s%3Aunknown.x").await.0, 401);
    // Each of these is looked for in all keyspaces: so many are no browser's, and more that mean nothing are.
    for (others, status) in [(15, 200), (16, 401)] {
        let others = "SESSION=; ".repeat(others) + &"theme=dark; ".repeat(100);
        let cookies = format!("{others}{cookie}");
        assert_eq!(verify(&server, &cookies).await.0, status);
    }

    let path = format!("/v1/subjects/alice/sessions/{handle}");
    let answer = server.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["ended"], true);
    assert_eq!(wire.ask(&format!("GET {key}")), Reply::Nil);
    assert_eq!(wire.ask(&format!("SET {key} {ALICE} EX 3600")), Reply::ok());
    assert_eq!(wire.ask(&format!("GET {key}")), Reply::Nil, "a late save");
    assert_eq!(verify(&server, &cookie).await.0, 401);
    assert_eq!(server.read(&own).await.0, 200, "the other one is alive");

    // All of a subject, then all there are.
    let other = format!("sess:{}", SID.replace('m', "n"));
    wire.ask(&format!("SET {other} {ALICE}"));
    assert_eq!(wire.ask(&format!("TTL {other}")), Reply::Integer(24 * 3600));
    let path = "/v1/subjects/alice/sessions";
    let answer = server.request(Method::DELETE, path).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["revoked"], 2);
    let guest = format!("sess:{}", SID.replace('m', "o"));
    wire.ask(&format!("SET {guest} {GUEST}"));
    wire.ask(&format!("SET {other} {ALICE}"));
    assert_eq!(
        counted(&server).await,
        (1, 1),
        "a guest's is one, one that ended is none"
    );
    let path = "/v1/sessions?confirm=all";
    let answer = server.request(Method::DELETE, path).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(
        wire.ask("KEYS *"),
        Reply::Array(vec![Reply::bulk("cache:page")])
    );

    let metrics = server
        .request(Method::GET, "/metrics")
        .send()
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("session_late_write_dropped"), "{metrics}");
    assert!(
        metrics.contains("cloakroom_sessions_of_frameworks 0\n"),
        "{metrics}"
    );
    assert!(!server.quiet_log().contains(SID), "an id is in no log");
}

#[tokio::test]
async fn limits_of_settings_hold_and_other_keys_are_free() {
    let flags = [
        "--resp",
        "127.0.0.1:0",
        "--layout-absolute",
        "2h",
        "--layout-idle",
        "1h",
        "--layout-unstated",
        "10m",
        "--layouts",
        "shop key=shop:{id:32:hex} encoding=json subject=customer cookie=shop; connect-redis off",
    ];
    let server = Server::start(&flags);
    let mut wire = Wire::to(&server);
    let key = "shop:0123456789abcdef0123456789abcdef";
    wire.ask(&format!("SET {key} {{\"customer\":7}}"));
    assert_eq!(wire.ask(&format!("TTL {key}")), Reply::Integer(600));
    wire.ask(&format!("EXPIRE {key} 999999"));
    assert_eq!(wire.ask(&format!("TTL {key}")), Reply::Integer(3600));
    wire.ask(&format!("PERSIST {key}"));
    assert_eq!(wire.ask(&format!("TTL {key}")), Reply::Integer(3600));
    let cookie = "shop=0123456789abcdef0123456789abcdef";
    assert_eq!(verify(&server, cookie).await, (200, Some("7".to_owned())));
    for free in [format!("sess:{SID}"), format!("{key}.lock")] {
        for _ in 0..2 {
            wire.ask(&format!("SET {free} x"));
            assert_eq!(wire.ask(&format!("TTL {free}")), Reply::Integer(-1));
            assert_eq!(wire.ask(&format!("DEL {free}")), Reply::Integer(1));
        }
    }
    let off = Server::start(&["--resp", "127.0.0.1:0", "--layouts", "none"]);
    let mut wire = Wire::to(&off);
    wire.ask(&format!("SET sess:{SID} {ALICE}"));
    wire.ask(&format!("DEL sess:{SID}"));
    wire.ask(&format!("SET sess:{SID} {ALICE}"));
    assert_eq!(wire.ask(&format!("EXISTS sess:{SID}")), Reply::Integer(1));
    assert_eq!(listed(&off, "alice").await.len(), 0);
}

#[tokio::test]
async fn what_is_known_of_sessions_survives_a_kill() {
    let flags = ["--resp", "127.0.0.1:0", "--durability", "always"];
    let server = Server::start(&flags);
    let mut wire = Wire::to(&server);
    let (ended, revoked) = (
        format!("sess:{SID}"),
        format!("sess:{}", SID.replace('m', "n")),
    );
    let alive = format!("sess:{}", SID.replace('m', "o"));
    for key in [&ended, &alive] {
        wire.ask(&format!("SET {key} {ALICE} EX 3600"));
    }
    wire.ask(&format!(
        "SET {revoked} {} EX 3600",
        ALICE.replace("alice", "bob")
    ));
    assert_eq!(wire.ask(&format!("DEL {ended}")), Reply::Integer(1));
    let path = "/v1/subjects/bob/sessions";
    let answer = server.request(Method::DELETE, path).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["revoked"], 1);
    let before = listed(&server, "alice").await;
    let server = server.killed_and_started(&flags);
    let mut wire = Wire::to(&server);
    let after = listed(&server, "alice").await;
    assert_eq!(after.len(), 1);
    for same in ["handle", "created_at_ms", "subject"] {
        assert_eq!(after[0][same], before[0][same], "{same}");
    }
    for key in [&ended, &revoked] {
        assert_eq!(wire.ask(&format!("SET {key} {ALICE} EX 3600")), Reply::ok());
        assert_eq!(
            wire.ask(&format!("GET {key}")),
            Reply::Nil,
            "it is out after a kill, too"
        );
    }
    assert_eq!(wire.ask("DBSIZE"), Reply::Integer(1));
}

/// Under `everysec` others may wait a second for the disk; who is told of a logout may rely on it.
#[tokio::test]
async fn an_answered_end_is_on_the_disk_in_every_mode() {
    for mode in ["everysec", "no"] {
        let flags = ["--resp", "127.0.0.1:0", "--durability", mode];
        let server = Server::start(&flags);
        let mut wire = Wire::to(&server);
        let metrics = async |server: &Server| {
            let answer = server
                .request(Method::GET, "/metrics")
                .send()
                .await
                .unwrap();
            let page = answer.text().await.unwrap();
            let line = page
                .lines()
                .find_map(|line| line.strip_prefix("cloakroom_journal_unsynced_records "))
                .expect("it is a metric");
            line.parse::<f64>().unwrap()
        };
        let keys = ["m", "n", "o"].map(|letter| format!("sess:{}", SID.replace('m', letter)));
        let ends = [
            format!("DEL {}", keys[0]),
            format!("UNLINK {}", keys[1]),
            format!("EXPIRE {} 0", keys[2]),
        ];
        for (key, end) in keys.iter().zip(ends) {
            wire.ask(&format!("SET {key} {ALICE} EX 3600"));
            wire.ask("SET cache:page x");
            assert_eq!(wire.ask(&end), Reply::Integer(1));
            assert_eq!(metrics(&server).await, 0.0, "{end} under {mode}");
        }
        let server = server.killed_and_started(&flags);
        let mut wire = Wire::to(&server);
        for key in &keys {
            wire.ask(&format!("SET {key} {ALICE} EX 3600"));
            assert_eq!(wire.ask(&format!("GET {key}")), Reply::Nil, "{mode}");
        }
    }
}

/// Whoever asks for a key that is not there yet is told that it is: Django then takes another id.
#[test]
fn an_ended_sessions_key_cannot_be_taken_as_a_new_one() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let (sess, free) = (format!("sess:{SID}"), "sess:0123456789abcdef");
    let spring = "spring:session:sessions:25352345-18f8-4e05-8fda-88c1b6ae9100";
    wire.ask(&format!("SET {sess} {ALICE} EX 60"));
    wire.ask(&format!("HMSET {spring} creationTime 1"));
    wire.ask(&format!("DEL {sess} {spring}"));
    wire.ask("SET other x");
    for (said, told) in [
        (format!("SET {sess} {ALICE} NX EX 60"), Reply::Nil),
        (format!("SET {sess} {ALICE} EX 60 NX GET"), Reply::Nil),
        (format!("SETNX {sess} {ALICE}"), Reply::Integer(0)),
        (format!("MSETNX new 1 {sess} {ALICE}"), Reply::Integer(0)),
        (format!("HSETNX {spring} creationTime 2"), Reply::Integer(0)),
        (format!("RENAMENX other {sess}"), Reply::Integer(0)),
        ("EXISTS new".to_owned(), Reply::Integer(0)),
        ("GET other".to_owned(), Reply::bulk("x")),
        // A plain write is dropped without a word, as ever; and what never was can be taken.
        (format!("SET {sess} {ALICE} EX 60"), Reply::ok()),
        (format!("SET {free} {ALICE} NX EX 60"), Reply::ok()),
        (format!("EXISTS {sess} {spring} {free}"), Reply::Integer(1)),
    ] {
        assert_eq!(wire.ask(&said), told, "{said}");
    }
}

/// `cache.clear` of Django is a FLUSHDB: everybody is out, and a slow request brings nobody back.
#[tokio::test]
async fn what_was_flushed_stays_out() {
    for flush in ["FLUSHDB", "FLUSHALL ASYNC"] {
        let server = Server::start(&["--durability", "no"]);
        let mut wire = Wire::to(&server);
        let (alice, guest) = (format!("sess:{SID}"), "sess:0123456789abcdef");
        let php = "PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe";
        wire.ask(&format!("SET {alice} {ALICE} EX 60"));
        wire.ask(&format!("SET {guest} {GUEST} EX 60"));
        wire.ask(&format!("SETEX {php} 60 user|s:5:\"alice\";"));
        wire.ask("SET cache:page x");
        assert_eq!(wire.ask(flush), Reply::ok());
        assert_eq!(wire.ask("DBSIZE"), Reply::Integer(0));
        assert_eq!(listed(&server, "alice").await.len(), 0);
        let late = |wire: &mut Wire| {
            for key in [&*alice, guest, "cache:page", php] {
                assert_eq!(wire.ask(&format!("SET {key} {ALICE} EX 60")), Reply::ok());
            }
            let told = wire.ask(&format!("EXISTS {alice} {guest}"));
            assert_eq!(told, Reply::Integer(0), "{flush}");
            let told = wire.ask(&format!("EXISTS cache:page {php}"));
            assert_eq!(
                told,
                Reply::Integer(2),
                "PHP's ids are used again on purpose"
            );
        };
        late(&mut wire);
        // Nobody is told of an end that a crash could undo.
        late(&mut Wire::to(&server.killed_and_started(&[])));
    }
}

#[test]
fn a_layout_that_means_nothing_stops_the_start() {
    for (text, fix) in [
        ("x key=x", "{id}"),
        ("x key=x:{id}", "encoding"),
        ("php tombstones=perhaps", "always"),
    ] {
        let data = TempDir::new();
        let mut command = crate::process::cloakroom();
        command
            .arg("serve")
            .arg("--data")
            .arg(data.path().join("data"));
        let output = crate::process::refused(command.args(["--layouts", text]));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("layouts") && said.contains(fix), "{said}");
    }
}

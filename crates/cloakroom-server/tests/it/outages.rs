//! A store that is lost while the server runs: what callers get, what orchestrators see, what the
//! operator reads, and that it heals by itself.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::process::{Server, answer};
use crate::stores::{PASSWORD, Redis};

#[tokio::test]
async fn a_redis_that_dies_is_a_503_until_it_is_back() {
    let mut redis = Redis::start();
    let server = Server::beside(&redis, &[]);
    let id = server.login("ada").await;
    assert_eq!(ready(&server).await, (200, json!("ready\n")));

    redis.kill();
    for (method, path, body) in CALLS {
        let body = (!body.is_empty()).then(|| serde_json::from_str(body).unwrap());
        let (status, problem) = server.about(&id, method.parse().unwrap(), path, body).await;
        assert_eq!(status, 503, "{method} {path}: {problem}");
        // What goes to many places at once is tried again there until its time is over.
        let code = problem["code"].as_str().unwrap();
        let codes = ["store_unavailable", "store_timeout"];
        assert!(codes.contains(&code), "{method} {path}: {problem}");
        assert_eq!(problem["retryable"], true);
    }
    let response = server.get("/v1/stats").await;
    assert_eq!(response.headers()["retry-after"], "1");
    let kind = &response.headers()["content-type"];
    assert_eq!(kind, "application/problem+json");
    for path in ["/v1/verify", "/v1/verify-anonymous"] {
        let asked = server.open_request(Method::GET, path);
        let asked = asked.header("cookie", format!("__Host-id={id}"));
        let response = asked.send().await.unwrap();
        assert_eq!(response.status(), 503, "{path}: an outage is no logout");
        assert_eq!(response.headers()["retry-after"], "1");
    }
    let why = json!("the store cannot be reached\n");
    assert_eq!(ready(&server).await, (503, why));
    assert_eq!(server.get("/healthz").await.status(), 200);
    assert_eq!(up(&server).await, "cloakroom_store_up 0");

    redis.restart();
    becomes_ready(&server).await;
    let (status, problem) = server.read(&id).await;
    // Nothing was kept; and the deletions of above may be said again to a server that came back.
    assert!(matches!(status, 404 | 410), "{problem}");
    let id = server.login("ada").await;
    assert_eq!(server.read(&id).await.0, 200);
    while !server.log().contains("the store is back") {
        becomes_ready(&server).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(up(&server).await, "cloakroom_store_up 1");

    let log = server.log();
    assert_eq!(log.matches("the store is lost").count(), 1, "{log}");
    assert!(log.contains(&redis.masked_url()), "{log}");
    assert!(log.contains("check that the server runs"), "{log}");
    assert!(!log.contains(&PASSWORD[..6]), "{log}");
}

/// One of every operation.
const CALLS: [(&str, &str, &str); 12] = [
    ("POST", "/v1/sessions", "{}"),
    ("GET", "/v1/sessions", ""),
    ("DELETE", "/v1/sessions?confirm=all", ""),
    ("GET", "/v1/session", ""),
    ("PATCH", "/v1/session", r#"{"set":{"a":1}}"#),
    ("DELETE", "/v1/session", ""),
    ("POST", "/v1/session/rotate", ""),
    ("POST", "/v1/session/login", r#"{"subject":"ada"}"#),
    ("GET", "/v1/subjects/ada/sessions", ""),
    ("DELETE", "/v1/subjects/ada/sessions", ""),
    ("DELETE", "/v1/subjects/ada/sessions/AAAAAAAAAAAAAAAA", ""),
    ("GET", "/v1/stats", ""),
];

#[tokio::test]
async fn a_redis_that_hangs_is_a_503_in_time_and_heals() {
    let redis = Redis::start();
    let server = Server::beside(&redis, &["--store-deadline", "200ms"]);
    let id = server.login("ada").await;
    redis.signal("STOP");
    let (status, problem) = server.read(&id).await;
    assert_eq!((status, &problem["code"]), (503, &json!("store_timeout")));
    let why = json!("the store does not answer in time\n");
    assert_eq!(ready(&server).await, (503, why));
    redis.signal("CONT");
    becomes_ready(&server).await;
    assert_eq!(server.read(&id).await.0, 200, "the session is still there");
}

/// It is told when it begins and when it is over, however many reads are answered meanwhile.
#[tokio::test]
async fn a_redis_that_refuses_writes_is_told_until_it_takes_them() {
    let (redis, primary) = (Redis::start(), Redis::start());
    let there = primary.port.to_string();
    let refusals = [
        (
            &["CONFIG", "SET", "save", "3600 1"][..],
            &["CONFIG", "SET", "save", ""][..],
            "MISCONF",
        ),
        (
            &["CONFIG", "SET", "min-replicas-to-write", "1"],
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
            "NOREPLICAS",
        ),
        (
            &["REPLICAOF", "127.0.0.1", &there],
            &["REPLICAOF", "NO", "ONE"],
            "READONLY",
        ),
    ];
    let server = Server::beside(&redis, &[]);
    let id = server.login("ada").await;
    let creates = async || {
        let request = server.request(Method::POST, "/v1/sessions");
        answer(request.json(&json!({}))).await.0
    };
    redis.cannot_save();
    let count = |words: &str| server.log().matches(words).count();
    for (told, (refuse, take, word)) in refusals.into_iter().enumerate() {
        redis.cli(refuse);
        if word == "MISCONF" {
            redis.cli(&["BGSAVE"]);
            while !redis
                .cli(&["INFO", "persistence"])
                .contains("rdb_last_bgsave_status:err")
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        for _ in 0..3 {
            assert_eq!(creates().await, 503, "{word}");
            assert_ne!(server.read(&id).await.0, 503, "{word}");
        }
        assert_eq!(up(&server).await, "cloakroom_store_up 0", "{word}");
        server.heard(&["the store takes no writes", word]);
        redis.cli(take);
        while count("the store takes writes again") == told {
            creates().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(up(&server).await, "cloakroom_store_up 1", "{word}");
        assert_eq!(count("the store takes no writes"), told + 1, "{word}");
    }
    assert_eq!(count("the store is lost"), 0, "{}", server.log());
}

/// Another program's value in a session's place is that session's trouble, and told of; the store is well.
#[tokio::test]
async fn a_foreign_value_is_told_of_and_is_no_outage() {
    let redis = Redis::start();
    let server = Server::beside(&redis, &[]);
    let id = server.login("ada").await;
    let key = redis.cli(&["--raw", "KEYS", "session:{*"]);
    redis.cli(&["DEL", key.trim()]);
    redis.cli(&["RPUSH", key.trim(), "item"]);
    let (status, problem) = server.read(&id).await;
    assert_eq!((status, &problem["code"]), (503, &json!("store_refused")));
    server.heard(&["a key of the store holds no session", "WRONGTYPE"]);
    assert_eq!(up(&server).await, "cloakroom_store_up 1");
    assert!(!server.log().contains("the store is lost"));
}

#[tokio::test]
async fn a_password_that_is_changed_is_a_503_that_says_so_in_the_log() {
    let redis = Redis::start();
    let server = Server::beside(&redis, &[]);
    let id = server.login("ada").await;
    redis.cli(&["CONFIG", "SET", "requirepass", "another"]);
    redis.cli_with(
        "another",
        &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
    );
    let (status, problem) = loop {
        let answer = server.read(&id).await;
        if answer.1["code"] != "store_unavailable" {
            break answer;
        }
    };
    assert_eq!((status, &problem["code"]), (503, &json!("store_refused")));
    assert_eq!(problem["retryable"], false);
    assert!(ready(&server).await.1.as_str().unwrap().contains("refuses"));
    server.heard(&["the right user and password"]);
    redis.cli_with("another", &["CONFIG", "SET", "requirepass", PASSWORD]);
    becomes_ready(&server).await;
    assert_eq!(server.read(&id).await.0, 200);
}

#[tokio::test]
async fn a_server_that_ends_while_its_store_is_lost_ends() {
    let mut redis = Redis::start();
    let mut server = Server::beside(&redis, &[]);
    server.login("ada").await;
    redis.kill();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

async fn ready(server: &Server) -> (u16, serde_json::Value) {
    answer(server.open_request(Method::GET, "/readyz")).await
}

async fn becomes_ready(server: &Server) {
    while ready(server).await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn up(server: &Server) -> String {
    let page = server.get("/metrics").await.text().await.unwrap();
    let line = page
        .lines()
        .find(|line| line.starts_with("cloakroom_store_up "));
    line.unwrap().to_owned()
}

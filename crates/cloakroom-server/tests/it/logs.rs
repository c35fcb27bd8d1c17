//! Logs hold no secret at any level, and JSON logs are JSON.

use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Server, answer};
use crate::resp::wire::{Reply, Wire};
use crate::stores::{On, PASSWORD, on_every_store};

on_every_store!(no_id_no_key_and_no_password_at_trace);

async fn no_id_no_key_and_no_password_at_trace(on: On) {
    for format in ["text", "json"] {
        let mut server = Server::on(on, &["--log", "trace", "--log-format", format]);
        let secret = "fields-are-secret-too";
        let (first, _) = server.create(json!({"fields": {"a": secret}})).await;
        let login = json!({"subject": "ada-the-subject"});
        let (_, issued) = server
            .about(&first, Method::POST, "/v1/session/login", Some(login))
            .await;
        let second = issued["id"].as_str().unwrap().to_owned();
        let (_, issued) = server
            .about(&second, Method::POST, "/v1/session/rotate", None)
            .await;
        let third = issued["id"].as_str().unwrap().to_owned();
        for id in [&first, &second, &third] {
            server.read(id).await;
            server
                .patch(id, json!({"set": {"a": secret}, "increment": {"a": 1}}))
                .await;
            server.patch(id, json!({"increment": {"a": 1}})).await;
            let verify = server.open_request(Method::GET, "/v1/verify");
            answer(verify.header("cookie", format!("__Host-id={id}; __Host-id={id}"))).await;
            let verify = server.open_request(Method::GET, "/v1/verify");
            answer(verify.header("cookie", format!("__Host-id={id}"))).await;
            let path = format!("/v1/subjects/ada-the-subject/sessions?x={id}");
            answer(server.request(Method::DELETE, &path)).await;
        }
        answer(server.request(Method::GET, "/v1/subjects/ada-the-subject/sessions")).await;
        let wrong = server.key.replace("ck1_", "ck1_A");
        answer(
            server
                .open_request(Method::GET, "/v1/stats")
                .bearer_auth(&wrong),
        )
        .await;
        server
            .about(&third, Method::DELETE, "/v1/session", None)
            .await;
        server.signal("TERM");
        assert!(server.wait().success());

        let log = server.log();
        assert!(
            log.contains("session_created") && log.contains("request"),
            "{log}"
        );
        let key = server.key.trim_start_matches("ck1_");
        for hidden in [
            &first,
            &second,
            &third,
            key,
            secret,
            "ada-the-subject",
            PASSWORD,
        ] {
            // Half of a secret is still too much.
            assert!(
                !log.contains(&hidden[..hidden.len() / 2]),
                "{hidden} is in the log:\n{log}"
            );
        }
        if format == "json" {
            for line in log.lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                assert!(line["level"].is_string(), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn what_frameworks_do_is_no_line_for_each_session() {
    for (level, told) in [("info", false), ("debug", true)] {
        let mut server = Server::start(&["--log", level]);
        let mut wire = Wire::to(&server);
        let value = r#"{"passport":{"user":"ada"}}"#;
        let key = "sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK";
        assert_eq!(wire.ask(&format!("SET {key} {value} EX 60")), Reply::ok());
        assert_eq!(wire.ask(&format!("DEL {key}")), Reply::Integer(1));
        let own = server.login("grace").await;
        server
            .about(&own, Method::DELETE, "/v1/session", None)
            .await;
        server.signal("TERM");
        assert!(server.wait().success());
        let log = server.log();
        for (event, own) in [
            ("session_created", told),
            ("session_login", true),
            ("session_logout", false),
        ] {
            let lines = log.lines().filter(|line| line.contains(event)).count();
            let expected = usize::from(told) + usize::from(own);
            assert_eq!(lines, expected, "{level}, {event}: {log}");
        }
    }
}

/// What was told when the server died is what somebody looks for afterwards.
#[tokio::test]
async fn a_warning_and_what_was_told_before_it_outlive_a_kill() {
    for round in 0..5 {
        let server = Server::start(&["--log", "info"]);
        for number in 0..20 {
            server.login(&format!("user-{number}")).await;
        }
        // Whoever speaks HTTP here is cut off, after the warning.
        let mut page = Wire::to(&server);
        page.raw(b"POST / HTTP/1.1\r\n");
        assert_eq!(page.rest(), "");
        let dir = server.killed();
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        let at = |line: &str| log.lines().filter(|had| had.contains(line)).count();
        assert_eq!(at("session_login"), 20, "round {round}: {log}");
        assert_eq!(at("it speaks HTTP"), 1, "round {round}: {log}");
        let last = log.lines().last().unwrap();
        assert!(last.contains("WARN"), "round {round}: {log}");
    }
}

/// Clients of the Redis protocol are sent to the log, and nobody else may ever come by.
#[test]
fn a_disk_that_takes_nothing_is_told_though_only_the_redis_protocol_is_spoken() {
    let server = Server::start(&["--durability", "always"]);
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask("SET key value"), Reply::ok());
    // The log is such a file as well.
    server.limit_files("100000:");
    // The one whose write it was is cut off; it cannot be told what came of it.
    wire.send(&[b"SET", b"key", &[b'x'; 200_000]]);
    assert_eq!(wire.rest(), "");
    let mut wire = Wire::to(&server);
    let said = wire.ask("SET key other").text();
    assert!(said.starts_with("MISCONF"), "{said}");
    assert_eq!(wire.ask("GET key").text().len(), 200_000, "reads go on");
    let log = server.heard(&["the journal takes no writes", "File too large"]);
    assert!(log.contains("ERROR"), "{log}");
    server.limit_files("unlimited");
    server.heard(&["the journal takes writes again"]);
    assert_eq!(wire.ask("SET key other"), Reply::ok());
}

#[test]
fn a_snapshot_that_cannot_be_written_is_told_and_tried_again() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let status = |wire: &mut Wire| {
        let info = wire.ask("INFO persistence").text();
        let row = info
            .lines()
            .find(|row| row.starts_with("aof_last_bgrewrite_status"));
        row.unwrap().trim_end().to_owned()
    };
    for number in 0..50 {
        wire.send(&[b"SET", format!("key-{number}").as_bytes(), &[b'x'; 4096]]);
        assert_eq!(wire.reply(), Reply::ok());
    }
    assert_eq!(status(&mut wire), "aof_last_bgrewrite_status:ok");
    let aside = server.data().join("journal/0000000002.snapshot");
    std::fs::create_dir_all(aside.join("in the way")).unwrap();
    wire.ask("BGREWRITEAOF");
    server.heard(&["the journal could not be written anew"]);
    assert_eq!(status(&mut wire), "aof_last_bgrewrite_status:err");
    std::fs::remove_dir_all(&aside).unwrap();
    // The one that failed may still be clearing up after it said so; until it is done no other begins.
    while status(&mut wire) != "aof_last_bgrewrite_status:ok" {
        wire.ask("BGREWRITEAOF");
        std::thread::yield_now();
    }
    assert_eq!(wire.ask("SET key value"), Reply::ok());
}

/// Whoever can reach a gateway can send what is no cookie of ours, as often as they like.
#[tokio::test]
async fn strangers_fill_no_log() {
    let mut server = Server::start(&["--resp-password", PASSWORD]);
    for _ in 0..50 {
        let verify = server.open_request(Method::GET, "/v1/verify");
        answer(verify.header("cookie", "__Host-id=forged")).await;
        let mut wire = Wire::to(&server);
        let said = wire.ask("AUTH wrong").text();
        assert!(said.starts_with("WRONGPASS"), "{said}");
        wire.raw(b"*1\r\n+\r\n");
        wire.rest();
        let mut page = Wire::to(&server);
        page.raw(b"POST / HTTP/1.1\r\n");
        assert_eq!(page.rest(), "");
    }
    let numbers = server.get("/metrics").await.text().await.unwrap();
    let counted = "cloakroom_events_total{event=\"session_cookie_rejected\"} 50\n";
    assert!(numbers.contains(counted), "{numbers}");
    server.signal("TERM");
    assert!(server.wait().success());
    let log = server.log();
    for what in [
        "session_cookie_rejected",
        "a wrong user name or password",
        "it breaks the protocol",
        "it speaks HTTP",
    ] {
        let rows = log.lines().filter(|row| row.contains(what));
        let (sums, rows): (Vec<_>, Vec<_>) = rows.partition(|row| row.contains("more="));
        let numbers = sums.iter().filter_map(|sum| {
            let (_, rest) = sum.split_once("more=")?;
            rest.split(' ').next()?.parse::<usize>().ok()
        });
        assert!(!sums.is_empty() && rows.len() < 20, "{what}: {log}");
        assert_eq!(rows.len() + numbers.sum::<usize>(), 50, "{what}: {log}");
    }
}

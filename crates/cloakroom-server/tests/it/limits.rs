//! Bounds: bodies, headers, time, connections.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::process::{Server, answer};

#[tokio::test]
async fn a_body_over_its_limit_is_refused_with_the_limit() {
    let server = Server::start(&["--max-body", "1KiB"]);
    let body = json!({"fields": {"a": "x".repeat(1024)}});
    let request = server.request(Method::POST, "/v1/sessions").json(&body);
    let (status, problem) = answer(request).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body_too_large")));
    assert_eq!(problem["limit"], 1024);
}

#[tokio::test]
async fn a_body_that_names_thousands_of_fields_costs_no_more_than_its_reading() {
    let server = Server::start(&[]);
    let id = server.login("ada").await;
    let many: BTreeMap<String, u8> = (0..70_000).map(|n| (format!("f{n:x}"), 0)).collect();
    let names: Vec<&String> = many.keys().collect();
    // Every pair compared, this would hold a thread for minutes.
    for body in [
        json!({ "set": many }),
        json!({ "increment": many }),
        json!({ "remove": names }),
    ] {
        let (status, problem) = server.patch(&id, body).await;
        assert_eq!((status, &problem["what"]), (422, &json!("changes")));
        assert_eq!(problem["limit"], 256);
    }
    let body = json!({ "fields": many });
    let request = server.request(Method::POST, "/v1/sessions").json(&body);
    let (status, problem) = answer(request).await;
    assert_eq!((status, &problem["what"]), (422, &json!("changes")));
    let body = json!({"subject": "ada", "keep_only": names});
    let login = server.about(&id, Method::POST, "/v1/session/login", Some(body));
    let (status, problem) = login.await;
    assert_eq!((status, &problem["what"]), (422, &json!("fields")));
    assert_eq!(problem["limit"], 128);
}

#[test]
fn who_asks_and_never_reads_the_answers_is_cut() {
    let server = Server::start(&["--header-timeout", "200ms"]);
    let stream = TcpStream::connect(server.address()).unwrap();
    // More answers than the buffers of both ends hold, and none of them read.
    let asking = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    while (&stream).write_all(asking.as_bytes()).is_ok() {}
}

#[test]
fn silent_and_slow_connections_are_closed() {
    let server = Server::start(&["--header-timeout", "200ms"]);
    for begun in [
        "",
        "G",
        "PRI * HTTP/2.0\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    ] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(begun.as_bytes()).unwrap();
        let mut rest = Vec::new();
        // Comes back when the server closes; without the limit, never.
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{begun:?}");
    }
    let mut idle = TcpStream::connect(server.address()).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answered = Vec::new();
    let _ = idle.read_to_end(&mut answered);
    assert!(
        answered.starts_with(b"HTTP/1.1 200"),
        "then closed, because it stays idle"
    );
}

#[test]
fn a_body_that_does_not_come_is_a_timeout() {
    let server = Server::start(&["--request-timeout", "200ms"]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(
        stream,
        "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{",
        server.key,
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 408"), "{response}");
    assert!(response.contains("request_timeout"), "{response}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_free_place() {
    let server = Server::start(&["--max-connections", "1", "--header-timeout", "3600s"]);
    let first = tokio::net::TcpStream::connect(server.address())
        .await
        .unwrap();
    let mut second = tokio::net::TcpStream::connect(server.address())
        .await
        .unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    second.write_all(request).await.unwrap();
    let mut response = String::new();
    let mut answered = Box::pin(second.read_to_string(&mut response));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut answered).await;
    assert!(early.is_err(), "answered beyond the limit");
    drop(first);
    answered.await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test]
async fn a_full_store_is_said_to_be_full_and_may_be_tried_again() {
    let server = Server::start(&["--max-memory", "1MiB"]);
    let body = json!({"fields": {"a": "x".repeat(60_000)}});
    let refused = loop {
        let request = server.request(Method::POST, "/v1/sessions").json(&body);
        let response = request.send().await.unwrap();
        if response.status() != 201 {
            break response;
        }
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let problem: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(
        (&problem["code"], &problem["retryable"]),
        (&json!("store_full"), &json!(true))
    );
}

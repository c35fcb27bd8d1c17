//! How the server ends: readiness says no, what is in flight is finished, the exit code is 0.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::process::{Server, answer};

#[tokio::test]
async fn a_request_in_flight_is_finished_and_readiness_says_no_meanwhile() {
    let mut server = Server::start(&["--drain-delay", "2s", "--drain-timeout", "60s"]);
    let readyz = || answer(server.open_request(Method::GET, "/readyz"));
    assert_eq!(readyz().await, (200, json!("ready\n")));

    let body = json!({"fields": {"slow": true}}).to_string();
    let (first, rest) = body.split_at(7);
    let mut slow = TcpStream::connect(server.address()).unwrap();
    write!(
        slow,
        "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{first}",
        server.key,
        body.len(),
    )
    .unwrap();
    while !server
        .get("/metrics")
        .await
        .text()
        .await
        .unwrap()
        .contains("cloakroom_http_connections 2")
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.signal("TERM");
    while readyz().await != (503, json!("draining\n")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        reqwest::get(format!("{}/healthz", server.url))
            .await
            .unwrap()
            .status(),
        200
    );
    while TcpStream::connect(server.address()).is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    slow.write_all(rest.as_bytes()).unwrap();
    let mut response = String::new();
    slow.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 201"), "{response}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_idle_server_ends_at_once_on_either_signal() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&["--drain-timeout", "3600s"]);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_request_that_never_ends_is_cut_at_the_drain_timeout() {
    let mut server = Server::start(&["--drain-timeout", "200ms", "--request-timeout", "3600s"]);
    let mut stuck = TcpStream::connect(server.address()).unwrap();
    write!(
        stuck,
        "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{",
        server.key,
    )
    .unwrap();
    // The server has the head once it answers another request that came later.
    let mut other = TcpStream::connect(server.address()).unwrap();
    other
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    other.read_to_end(&mut Vec::new()).unwrap();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(
        server.log().contains("connections were cut"),
        "{}",
        server.log()
    );
}

//! `/v1/verify` as gateways ask it. nginx and Caddy run for real in `gateways`; what Traefik and
//! Envoy send is repeated here from their documentation, because Debian does not package them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use reqwest::{Method, Response};
use serde_json::json;

use crate::process::Server;
use crate::stores::{On, on_every_store};

on_every_store!(
    a_signed_in_visitor_passes_and_others_do_not,
    anonymous_visitors_pass_where_the_path_says_so_and_nowhere_else,
    subjects_are_safe_in_a_header,
    requests_in_the_shape_of_traefik_and_envoy,
);

async fn a_signed_in_visitor_passes_and_others_do_not(on: On) {
    let server = Server::on(on, &[]);
    let id = server.login("ada@example.com").await;
    let passed = ask(
        &server,
        Method::GET,
        "/v1/verify",
        &[("cookie", &cookie(&id))],
    )
    .await;
    assert_eq!(passed.status(), 200);
    assert_eq!(passed.headers()["cloakroom-subject"], "ada@example.com");
    assert_eq!(passed.headers()["cache-control"], "no-store");
    let handle = server.read(&id).await.1["handle"].clone();
    assert_eq!(
        passed.headers()["cloakroom-handle"],
        handle.as_str().unwrap()
    );

    let (anonymous, _) = server.create(json!({})).await;
    let ended = server.login("bob").await;
    server
        .about(&ended, Method::DELETE, "/v1/session", None)
        .await;
    let own = cookie(&id);
    for refused in [
        String::new(),
        cookie(&anonymous),
        cookie(&ended),
        cookie(&id[..44]),
        cookie(&format!("{id}A")),
        format!("{own}; {own}"),
        format!("{own}; {}", cookie(&anonymous)),
        own.replace("__Host-id", "__HOST-id"),
        own.replace("__Host-id", "id"),
        format!("x={}{own}", "y".repeat(17_000)),
    ] {
        let response = ask(&server, Method::GET, "/v1/verify", &[("cookie", &refused)]).await;
        assert_eq!(response.status(), 401, "{refused}");
        assert!(!response.headers().contains_key("cloakroom-subject"));
        assert_eq!(response.text().await.unwrap(), "", "no details");
    }
    let lines = [("cookie", "a=b"), ("cookie", own.as_str())];
    assert_eq!(
        ask(&server, Method::GET, "/v1/verify", &lines)
            .await
            .status(),
        200
    );
}

async fn anonymous_visitors_pass_where_the_path_says_so_and_nowhere_else(on: On) {
    let server = Server::on(on, &[]);
    let (id, _) = server.create(json!({})).await;
    let (own, get) = (cookie(&id), Method::GET);
    let headers = [("cookie", own.as_str()), ("cloakroom-subject", "mallory")];
    for path in ["/v1/verify-anonymous", "/v1/verify-anonymous/cart?x=1"] {
        let response = ask(&server, get.clone(), path, &headers).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["cloakroom-subject"],
            "",
            "overwrites the visitor's own"
        );
    }
    // What a visitor can make Caddy or Envoy append, byte for byte: clients tidy such paths.
    for path in [
        "/v1/verify?anonymous=allow",
        "/v1/verify/-anonymous",
        "/v1/verify/../verify-anonymous",
        "/v1/verify/%2e%2e/verify-anonymous",
        "/v1/verify//v1/verify-anonymous",
    ] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let head = "Host: x\r\nConnection: close\r\nCookie";
        write!(stream, "GET {path} HTTP/1.1\r\n{head}: {own}\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 401"), "{path}: {response}");
    }
}

async fn subjects_are_safe_in_a_header(on: On) {
    let server = Server::on(
        on,
        &["--subject-header", "X-Auth-Request-User", "--cookie", "sid"],
    );
    for (subject, expected) in [
        ("ada", "ada"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("J\u{fc}rgen", "J%C3%BCrgen"),
        ("did:web:example.com#1,2;3", "did:web:example.com#1,2;3"),
    ] {
        let id = server.login(subject).await;
        let headers = [("cookie", format!("sid={id}"))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let response = ask(&server, Method::GET, "/v1/verify", &headers).await;
        assert_eq!(response.headers()["x-auth-request-user"], expected);
    }
}

/// Traefik's ForwardAuth: GET to the address with the visitor's headers and X-Forwarded-*.
/// Envoy's HTTP ext_authz: the visitor's method, and the visitor's path behind `path_prefix`.
async fn requests_in_the_shape_of_traefik_and_envoy(on: On) {
    let server = Server::on(on, &[]);
    let id = server.login("ada").await;
    let own = cookie(&id);
    let traefik = [
        ("cookie", own.as_str()),
        ("x-forwarded-method", "POST"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-forwarded-uri", "/orders?id=1"),
        ("x-forwarded-for", "203.0.113.7"),
    ];
    let response = ask(&server, Method::GET, "/v1/verify", &traefik).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cloakroom-subject"], "ada");
    assert_eq!(
        ask(&server, Method::GET, "/v1/verify", &traefik[1..])
            .await
            .status(),
        401
    );

    let envoy = [
        ("cookie", own.as_str()),
        ("content-length", "0"),
        ("x-envoy-internal", "true"),
        ("x-forwarded-for", "203.0.113.7"),
    ];
    for method in [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND",
    ] {
        let method: Method = method.parse().unwrap();
        for path in [
            "/v1/verify/",
            "/v1/verify/orders/7?x=1",
            "/v1/verify//a%2Fb/",
        ] {
            let response = ask(&server, method.clone(), path, &envoy).await;
            assert_eq!(response.status(), 200, "{method} {path}");
            assert_eq!(response.headers()["cloakroom-subject"], "ada");
            let refused = ask(&server, method.clone(), path, &envoy[1..]).await;
            assert_eq!(refused.status(), 401, "{method} {path}");
        }
    }
}

fn cookie(id: &str) -> String {
    format!("__Host-id={id}")
}

async fn ask(server: &Server, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = server.open_request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

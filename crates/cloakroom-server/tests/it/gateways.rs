//! Forward-auth with real gateways in front of a small application: only signed-in visitors reach
//! it, and the subject it sees is never the visitor's own invention.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use reqwest::{Client, Method};
use serde_json::json;

use crate::process::{Process, Server, TempDir, program};

#[tokio::test]
async fn nginx_auth_request() {
    let (server, app, dir) = (Server::start(&[]), application().await, TempDir::new());
    let (address, temp) = (free_address(), dir.path().display());
    let config = dir.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid {temp}/pid; error_log stderr;
             events {{}}
             http {{
               access_log off;
               client_body_temp_path {temp}/body; proxy_temp_path {temp}/proxy;
               fastcgi_temp_path {temp}/fcgi; uwsgi_temp_path {temp}/uwsgi;
               scgi_temp_path {temp}/scgi;
               server {{
                 listen {address};
                 location / {{
                   auth_request /_session;
                   auth_request_set $subject $upstream_http_cloakroom_subject;
                   proxy_set_header Cloakroom-Subject $subject;
                   proxy_pass http://{app};
                 }}
                 location /open/ {{
                   auth_request /_anonymous;
                   auth_request_set $subject $upstream_http_cloakroom_subject;
                   proxy_set_header Cloakroom-Subject $subject;
                   proxy_pass http://{app};
                 }}
                 location = /_session {{
                   internal;
                   proxy_pass http://{cloakroom}/v1/verify;
                   proxy_pass_request_body off;
                   proxy_set_header Content-Length \"\";
                 }}
                 location = /_anonymous {{
                   internal;
                   proxy_pass http://{cloakroom}/v1/verify-anonymous;
                   proxy_pass_request_body off;
                   proxy_set_header Content-Length \"\";
                 }}
               }}
             }}",
            cloakroom = server.address(),
        ),
    );
    let mut nginx = Command::new(program("nginx", "nginx-light"));
    nginx.arg("-p").arg(dir.path()).arg("-c").arg(config);
    let _nginx = start(&mut nginx, &dir, &address).await;
    check(&server, &address).await;
}

#[tokio::test]
async fn caddy_forward_auth() {
    let (server, app, dir) = (Server::start(&[]), application().await, TempDir::new());
    let address = free_address();
    let auth = |path: &str| {
        format!(
            "request_header -Cloakroom-Subject
             forward_auth {cloakroom} {{
               uri {path}
               copy_headers Cloakroom-Subject
             }}
             reverse_proxy {app}",
            cloakroom = server.address(),
        )
    };
    let config = dir.write(
        "Caddyfile",
        &format!(
            "{{
               admin off
               auto_https off
             }}
             http://{address} {{
               bind 127.0.0.1
               route /open/* {{
                 {}
               }}
               route {{
                 {}
               }}
             }}",
            auth("/v1/verify-anonymous"),
            auth("/v1/verify"),
        ),
    );
    let mut caddy = Command::new(program("caddy", "caddy"));
    caddy
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(config)
        .env("HOME", dir.path())
        .env("XDG_DATA_HOME", dir.path())
        .env("XDG_CONFIG_HOME", dir.path());
    let _caddy = start(&mut caddy, &dir, &address).await;
    check(&server, &address).await;
}

/// What holds behind every gateway.
async fn check(server: &Server, gateway: &str) {
    let client = Client::new();
    let ask = async |method: Method, path: &str, id: Option<&str>| {
        let mut request = client
            .request(method, format!("http://{gateway}{path}"))
            .header("Cloakroom-Subject", "mallory");
        if let Some(id) = id {
            request = request.header("cookie", format!("theme=dark; __Host-id={id}"));
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (get, post) = (Method::GET, Method::POST);
    let sees = |subject: &str| (200, format!("the application sees {subject:?}"));
    let ada = server.login("ada l\u{f6}w").await;
    let (anonymous, _) = server.create(json!({})).await;
    for method in [&get, &post] {
        let seen = ask(method.clone(), "/orders?id=1", Some(&ada)).await;
        assert_eq!(seen, sees("ada%20l%C3%B6w"));
        assert_eq!(ask(method.clone(), "/orders", None).await.0, 401);
        assert_eq!(ask(method.clone(), "/orders", Some("forged")).await.0, 401);
        for path in [
            "/",
            "/x?anonymous=allow",
            "/-anonymous",
            "/v1/verify-anonymous",
        ] {
            assert_eq!(
                ask(method.clone(), path, Some(&anonymous)).await.0,
                401,
                "{path}"
            );
        }
        assert_eq!(
            ask(method.clone(), "/open/x", Some(&anonymous)).await,
            sees("")
        );
        assert_eq!(ask(method.clone(), "/open/x", None).await.0, 401);
    }
    server
        .about(&ada, Method::DELETE, "/v1/session", None)
        .await;
    assert_eq!(
        ask(get, "/orders", Some(&ada)).await.0,
        401,
        "a logout holds at once"
    );
}

/// An application that says whom it sees; its address.
async fn application() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = Router::new().fallback(async |headers: HeaderMap| {
        let subject = headers.get("cloakroom-subject");
        let subject = subject.map_or("", |subject| subject.to_str().unwrap());
        format!("the application sees {subject:?}")
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Starts a gateway and waits until it takes connections. What it says goes to a file: a pipe that
/// nobody reads fills up, and the gateway waits for ever.
pub(crate) async fn start(command: &mut Command, dir: &TempDir, address: &str) -> Process {
    let log = dir.path().join("gateway.log");
    let said = File::create(&log).unwrap();
    let child = command.stdout(Stdio::null()).stderr(said).spawn();
    let mut gateway = Process(child.unwrap());
    while tokio::net::TcpStream::connect(address).await.is_err() {
        if gateway.0.try_wait().unwrap().is_some() {
            let said = std::fs::read_to_string(log).unwrap();
            panic!("the gateway did not start: {said}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway
}

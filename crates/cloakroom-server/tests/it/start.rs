//! How the server starts: what it makes, what it refuses, and how it says so.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use crate::process::{self, Server, TempDir, cloakroom};

#[tokio::test]
async fn the_first_start_makes_a_private_key_and_the_next_keeps_it() {
    let mut server = Server::start(&[]);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(server.data()), 0o700);
    assert_eq!(mode(server.data().join("api-key")), 0o600);
    assert!(server.key.starts_with("ck1_") && server.key.len() == 47);
    let format = fs::read_to_string(server.data().join("format")).unwrap();
    assert_eq!(format, "cloakroom data 1\n");
    let id = server.login("ada").await;
    server.signal("TERM");
    assert!(server.wait().success());

    let key = server.key.clone();
    let dir = std::mem::replace(&mut server.dir, TempDir::new());
    let server = Server::start_in(dir, &[]);
    assert_eq!(server.key, key);
    assert_eq!(
        server.read(&id).await.0,
        404,
        "as the banner says, sessions are in memory"
    );
}

#[tokio::test]
async fn the_banner_shows_what_to_open_and_what_to_paste() {
    let server = Server::start(&[]);
    let banner = &server.banner;
    for page in ["/openapi.json", "/metrics"] {
        let url = format!("{}{page}", server.url);
        assert!(banner.contains(&url), "{banner}");
        let response = reqwest::get(url).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert!(banner.contains("in memory"), "{banner}");
    assert!(!banner.contains(&server.key), "the key itself is not shown");
    let paste = banner.split_once("paste").unwrap().1;
    let output = std::process::Command::new("sh")
        .args(["-c", paste])
        .output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("\"cart\":[\"tea\"]"),
        "needs curl: apt-get install -y curl; {said}"
    );
}

#[test]
fn what_is_in_the_way_is_named_with_the_fix() {
    let server = Server::start(&[]);
    let data = server.data();
    let data = data.to_str().unwrap();
    refused(
        "127.0.0.1:0",
        data,
        &["another cloakroom server", data, "--data DIR"],
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = TempDir::new();
    let fresh = dir.path().join("fresh");
    refused(
        &address,
        fresh.to_str().unwrap(),
        &[&address, "another port", "--http"],
    );

    let file = dir.write("file", "");
    let under = file.join("data");
    refused(
        "127.0.0.1:0",
        under.to_str().unwrap(),
        &["cannot use", "writable", "--data DIR"],
    );

    let other = TempDir::new();
    other.write("format", "cloakroom data 9\n");
    let path = other.path().to_str().unwrap();
    refused("127.0.0.1:0", path, &["format", "does not know"]);
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let dir = TempDir::new();
    let key = dir.write(
        "api-key",
        "ck1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
    );
    let path = dir.path().to_str().unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    refused(
        "127.0.0.1:0",
        path,
        &["mode 640", &format!("chmod 600 {path}/api-key")],
    );
    fs::write(&key, "password").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    refused("127.0.0.1:0", path, &["no API key", "remove the file"]);
}

#[test]
fn a_data_directory_that_others_can_write_is_not_used() {
    for mode in [0o777, 0o1777, 0o770] {
        let dir = TempDir::new();
        fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        let path = dir.path().to_str().unwrap();
        refused(
            "127.0.0.1:0",
            path,
            &["others can write", &format!("chmod 700 {path}")],
        );
        assert!(!dir.path().join("api-key").exists(), "nothing was begun");
    }
}

#[test]
fn a_listener_beyond_loopback_without_tls_is_refused() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let dir = TempDir::new();
        let path = dir.path().to_str().unwrap();
        let output = refused(
            address,
            path,
            &["beyond loopback", "--tls-cert FILE", "--tls-key"],
        );
        assert_eq!(output.status.code(), Some(2));
        assert!(!dir.path().join("api-key").exists(), "nothing was begun");
    }
}

fn refused(address: &str, data: &str, expected: &[&str]) -> Output {
    let mut command = cloakroom();
    command.args(["serve", "--http", address, "--data", data]);
    let output = process::refused(&mut command);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    for words in expected {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    output
}

//! How the server starts: what it makes, what it refuses, and how it says so.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use reqwest::Method;

use crate::process::{self, Server, TempDir, cloakroom};
use crate::stores::{PASSWORD, Redis, free_port};

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
    assert_eq!(server.read(&id).await.0, 200, "as the banner says");
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
    assert!(banner.contains("within a second"), "{banner}");
    assert!(!banner.contains(&server.key), "the key itself is not shown");
    let paste = banner.split_once("paste").unwrap().1;
    let output = Command::new("sh").args(["-c", paste]).output();
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

#[tokio::test]
async fn a_key_is_changed_for_another_while_the_server_runs() {
    let server = Server::start(&[]);
    let file = server.data().join("api-key");
    let (old, new) = (server.key.clone(), format!("ck1_{}", "A".repeat(43)));
    let status = async |key: &str| {
        let request = server.open_request(Method::GET, "/v1/stats");
        process::answer(request.bearer_auth(key)).await.0
    };
    let both = format!("{new}\n\n{old}");
    for (text, said, expected) in [
        (both.as_str(), "API keys read again keys=2", [200, 200]),
        ("password\n", "the API keys in use stay", [200, 200]),
        (&new, "API keys read again keys=1", [401, 200]),
        ("", "(a key is ck1_", [401, 200]),
        (&format!("{new} {old}"), "stay", [401, 200]),
        (&old, "keys=1", [200, 401]),
    ] {
        let before = server.log().len();
        fs::write(&file, text).unwrap();
        server.signal("HUP");
        while !server.log()[before..].contains(said) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = server.log();
        assert!(
            !log.contains(&old[4..20]) && !log.contains("password"),
            "{log}"
        );
        assert_eq!([status(&old).await, status(&new).await], expected, "{text}");
    }
    // A file that is gone is not made while it runs.
    fs::remove_file(&file).unwrap();
    server.signal("HUP");
    server.logged("cannot read the API key").await;
    assert_eq!(status(&old).await, 200);
    assert!(!file.exists());
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

#[test]
fn a_store_that_cannot_be_opened_stops_the_start_with_what_to_do() {
    let redis = Redis::start();
    let port = redis.port;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port();
    let other = Server::start(&[]);
    let other = other.address();
    let free = free_port();
    for (url, code, expected) in [
        (
            format!("redis://default:wrong-secret@127.0.0.1:{port}/0"),
            1,
            ["redis://default:***@", "right user and password"],
        ),
        (
            format!("redis://127.0.0.1:{port}"),
            1,
            ["NOAUTH", "right user and password"],
        ),
        (
            format!("redis://app:wrong-secret@127.0.0.1:{free}"),
            1,
            ["refused", "check that the server runs"],
        ),
        (
            format!("redis://:wrong-secret@127.0.0.1:{silent}?timeout=300"),
            1,
            ["no answer in time", "check that the server runs"],
        ),
        (
            format!("redis://:wrong-secret@{other}/0"),
            1,
            [other, "Redis"],
        ),
        (
            "redis://u:wrong-secret@h/0?layout=lax".to_owned(),
            2,
            ["store layout", "packed or fields"],
        ),
        (
            "mysql://u:wrong-secret@h/0".to_owned(),
            2,
            ["store scheme", "redis://"],
        ),
        (
            "redis://u:1/wrong-secret@h/0".to_owned(),
            2,
            ["redis://u:***@h/0", "%2F"],
        ),
        ("redis://h/0?wrong-secret@h".to_owned(), 2, ["***@h", "%3F"]),
        (
            "redis://h/0?password=wrong-secret".to_owned(),
            2,
            ["password=***", "store parameter"],
        ),
        ("u:wrong-secret@h:6379".to_owned(), 2, ["***@h", "redis://"]),
    ] {
        let dir = TempDir::new();
        let mut command = cloakroom();
        command
            .args([
                "serve",
                "--http",
                "127.0.0.1:0",
                "--resp",
                "none",
                "--log",
                "trace",
                "--data",
            ])
            .arg(dir.path())
            .env("CLOAKROOM_STORE", &url);
        let output = process::refused(&mut command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{url}: {said}");
        for words in ["setting store = ", "CLOAKROOM_STORE"]
            .iter()
            .chain(&expected)
        {
            assert!(said.contains(words), "{url}: {words:?} is not in {said}");
        }
        assert!(!said.contains("wrong-secret"), "{said}");
    }
}

#[test]
fn a_password_is_in_no_complaint_about_something_else() {
    let url = "redis://u:wrong-secret@h/0";
    let dir = TempDir::new();
    let unknown = dir.write("unknown.toml", &format!("stoer = \"{url}\"\n"));
    let broken = dir.write("broken.toml", &format!("\nstore = \"{url}\n"));
    let list = dir.write("list.toml", &format!("store = [\"{url}\"]\n"));
    for (arguments, expected) in [
        (vec!["serve", url], "redis://u:***@h/0"),
        (vec!["serve", "--store", url, "--stoer", url], "--stoer"),
        (vec!["serve", "--log", url], "redis://u:***@h/0"),
        (
            vec!["serve", "--config", unknown.to_str().unwrap()],
            "stoer",
        ),
        (
            vec!["serve", "--config", broken.to_str().unwrap()],
            "line 2",
        ),
        (
            vec!["serve", "--config", list.to_str().unwrap()],
            "in quotes",
        ),
    ] {
        let output = process::refused(cloakroom().args(&arguments));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{expected:?} is not in {said}");
        assert!(!said.contains("wrong-secret"), "{said}");
    }
}

#[tokio::test]
async fn with_a_store_and_a_key_the_data_directory_is_not_touched() {
    let (redis, dir) = (Redis::start(), TempDir::new());
    let key = dir.write("key", "ck1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
    fs::set_permissions(&key, Permissions::from_mode(0o440)).unwrap();
    let server = Server::beside(&redis, &["--api-key-file", key.to_str().unwrap()]);
    assert!(!server.data().exists(), "nothing was made");
    assert!(
        server.banner.contains(&redis.masked_url()),
        "{}",
        server.banner
    );
    assert!(!server.banner.contains("synced"), "{}", server.banner);
    // It says that it is unused.
    server.heard(&["\"data\""]);
    let id = server.login("ada").await;
    assert_eq!(server.read(&id).await.0, 200);

    for (text, mode, expected) in [
        ("ck1_AAAA", 0o400, "no API key in it"),
        ("ck1_AAAA", 0o444, "chmod 640"),
    ] {
        let file = dir.write(&format!("wrong-{mode:o}"), text);
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let mut command = cloakroom();
        command.args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--resp",
            "none",
            "--api-key-file",
        ]);
        let output = process::refused(command.arg(&file).current_dir(dir.path()));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
}

/// Of the system's 1024 most connections would find none left, and so would the journal.
#[test]
fn it_takes_the_files_that_its_connections_need_or_says_that_it_may_not() {
    for (limits, flags, open, told) in [
        ("-Sn 100", &["--max-connections", "200"][..], None, false),
        ("-n 100", &["--max-connections", "200"][..], Some(100), true),
        (
            "-n 300",
            &["--max-connections", "200", "--resp", "none"][..],
            Some(300),
            false,
        ),
        ("-n 300", &["--max-connections", "200"][..], Some(300), true),
    ] {
        let dir = TempDir::new();
        let server = process::serving(&dir.path().join("data"), flags);
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("ulimit {limits} && exec \"$@\""), "it"])
            .arg(server.get_program())
            .args(server.get_args());
        let shell = shell.stdout(Stdio::piped()).stderr(log);
        let mut server = process::Process(shell.spawn().unwrap());
        let mut banner = BufReader::new(server.0.stdout.take().unwrap());
        banner.read_line(&mut String::new()).unwrap();
        let known = fs::read_to_string(format!("/proc/{}/limits", server.0.id())).unwrap();
        let row = known.lines().find(|row| row.starts_with("Max open files"));
        let mut numbers = row.unwrap()["Max open files".len()..].split_whitespace();
        let (soft, hard) = (numbers.next().unwrap(), numbers.next().unwrap());
        assert_eq!(soft, hard, "{limits}");
        if let Some(open) = open {
            assert_eq!(soft, open.to_string());
        }
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(
            log.contains("fewer files open"),
            told,
            "{limits} {flags:?}: {log}"
        );
    }
}

#[tokio::test]
async fn settings_that_the_store_makes_idle_are_said_to_be() {
    let redis = Redis::start();
    let url = redis.url();
    let server = Server::start(&["--store", &url, "--max-memory", "1GiB"]);
    let log = server.heard(&["its own limit", "in the command line"]);
    assert!(!log.contains(&PASSWORD[..6]), "{log}");
}

fn refused(address: &str, data: &str, expected: &[&str]) -> Output {
    let mut command = cloakroom();
    command.args(["serve", "--http", address, "--resp", "none", "--data", data]);
    let output = process::refused(&mut command);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    for words in expected {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    output
}

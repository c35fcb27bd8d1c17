//! Where the Redis protocol is spoken, to whom, and how it ends.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::wire::{Reply, Wire};
use crate::process::{Server, TempDir, cloakroom, program, refused, serving};

#[test]
fn the_banner_shows_what_to_paste_where() {
    let server = Server::start(&[]);
    let address = server.resp("redis://");
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/frameworks");
    let mut frameworks = Vec::new();
    for page in std::fs::read_dir(pages).unwrap() {
        let page = std::fs::read_to_string(page.unwrap().path()).unwrap();
        let title = page.lines().next().unwrap().trim_start_matches("# ");
        let name = title.split(' ').next().unwrap();
        frameworks.extend((name != "Frameworks").then(|| name.to_owned()));
    }
    assert!(frameworks.len() >= 11, "{frameworks:?}");
    for framework in &frameworks {
        let line = server
            .banner
            .lines()
            .find(|line| line.trim().starts_with(framework.as_str()));
        assert!(
            line.is_some_and(|line| line.contains(&address)),
            "{}",
            server.banner
        );
    }
    for line in [
        format!("    Laravel   REDIS_URL=redis://{address}\n"),
        format!("    Go        redis.ParseURL(\"redis://{address}\")\n"),
        format!(
            "    PHP       session.save_path = \"tcp://{address}\"\n              session.save_handler = redis\n"
        ),
    ] {
        assert!(server.banner.contains(&line), "{}", server.banner);
    }
}

#[test]
fn it_can_be_turned_off_and_is_with_a_shared_store() {
    let server = Server::start(&["--resp", "none"]);
    assert!(!server.banner.contains("redis"), "{}", server.banner);
    let redis = crate::stores::Redis::start();
    let server = Server::beside(&redis, &[]);
    assert!(!server.banner.contains("  redis    "), "{}", server.banner);
}

#[test]
fn open_listeners_are_refused_with_what_to_do() {
    for (flags, fix) in [
        (&["--resp", "0.0.0.0:0"][..], "--resp-tls IP:PORT"),
        (&["--resp-tls", "127.0.0.1:0"], "--tls-cert FILE"),
        (
            &[
                "--resp-tls",
                "0.0.0.0:0",
                "--tls-cert",
                "a",
                "--tls-key",
                "b",
            ],
            "CLOAKROOM_RESP_PASSWORD",
        ),
        (&["--resp-events", "Q"], "KEA"),
        (&["--resp-max-connections", "0"], "1 to 1000000"),
        (&["--resp", "localhost"], "127.0.0.1:8080"),
    ] {
        let dir = TempDir::new();
        let mut command = cloakroom();
        command
            .arg("serve")
            .args(flags)
            .arg("--data")
            .arg(dir.path());
        let output = refused(&mut command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(fix), "{flags:?}: {said}");
    }
}

#[test]
fn a_unix_socket_is_its_owners() {
    let dir = TempDir::new();
    let path = dir.path().join("redis.sock");
    let server = Server::start(&["--resp-socket", path.to_str().unwrap()]);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"PING\r\nQUIT\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "+PONG\r\n+OK\r\n");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o077,
        0
    );
    drop(server);
    // What a server that was killed left behind is taken over.
    let server = Server::start(&["--resp-socket", path.to_str().unwrap()]);
    assert!(UnixStream::connect(&path).is_ok());
    drop(server);
}

/// A server that speaks TLS, and the file with who vouches for it.
fn with_tls(files: &TempDir, more: [&str; 2]) -> (Server, PathBuf) {
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    let authority = crate::tls::write_pair(&cert, &key, "ca.pem");
    let server = Server::start(&[
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
        "--resp-tls",
        "127.0.0.1:0",
        more[0],
        more[1],
    ]);
    (server, authority)
}

#[test]
fn handshakes_that_are_not_ended_are_no_more_than_connections() {
    let files = TempDir::new();
    let (server, _) = with_tls(&files, ["--resp-max-connections", "2"]);
    let address = server.resp("rediss://");
    let silent = [(); 2].map(|()| TcpStream::connect(&address).unwrap());
    let mut refused = TcpStream::connect(&address).unwrap();
    assert!(matches!(refused.read(&mut [0]), Ok(0) | Err(_)));
    for mut stream in silent {
        stream.set_nonblocking(true).unwrap();
        let waits = stream.read(&mut [0]).unwrap_err();
        assert_eq!(waits.kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn tls_is_spoken_to_redis_cli() {
    let files = TempDir::new();
    let (server, authority) = with_tls(&files, ["--resp-password", "hush-a-bye"]);
    let address = server.resp("rediss://");
    let (host, port) = address.rsplit_once(':').unwrap();
    let output = Command::new(program("redis-cli", "redis-tools"))
        .args([
            "--tls",
            "--cacert",
            authority.to_str().unwrap(),
            "-h",
            host,
            "-p",
            port,
        ])
        .args(["--no-auth-warning", "-a", "hush-a-bye", "set", "k", "v"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "OK\n");
}

#[test]
fn users_may_what_their_line_says() {
    let dir = TempDir::new();
    let hash = |password: &str| -> String {
        let hash = Sha256::digest(password);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let file = dir.write("users", &format!(
        "# who may what\nuser shop on #{} ~sess:* +@all -@dangerous\nuser view on #{} ~* +@read\nuser gone off >x ~* +@all\n",
        hash("shop-word"),
        hash("view-word"),
    ));
    let flags = [
        "--resp-password",
        "root-word",
        "--resp-users",
        file.to_str().unwrap(),
    ];
    let server = Server::start(&flags);
    let mut shop = Wire::to(&server);
    assert_eq!(shop.ask("AUTH shop shop-word"), Reply::ok());
    assert_eq!(shop.ask("SET sess:1 v"), Reply::ok());
    let said = shop.ask("SET other v").text();
    assert!(said.starts_with("NOPERM"), "{said}");
    assert!(shop.ask("MGET sess:1 other").text().starts_with("NOPERM"));
    let said = shop.ask("FLUSHALL").text();
    assert_eq!(
        said,
        "NOPERM this user has no permissions to run the 'flushall' command"
    );
    let mut view = Wire::to(&server);
    assert_eq!(view.ask("AUTH view view-word"), Reply::ok());
    assert_eq!(view.ask("GET sess:1"), Reply::bulk("v"));
    assert!(view.ask("DEL sess:1").text().starts_with("NOPERM"));
    assert!(view.ask("AUTH gone x").text().starts_with("WRONGPASS"));
    let mut root = Wire::to(&server);
    root.ask("AUTH root-word");
    let list = root.ask("ACL LIST");
    assert_eq!(list.items().len(), 4);
    let text: Vec<String> = list.items().iter().map(Reply::text).collect();
    assert!(text.iter().all(|line| !line.contains("-word")), "{text:?}");
}

#[test]
fn users_listen_and_send_where_they_may() {
    let dir = TempDir::new();
    let file = dir.write(
        "users",
        "user shop on >shop-word ~* &shop:* +@all\nuser mute on >mute-word ~* +@all\n",
    );
    let flags = ["--resp-users", file.to_str().unwrap()];
    let server = Server::start(&flags);
    let sign_in = |name: &str| {
        let mut wire = Wire::to(&server);
        assert_eq!(wire.ask(&format!("AUTH {name} {name}-word")), Reply::ok());
        wire
    };
    const REFUSED: &str =
        "NOPERM this user has no permissions to access one of the channels used as arguments";
    let mut shop = sign_in("shop");
    assert_eq!(shop.ask("PUBLISH shop:1 hello"), Reply::Integer(0));
    for refused in [
        "PUBLISH other hello",
        "SUBSCRIBE shop:1 other",
        "PSUBSCRIBE *",
        "PSUBSCRIBE shop:1*",
    ] {
        assert_eq!(shop.ask(refused).text(), REFUSED, "{refused}");
    }
    assert_eq!(shop.ask("PSUBSCRIBE shop:*").items()[2], Reply::Integer(1));
    let mut mute = sign_in("mute");
    assert_eq!(mute.ask("SUBSCRIBE shop:1").text(), REFUSED);
    assert_eq!(mute.ask("SET k v"), Reply::ok());
    // The default user is everybody's, and may all.
    let mut root = Wire::to(&server);
    assert_eq!(root.ask("PUBLISH shop:1 hello"), Reply::Integer(1));
    assert_eq!(shop.reply().items()[3], Reply::bulk("hello"));
}

#[test]
fn what_was_sent_is_answered_before_the_end() {
    let mut server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let mut idle = Wire::to(&server);
    assert_eq!(idle.ask("PING").text(), "PONG");
    assert_eq!(wire.ask("SET k v"), Reply::ok());
    wire.raw("GET k\r\n".repeat(1_000).as_bytes());
    server.signal("TERM");
    let answers = wire.rest();
    assert_eq!(answers, "$1\r\nv\r\n".repeat(1_000));
    assert_eq!(idle.rest(), "");
    assert_eq!(server.wait().code(), Some(0));
    let mut server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    wire.send(&[b"SHUTDOWN", b"NOSAVE"]);
    assert_eq!(wire.rest(), "");
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test]
async fn metrics_count_what_is_done() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    wire.ask("SET k v");
    wire.ask("GET k");
    wire.ask("NONSENSE");
    let text = server.get("/metrics").await.text().await.unwrap();
    for line in [
        "cloakroom_resp_connections 1\n",
        "cloakroom_resp_commands_total 2\n",
        "cloakroom_resp_errors_total 1\n",
        "cloakroom_resp_accepted_connections_total 1\n",
    ] {
        assert!(text.contains(line), "{line} {text}");
    }
}

/// Names of keys are ids of sessions: who may not use a key is not told of it.
#[test]
fn users_hear_of_no_key_that_they_may_not_use() {
    let dir = TempDir::new();
    let file = dir.write("users", "user shop on >shop-word ~shop:* +@all\n");
    let server = Server::start(&["--resp-users", file.to_str().unwrap()]);
    let mut root = Wire::to(&server);
    for number in 0..50 {
        assert_eq!(root.ask(&format!("SET other:{number} v")), Reply::ok());
    }
    let mut shop = Wire::to(&server);
    assert_eq!(shop.ask("AUTH shop shop-word"), Reply::ok());
    let keys = |reply: &Reply| reply.items().iter().map(Reply::text).collect::<Vec<_>>();
    assert_eq!(keys(&shop.ask("KEYS *")), [""; 0]);
    assert_eq!(shop.ask("RANDOMKEY"), root.ask("GET nothing"));
    assert_eq!(shop.ask("SET shop:1 v"), Reply::ok());
    assert_eq!(keys(&shop.ask("KEYS *")), ["shop:1"]);
    let scanned = shop.ask("SCAN 0 COUNT 1000");
    assert_eq!(keys(&scanned.items()[1]), ["shop:1"]);
    let scanned = root.ask("SCAN 0 COUNT 1000");
    assert_eq!(scanned.items()[1].items().len(), 51, "who may all sees all");
    for refused in ["", " PREFIX shop", " PREFIX shop:1 PREFIX other:"] {
        let said = shop
            .ask(&format!("CLIENT TRACKING ON BCAST{refused}"))
            .text();
        assert!(said.starts_with("NOPERM"), "{refused}: {said}");
    }
    assert_eq!(shop.ask("HELLO 3").items().len(), 14);
    assert_eq!(
        shop.ask("CLIENT TRACKING ON BCAST PREFIX shop:1"),
        Reply::ok()
    );
    assert!(
        shop.ask("CLIENT TRACKING ON BCAST")
            .text()
            .starts_with("NOPERM")
    );
    root.ask("SET other:1 w");
    root.ask("SET shop:1 w");
    let told = shop.reply();
    assert_eq!(
        keys(&told.items()[1]),
        ["shop:1"],
        "what was refused ended nothing"
    );
}

#[test]
fn who_guesses_passwords_has_to_connect_anew() {
    let server = Server::start(&["--resp-password", "root-word"]);
    let mut wire = Wire::to(&server);
    for _ in 0..9 {
        assert!(wire.ask("AUTH guess").text().starts_with("WRONGPASS"));
    }
    assert_eq!(wire.ask("AUTH root-word"), Reply::ok());
    for _ in 0..10 {
        assert!(wire.ask("AUTH guess").text().starts_with("WRONGPASS"));
    }
    assert_eq!(wire.rest(), "");
}

#[tokio::test]
async fn users_are_changed_while_the_server_runs() {
    let dir = TempDir::new();
    let write = |lines: &str| dir.write("users", lines);
    let file = write("user shop on >old-word ~* +@all\nuser view on >view-word ~* +@read\n");
    let server = Server::start(&["--resp-users", file.to_str().unwrap()]);
    let signed_in = |words: &str| {
        let mut wire = Wire::to(&server);
        let said = wire.ask(&format!("AUTH {words}"));
        (wire, said)
    };
    let (mut shop, said) = signed_in("shop old-word");
    assert_eq!(said, Reply::ok());
    let (mut view, said) = signed_in("view view-word");
    assert_eq!(said, Reply::ok());
    write("user shop on >new-word ~* +@all\nuser view on >view-word ~* +@read\n");
    server.signal("HUP");
    server.logged("RESP users read again users=3").await;
    assert_eq!(shop.rest(), "", "who came with the old word is cut off");
    assert_eq!(view.ask("PING"), Reply::Simple("PONG".into()));
    assert_ne!(signed_in("shop old-word").1, Reply::ok());
    write("user shop on ~* +@all\n");
    server.signal("HUP");
    server.logged("the RESP users in use stay").await;
    assert_eq!(signed_in("shop new-word").1, Reply::ok());
    assert_eq!(view.ask("PING"), Reply::Simple("PONG".into()));
    let mut open = Wire::to(&server);
    assert_eq!(open.ask("PING"), Reply::Simple("PONG".into()));
    write("user default on >root-word ~* +@all\n");
    server.signal("HUP");
    server.logged("RESP users read again users=1").await;
    assert_eq!((view.rest(), open.rest()), (String::new(), String::new()));
    assert!(Wire::to(&server).ask("PING").text().starts_with("NOAUTH"));
    assert_eq!(signed_in("root-word").1, Reply::ok());
}

#[tokio::test]
async fn the_password_is_changed_while_the_server_runs() {
    let dir = TempDir::new();
    let write = |lines: &str| dir.write("cloakroom.toml", lines);
    let file = write("resp_password = \"old-word\"\n");
    let flags = ["--config", file.to_str().unwrap()];
    let (server, given) = (
        Server::start(&flags),
        Server::start(&[flags[0], flags[1], "--resp-password", "flag-word"]),
    );
    let signs_in = |server: &Server, word: &str| {
        let mut wire = Wire::to(server);
        let said = wire.ask(&format!("AUTH {word}"));
        (said == Reply::ok()).then_some(wire)
    };
    let mut old = signs_in(&server, "old-word").unwrap();
    let mut of_flag = signs_in(&given, "flag-word").unwrap();
    write("resp_password = \"new-word\"\n");
    for server in [&server, &given] {
        server.signal("HUP");
        server.logged("RESP users read again users=1").await;
    }
    assert_eq!(old.rest(), "", "who came with the old word is cut off");
    assert!(signs_in(&server, "old-word").is_none());
    let mut new = signs_in(&server, "new-word").unwrap();
    assert_eq!(
        of_flag.ask("PING").text(),
        "PONG",
        "a flag wins over the file"
    );
    write("resp_password = \"third-word\"\nidle = \"for a while\"\n");
    server.signal("HUP");
    server
        .logged("the RESP users in use stay error=setting idle")
        .await;
    assert_eq!(new.ask("PING").text(), "PONG");
    assert!(signs_in(&server, "third-word").is_none());
}

#[test]
fn a_file_of_users_that_others_can_change_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new();
    let file = dir.write("users", "user shop on >shop-word ~* +@all\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o620)).unwrap();
    let users = file.to_string_lossy();
    let mut serve = serving(&dir.path().join("data"), &["--resp-users", &users]);
    let said = String::from_utf8(refused(&mut serve).stderr).unwrap();
    assert!(
        said.contains("mode 620") && said.contains("chmod 600"),
        "{said}"
    );
}

//! What is too much: garbage, claims, readers that do not read, too many connections.

use std::io::Write as _;
use std::time::Duration;

use super::random::Random;
use super::wire::{Reply, Wire};
use crate::process::Server;

#[test]
fn what_breaks_the_protocol_is_told_in_redis_words_and_ends_the_connection() {
    let server = Server::start(&[]);
    let long = [b"*1\r\n$".as_slice(), &[b'1'; 70_000]].concat();
    let inline = [b'x'; 70_000];
    let cases: [(&[u8], &str); 12] = [
        (b"*1\r\n$536870912\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*1000000000\r\n", "invalid multibulk length"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*2\r\n*2\r\n", "expected '$', got '*'"),
        (b"set a \"b\r\n", "unbalanced quotes in request"),
        (b"set a 'b'c\r\n", "unbalanced quotes in request"),
        (&inline, "too big inline request"),
        (&long, "too big bulk count string"),
    ];
    for (bytes, said) in cases {
        let mut wire = Wire::to(&server);
        wire.raw(b"*1\r\n$4\r\nPING\r\n");
        wire.raw(bytes);
        wire.hears(b"+PONG\r\n");
        assert_eq!(wire.rest(), format!("-ERR Protocol error: {said}\r\n"));
    }
    assert_eq!(Wire::to(&server).ask("PING").text(), "PONG");
    server.heard(&["it breaks the protocol"]);
}

/// What `fetch` in a page sends to a port of this machine.
#[test]
fn a_page_in_a_browser_has_no_command_run() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask("SET k v"), Reply::ok());
    let body = "FLUSHALL\r\n*1\r\n$8\r\nFLUSHALL\r\n";
    for (request, said) in [
        ("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
        ("post / HTTP/1.1\r\n\r\n", ""),
        (
            "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
            "-ERR wrong number of arguments for 'get' command\r\n",
        ),
        (
            "PUT / HTTP/1.1\r\nHost:localhost:6380\r\n\r\n",
            "-ERR unknown command 'PUT', with args beginning with: '/' 'HTTP/1.1' \r\n",
        ),
    ] {
        for in_pieces in [false, true] {
            let mut page = Wire::to(&server);
            if in_pieces {
                page.raw(request.as_bytes());
                // It may be gone by now.
                let _ = page.stream().write_all(body.as_bytes());
            } else {
                page.raw(format!("{request}{body}").as_bytes());
            }
            let mut heard = Vec::new();
            let _ = std::io::Read::read_to_end(&mut page.stream(), &mut heard);
            assert_eq!(String::from_utf8(heard).unwrap(), said, "{request}");
            assert_eq!(wire.ask("GET k"), Reply::bulk("v"), "{request}");
        }
    }
    server.heard(&["it speaks HTTP"]);
}

#[test]
fn lines_are_commands_too() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    wire.raw(b"\r\n*0\r\n*-1\r\nset  'a b' \"c\\x41\\n\\\"d\"\r\nGET 'a b'\nPING\r\n");
    wire.hears(b"+OK\r\n$5\r\ncA\n\"d\r\n+PONG\r\n");
}

#[test]
fn garbage_never_harms_others() {
    let server = Server::start(&["--log", "warn"]);
    let mut random = Random::new(7);
    let alphabet = b"*$+-:0123456789\r\n\r\n GETSEThk\0\xff\"'";
    for _ in 0..300 {
        let mut wire = Wire::to(&server);
        let length = random.below(400);
        let bytes: Vec<u8> = (0..length)
            .map(|_| alphabet[random.below(alphabet.len())])
            .collect();
        wire.raw(&bytes);
        wire.stream().shutdown(std::net::Shutdown::Write).unwrap();
        // Whatever it is answered, it ends.
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut wire.stream(), &mut rest);
    }
    assert_eq!(Wire::to(&server).ask("PING").text(), "PONG");
}

#[test]
fn commands_may_come_in_any_pieces() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let value = "x".repeat(300_000);
    let sent = format!(
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n*2\r\n$6\r\nSTRLEN\r\n$1\r\nk\r\n",
        value.len()
    );
    let (small, large) = sent.as_bytes().split_at(60);
    for byte in small {
        wire.raw(&[*byte]);
    }
    for piece in large.chunks(50_000) {
        wire.raw(piece);
    }
    wire.hears(b"+OK\r\n:300000\r\n");
}

#[test]
fn a_pipeline_whose_answers_are_read_late_is_answered_in_full() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    let value = "x".repeat(10_000);
    assert_eq!(wire.ask(&format!("SET big {value}")), Reply::ok());
    // 20 MB of answers before the first is read.
    wire.raw("*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n".repeat(2_000).as_bytes());
    for _ in 0..2_000 {
        assert_eq!(wire.reply(), Reply::bulk(&value));
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_cut_off() {
    let server = Server::start(&[]);
    let mut deaf = Wire::to(&server);
    deaf.ask("SUBSCRIBE news");
    let mut wire = Wire::to(&server);
    let message = "x".repeat(1_000_000);
    let mut heard = 1;
    while heard == 1 {
        heard = wire.ask(&format!("PUBLISH news {message}")).integer();
    }
    server
        .logged("it does not read what it subscribed to")
        .await;
    assert_eq!(wire.ask("PING").text(), "PONG");
}

#[test]
fn a_connection_too_many_is_told_so() {
    let server = Server::start(&["--resp-max-connections", "2"]);
    let mut first = Wire::to(&server);
    let mut second = Wire::to(&server);
    assert_eq!(first.ask("PING").text(), "PONG");
    assert_eq!(second.ask("PING").text(), "PONG");
    let mut third = Wire::to(&server);
    assert_eq!(third.rest(), "-ERR max number of clients reached\r\n");
    drop(first);
    loop {
        let mut again = Wire::to(&server);
        // A connection that is refused may be closed before it has written.
        let _ = again.stream().write_all(b"PING\r\n");
        if again.rest_of_line() == "+PONG" {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(
        second
            .ask("INFO stats")
            .text()
            .contains("rejected_connections:")
    );
}

#[test]
fn unknown_commands_are_told_in_redis_words() {
    let server = Server::start(&[]);
    let mut wire = Wire::to(&server);
    assert_eq!(
        wire.ask("Nonsense a b").text(),
        "ERR unknown command 'Nonsense', with args beginning with: 'a' 'b' "
    );
    assert_eq!(
        wire.ask("CLIENT nonsense").text(),
        "ERR unknown subcommand 'nonsense'. Try CLIENT HELP."
    );
    assert_eq!(
        wire.ask("GET").text(),
        "ERR wrong number of arguments for 'get' command"
    );
    assert_eq!(
        wire.ask("CLIENT SETNAME").text(),
        "ERR wrong number of arguments for 'client|setname' command"
    );
}

#[test]
fn connections_that_wait_take_little_memory() {
    const COUNT: usize = 2_000;
    let server = Server::start(&["--log", "warn"]);
    let talk = |wire: &mut Wire| {
        // Both buffers have been large, and are given back.
        let value = "x".repeat(20_000);
        assert_eq!(wire.ask(&format!("SET k {value}")), Reply::ok());
        assert_eq!(wire.ask("GET k"), Reply::bulk(&value));
    };
    let mut first = Wire::to(&server);
    talk(&mut first);
    let before = server.resident();
    let mut idle: Vec<Wire> = (0..COUNT).map(|_| Wire::to(&server)).collect();
    idle.iter_mut().for_each(talk);
    let each = server.resident().saturating_sub(before) / COUNT;
    println!("{each} bytes for a connection that waits");
    assert!(each <= 12 << 10, "{each} bytes each");
}

//! Killed with -9 and serving again: how long that takes with a million sessions, of the store's own and, over
//! the Redis protocol, of another framework, from a journal and from a snapshot. `restart [sessions] [rounds]`.
//!
//! For the store's own this program starts itself, once to fill and be killed, and then to open what is
//! there and read a session. For others it is the server's binary, up to its first answer.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cloakroom_bench::directory::{Directory, store_in};
use cloakroom_bench::resp::{Kind, Load, Programs, Server, Setup};
use cloakroom_bench::wait::wait;
use cloakroom_bench::{key, ready, session, size_argument};
use cloakroom_core::Store;
use cloakroom_core::store::Lookup;
use cloakroom_embedded::journal::Durability;

fn main() {
    let sessions = size_argument(1_000_000);
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    if let [what, path] = &*arguments {
        return as_child(what, Path::new(path), sessions);
    }
    let rounds = arguments
        .first()
        .map_or(5, |given| given.parse().expect("rounds are a number"));
    println!(
        "| killed with -9, {sessions} sessions | serving after, s (least and most of {rounds}) |"
    );
    println!("| --- | ---: |");
    let dir = Directory::new("restart");
    for (what, name) in [
        ("fill", "the store's own, from a journal"),
        ("rewrite", "from a snapshot"),
    ] {
        let (mut filling, _) = child(what, dir.path(), sessions);
        end(&mut filling);
        let times = (0..rounds).map(|_| {
            let (mut serving, took) = child("serve", dir.path(), sessions);
            end(&mut serving);
            took
        });
        print(name, times.collect());
    }
    drop(dir);
    others(sessions, rounds);
}

/// Sessions of express-session in the server.
fn others(sessions: u64, rounds: usize) {
    let programs = Programs::find();
    let setup = Setup {
        kind: Kind::Sessions,
        journal: true,
    };
    let mut server = Server::start_with(&programs, setup, "0,1", &[]);
    let filling = Load {
        mix: "set",
        pipeline: 16,
        sessions,
        seconds: 0.0,
        warm_up: 0.0,
        rate: None,
        load: true,
        seed: 1,
        order: 1,
        processors: "0,1",
    };
    drop(filling.run(&programs, &server));
    for (name, snapshot) in [
        ("another framework's over RESP, from a journal", false),
        ("from a snapshot", true),
    ] {
        if snapshot {
            server.snapshot();
        }
        // What was written a moment ago is on the disk.
        std::thread::sleep(Duration::from_secs(2));
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            server = server.crash(&programs, "0,1");
            times.push(start.elapsed());
            assert_eq!(server.keys(), sessions);
        }
        print(name, times);
    }
}

fn print(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let seconds = |at: usize| times[at].as_secs_f64();
    println!(
        "| {name} | {:.2} .. {:.2} |",
        seconds(0),
        seconds(times.len() - 1)
    );
}

/// This program again. Returns once it is ready, and how long that took.
fn child(what: &str, dir: &Path, sessions: u64) -> (Child, Duration) {
    let program = std::env::current_exe().expect("the path of this program");
    let start = Instant::now();
    let mut child = Command::new(program)
        .args([&sessions.to_string(), what])
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let output = child.stdout.take().expect("its output is piped");
    let mut line = String::new();
    let read = BufReader::new(output).read_line(&mut line);
    assert!(read.is_ok() && line == "ready\n", "it is not ready: {line}");
    (child, start.elapsed())
}

fn end(child: &mut Child) {
    let ended = child.kill().and_then(|()| child.wait());
    ended.expect("it can be killed");
}

/// What the child does: it is ready, and is killed in the end.
fn as_child(what: &str, path: &Path, sessions: u64) {
    let store = store_in(path, Durability::Everysec);
    match what {
        "fill" => {
            for number in 0..sessions {
                wait(store.create(&key(number, 0), &session(number, false))).expect("room");
            }
        }
        "rewrite" => drop(store.rewrite().expect("the disk has room")),
        _ => {}
    }
    let journal = store.journal().expect("it has one");
    while journal.durable_up_to() < journal.appended() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let found = ready(store.load(&key(sessions / 2, 0))).expect("it answers");
    assert!(matches!(found, Lookup::Found(_)));
    let stats = ready(store.stats()).expect("it answers");
    assert_eq!(stats.sessions, sessions);
    println!("ready");
    loop {
        std::thread::park();
    }
}

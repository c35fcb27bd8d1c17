//! What a request costs on the wire: how often it waits for Redis, and the commands, for Cloakroom
//! and its peers. A proxy in front of Redis notes them; each application answers the same requests,
//! one at a time.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin trips`
//!
//! It fails if a request on Cloakroom takes another number of trips than its budget says.

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;

use cloakroom_bench::load::{Visitor, Way};
use cloakroom_bench::peers::App;
use cloakroom_bench::redis_server::RedisServer;
use cloakroom_bench::wire::{Capture, Seen};

/// What comes with a request.
#[derive(Clone, Copy)]
enum Brings {
    Nothing,
    /// A cookie that no server made.
    Nonsense,
    /// A cookie of the right form that nobody gave out.
    Guess,
    /// Its own session, with eight fields.
    Session,
}

/// A request; what it brings; its path; Cloakroom's budget of trips, packed and fields.
type Row = (&'static str, Brings, &'static str, [usize; 2]);

/// In this order: a process knows what it last saw of a session, and a save of unread fields in the
/// layout `fields` leaves it with nothing.
const TABLE: [Row; 12] = [
    (
        "anonymous, untouched",
        Brings::Nothing,
        "/untouched",
        [0, 0],
    ),
    ("anonymous, read", Brings::Nothing, "/read", [0, 0]),
    ("forged: nonsense, read", Brings::Nonsense, "/read", [0, 0]),
    (
        "forged: a guess, untouched",
        Brings::Guess,
        "/untouched",
        [0, 0],
    ),
    ("untouched", Brings::Session, "/untouched", [0, 0]),
    ("read", Brings::Session, "/read", [1, 1]),
    ("new id", Brings::Session, "/rotate", [1, 1]),
    ("save of one field", Brings::Session, "/write", [1, 1]),
    (
        "read, and save of one field",
        Brings::Session,
        "/read-write",
        [2, 2],
    ),
    (
        "new id, after a save alone",
        Brings::Session,
        "/rotate",
        [1, 2],
    ),
    ("login", Brings::Session, "/login/alice", [1, 1]),
    ("logout", Brings::Session, "/logout", [1, 1]),
];

fn main() -> ExitCode {
    let redis = RedisServer::start();
    let columns: Vec<_> = App::LAYERS.map(|app| (app, column(app, &redis))).into();
    println!("Trips to Redis that a request waits for, and its commands:\n");
    print!("| |");
    columns
        .iter()
        .for_each(|(app, _)| print!(" {} |", app.name()));
    println!("\n| --- |{}", " --- |".repeat(columns.len()));
    let mut kept = true;
    for (at, (name, _, _, budget)) in TABLE.iter().enumerate() {
        print!("| {name} |");
        for (app, column) in &columns {
            print!(" {} |", cell(&column[at]));
            let budget = match app {
                App::CloakroomPacked => budget[0],
                App::CloakroomFields => budget[1],
                _ => continue,
            };
            if column[at].trips != budget {
                eprintln!("{}: {name}: {:?}, not {budget}", app.name(), column[at]);
                kept = false;
            }
        }
        println!();
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn cell(seen: &Seen) -> String {
    match seen.trips {
        0 => "**0**".to_owned(),
        trips => format!("**{trips}** {}", seen.commands.join(", ")),
    }
}

/// What each request of the table costs on this application.
fn column(app: App, redis: &RedisServer) -> Vec<Seen> {
    let capture = Rc::new(Capture::start(redis.port()));
    let all = Rc::<RefCell<Vec<Seen>>>::default();
    let (seen, port) = (Rc::clone(&all), capture.port());
    app.in_process(port, async move |call| {
        let mut way = Way::InProcess(call);
        // Once for connections and scripts, which cost their trips once in a process's life.
        for counts in [false, true] {
            let mut visitor = Visitor::default();
            visitor.keep(&way.call("/fill", "").await);
            for (_, brings, path, _) in TABLE {
                let header = match brings {
                    Brings::Nothing => String::new(),
                    Brings::Nonsense => nonsense(visitor.header()),
                    Brings::Guess => guess(visitor.header()),
                    Brings::Session => visitor.header().to_owned(),
                };
                drop(capture.take());
                let answer = way.call(path, &header).await;
                if counts {
                    seen.borrow_mut().push(capture.take());
                }
                if matches!(brings, Brings::Session) {
                    visitor.keep(&answer);
                }
            }
        }
    });
    all.take()
}

/// The cookies' names with another value.
fn nonsense(header: &str) -> String {
    let names = header.split("; ").filter_map(|pair| pair.split('=').next());
    let pairs: Vec<String> = names.map(|name| format!("{name}=nonsense")).collect();
    pairs.join("; ")
}

/// The same cookies with other characters of the same kind inside.
fn guess(header: &str) -> String {
    let middle = header.len() / 2;
    let turned = header.bytes().enumerate().map(|(at, byte)| match byte {
        b'a' | b'b' if at > middle => char::from(b'a' + b'b' - byte),
        b'A'..=b'Y' if at > middle && at + 4 < header.len() => char::from(byte + 1),
        byte => char::from(byte),
    });
    turned.collect()
}

//! Through the Redis protocol: Cloakroom beside Debian's Redis and the newest Valkey and Redis that `./test tools`
//! finds, with `cloakroom bench` as the load. Each server is alone on one processor, the load on the other.
//! CPU time is the server's, from `/proc`, and the figure to trust: on two processors the load generator is often
//! what ends the throughput.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin resp -- [sessions] [seconds] [connections] [part..]`
//!
//! Parts, each of a few minutes: `commands`, `m1` to `m4`, `cores`, `memory`, `idle`. All of them, if none is named.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use cloakroom_bench::resp::{Kind, Load, Outcome, Programs, Server, Setup, outcome};
use rustix::process::{Resource, getrlimit, setrlimit};

/// The commands that are measured alone, as mixes of the load generator.
const COMMANDS: [(&str, &str); 5] = [
    ("get", "GET"),
    ("getex", "GETEX"),
    ("expire", "EXPIRE"),
    ("set", "SET EX as it was"),
    ("change", "SET EX, changed"),
];

/// Runs of which the least is shown.
const ROUNDS: usize = 3;

const PARTS: [(&str, fn(&Size)); 8] = [
    ("commands", commands),
    ("m1", |size| mix(size, "m1", size.sessions)),
    ("m2", |size| mix(size, "m2", size.sessions)),
    ("m3", |size| mix(size, "m3", size.sessions)),
    // Of some 6 KiB each.
    ("m4", |size| mix(size, "m4", size.sessions.div_ceil(10))),
    ("cores", cores),
    ("memory", memory),
    ("idle", idle),
];

/// How much is measured.
struct Size {
    sessions: u64,
    seconds: f64,
    connections: usize,
    programs: Programs,
}

impl Size {
    fn load(&self, mix: &'static str, pipeline: u32) -> Load {
        Load {
            mix,
            pipeline,
            sessions: self.sessions,
            seconds: self.seconds,
            warm_up: (self.seconds / 4.0).min(1.0),
            rate: None,
            load: false,
            seed: 1,
            order: 1,
            processors: "1",
        }
    }

    fn start(&self, setup: Setup) -> Server {
        Server::start(&self.programs, setup, "0")
    }

    /// Makes the sessions of a mix, and nothing else.
    fn fill(&self, server: &Server, mix: &'static str, sessions: u64, seed: u64) {
        let load = Load {
            seconds: 0.0,
            load: true,
            seed,
            sessions,
            ..self.load(mix, 64)
        };
        // It fails if anything does.
        let _ = load.run(&self.programs, server);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let mut number = |usual: f64| match arguments.peek().map(|text| text.parse()) {
        Some(Ok(number)) => {
            arguments.next();
            number
        }
        _ => usual,
    };
    let size = Size {
        sessions: number(1e6) as u64,
        seconds: number(0.5),
        connections: number(1e4) as usize,
        programs: Programs::find(),
    };
    let wanted: Vec<String> = arguments.collect();
    for word in &wanted {
        let is_part = PARTS.iter().any(|(name, _)| name == word);
        assert!(is_part, "there is no part {word:?}");
    }
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            part(&size);
            println!();
        }
    }
}

/// Each command alone, in pipelines and one by one.
fn commands(size: &Size) {
    let mut rows = Vec::new();
    for setup in Setup::all() {
        let server = size.start(setup);
        size.fill(&server, "get", size.sessions, 1);
        let outcomes = [16, 1].map(|pipeline| {
            COMMANDS.map(|(mix, _)| {
                // A rewrite that the row before began is no cost of this one.
                server.settle();
                let outcome = least(size, &size.load(mix, pipeline), &server);
                assert_eq!(outcome.all().missing, 0, "sessions are missing");
                outcome
            })
        });
        rows.push((server.name.clone(), setup.journal(), outcomes));
    }
    let named = COMMANDS.map(|(_, name)| name);
    for (at, pipeline) in [16, 1].into_iter().enumerate() {
        let sessions = size.sessions;
        let head = format!("pipeline {pipeline}, {sessions} sessions of 400 bytes");
        header(
            &head,
            "journal",
            &named.map(|name| format!("{name}: us of CPU, k/s, p50 / p99 ms")),
        );
        for (name, journal, outcomes) in &rows {
            let cells = outcomes[at].each_ref().map(cell);
            println!("| {name} | {journal} | {} |", cells.join(" | "));
        }
        println!();
    }
    header(
        "CPU of Cloakroom, sessions (plain keys), to that of",
        "journal",
        &[16, 1].map(|pipeline| format!("pipeline {pipeline}: {}", named.join(", "))),
    );
    for (name, journal, outcomes) in rows.iter().skip(2) {
        let cells = [0, 1].map(|at| {
            let ratio = |row: usize, command: usize| {
                rows[row].2[at][command].server_cpu_us / outcomes[at][command].server_cpu_us
            };
            let pair = |command| format!("{:.2} ({:.2})", ratio(0, command), ratio(1, command));
            [0, 1, 2, 3, 4].map(pair).join(", ")
        });
        println!("| {name} | {journal} | {} |", cells.join(" | "));
    }
}

/// The run of some that took the server the least CPU time: others are what else the machine did.
fn least(size: &Size, load: &Load, server: &Server) -> Outcome {
    let runs = (0..ROUNDS).map(|_| load.run(&size.programs, server));
    let least = runs.min_by(|one, other| one.server_cpu_us.total_cmp(&other.server_cpu_us));
    least.expect("there are rounds")
}

/// A mix of sessions' work: as fast as it goes, and at rates that Debian's Redis can hold. Each run begins with as many
/// sessions, when the server is done with what making them left behind.
fn mix(size: &Size, name: &'static str, sessions: u64) {
    let load = |pipeline: u32, rate: Option<f64>| Load {
        sessions,
        rate,
        seconds: size.seconds * ROUNDS as f64,
        ..size.load(name, pipeline)
    };
    let begun = |load: Load, server: &Server| {
        size.fill(server, name, sessions, load.seed);
        server.settle();
        load.run(&size.programs, server)
    };
    let setups = Setup::JOURNALED
        .into_iter()
        .filter(|setup| setup.kind != Kind::Keys);
    let servers: Vec<Setup> = setups.collect();
    let peak = {
        let server = size.start(servers[1]);
        assert_eq!(server.setup.kind, Kind::Redis);
        begun(load(1, None), &server).all().per_second
    };
    let rates = [0.5, 0.8].map(|share| share * peak);
    let columns = [
        "closed, pipeline 16: us of CPU, k/s, p50 / p99 ms".to_owned(),
        format!(
            "open, {:.0} k/s: us of CPU, p50 / p99 / p99.9 ms",
            rates[0] / 1e3
        ),
        format!(
            "open, {:.0} k/s: us of CPU, p50 / p99 / p99.9 ms",
            rates[1] / 1e3
        ),
    ];
    header(&format!("{name}, {sessions} sessions"), "journal", &columns);
    for setup in servers {
        let server = size.start(setup);
        let mut seed = 0;
        let mut run = |load: Load| {
            // Other sessions each time: to Cloakroom those that were signed out are over.
            seed += 1;
            server.empty();
            begun(Load { seed, ..load }, &server)
        };
        let closed = cell(&run(load(16, None)));
        let open = rates.map(|rate| open_cell(&run(load(1, Some(rate)))));
        let (name, journal) = (&server.name, setup.journal());
        println!("| {name} | {journal} | {closed} | {} |", open.join(" | "));
    }
}

/// What a second processor brings: here load and server share both, so the throughput follows from the CPU time
/// of an operation, with two threads at work.
fn cores(size: &Size) {
    header(
        &format!("Cloakroom, {} sessions, pipeline 16", size.sessions),
        "processors",
        &COMMANDS.map(|(_, name)| format!("{name}: us of CPU, so k/s")),
    );
    let mut speeds = Vec::new();
    for (processors, count) in [("0", 1), ("0,1", 2)] {
        let server = Server::start(&size.programs, Setup::JOURNALED[1], processors);
        size.fill(&server, "get", size.sessions, 1);
        let each = COMMANDS.map(|(mix, _)| {
            let before = server.cpu();
            let runs = [1, 2].map(|order| {
                let load = Load {
                    seconds: size.seconds * ROUNDS as f64,
                    warm_up: 0.0,
                    order,
                    processors: if count == 1 { "1" } else { "0,1" },
                    ..size.load(mix, 16)
                };
                load.begin(&size.programs, &server)
            });
            let done: u64 = runs.map(|run| outcome(run, true).all().count).iter().sum();
            (server.cpu() - before).as_secs_f64() * 1e6 / done as f64
        });
        let cells = each.map(|cpu| format!("{cpu:.2}, {:.0}", f64::from(count) * 1e3 / cpu));
        println!("| {} | {count} | {} |", server.name, cells.join(" | "));
        speeds.push(each.map(|cpu| f64::from(count) / cpu));
    }
    let ratios = [0, 1, 2, 3].map(|at| format!("x{:.2}", speeds[1][at] / speeds[0][at]));
    println!("| two to one | | {} |", ratios.join(" | "));
}

/// Resident memory of a session.
fn memory(size: &Size) {
    let head = format!("resident bytes a session, {} sessions", size.sessions);
    let columns = [
        "string of 400 bytes with TTL",
        "hash of 8 fields, one over 64 bytes, with TTL",
    ];
    header(&head, "journal", &columns.map(str::to_owned));
    for setup in Setup::JOURNALED {
        let mut name = String::new();
        let cells = ["get", "hgetall"].map(|mix| {
            // A fresh one each time: what was freed before would make the next look small.
            let server = size.start(setup);
            let before = server.resident();
            size.fill(&server, mix, size.sessions, 1);
            let after = server.resident();
            name.clone_from(&server.name);
            assert_eq!(server.keys(), size.sessions);
            format!(
                "{:.0}",
                after.saturating_sub(before) as f64 / size.sessions as f64
            )
        });
        println!("| {name} | {} | {} |", setup.journal(), cells.join(" | "));
    }
}

/// Connections that have said something once and are quiet since.
fn idle(size: &Size) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("it is within what is allowed");
    header(
        "idle connections",
        "count",
        &["resident bytes each".to_owned()],
    );
    for setup in Setup::JOURNALED
        .into_iter()
        .filter(|setup| setup.kind != Kind::Keys)
    {
        let server = size.start(setup);
        let before = server.resident();
        let connections: Vec<TcpStream> = (0..size.connections).map(|_| greeted(&server)).collect();
        // Redis takes buffers back from those that were quiet for two seconds.
        std::thread::sleep(Duration::from_secs_f64((size.seconds * 6.0).min(4.0)));
        let each = server.resident().saturating_sub(before) as f64 / connections.len() as f64;
        println!("| {} | {} | {each:.0} |", server.name, connections.len());
    }
}

fn greeted(server: &Server) -> TcpStream {
    let connected = TcpStream::connect(("127.0.0.1", server.port));
    let mut stream = connected.expect("it takes another connection");
    stream.write_all(b"PING\r\n").expect("it reads");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"+PONG\r\n");
    stream
}

fn header(first: &str, second: &str, columns: &[String]) {
    println!("| {first} | {second} | {} |", columns.join(" | "));
    println!("| --- | --- | {} |", vec!["---"; columns.len()].join(" | "));
}

fn cell(outcome: &Outcome) -> String {
    let all = outcome.all();
    let [p50, p99] = [all.p50_us, all.p99_us].map(|micros| micros / 1e3);
    let (cpu, speed) = (outcome.server_cpu_us, all.per_second / 1e3);
    format!("{cpu:.2}, {speed:.0}, {p50:.2} / {p99:.2}")
}

fn open_cell(outcome: &Outcome) -> String {
    let all = outcome.all();
    let [p50, p99, most] = [all.p50_us, all.p99_us, all.p999_us].map(|micros| micros / 1e3);
    let unanswered = match outcome.unanswered {
        0 => String::new(),
        count => format!(" ({count} unanswered)"),
    };
    format!(
        "{:.2}, {p50:.2} / {p99:.2} / {most:.2}{unanswered}",
        outcome.server_cpu_us
    )
}

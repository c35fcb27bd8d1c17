//! Fifty clients that are told of each write only when it is synced: `cloakroom serve --durability always`
//! beside Redis with `appendfsync always`, in turns, over the Redis protocol, without pipelines.
//! `always [sessions] [seconds] [rounds]`. The server is on one processor, the load on the other.

use cloakroom_bench::resp::{Kind, Load, Outcome, Programs, Server, Setup};
use cloakroom_bench::{disk_bytes_of, size_argument};

/// Each with what makes it sync every write.
const SERVERS: [(Kind, [&str; 2]); 3] = [
    (Kind::Sessions, ["--durability", "always"]),
    (Kind::Keys, ["--durability", "always"]),
    (Kind::Redis, ["--appendfsync", "always"]),
];

/// Of a key and its value.
const BYTES: f64 = 443.0;

fn main() {
    let sessions = size_argument(100_000);
    let argument = |at, usual| {
        let given = std::env::args().nth(at);
        given.map_or(usual, |text| text.parse().expect("a number"))
    };
    let (seconds, rounds) = (argument(2, 8), argument(3, 3));
    let programs = Programs::find();
    println!(
        "| `SET .. EX`, 50 clients, each write synced, {sessions} sessions | a second | p50 / p99 / p99.9, ms | CPU of the server, us | bytes to the disk for one of key and value |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    let mut best = [0.0_f64; 3];
    for round in 0..rounds {
        for (at, (kind, arguments)) in SERVERS.iter().enumerate() {
            let setup = Setup {
                kind: *kind,
                journal: true,
            };
            let server = Server::start_with(&programs, setup, "0", arguments);
            let load = load(sessions, seconds, round);
            let disk = || disk_bytes_of(&std::env::temp_dir());
            let before = disk();
            let outcome = load.run(&programs, &server);
            let written = disk()
                .zip(before)
                .map(|(after, before)| (after - before) as f64);
            let writes = sessions as f64
                + outcome.all().count as f64
                + load.warm_up * outcome.all().per_second;
            let amplified = written.map(|bytes| format!("{:.2}", bytes / writes / BYTES));
            print(&server.name, &outcome, amplified.as_deref().unwrap_or("-"));
            best[at] = best[at].max(outcome.all().per_second);
        }
    }
    let [sessions, keys, redis] = best;
    println!(
        "\nBest rounds: {:.2} times Redis' writes with sessions, {:.2} times with plain keys.",
        sessions / redis,
        keys / redis
    );
}

fn load(sessions: u64, seconds: u64, round: u64) -> Load {
    Load {
        mix: "change",
        pipeline: 1,
        sessions,
        seconds: seconds as f64,
        warm_up: 1.0,
        rate: None,
        load: true,
        seed: 1,
        order: round + 1,
        processors: "1",
    }
}

fn print(name: &str, outcome: &Outcome, amplified: &str) {
    let all = outcome.all();
    println!(
        "| {name} | {:.0} | {:.2} / {:.2} / {:.2} | {:.2} | {amplified} |",
        all.per_second,
        all.p50_us / 1e3,
        all.p99_us / 1e3,
        all.p999_us / 1e3,
        outcome.server_cpu_us
    );
}

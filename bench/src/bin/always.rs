//! Fifty clients that are told of each write only when it is synced: `cloakroom serve --durability always`
//! beside Redis with `appendfsync always`, in turns, over the Redis protocol, without pipelines.
//! `always [sessions] [seconds] [rounds]`. The server is on one processor, the load on the other.

use cloakroom_bench::resp::{Kind, Load, Outcome, Programs, Server, Setup};
use cloakroom_bench::size_argument;

/// Each with what makes it sync every write.
const SERVERS: [(Kind, [&str; 2]); 3] = [
    (Kind::Sessions, ["--durability", "always"]),
    (Kind::Keys, ["--durability", "always"]),
    (Kind::Redis, ["--appendfsync", "always"]),
];

fn main() {
    let sessions = size_argument(100_000);
    let argument = |at, usual| {
        let given = std::env::args().nth(at);
        given.map_or(usual, |text| text.parse().expect("a number"))
    };
    let (seconds, rounds) = (argument(2, 8), argument(3, 3));
    let programs = Programs::find();
    println!(
        "| `SET .. EX`, 50 clients, each write synced, {sessions} sessions | a second | p50 / p99 / p99.9, ms | CPU of the server, us |"
    );
    println!("| --- | ---: | ---: | ---: |");
    let mut best = [0.0_f64; 3];
    for round in 0..rounds {
        for (at, (kind, arguments)) in SERVERS.iter().enumerate() {
            let setup = Setup {
                kind: *kind,
                journal: true,
            };
            let server = Server::start_with(&programs, setup, "0", arguments);
            let outcome = load(sessions, seconds, round).run(&programs, &server);
            print(&server.name, &outcome);
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
        mix: "set",
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

fn print(name: &str, outcome: &Outcome) {
    let all = outcome.all();
    println!(
        "| {name} | {:.0} | {:.2} / {:.2} / {:.2} | {:.2} |",
        all.per_second,
        all.p50_us / 1e3,
        all.p99_us / 1e3,
        all.p999_us / 1e3,
        outcome.server_cpu_us
    );
}

//! The same application on Cloakroom and its peers, with sessions in one Redis: 64 clients, each of
//! which waits for its answer; 90 % reads, 9 % writes of one field, 1 % logins; every activity keeps
//! the session alive (sliding expiry). Then requests that read and write.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin web-redis -- [ms] [rounds] [sessions]`
//!
//! Each application is a process of its own with one thread that works, tied to one processor; Redis
//! has the other. First the requests are function calls inside that process, then HTTP over loopback
//! from this process, which then shares its processor with Redis. Rounds of all applications are
//! interleaved, so that a machine that changes its mind does it to all of them; medians are shown.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use cloakroom_bench::load::{Client, Connection, Outcome, Way, Work, fill, run};
use cloakroom_bench::peers::App;
use cloakroom_bench::redis_server::RedisServer;
use cloakroom_bench::{cpu_of, process_cpu, tie_to_processor};

const CLIENTS: usize = 64;
/// Processors: of the application, and of everything else.
const ITS: usize = 0;
const OURS: usize = 1;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["call", app, redis, sessions] => called(app, port(redis), number(sessions)),
        ["serve", app, redis] => served(app, port(redis)),
        _ => {
            let given = |at: usize, usual| words.get(at).map_or(usual, |text| number(text));
            let time = Duration::from_millis(given(0, 1_000) as u64);
            measure(time, given(1, 7), given(2, 8_192));
        }
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("arguments are numbers")
}

fn port(text: &str) -> u16 {
    text.parse().expect("a port")
}

fn app(word: &str) -> App {
    App::of(word).expect("an application of this program")
}

/// One run of one application.
#[derive(Clone, Copy)]
struct Row {
    outcome: Outcome,
    /// CPU time of the application's process, and of Redis.
    cpu: Duration,
    redis: Duration,
}

fn measure(time: Duration, rounds: usize, sessions: usize) {
    tie_to_processor(OURS);
    println!(
        "{CLIENTS} clients, {sessions} sessions of 400 bytes in 8 fields, medians of {rounds}"
    );
    println!("rounds of {time:?}; CPU in us per request.");
    for over_http in [false, true] {
        let redis = RedisServer::start();
        let mut running: Vec<_> = App::all()
            .map(|app| Running::start(app, over_http, redis.port(), sessions))
            .collect();
        for (work, title) in [
            (Work::Daily, "90 % reads, 9 % writes, 1 % logins"),
            (Work::ReadWrite, "read + write"),
        ] {
            let mut rows = vec![Vec::new(); running.len()];
            for round in 0..=rounds {
                for (app, rows) in running.iter_mut().zip(&mut rows) {
                    // An application without sessions has no field to read.
                    let row = app.run(work, time, &redis);
                    if round > 0 {
                        rows.push(row);
                    }
                }
            }
            let way = if over_http {
                "over HTTP"
            } else {
                "in its process"
            };
            println!("\n{title}, {way}:\n");
            report(&running, &rows);
        }
    }
}

fn report(running: &[Running], rows: &[Vec<Row>]) {
    println!(
        "| | requests/s | p50 us | p99 us | CPU | of it the session | Redis CPU | requests/s of packed, x | p99 of packed, x |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let of = |app: App| {
        let at = running.iter().position(|running| running.app == app);
        Medians::of(&rows[at.expect("all are measured")])
    };
    let packed = of(App::CloakroomPacked);
    for app in App::all() {
        let (it, bare) = (of(app), of(app.bare()));
        print!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.1} | ",
            app.name(),
            it.rate,
            it.p50,
            it.p99,
            it.cpu
        );
        if app == app.bare() {
            println!("| | | |");
            continue;
        }
        println!(
            "{:.1} | {:.1} | {:.2} | {:.2} |",
            it.cpu - bare.cpu,
            it.redis,
            packed.rate / it.rate,
            packed.p99 / it.p99
        );
    }
}

/// Medians of all rounds, each figure by itself.
struct Medians {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    redis: f64,
}

impl Medians {
    fn of(rows: &[Row]) -> Self {
        let median = |figure: &dyn Fn(&Row) -> f64| {
            let mut all: Vec<f64> = rows.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let each = |row: &Row, time: Duration| micros(time) / row.outcome.requests as f64;
        Self {
            rate: median(&|row| row.outcome.rate()),
            p50: median(&|row| micros(row.outcome.p50)),
            p99: median(&|row| micros(row.outcome.p99)),
            cpu: median(&|row| each(row, row.cpu)),
            redis: median(&|row| each(row, row.redis)),
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// An application in a process of its own.
struct Running {
    app: App,
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Where the load comes from here.
    http: Option<Load>,
}

/// Clients in this process.
struct Load {
    runtime: tokio::runtime::Runtime,
    set: tokio::task::LocalSet,
    clients: Vec<Client>,
}

impl Running {
    fn start(app: App, over_http: bool, redis: u16, sessions: usize) -> Self {
        let own = std::env::current_exe().expect("this program has a path");
        let verb = if over_http { "serve" } else { "call" };
        let mut command = Command::new(own);
        command.args([verb, app.word(), &redis.to_string()]);
        if !over_http {
            command.arg(sessions.to_string());
        }
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("this program starts again");
        let mut running = Self {
            app,
            to: process.stdin.take().expect("it is a pipe"),
            from: BufReader::new(process.stdout.take().expect("it is a pipe")),
            process,
            http: None,
        };
        let said = running.line();
        if over_http {
            running.http = Some(Load::of(port(&said), sessions));
        }
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it speaks in lines");
        line.trim().to_owned()
    }

    fn run(&mut self, work: Work, time: Duration, redis: &RedisServer) -> Row {
        let redis_before = redis.cpu();
        let (outcome, cpu) = match &mut self.http {
            Some(load) => {
                let before = cpu_of(self.process.id());
                let outcome = load.run(work, time);
                (outcome, cpu_of(self.process.id()) - before)
            }
            None => {
                let asked = writeln!(self.to, "{} {}", work.word(), time.as_millis());
                asked.expect("it listens");
                let said = self.line();
                let mut numbers = said.split(' ').map(|text| {
                    let nanos = text.parse().expect("it answers in numbers");
                    Duration::from_nanos(nanos)
                });
                let mut next = || numbers.next().expect("five numbers");
                let requests = next().as_nanos() as u64;
                let outcome = Outcome {
                    requests,
                    took: next(),
                    p50: next(),
                    p99: next(),
                };
                (outcome, next())
            }
        };
        Row {
            outcome,
            cpu,
            redis: redis.cpu() - redis_before,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("{} did not end: {error}", self.app.name());
        }
    }
}

impl Load {
    fn of(port: u16, sessions: usize) -> Self {
        let runtime = runtime();
        let set = tokio::task::LocalSet::new();
        let clients = set.block_on(&runtime, async {
            let mut clients = Vec::new();
            for number in 0..CLIENTS {
                let way = Way::Http(Connection::open(port).await);
                clients.push(Client::new(number as u64, way));
            }
            fill(clients, sessions.div_ceil(CLIENTS)).await
        });
        Self {
            runtime,
            set,
            clients,
        }
    }

    fn run(&mut self, work: Work, time: Duration) -> Outcome {
        let clients = std::mem::take(&mut self.clients);
        let (clients, outcome) = self.set.block_on(&self.runtime, run(clients, work, time));
        self.clients = clients;
        outcome
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

/// The application's process: serves over HTTP until it is ended.
fn served(word: &str, redis: u16) {
    tie_to_processor(ITS);
    app(word).serve(redis, |port| println!("{port}"));
}

/// The application's process: calls it as it is told, line by line.
fn called(word: &str, redis: u16, sessions: usize) {
    tie_to_processor(ITS);
    app(word).in_process(redis, async |call| {
        let clients = (0..CLIENTS as u64).map(|number| {
            let call = std::rc::Rc::clone(&call);
            Client::new(number, Way::InProcess(call))
        });
        let mut clients = fill(clients.collect(), sessions.div_ceil(CLIENTS)).await;
        println!("ready");
        let mut line = String::new();
        while std::io::stdin()
            .read_line(&mut line)
            .is_ok_and(|read| read > 0)
        {
            let (work, time) = line.trim().split_once(' ').expect("work and time");
            let work = Work::of(work).expect("work of this program");
            let time = Duration::from_millis(number(time) as u64);
            let before = process_cpu();
            let (back, outcome) = run(clients, work, time).await;
            clients = back;
            println!(
                "{} {} {} {} {}",
                outcome.requests,
                outcome.took.as_nanos(),
                outcome.p50.as_nanos(),
                outcome.p99.as_nanos(),
                (process_cpu() - before).as_nanos()
            );
            line.clear();
        }
    });
}

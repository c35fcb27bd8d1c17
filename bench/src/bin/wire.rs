//! The wire clients side by side, on what decides about them: CPU time of a call and the wait of 64
//! callers on one connection; what happens when the server hangs, and when it comes back; whether
//! a caller who leaves ever shifts the answers of others. `wire [calls] [cancelled calls]`. Needs
//! Debian's redis-server.
//!
//! All clients run in this process, in turns, against one server. CPU time is the process's, which
//! the server is no part of.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cloakroom_bench::wire_clients::{Answer, Fred, Redis1, Redis2, Rustis, WireClient};
use cloakroom_bench::{mix, process_cpu, size_argument};
use hdrhistogram::Histogram;

const CALLERS: u64 = 64;
const KEYS: u64 = 1_000;
const ROUNDS: usize = 6;
const DEADLINE: Duration = Duration::from_millis(300);
/// How long somebody waits for a call that should have ended long before.
const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let calls = size_argument(100_000);
    let cancelled = std::env::args().nth(2).map_or(200_000, |text| {
        text.parse().expect("give the number of cancelled calls")
    });
    let server = Server::start();
    server.fill().await;
    let clients = (
        Redis1::connect(server.port, DEADLINE).await,
        Redis2::connect(server.port, DEADLINE).await,
        Fred::connect(server.port, DEADLINE).await,
        Rustis::connect(server.port, DEADLINE).await,
    );
    for what in [What::Get, What::Load] {
        println!(
            "\n| {} of 400 bytes, {calls} calls, {ROUNDS} rounds in turns | CPU us a call: least | median | calls/s: best | p50 us | p99 us |",
            what.name()
        );
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
        let mut rounds: [Vec<Round>; 4] = Default::default();
        for _ in 0..ROUNDS {
            rounds[0].push(measure(&clients.0, what, calls).await);
            rounds[1].push(measure(&clients.1, what, calls).await);
            rounds[2].push(measure(&clients.2, what, calls).await);
            rounds[3].push(measure(&clients.3, what, calls).await);
        }
        for (name, rounds) in [Redis1::NAME, Redis2::NAME, Fred::NAME, Rustis::NAME]
            .iter()
            .zip(rounds)
        {
            print_rounds(name, rounds);
        }
    }
    println!(
        "\n| {CALLERS} callers left at random, {cancelled} calls | left | answered | failed | the answer of another call | a failure |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | --- |");
    leave(&clients.0, cancelled).await;
    leave(&clients.1, cancelled).await;
    leave(&clients.2, cancelled).await;
    leave(&clients.3, cancelled).await;
    println!(
        "\n| the server hangs, deadline {} ms | calls ended after ms: first | last | ended by error | wrong after it came back | right again after ms |",
        DEADLINE.as_millis()
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    hang(&server, &clients.0).await;
    hang(&server, &clients.1).await;
    hang(&server, &clients.2).await;
    hang(&server, &clients.3).await;
}

#[derive(Clone, Copy)]
enum What {
    Get,
    Load,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Load => "GET, PTTL and GET in one trip",
        }
    }
}

async fn call<C: WireClient>(client: &C, what: What, number: u64) -> Answer {
    let key = name(number);
    match what {
        What::Get => client.get(&key).await,
        What::Load => client.load(&key).await,
    }
}

struct Round {
    cpu: f64,
    rate: f64,
    waits: Histogram<u64>,
}

/// All callers share one connection, as the requests of a process do.
async fn measure<C: WireClient>(client: &C, what: What, calls: u64) -> Round {
    let (cpu, begun) = (process_cpu(), Instant::now());
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut waits = histogram();
                for at in 0..calls / CALLERS {
                    let number = mix(caller << 32 | at) % KEYS;
                    let begun = Instant::now();
                    let answer = call(&client, what, number).await;
                    let wait = begun.elapsed().as_nanos() as u64;
                    waits.record(wait).expect("any time fits");
                    assert!(is_right(number, &answer), "{}: {answer:?}", C::NAME);
                }
                waits
            })
        })
        .collect();
    let mut waits = histogram();
    for caller in callers {
        let others = caller.await.expect("callers do not panic");
        waits.add(others).expect("they are of one kind");
    }
    let done = waits.len() as f64;
    Round {
        cpu: (process_cpu() - cpu).as_secs_f64() * 1e6 / done,
        rate: done / begun.elapsed().as_secs_f64(),
        waits,
    }
}

/// Of the waits the round with the least p99 is shown: others take the processors away.
fn print_rounds(name: &str, mut rounds: Vec<Round>) {
    rounds.sort_by(|one, other| one.cpu.total_cmp(&other.cpu));
    let rate = rounds.iter().map(|round| round.rate).fold(0.0, f64::max);
    let quiet = rounds
        .iter()
        .min_by_key(|round| round.waits.value_at_quantile(0.99));
    let waits = &quiet.expect("there are rounds").waits;
    let wait = |quantile| waits.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "| {name} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} |",
        rounds[0].cpu,
        rounds[rounds.len() / 2].cpu,
        rate,
        wait(0.5),
        wait(0.99)
    );
}

/// Callers that leave before their answer came: nobody may ever get an answer to another question.
async fn leave<C: WireClient>(client: &C, calls: u64) {
    let counts: Arc<[AtomicU64; 4]> = Arc::default();
    let failure: Arc<OnceLock<String>> = Arc::default();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (client, counts) = (client.clone(), Arc::clone(&counts));
            let failure = Arc::clone(&failure);
            tokio::spawn(async move {
                for at in 0..calls / CALLERS {
                    let chance = mix(caller << 32 | at);
                    let number = chance % KEYS;
                    // Up to some turns of the runtime, which is about when answers come.
                    let turns = chance >> 32 & 7;
                    let left = async {
                        for _ in 0..turns {
                            tokio::task::yield_now().await;
                        }
                    };
                    let what = if chance >> 48 & 1 == 0 {
                        What::Get
                    } else {
                        What::Load
                    };
                    let at = tokio::select! {
                        biased;
                        answer = call(&client, what, number) => match answer {
                            // An error is no answer at all: it is not counted as a wrong one.
                            Err(error) => {
                                failure.get_or_init(|| error);
                                2
                            }
                            answer if is_right(number, &answer) => 1,
                            Ok(_) => 3,
                        },
                        () = left => 0,
                    };
                    counts[at].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("callers do not panic");
    }
    let [left, answered, failed, wrong] = [0, 1, 2, 3].map(|at| counts[at].load(Ordering::Relaxed));
    let failure = failure.get().map_or("", String::as_str);
    println!(
        "| {} | {left} | {answered} | {failed} | {wrong} | {failure} |",
        C::NAME
    );
}

/// The server is stopped as a machine that swaps is: nothing closes, nothing answers.
async fn hang<C: WireClient>(server: &Server, client: &C) {
    server.signal("STOP");
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let called = tokio::time::timeout(PATIENCE, call(&client, What::Get, number));
                let ended_by_error = matches!(called.await, Ok(Err(_)));
                (begun.elapsed(), ended_by_error)
            })
        })
        .collect();
    let mut ends = Vec::new();
    for caller in callers {
        ends.push(caller.await.expect("callers do not panic"));
    }
    server.signal("CONT");
    let begun = Instant::now();
    let (mut wrong, mut right, mut at) = (0, 0, 0);
    let mut again = None;
    // Other keys than before, so that an answer to a call of before is noticed.
    while right < KEYS - CALLERS && begun.elapsed() < PATIENCE {
        let number = CALLERS + at % (KEYS - CALLERS);
        at += 1;
        match call(client, What::Get, number).await {
            Err(_) => {}
            answer if is_right(number, &answer) => {
                right += 1;
                again = again.or(Some(begun.elapsed()));
            }
            Ok(_) => wrong += 1,
        }
    }
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let times = || ends.iter().map(|(time, _)| *time);
    println!(
        "| {} | {:.0} | {:.0} | {} of {CALLERS} | {wrong} | {} |",
        C::NAME,
        millis(times().min().expect("there are callers")),
        millis(times().max().expect("there are callers")),
        ends.iter().filter(|(_, by_error)| *by_error).count(),
        again.map_or_else(|| "never".to_owned(), |time| format!("{:.1}", millis(time))),
    );
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits")
}

fn name(number: u64) -> String {
    format!("session:{number:043}")
}

/// 400 bytes that name their key.
fn content(number: u64) -> String {
    format!("{number:0400}")
}

fn is_right(number: u64, answer: &Answer) -> bool {
    matches!(answer, Ok(bytes) if *bytes == content(number).as_bytes())
}

/// A server of this program's own, on a free loopback port, with nothing on disk.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free loopback port").port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn();
        let process = process.unwrap_or_else(|error| {
            panic!("redis-server does not start ({error}): run `apt-get install -y redis-server`")
        });
        Self { process, port }
    }

    async fn fill(&self) {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port));
        let client = client.expect("a URL of redis");
        let begun = Instant::now();
        let mut connection = loop {
            match client.get_multiplexed_async_connection().await {
                Ok(connection) => break connection,
                Err(error) if begun.elapsed() > Duration::from_secs(10) => {
                    panic!("redis-server does not answer: {error}")
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let mut pipe = redis::pipe();
        for number in 0..KEYS {
            let set = pipe.cmd("SET").arg(name(number)).arg(content(number));
            set.arg("EX").arg(86_400).ignore();
        }
        pipe.cmd("SET").arg("epoch").arg("8 bytes.").ignore();
        let () = pipe
            .query_async(&mut connection)
            .await
            .expect("it is filled");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the server can be signalled"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("the server was not ended: {error}");
        }
    }
}

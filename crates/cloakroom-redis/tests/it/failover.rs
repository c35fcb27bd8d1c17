//! Failovers by Sentinel under load, with a history of what was acknowledged: in either mode no
//! acknowledged revocation is undone, in `safe` no acknowledged create is lost.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_redis::RedisStore;

use crate::constellation::{Constellation, Ear};
use crate::history::{History, Report};
use crate::mesh::{Mesh, Side};
use crate::visitors::Load;

/// The longest that one call may take.
const TIMEOUT: Duration = Duration::from_millis(500);
const HANG: Duration = Duration::from_secs(20);
const CUT: Duration = Duration::from_secs(10);

/// The parameters of the URL that are run in each mode; layouts and ways to write are mixed in.
const SAFE: [&str; 4] = ["", "&scripts=never", "&layout=fields", ""];
const FAST: [&str; 4] = [
    "&durability=fast",
    "&durability=fast&layout=fields",
    "&durability=fast",
    "&durability=fast&scripts=never",
];

#[test]
fn a_killed_primary() {
    safe("kill -9", || run(SAFE[0], kill));
}

#[test]
fn a_killed_primary_when_fast() {
    fast("kill -9", || run(FAST[0], kill));
}

#[test]
fn a_failover_by_command() {
    safe("SENTINEL FAILOVER", || run(SAFE[1], by_command));
}

#[test]
fn a_failover_by_command_when_fast() {
    fast("SENTINEL FAILOVER", || run(FAST[1], by_command));
}

/// The primary hangs without closing anything, and comes back when another is primary: for a moment
/// it still believes that it is.
#[test]
fn a_hung_primary() {
    safe("SIGSTOP for 20 s", || run(SAFE[2], hang));
}

#[test]
fn a_hung_primary_when_fast() {
    fast("SIGSTOP for 20 s", || run(FAST[2], hang));
}

/// The primary, a sentinel and half of the clients are cut off. They still reach each other, so the old
/// primary goes on; the others get a new one. Then the network heals.
#[test]
fn a_cut_off_primary() {
    safe("cut in two for 10 s", || run_cut(SAFE[3]));
}

#[test]
fn a_cut_off_primary_when_fast() {
    fast("cut in two for 10 s", || run_cut(FAST[3]));
}

/// The primary and one replica are cut off with half of the clients: most servers are there, and most
/// sentinels are not. What that replica confirms is lost, so it may not be enough.
#[test]
fn a_cut_off_primary_with_a_replica() {
    safe("cut in two, a replica with it", || {
        run_cut_with(&[0, 1], SAFE[0])
    });
}

fn kill(constellation: &mut Constellation) {
    constellation.servers[0].kill();
}

fn by_command(constellation: &mut Constellation) {
    constellation.sentinels[0].cli(&["SENTINEL", "FAILOVER", "shop"]);
}

fn hang(constellation: &mut Constellation) {
    constellation.servers[0].signal("STOP");
    std::thread::sleep(HANG);
    constellation.servers[0].signal("CONT");
}

fn safe(fault: &str, run: impl Fn() -> Report) {
    let report = repeat("safe", fault, run);
    assert_eq!(report.creates_lost, 0, "{report:?}");
    assert_eq!(report.superseded_undone, 0, "{report:?}");
}

fn fast(fault: &str, run: impl Fn() -> Report) {
    repeat("fast", fault, run);
}

/// Once, or as often as `CLOAKROOM_HISTORIES` says; prints a row of the table.
fn repeat(mode: &str, fault: &str, run: impl Fn() -> Report) -> Report {
    let rounds = std::env::var("CLOAKROOM_HISTORIES").map_or(1, |rounds| {
        rounds.parse().expect("CLOAKROOM_HISTORIES is a number")
    });
    let mut report = Report::default();
    for _ in 0..rounds {
        report.add(&run());
    }
    eprintln!("{}", report.row(mode, fault));
    assert_eq!(report.revocations_undone, 0, "{report:?}");
    assert!(
        report.creates > 200 && report.revocations > 50,
        "hardly anything was tried: {report:?}"
    );
    // Generous: this is about calls that hang, and the machine may be busy.
    assert!(
        report.worst_overshoot < Duration::from_secs(2),
        "{report:?}"
    );
    report
}

/// Lets visitors come and go, `trouble` happen in the middle, and judges.
fn run(parameters: &str, trouble: impl FnOnce(&mut Constellation)) -> Report {
    let mut constellation = Constellation::start();
    let before = constellation.primary();
    let url = constellation.url(0, &timeout(parameters));
    let run = Run::start(&constellation, &[&url, &url, &url, &url]);
    trouble(&mut constellation);
    constellation.wait_for_another(before);
    run.end()
}

fn run_cut(parameters: &str) -> Report {
    run_cut_with(&[0], parameters)
}

/// `left`: the servers that are cut off, the primary among them.
fn run_cut_with(left: &[usize], parameters: &str) -> Report {
    let mesh = Mesh::new();
    let (constellation, doors) = Constellation::across(&mesh, left);
    let sides = [Side::Left, Side::Right].map(|side| doors.url(side, &timeout(parameters)));
    let run = Run::start(
        &constellation,
        &[&sides[0], &sides[1], &sides[0], &sides[1]],
    );
    run.history.cut_off(&[0, 2]);
    mesh.cut();
    std::thread::sleep(CUT);
    mesh.heal();
    run.history.healed();
    constellation.wait("the old primary as a replica", || {
        constellation.servers[0].cli(&["ROLE"]).starts_with("slave")
    });
    run.end()
}

fn timeout(parameters: &str) -> String {
    format!("timeout={}{parameters}", TIMEOUT.as_millis())
}

/// Clients at work.
struct Run {
    history: Arc<History>,
    runtime: tokio::runtime::Runtime,
    load: Load,
    ears: Vec<Ear>,
}

impl Run {
    fn start(constellation: &Constellation, urls: &[&str]) -> Self {
        let history = Arc::new(History::new(TIMEOUT));
        let ears = constellation.listen(&history);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime starts");
        // It has all the time that it needs, on a busy machine as well.
        let patient = format!("{}&timeout=10000", urls[1]);
        let load = runtime.block_on(async {
            let mut stores = Vec::new();
            for url in urls {
                stores.push(Arc::new(RedisStore::open(url).await.expect("it opens")));
            }
            let mut load = Load::start(&history, &stores);
            let operator = RedisStore::open(&patient).await.expect("it opens");
            tokio::time::sleep(Duration::from_millis(500)).await;
            load.revoke_all(operator).await;
            load
        });
        std::thread::sleep(Duration::from_millis(700));
        Self {
            history,
            runtime,
            load,
            ears,
        }
    }

    fn end(self) -> Report {
        std::thread::sleep(Duration::from_secs(3));
        let report = self.runtime.block_on(self.load.finish());
        drop(self.ears);
        report
    }
}

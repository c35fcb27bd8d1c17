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

#[test]
fn a_killed_primary() {
    safe(&run("kill", "", kill));
}

#[test]
fn a_killed_primary_when_fast() {
    let way = "&durability=fast&layout=fields";
    fast(&run("kill", way, kill));
}

#[test]
fn a_failover_by_command() {
    safe(&run("command", "&scripts=never", by_command));
}

#[test]
fn a_failover_by_command_when_fast() {
    fast(&run("command", "&durability=fast", by_command));
}

/// The primary hangs without closing anything, and comes back when another is primary: for a moment
/// it still believes that it is.
#[test]
fn a_hung_primary() {
    safe(&run("hang", "", hang));
}

#[test]
fn a_hung_primary_when_fast() {
    fast(&run("hang", "&durability=fast", hang));
}

/// The primary, a sentinel and half of the clients are cut off. They still reach each other, so the old
/// primary goes on; the others get a new one. Then the network heals.
#[test]
fn a_cut_off_primary() {
    safe(&run_cut(""));
}

#[test]
fn a_cut_off_primary_when_fast() {
    fast(&run_cut("&durability=fast"));
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

const HANG: Duration = Duration::from_secs(20);
const CUT: Duration = Duration::from_secs(10);

fn safe(report: &Report) {
    assert_eq!(report.creates_lost, 0, "{report}");
    assert_eq!(report.superseded_undone, 0, "{report}");
    fast(report);
}

fn fast(report: &Report) {
    assert_eq!(report.revocations_undone, 0, "{report}");
    assert!(
        report.creates > 200 && report.revocations > 50,
        "hardly anything was tried: {report}"
    );
    assert!(report.worst_overshoot < Duration::from_secs(2), "{report}");
}

/// Lets visitors come and go, `trouble` happen in the middle, and judges.
fn run(fault: &str, parameters: &str, trouble: impl FnOnce(&mut Constellation)) -> Report {
    let mut constellation = Constellation::start();
    let before = constellation.primary();
    let url = constellation.url(0, &timeout(parameters));
    let run = Run::start(&constellation, &[&url, &url, &url, &url]);
    trouble(&mut constellation);
    constellation.wait_for_another(before);
    run.end(fault, parameters)
}

fn run_cut(parameters: &str) -> Report {
    let mesh = Mesh::new();
    let (constellation, doors) = Constellation::across(&mesh);
    let [left, right] = [Side::Left, Side::Right].map(|side| doors.url(side, &timeout(parameters)));
    let run = Run::start(&constellation, &[&left, &right, &left, &right]);
    mesh.cut();
    std::thread::sleep(CUT);
    mesh.heal();
    constellation.wait("the old primary as a replica", || {
        constellation.servers[0].cli(&["ROLE"]).starts_with("slave")
    });
    run.end("cut", parameters)
}

fn timeout(parameters: &str) -> String {
    format!("timeout={}{parameters}", TIMEOUT.as_millis())
}

/// Clients at work.
struct Run {
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
        let load = runtime.block_on(async {
            let mut stores = Vec::new();
            for url in urls {
                stores.push(Arc::new(RedisStore::open(url).await.expect("it opens")));
            }
            Load::start(&history, &stores)
        });
        std::thread::sleep(Duration::from_millis(500));
        assert!(runtime.block_on(load.revoke_all(1)), "nothing is wrong yet");
        std::thread::sleep(Duration::from_millis(700));
        Self {
            runtime,
            load,
            ears,
        }
    }

    fn end(self, fault: &str, parameters: &str) -> Report {
        std::thread::sleep(Duration::from_secs(3));
        let report = self.runtime.block_on(self.load.finish());
        drop(self.ears);
        eprintln!("{fault} {parameters}: {report}");
        report
    }
}

//! Failovers by Sentinel under load, with a history of what was acknowledged: in either mode no
//! acknowledged revocation is undone, in `safe` no acknowledged create is lost. Those of one fault run side
//! by side.

use cloakroom_core::id::SlotTag;

use crate::constellation::{Constellation, Ear};
use crate::histories::{CLIENTS, CUT, FAST, HANG, Run, SAFE, fast, safe, side_by_side, timeout};
use crate::history::{History, Report};
use crate::mesh::{Cut, Mesh, Side};

#[test]
fn a_killed_primary() {
    side_by_side(&[
        || safe("kill -9", || run(SAFE[0], kill)),
        || fast("kill -9", || run(FAST[0], kill)),
    ]);
}

#[test]
fn a_failover_by_command() {
    side_by_side(&[
        || safe("SENTINEL FAILOVER", || run(SAFE[1], by_command)),
        || fast("SENTINEL FAILOVER", || run(FAST[1], by_command)),
    ]);
}

/// The primary hangs without closing anything, and comes back when another is primary: for a moment
/// it still believes that it is. Nobody waits for that.
#[test]
fn a_hung_primary() {
    side_by_side(&[
        || safe("SIGSTOP for 20 s", || run(SAFE[2], hang)),
        || fast("SIGSTOP for 20 s", || run(FAST[2], hang)),
    ]);
}

/// The primary, a sentinel and half of the clients are cut off. They still reach each other, so the old
/// primary goes on; the others get a new one. Then the network heals. And the same with a replica on the
/// wrong side: most servers are there, and most sentinels are not. What that replica confirms is lost, so it
/// may not be enough.
#[test]
fn a_cut_off_primary() {
    side_by_side(&[
        || safe("cut in two for 10 s", || run_cut(&[0], SAFE[3])),
        || fast("cut in two for 10 s", || run_cut(&[0], FAST[3])),
        || {
            safe("cut in two, a replica with it", || {
                run_cut(&[0, 1], SAFE[0])
            });
        },
    ]);
}

fn kill(constellation: &mut Constellation, _: &History) {
    constellation.servers[0].kill();
}

fn by_command(constellation: &mut Constellation, _: &History) {
    constellation.sentinels[0].cli(&["SENTINEL", "FAILOVER", "shop"]);
}

fn hang(constellation: &mut Constellation, history: &History) {
    constellation.servers[0].signal("STOP");
    std::thread::sleep(HANG);
    history.assert_all_are_back(CLIENTS);
    constellation.servers[0].signal("CONT");
}

/// Lets visitors come and go, `trouble` happen in the middle, and judges.
fn run(parameters: &str, trouble: impl FnOnce(&mut Constellation, &History)) -> Report {
    let mut constellation = Constellation::start();
    let before = constellation.primary();
    let url = constellation.url(0, &timeout(parameters));
    let run = start(&constellation, &[&*url; CLIENTS]);
    trouble(&mut constellation, &run.history);
    constellation.wait_for_another(before);
    run.end()
}

/// `left`: the servers that are cut off, the primary among them.
fn run_cut(left: &[usize], parameters: &str) -> Report {
    let mesh = Mesh::new();
    let (constellation, doors) = Constellation::across(&mesh, left);
    let sides = [Side::Left, Side::Right].map(|side| doors.url(side, &timeout(parameters)));
    let run = start(
        &constellation,
        &[&sides[0], &sides[1], &sides[0], &sides[1]],
    );
    run.history.cut_off(&[0, 2]);
    mesh.cut(Cut::IsHeldBack);
    std::thread::sleep(CUT);
    mesh.heal();
    run.history.healed();
    constellation.wait("the old primary as a replica", || {
        constellation.servers[0].cli(&["ROLE"]).starts_with("slave")
    });
    run.end()
}

fn start(constellation: &Constellation, urls: &[&str]) -> Run<Vec<Ear>> {
    let all = (0..4096).filter_map(SlotTag::new).collect();
    Run::start(all, |history| constellation.listen(history), urls)
}

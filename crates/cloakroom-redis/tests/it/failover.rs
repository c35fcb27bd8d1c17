//! Failovers by Sentinel under load, with a history of what was acknowledged: in either mode no
//! acknowledged revocation is undone, in `safe` no acknowledged create is lost.

use crate::constellation::{Constellation, Ear};
use crate::histories::{CUT, FAST, HANG, Run, SAFE, fast, safe, timeout};
use crate::history::Report;
use crate::mesh::{Cut, Mesh, Side};

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

/// Lets visitors come and go, `trouble` happen in the middle, and judges.
fn run(parameters: &str, trouble: impl FnOnce(&mut Constellation)) -> Report {
    let mut constellation = Constellation::start();
    let before = constellation.primary();
    let url = constellation.url(0, &timeout(parameters));
    let run = start(&constellation, &[&url, &url, &url, &url]);
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
    Run::start(|history| constellation.listen(history), urls)
}

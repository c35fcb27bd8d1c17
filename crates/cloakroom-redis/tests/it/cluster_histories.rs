//! Failures of a cluster under load, with a history of what was acknowledged, as behind Sentinel
//! (`failover.rs`): a primary that dies, hangs, steps down or is cut off with half of the clients, and
//! slots that move. Those that take long run side by side.

use crate::cluster::{self, Cluster, Ear, is_primary};
use crate::histories::{CLIENTS, CUT, FAST, HANG, Run, SAFE, fast, safe, side_by_side, timeout};
use crate::history::{History, Report};
use crate::mesh::{Cut, Mesh, Side};

/// The replicas of the first primary.
const SPARES: [usize; 2] = [3, 4];

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
        || safe("CLUSTER FAILOVER", || run(SAFE[1], by_command)),
        || fast("CLUSTER FAILOVER", || run(FAST[1], by_command)),
    ]);
}

/// The primary hangs without closing anything, and comes back when another is primary: for a moment
/// it still believes that it is. Nobody waits for that. And the same with most of the nodes, of which no
/// answer is waited for either: two primaries and a replica are left.
#[test]
fn a_hung_primary() {
    side_by_side(&[
        || safe("SIGSTOP for 20 s", || run(SAFE[2], hang(&[0]))),
        || fast("SIGSTOP for 20 s", || run(FAST[2], hang(&[0]))),
        || fast("SIGSTOP of 4 of 7", || run(FAST[0], hang(&[0, 4, 5, 6]))),
    ]);
}

/// A primary and half of the clients are cut off. They still reach each other, so the old primary goes on
/// until it notices; the others get a new one, sooner than that. Then the network heals. And the same with
/// a replica on the wrong side, and connections that are closed, so that the primary knows of no other:
/// what that replica confirms is lost, so it may not be enough.
#[test]
fn a_cut_off_primary() {
    side_by_side(&[
        || {
            safe("cut in two for 10 s", || {
                run_cut(&[0], Cut::IsHeldBack, SAFE[3])
            });
        },
        || {
            fast("cut in two for 10 s", || {
                run_cut(&[0], Cut::IsHeldBack, FAST[3])
            });
        },
        || {
            safe("cut in two, a replica with it", || {
                run_cut(&[0, 3], Cut::IsClosed, SAFE[0])
            });
        },
    ]);
}

#[test]
fn slots_that_move() {
    side_by_side(&[
        || safe("1200 slots move", || run(SAFE[0], reshard)),
        || fast("1200 slots move", || run(FAST[1], reshard)),
    ]);
}

fn kill(cluster: &mut Cluster, _: &History) {
    cluster.nodes[0].kill();
    wait_for_another(cluster);
}

fn by_command(cluster: &mut Cluster, _: &History) {
    cluster::ok(&cluster.nodes[SPARES[0]], &["CLUSTER", "FAILOVER"]);
    wait_for_another(cluster);
}

fn hang(hung: &[usize]) -> impl FnOnce(&mut Cluster, &History) {
    move |cluster, history| {
        let signal = |name| {
            for node in hung {
                cluster.nodes[*node].signal(name);
            }
        };
        signal("STOP");
        std::thread::sleep(HANG);
        history.assert_all_are_back(CLIENTS);
        signal("CONT");
        wait_for_another(cluster);
    }
}

fn reshard(cluster: &mut Cluster, _: &History) {
    cluster.move_slots(0, 1, 1200);
}

fn wait_for_another(cluster: &Cluster) {
    cluster.wait("a new primary", || {
        SPARES.iter().any(|node| is_primary(&cluster.nodes[*node]))
    });
}

/// Lets visitors come and go, `trouble` happen in the middle, and judges.
fn run(parameters: &str, trouble: impl FnOnce(&mut Cluster, &History)) -> Report {
    let mut cluster = Cluster::with_a_spare();
    let url = cluster.url(&timeout(parameters));
    let run = start(&cluster, &[&*url; CLIENTS]);
    trouble(&mut cluster, &run.history);
    run.end()
}

/// `left`: the nodes that are cut off, the first among them.
fn run_cut(left: &[usize], how: Cut, parameters: &str) -> Report {
    let mesh = Mesh::new();
    let (cluster, doors) = Cluster::across(&mesh, left);
    let url = |side| cluster::url_from(side, &doors, &timeout(parameters));
    let sides = [Side::Left, Side::Right].map(url);
    let run = start(&cluster, &[&sides[0], &sides[1], &sides[0], &sides[1]]);
    run.history.cut_off(&[0, 2]);
    mesh.cut(how);
    std::thread::sleep(CUT);
    mesh.heal();
    run.history.healed();
    cluster.wait("the old primary as a replica", || {
        !is_primary(&cluster.nodes[0])
    });
    run.end()
}

fn start(cluster: &Cluster, urls: &[&str]) -> Run<Vec<Ear>> {
    let concerned = cluster.tags_of_the_first();
    Run::start(concerned, |history| cluster.listen(&SPARES, history), urls)
}

//! `cloakroom backup`: a copy that is taken while the server writes, and writes its journal anew, has all that was
//! acknowledged before it began, and a server starts on it.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::process::{Server, TempDir, cloakroom};
use crate::resp::wire::{Reply, Wire};

/// Clients that write, each one number after the other.
const WRITERS: usize = 4;
const COPIES: usize = 5;

fn backup(from: &str, to: &str) -> Command {
    let mut command = cloakroom();
    command.args(["backup", from, to]);
    command
}

#[test]
fn a_copy_of_a_directory_in_use_has_all_that_was_acknowledged() {
    let server = Server::start(&["--durability", "always"]);
    let stop = Arc::new(AtomicBool::new(false));
    let counts: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let mut at_work = Vec::new();
    for (number, count) in counts.iter().enumerate() {
        let (mut wire, stop, count) = (Wire::to(&server), Arc::clone(&stop), Arc::clone(count));
        at_work.push(thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let next = count.load(Ordering::SeqCst) + 1;
                let padding = "x".repeat(2000);
                assert_eq!(
                    wire.ask(&format!("SET padding-{number} {padding}")),
                    Reply::ok()
                );
                assert_eq!(wire.ask(&format!("SET count-{number} {next}")), Reply::ok());
                count.store(next, Ordering::SeqCst);
            }
        }));
    }
    let (mut wire, stopped) = (Wire::to(&server), Arc::clone(&stop));
    at_work.push(thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            wire.ask("BGREWRITEAOF");
        }
    }));
    let from = server.data();
    let mut copies = Vec::new();
    for _ in 0..COPIES {
        let dir = TempDir::new();
        let before: Vec<_> = counts.iter().map(|it| it.load(Ordering::SeqCst)).collect();
        let to = dir.path().join("data");
        let done = backup(from.to_str().unwrap(), to.to_str().unwrap()).output();
        let done = done.unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        assert!(!dir.path().join("data.unfinished").exists());
        copies.push((dir, before));
    }
    stop.store(true, Ordering::SeqCst);
    for one in at_work {
        one.join().unwrap();
    }
    for (dir, before) in copies {
        let again = Server::start_in(dir, &[]);
        assert_eq!(again.key, server.key, "callers go on with their key");
        let mut wire = Wire::to(&again);
        for (number, before) in before.iter().enumerate() {
            let count = wire.ask(&format!("GET count-{number}"));
            let count = if *before == 0 {
                0
            } else {
                count.text().parse().unwrap()
            };
            assert!(
                count >= *before,
                "{count} of {before}: an acknowledged write is lost"
            );
        }
        assert!(!again.log().contains("WARN"), "{}", again.log());
    }
}

#[test]
fn what_cannot_be_copied_is_said_and_nothing_is_left() {
    let server = Server::start(&["--durability", "always"]);
    let mut wire = Wire::to(&server);
    for _ in 0..20 {
        wire.ask("INCR key");
    }
    let dir = server.killed();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (from, to) = (path("data"), path("copy"));
    let refused = |from: &str, to: &str, words: &str| {
        let done = backup(from, to).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(words), "{said}");
    };
    refused(&path("nothing"), &to, "is no data directory");
    refused(&from, &path("data"), "is there already");
    let segment = dir.path().join("data/journal/0000000001.journal");
    let mut bytes = std::fs::read(&segment).unwrap();
    // Behind what was written is room that was made.
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    refused(&from, &to, "0000000001.journal is damaged");
    std::fs::write(dir.path().join("data/format"), "cloakroom data 9\n").unwrap();
    refused(&from, &to, "use the version that wrote it");
    for left in ["copy", "copy.unfinished"] {
        assert!(!dir.path().join(left).exists(), "{left}");
    }
}

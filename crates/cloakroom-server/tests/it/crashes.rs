//! The real binary, killed again and again under load: what was acknowledged is there afterwards, as
//! the durability has it; what was ended is not. And what it says about a directory that is damaged.
//!
//! `CLOAKROOM_KILLS=200` makes it the long run of `./test --long`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::process::{self, Server, TempDir, cloakroom};

/// Rounds, unless more are asked for.
const KILLS: usize = 4;
/// Visitors at a time.
const VISITORS: usize = 12;
/// What `everysec` may lose.
const SECOND: Duration = Duration::from_secs(1);

/// A write of the number `count` into a session, or its end.
#[derive(Clone, Debug)]
struct Write {
    id: String,
    count: u64,
    end: bool,
    began: Instant,
    acknowledged: Option<Instant>,
}

/// One visitor: creates sessions, counts in them, ends some. Returns what was asked for.
async fn visit(server: Arc<Server>, seed: usize, stop: Arc<AtomicBool>) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut round = seed;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let began = Instant::now();
        let body = json!({"fields": {"count": 0}});
        let request = server.request(Method::POST, "/v1/sessions").json(&body);
        let Ok(response) = request.send().await else {
            break;
        };
        let Ok(body) = response.json::<serde_json::Value>().await else {
            break;
        };
        let Some(id) = body["id"].as_str().map(str::to_owned) else {
            break;
        };
        let mut write = Write {
            id,
            count: 0,
            end: false,
            began,
            acknowledged: Some(Instant::now()),
        };
        writes.push(write.clone());
        for count in 1..=(round % 7) as u64 + 1 {
            (write.count, write.began) = (count, Instant::now());
            write.end = count == 6;
            let method = if write.end {
                Method::DELETE
            } else {
                Method::PATCH
            };
            let mut request = server.request(method, "/v1/session");
            request = request.header("Cloakroom-Session", &write.id);
            if !write.end {
                request = request.json(&json!({"set": {"count": count}}));
            }
            let answer = request.send().await;
            let done = answer.is_ok_and(|answer| answer.status().is_success());
            write.acknowledged = done.then(Instant::now);
            writes.push(write.clone());
            if !done || write.end {
                break;
            }
        }
    }
    writes
}

/// What a session is after the restart: its count, or nothing.
async fn look(server: &Server, id: &str) -> Option<u64> {
    let (status, body) = server.read(id).await;
    assert!([200, 404, 410].contains(&status), "{status} {body}");
    body["fields"]["count"].as_u64()
}

/// Judges one round: `found` has, for each session, what is there now.
fn judge(
    writes: &[Write],
    found: impl Fn(&str) -> Option<u64>,
    killed: Instant,
    always: bool,
) -> usize {
    let ended: Vec<_> = writes.iter().filter(|write| write.end).collect();
    for end in ended.iter().filter(|end| end.acknowledged.is_some()) {
        assert_eq!(found(&end.id), None, "an acknowledged end is undone");
    }
    let may_be_ended = |id: &str| ended.iter().any(|end| end.id == id);
    let is_there = |write: &Write| found(&write.id).is_some_and(|count| count >= write.count);
    let of_the_living = || writes.iter().filter(|it| !it.end && !may_be_ended(&it.id));
    let lost: Vec<_> = of_the_living()
        .filter(|write| write.acknowledged.is_some() && !is_there(write))
        .collect();
    if always {
        assert!(
            lost.is_empty(),
            "{} acknowledged writes are lost",
            lost.len()
        );
    }
    let oldest = lost.iter().filter_map(|write| write.acknowledged).min();
    if let Some(oldest) = oldest {
        assert!(
            killed.duration_since(oldest) <= SECOND,
            "more than a second is lost"
        );
        // No gap: what began after the first lost one was acknowledged came later, and is lost too.
        let later = of_the_living().filter(|write| write.began > oldest);
        assert_eq!(later.filter(|write| is_there(write)).count(), 0, "a gap");
    }
    lost.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_what_the_durability_says_and_no_end_is_undone() {
    let kills = std::env::var("CLOAKROOM_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut dir = TempDir::new();
    let (mut acknowledged, mut lost) = (0, 0);
    let mut older: Vec<(String, Option<u64>)> = Vec::new();
    for round in 0..kills {
        let mode = ["always", "everysec"][round % 2];
        let server = Arc::new(Server::start_in(dir, &["--durability", mode]));
        let stop = Arc::new(AtomicBool::new(false));
        let visitors: Vec<_> = (0..VISITORS)
            .map(|seed| tokio::spawn(visit(Arc::clone(&server), seed + round, Arc::clone(&stop))))
            .collect();
        tokio::time::sleep(Duration::from_millis(150 + (round as u64 * 97) % 400)).await;
        server.signal("KILL");
        let killed = Instant::now();
        stop.store(true, Ordering::Relaxed);
        let mut writes = Vec::new();
        for visitor in visitors {
            writes.extend(visitor.await.unwrap());
        }
        let mut server = Arc::into_inner(server).expect("all visitors are gone");
        server.wait();
        dir = std::mem::replace(&mut server.dir, TempDir::new());
        drop(server);

        let mut server = Server::start_in(dir, &["--durability", mode]);
        let mut ids: Vec<_> = writes.iter().map(|write| write.id.clone()).collect();
        ids.dedup();
        ids.sort_unstable();
        ids.dedup();
        let mut found = std::collections::BTreeMap::new();
        for id in &ids {
            found.insert(id.clone(), look(&server, id).await);
        }
        acknowledged += writes.iter().filter(|it| it.acknowledged.is_some()).count();
        lost += judge(&writes, |id| found[id], killed, mode == "always");
        // What was there after earlier rounds still is.
        for (id, count) in older.drain(..) {
            assert_eq!(look(&server, &id).await, count, "of an earlier round");
        }
        older.extend(ids.iter().take(20).map(|id| (id.clone(), found[id])));
        server.signal("TERM");
        assert!(server.wait().success());
        dir = std::mem::replace(&mut server.dir, TempDir::new());
    }
    println!("{kills} kills, {acknowledged} acknowledged writes, {lost} lost under everysec");
    assert!(acknowledged > kills * 50, "there was load: {acknowledged}");
}

#[tokio::test]
async fn sessions_survive_a_restart_and_a_kill() {
    let mut server = Server::start(&["--durability", "always"]);
    let (kept, ended) = (server.login("ada").await, server.login("ada").await);
    server.patch(&kept, json!({"set": {"cart": ["tea"]}})).await;
    assert_eq!(
        server
            .about(&ended, Method::DELETE, "/v1/session", None)
            .await
            .0,
        200
    );
    for signal in ["TERM", "KILL"] {
        server.signal(signal);
        server.wait();
        let dir = std::mem::replace(&mut server.dir, TempDir::new());
        server = Server::start_in(dir, &["--durability", "always"]);
        let (status, body) = server.read(&kept).await;
        assert_eq!((status, &body["fields"]["cart"][0]), (200, &json!("tea")));
        // It is even remembered that it ended.
        assert_eq!(server.read(&ended).await.0, 410);
        server.heard(&["the journal is read"]);
    }
}

#[tokio::test]
async fn damage_is_refused_with_its_place_and_repaired() {
    let mut server = Server::start(&["--durability", "always"]);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(server.login("ada").await);
    }
    server.signal("TERM");
    assert!(server.wait().success());
    let data = server.data();
    let segment = data.join("journal/0000000001.journal");
    let mut bytes = fs::read(&segment).unwrap();
    // Behind what was written is room that was made.
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let path = data.to_str().unwrap();
    let mut serve = cloakroom();
    serve.args(["serve", "--http", "127.0.0.1:0", "--data", path]);
    let output = process::refused(&mut serve);
    let said = String::from_utf8(output.stderr).unwrap();
    let repair = format!("cloakroom repair --keep-what-verifies {path}");
    for words in ["0000000001.journal", "is damaged at byte", &repair] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let run = || {
        cloakroom()
            .args(["repair", "--keep-what-verifies", path])
            .output()
            .unwrap()
    };
    let output = run();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("lost: "), "{said}");
    assert!(said.contains("0000000001.journal.damaged"), "{said}");
    let output = run();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("nothing is damaged"), "{said}");

    let dir = std::mem::replace(&mut server.dir, TempDir::new());
    let server = Server::start_in(dir, &[]);
    let mut alive = 0;
    for id in &ids {
        alive += usize::from(server.read(id).await.0 == 200);
    }
    assert!(alive >= 19, "{alive} of 20");
    // A directory in use is not repaired.
    let output = run();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("another cloakroom server"),
        "{said}"
    );
}

#[tokio::test]
async fn a_torn_end_is_cut_and_told_and_a_later_version_is_left_alone() {
    let mut server = Server::start(&["--durability", "always"]);
    let id = server.login("ada").await;
    server.signal("KILL");
    server.wait();
    let data = server.data();
    let segment = data.join("journal/0000000001.journal");
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend_from_slice(&[7; 100]);
    fs::write(&segment, &bytes).unwrap();
    let dir = std::mem::replace(&mut server.dir, TempDir::new());
    let mut server = Server::start_in(dir, &[]);
    assert_eq!(server.read(&id).await.0, 200);
    server.heard(&[
        "bytes of 0000000001.journal (from byte",
        "were never synced and are torn",
    ]);
    server.signal("TERM");
    server.wait();

    let segment = data.join("journal/0000000002.journal");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8] = 9;
    let sum = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&sum.to_le_bytes());
    fs::write(&segment, &bytes).unwrap();
    let mut serve = cloakroom();
    serve.args(["serve", "--http", "127.0.0.1:0", "--data"]);
    let output = process::refused(serve.arg(&data));
    let said = String::from_utf8(output.stderr).unwrap();
    for words in [
        "0000000002.journal",
        "version 9",
        "use the version that wrote it",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

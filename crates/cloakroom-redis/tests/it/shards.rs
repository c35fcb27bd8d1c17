//! Independent nodes that share the sessions: the contract, and what happens to sessions while nodes
//! are added or taken away.

use std::time::{Duration, SystemTime};

use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::Subject;
use cloakroom_core::store::{Absence, Applied, Cursor, Lookup, Rotated};
use cloakroom_core::testkit::CASES;
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::contract::check_urls;
use crate::kit::{self, Ids, run};
use crate::server::Server;

const WAYS: [&str; 4] = [
    "",
    "&layout=fields",
    "&scripts=never",
    "&scripts=never&layout=fields",
];

#[test]
fn packed_on_three_shards() {
    let nodes = Nodes::start(3);
    check_urls(
        (0..CASES.len())
            .map(|number| nodes.url(3, number, ""))
            .collect(),
    );
}

#[test]
fn fields_on_three_shards_without_scripting() {
    let nodes = Nodes::start(3);
    let url = |number| nodes.url(3, number, "&layout=fields&scripts=never");
    check_urls((0..CASES.len()).map(url).collect());
}

/// The whole contract, while every session may have to be looked for at its old owner first.
#[test]
fn packed_while_sessions_move() {
    let nodes = Nodes::start(3);
    let url = |number| nodes.url(3, number, &nodes.moving(2, -60, 3600));
    check_urls((0..CASES.len()).map(url).collect());
}

#[test]
fn every_node_has_its_share() {
    let nodes = Nodes::start(3);
    run(async {
        let store = nodes.open(3, 0, "").await;
        let ids = Ids::new();
        for _ in 0..300 {
            let created = store.create(&ids.key(None), &ids.new_session(None)).await;
            created.expect("created");
        }
        for node in &nodes.0 {
            let keys = node.cli(&["--scan", "--pattern", "session:*"]);
            let keys = keys.lines().count();
            assert!((50..=150).contains(&keys), "a node has {keys} of 300");
        }
        assert_eq!(store.stats().await.expect("counted").sessions, 300);
        assert_eq!(all(&store).await, 300);
    });
}

/// Sessions that a third node takes over: each operation finds them, as its first and as its second.
#[test]
fn sessions_follow_their_tags() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let ids = Ids::new();
            let mut keys = Vec::new();
            for number in 0..60 {
                let key = ids.key(None);
                let new = ids.new_session(None);
                before.create(&key, &new).await.expect("created");
                let value = number.to_string();
                apply(&before, &key, "number", &value).await;
                keys.push(key);
            }
            let moving = format!("{way}{}", nodes.moving(2, -1, 3600));
            let after = nodes.open(3, database, &moving).await;
            assert_eq!(
                all(&after).await,
                60,
                "{way}: a scan finds all before they move"
            );
            for (number, key) in keys.iter().enumerate() {
                let value = number.to_string();
                match number % 4 {
                    0 => assert_eq!(text(&after, key, "number").await, Some(value), "{way}"),
                    1 => apply(&after, key, "more", "1").await,
                    2 => assert!(after.destroy(key).await.expect("destroyed"), "{way}"),
                    _ => {
                        let new = cloakroom_core::SessionId::generate(
                            key.tag(),
                            &cloakroom_core::OsEntropy,
                        );
                        let new = new.expect("there is entropy").key();
                        let plan = kit::rotation(Duration::ZERO);
                        let rotated = after.rotate(key, &new, &plan).await.expect("no error");
                        assert!(matches!(rotated, Rotated::Done(_)), "{way}: {rotated:?}");
                        assert_eq!(text(&after, &new, "number").await, Some(value), "{way}");
                    }
                }
            }
            for (number, key) in keys
                .iter()
                .enumerate()
                .filter(|(number, _)| number % 4 == 2)
            {
                let lookup = after.load(key).await.expect("no error");
                assert_eq!(lookup, Lookup::Absent(Absence::Ended), "{way}: {number}");
            }
            assert_eq!(
                all(&after).await,
                45,
                "{way}: each is found once after they moved"
            );
        }
    });
}

/// A process whose clock is late, or that asks in the moment of the change, neither loses a session
/// that another one moved, nor writes to what is left of it.
#[test]
fn who_is_late_learns_that_the_move_has_begun() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let early = format!("{way}{}", nodes.moving(2, -1, 3600));
            let late = format!("{way}{}", nodes.moving(2, 1800, 3600));
            let ids = Ids::new();
            let mut keys = Vec::new();
            let before = nodes.open(2, database, way).await;
            for _ in 0..40 {
                let key = ids.key(None);
                before
                    .create(&key, &ids.new_session(None))
                    .await
                    .expect("created");
                keys.push(key);
            }
            let early = nodes.open(3, database, &early).await;
            for key in &keys {
                apply(&early, key, "by", "the early one").await;
            }
            for first in 0..3 {
                let late = nodes.open(3, database, &late).await;
                let keys = keys.iter().skip(first * 10).take(10);
                for key in keys {
                    match first {
                        0 => {
                            let by = text(&late, key, "by").await;
                            assert_eq!(by.as_deref(), Some("the early one"), "{way}");
                        }
                        1 => apply(&late, key, "by", "both").await,
                        _ => {
                            assert!(late.destroy(key).await.expect("destroyed"), "{way}");
                            let lookup = early.load(key).await.expect("no error");
                            assert_eq!(lookup, Lookup::Absent(Absence::Ended), "{way}");
                        }
                    }
                }
            }
        }
    });
}

/// What is revoked while sessions move stays revoked, wherever they were.
#[test]
fn revoked_sessions_do_not_come_along() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let moving = format!("{way}{}", nodes.moving(2, -1, 3600));
            let after = nodes.open(3, database, &moving).await;
            let ids = Ids::new();
            for user in 0..12 {
                let user = kit::subject(&format!("user-{user}"));
                let keys = sign_in(&before, &ids, &user, 3).await;
                let listed = after.of_subject(&user).await.expect("listed");
                assert_eq!(listed.len(), 3, "{way}");
                let ended = after.revoke_subject(&user, None).await.expect("revoked");
                assert_eq!(ended, 3, "{way}");
                none_is_left(&after, &keys, way).await;
            }
            let user = kit::subject("everybody");
            let keys = sign_in(&before, &ids, &user, 3).await;
            after.revoke_all().await.expect("revoked");
            none_is_left(&after, &keys, way).await;
            none_is_left(&before, &keys, way).await;
        }
    });
}

/// A process with a late clock looks for what others have moved already, or have begun there.
#[test]
fn who_is_late_ends_what_has_moved() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let early = format!("{way}{}", nodes.moving(2, -1, 3600));
            let early = nodes.open(3, database, &early).await;
            let ids = Ids::new();
            for user in 0..12 {
                let user = kit::subject(&format!("user-{user}"));
                let mut keys = sign_in(&before, &ids, &user, 1).await;
                assert_eq!(early.of_subject(&user).await.expect("listed").len(), 1);
                keys.extend(sign_in(&early, &ids, &user, 1).await);
                let late = format!("{way}{}", nodes.moving(2, 20, 3600));
                let late = nodes.open(3, database, &late).await;
                let ended = late.revoke_subject(&user, None).await.expect("revoked");
                assert_eq!(ended, 2, "{way}");
                none_is_left(&early, &keys, way).await;
            }
            for _ in 0..12 {
                let key = ids.key(None);
                let created = early.create(&key, &ids.new_session(None)).await;
                created.expect("created");
                let late = format!("{way}{}", nodes.moving(2, 20, 3600));
                let late = nodes.open(3, database, &late).await;
                assert!(late.destroy(&key).await.expect("destroyed"), "{way}");
                none_is_left(&early, &[key], way).await;
            }
        }
    });
}

/// An old owner that forgot that a session left brings back no logged-out one.
#[test]
fn an_old_owner_that_comes_back_revives_nothing() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let moving = format!("{way}{}", nodes.moving(2, -1, 3600));
            let after = nodes.open(3, database, &moving).await;
            let ids = Ids::new();
            for _ in 0..12 {
                let key = ids.key(None);
                let new = ids.new_session(None);
                before.create(&key, &new).await.expect("created");
                let lookup = after.load(&key).await.expect("no error");
                assert!(matches!(lookup, Lookup::Found(_)), "{way}");
                nodes.forget(database);
                // It is what a restart on older data brings.
                drop(before.create(&key, &new).await);
                assert!(after.destroy(&key).await.expect("destroyed"), "{way}");
                // The marker at the new owner goes in time.
                nodes.forget(database);
                none_is_left(&after, &[key], way).await;
            }
        }
    });
}

/// A server under another name is the same server.
#[test]
fn a_server_with_two_names_keeps_its_sessions() {
    let nodes = Nodes::start(2);
    run(async {
        let before = nodes.open(2, 0, "").await;
        let ids = Ids::new();
        let user = kit::subject("alice");
        let keys = sign_in(&before, &ids, &user, 3).await;
        let window = nodes.moving(2, -1, 3600);
        let names = window.split("&moving=").nth(1).expect("a time");
        let [one, two] = [0, 1].map(|number| nodes.0[number].port);
        let old = format!("n0=localhost:{one}|n1=localhost:{two}");
        let url = nodes.url(2, 0, &format!("&moved-from={old}&moving={names}"));
        for round in 0..2 {
            let store = RedisStore::open(&url).await.expect("it opens");
            let listed = store.of_subject(&user).await.expect("listed");
            assert_eq!(listed.len(), 3, "{round}");
            for key in &keys {
                let lookup = store.load(key).await.expect("no error");
                assert!(matches!(lookup, Lookup::Found(_)), "{round}: {lookup:?}");
            }
        }
    });
}

/// The sessions of a subject are counted for a limit wherever they are.
#[test]
fn device_caps_count_what_has_not_moved() {
    let nodes = Nodes::start(3);
    run(async {
        let before = nodes.open(2, 0, "").await;
        let after = nodes.open(3, 0, &nodes.moving(2, -1, 3600)).await;
        let ids = Ids::new();
        for user in 0..8 {
            let user = kit::subject(&format!("user-{user}"));
            sign_in(&before, &ids, &user, 3).await;
            let mut new = ids.new_session(Some(&user));
            let on_excess = OnExcess::RevokeOldest;
            new.max_sessions = Some(MaxSessions {
                limit: 3,
                on_excess,
            });
            let created = after.create(&ids.key(Some(&user)), &new).await;
            created.expect("created");
            let listed = after.of_subject(&user).await.expect("listed");
            assert_eq!(listed.len(), 3);
        }
    });
}

/// A process that ends in the middle of a move leaves a session that the next request finds.
#[test]
fn a_move_that_was_left_half_way_is_finished() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let ids = Ids::new();
            let user = kit::subject("alice");
            let mut keys = sign_in(&before, &ids, &user, 3).await;
            for _ in 0..40 {
                let key = ids.key(None);
                before
                    .create(&key, &ids.new_session(None))
                    .await
                    .expect("created");
                keys.push(key);
            }
            let moving = format!("{way}{}", nodes.moving(2, -1, 3600));
            for (number, key) in keys.iter().enumerate() {
                // Given up at another moment each time.
                let after = nodes.open(3, database, &moving).await;
                let patience = Duration::from_micros(150 * (number as u64 % 12));
                drop(tokio::time::timeout(patience, after.load(key)).await);
            }
            let after = nodes.open(3, database, &moving).await;
            assert_eq!(
                after.of_subject(&user).await.expect("listed").len(),
                3,
                "{way}"
            );
            for (number, key) in keys.iter().enumerate() {
                let lookup = after.load(key).await.expect("no error");
                assert!(
                    matches!(lookup, Lookup::Found(_)),
                    "{way}, {number}: {lookup:?}"
                );
            }
            // What was given up goes on by itself; until it is through, a scan gives a session twice.
            for _ in 0..500 {
                if all(&after).await == keys.len() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(all(&after).await, keys.len(), "{way}");
        }
    });
}

/// An id that nobody made costs one look at the old owner, and only while sessions move.
#[test]
fn an_unknown_id_is_looked_for_once_at_the_old_owner() {
    let nodes = Nodes::start(3);
    run(async {
        let ids = Ids::new();
        for (moving, most) in [
            (nodes.moving(2, -1, 3600), 1),
            (nodes.moving(2, -3600, -60), 0),
        ] {
            let store = nodes.open(3, 0, &moving).await;
            let key = loop {
                let key = ids.key(None);
                store.load(&key).await.expect("warm");
                let before = nodes.reads(2);
                store.load(&key).await.expect("no error");
                // One whose tag moved: its new owner is the third node.
                if nodes.reads(2) > before {
                    break key;
                }
            };
            let before = nodes.reads(0) + nodes.reads(1);
            let lookup = store.load(&key).await.expect("no error");
            assert_eq!(lookup, Lookup::Absent(Absence::Unknown));
            assert_eq!(nodes.reads(0) + nodes.reads(1) - before, most);
        }
    });
}

struct Nodes(Vec<Server>);

impl Nodes {
    fn start(count: usize) -> Self {
        Self((0..count).map(|_| Server::start(&[])).collect())
    }

    fn list(&self, count: usize) -> String {
        let nodes = self.0.iter().take(count).enumerate();
        let nodes = nodes.map(|(number, node)| format!("n{number}=127.0.0.1:{}", node.port));
        nodes.collect::<Vec<_>>().join("|")
    }

    fn url(&self, count: usize, database: usize, parameters: &str) -> String {
        let list = self.list(count);
        format!("redis+shards://{list}?db={database}&timeout=30000{parameters}")
    }

    /// Sessions move from the first `count` nodes, from so many seconds from now on, until then.
    fn moving(&self, count: usize, begin: i64, end: i64) -> String {
        let at = |seconds: i64| {
            let now = SystemTime::now();
            let by = Duration::from_secs(seconds.unsigned_abs());
            let at = if seconds < 0 { now - by } else { now + by };
            humantime::format_rfc3339_millis(at).to_string()
        };
        let list = self.list(count);
        format!("&moved-from={list}&moving={}/{}", at(begin), at(end))
    }

    async fn open(&self, count: usize, database: usize, parameters: &str) -> RedisStore {
        let url = self.url(count, database, parameters);
        RedisStore::open(&url).await.expect("it opens")
    }

    /// Deletes the markers of all nodes, as time does.
    fn forget(&self, database: usize) {
        let database = database.to_string();
        for node in &self.0 {
            for key in node
                .cli(&["-n", &database, "--scan", "--pattern", "session:{*"])
                .lines()
            {
                let life = node.cli(&["-n", &database, "PTTL", key]);
                if life.parse::<u64>().is_ok_and(|life| life <= 120_000) {
                    node.cli(&["-n", &database, "DEL", key]);
                }
            }
        }
    }

    /// How many reads of strings a node was asked for.
    fn reads(&self, number: usize) -> u64 {
        let stats = self.0[number].cli(&["INFO", "commandstats"]);
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_get:calls="));
        let calls = line.and_then(|line| line.split(',').next()?.parse::<u64>().ok());
        calls.unwrap_or_default()
    }
}

async fn sign_in(store: &RedisStore, ids: &Ids, user: &Subject, count: usize) -> Vec<StoredKey> {
    let mut keys = Vec::new();
    for _ in 0..count {
        let key = ids.key(Some(user));
        let created = store.create(&key, &ids.new_session(Some(user))).await;
        created.expect("created");
        keys.push(key);
    }
    keys
}

async fn none_is_left(store: &RedisStore, keys: &[StoredKey], way: &str) {
    for key in keys {
        let lookup = store.load(key).await.expect("no error");
        assert!(matches!(lookup, Lookup::Absent(_)), "{way}: {lookup:?}");
    }
}

async fn apply(store: &RedisStore, key: &StoredKey, name: &str, value: &str) {
    let changes = kit::sets(name, value);
    let applied = store.apply(key, &changes, &Default::default()).await;
    let applied = applied.expect("no error");
    assert!(matches!(applied, Applied::Done { .. }), "{applied:?}");
}

async fn text(store: &RedisStore, key: &StoredKey, name: &str) -> Option<String> {
    let Lookup::Found(loaded) = store.load(key).await.expect("no error") else {
        return None;
    };
    let value = loaded.record.fields.get(name)?;
    Some(String::from_utf8_lossy(value.bytes).into_owned())
}

/// How many sessions a scan gives.
async fn all(store: &RedisStore) -> usize {
    let (mut cursor, mut count) = (Cursor::default(), 0);
    loop {
        let page = store.scan(cursor, 100).await.expect("a page");
        count += page.sessions.len();
        match page.next {
            Some(next) => cursor = next,
            None => return count,
        }
    }
}

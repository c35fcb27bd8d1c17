//! Independent nodes that share the sessions: the contract, and where sessions are.

mod apart;
mod moves;

use std::time::{Duration, SystemTime};

use cloakroom_core::record::Subject;
use cloakroom_core::store::{Absence, Applied, Cursor, Lookup};
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::contract::check_urls;
use crate::kit::{self, Ids, run};
use crate::server::Server;

#[test]
fn packed_on_three_shards() {
    let nodes = Nodes::start(3);
    check_urls(|number| nodes.url(3, number, ""));
}

#[test]
fn fields_on_three_shards_without_scripting() {
    let nodes = Nodes::start(3);
    let url = |number| nodes.url(3, number, "&layout=fields&scripts=never");
    check_urls(url);
}

/// The whole contract, while every session may have to be looked for at its old owner first.
#[test]
fn packed_while_sessions_move() {
    let nodes = Nodes::start(3);
    let url = |number| nodes.url(3, number, &nodes.moving(2, -60, 3600));
    check_urls(url);
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

    /// A store on three nodes, to which sessions of the first two move so many seconds from now on.
    async fn open_moving(&self, database: usize, way: &str, begin: i64) -> RedisStore {
        let moving = self.moving(2, begin, 3600);
        self.open(3, database, &format!("{way}{moving}")).await
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

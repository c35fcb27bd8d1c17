//! A primary of a cluster is cut off with a client, and its replica takes over at once, before anybody has
//! noticed: then both are believed, unless each has to be vouched for, and ends wait for older words. What
//! is ended on one side is not found on the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom_core::store::Lookup;
use cloakroom_core::{OsEntropy, SessionId, Store, StoredKey};
use cloakroom_redis::RedisStore;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::cluster::{self, Cluster};
use crate::histories::side_by_side;
use crate::kit::{self, Ids};
use crate::mesh::{Cut, Mesh, Side};
use crate::server::Server;

const SESSIONS: usize = 30;
/// How long the client that is cut off goes on looking after the last end.
const AFTERWARDS: Duration = Duration::from_secs(2);

#[test]
fn what_is_ended_is_not_found_on_the_other_side() {
    side_by_side(&[
        || ended_on_the_other_side(""),
        || ended_on_the_other_side("&durability=fast&scripts=never&layout=fields"),
    ]);
}

fn ended_on_the_other_side(parameters: &str) {
    let mesh = Mesh::new();
    let (cluster, doors) = Cluster::across(&mesh, &[0]);
    kit::run(async {
        let open = async |side: Side, timeout: u32| {
            let url = cluster::url_from(side, &doors, &format!("timeout={timeout}{parameters}"));
            Arc::new(kit::open_patiently(&url).await)
        };
        let left = open(Side::Left, 1_000).await;
        let right = open(Side::Right, 10_000).await;
        let keys = of_the_first(&cluster, &left).await;
        cluster.wait_until_whole();
        mesh.cut(Cut::IsHeldBack);
        cluster::ok(&cluster.nodes[3], &["CLUSTER", "FAILOVER", "TAKEOVER"]);
        let taken_over = Instant::now();
        // When the last look began that found each session.
        let found: Arc<[Mutex<Option<Instant>>]> = keys.iter().map(|_| Mutex::default()).collect();
        let mut looking = JoinSet::new();
        for (number, key) in keys.iter().enumerate() {
            looking.spawn(look(Arc::clone(&left), *key, number, Arc::clone(&found)));
        }
        follows(&right, &keys[0]).await;
        let ending = keys.iter().map(|key| {
            let (right, key) = (Arc::clone(&right), *key);
            tokio::spawn(async move {
                let found = right.destroy(&key).await.expect("it is ended");
                assert!(found, "it is there");
                Instant::now()
            })
        });
        let ending: Vec<_> = ending.collect();
        let mut ended = Vec::new();
        for end in ending {
            ended.push(end.await.expect("no end panics"));
        }
        tokio::time::sleep(AFTERWARDS).await;
        looking.shutdown().await;
        let found = found.iter().map(|found| *found.lock());
        let found: Vec<Option<Instant>> = found.collect();
        let last = found.iter().flatten().max();
        assert!(
            last.is_some_and(|last| *last > taken_over),
            "the old primary was believed for a while, or this shows nothing"
        );
        let undone = found.iter().zip(&ended);
        let undone = undone.filter(|(found, ended)| found.is_some_and(|found| found > **ended));
        assert_eq!(undone.count(), 0, "{parameters}: found after their ends");
        mesh.heal();
    });
}

/// The primary and one replica are cut off with a client, and the primary knows at once that the other replica
/// is gone. What the two of them have is not enough: the other one is promoted.
#[test]
fn what_one_side_confirms_is_not_enough() {
    side_by_side(&[
        || confirmed_on_one_side(""),
        || confirmed_on_one_side("&durability=fast"),
    ]);
}

fn confirmed_on_one_side(parameters: &str) {
    let mesh = Mesh::new();
    let (cluster, doors) = Cluster::across(&mesh, &[0, 3]);
    kit::run(async {
        let open = async |side: Side, parameters: String| {
            let url = cluster::url_from(side, &doors, &parameters);
            Arc::new(kit::open_patiently(&url).await)
        };
        let left = open(Side::Left, format!("timeout=1000{parameters}")).await;
        let right = open(Side::Right, format!("timeout=5000{parameters}")).await;
        let old = of_the_first(&cluster, &left).await;
        let young: Vec<_> = old.iter().map(|_| another_beside(&old[0])).collect();
        cluster.wait_until_whole();
        // Its calls are short from now on, so that each has many chances.
        let left = open(Side::Left, format!("timeout=200{parameters}")).await;
        mesh.cut(Cut::IsClosed);
        let cut = Instant::now();
        let (mut created, mut ended) = (Vec::new(), Vec::new());
        let mut pairs = old.iter().zip(&young).cycle();
        while cut.elapsed() < Duration::from_secs(2) {
            let (old, young) = pairs.next().expect("it is a cycle");
            let new = Ids::new().new_session(None);
            let (create, end) = tokio::join!(left.create(young, &new), left.destroy(old));
            created.extend(create.ok().map(|_| *young));
            ended.extend(end.ok().filter(|found| *found).map(|_| *old));
        }
        cluster.wait("the other replica as the primary", || {
            cluster::is_primary(&cluster.nodes[4])
        });
        follows(&right, &old[0]).await;
        let kept = cluster::alive(&right, &created).await;
        let undone = cluster::alive(&right, &ended).await;
        assert_eq!(undone, 0, "{parameters}: of {} ends", ended.len());
        if parameters.is_empty() {
            assert_eq!(kept, created.len(), "acknowledged creates that are there");
        }
        mesh.heal();
    });
}

/// Waits until the store reads from whoever has the key's slot now.
async fn follows(store: &RedisStore, key: &StoredKey) {
    for _ in 0..200 {
        let soon = Duration::from_millis(100);
        if matches!(tokio::time::timeout(soon, store.load(key)).await, Ok(Ok(_))) {
            return;
        }
    }
    panic!("the store does not find the new primary");
}

/// A key with the same tag.
fn another_beside(key: &StoredKey) -> StoredKey {
    let id = SessionId::generate(key.tag(), &OsEntropy);
    id.expect("there is entropy").key()
}

/// Sessions whose slots the first node has.
async fn of_the_first(cluster: &Cluster, store: &RedisStore) -> Vec<StoredKey> {
    created(cluster, store, |slot| slot <= cluster::FIRST_HAS).await
}

/// Sessions in such slots.
async fn created(
    cluster: &Cluster,
    store: &RedisStore,
    wanted: impl Fn(u16) -> bool,
) -> Vec<StoredKey> {
    let (ids, first) = (Ids::new(), &cluster.nodes[0]);
    let mut keys = Vec::new();
    while keys.len() < SESSIONS {
        let key = ids.key(None);
        if wanted(cluster::slot_of(first, key.tag().number())) {
            let created = store.create(&key, &ids.new_session(None)).await;
            created.expect("created");
            keys.push(key);
        }
    }
    keys
}

/// Looks for a session again and again.
async fn look(
    store: Arc<RedisStore>,
    key: StoredKey,
    number: usize,
    found: Arc<[Mutex<Option<Instant>>]>,
) {
    loop {
        let began = Instant::now();
        if let Ok(Lookup::Found(_)) = store.load(&key).await {
            *found[number].lock() = Some(began);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// It is promoted, and hangs before it could be told what was ended. Its own tags wait for it; the others'
/// primaries are asked as before, and believed, one among them that is new as well.
#[test]
fn a_new_primary_that_hangs_holds_up_its_own_tags_alone() {
    let cluster = Cluster::start();
    kit::run(async {
        let store = kit::open_patiently(&cluster.url("timeout=20000")).await;
        let old = of_the_first(&cluster, &store).await;
        let ended = store.destroy(&old[0]).await;
        assert!(ended.expect("it is ended"), "there is something to tell");
        let others = created(&cluster, &store, |slot| slot > cluster::FIRST_HAS).await;
        let id = cluster.nodes[3].cli(&["CLUSTER", "MYID"]);
        cluster::ok(&cluster.nodes[3], &["CLUSTER", "FAILOVER", "TAKEOVER"]);
        cluster.wait("the others, who name the new primary", || {
            let knows = |node: &Server| {
                let nodes = node.cli(&["CLUSTER", "NODES"]);
                let mut lines = nodes.lines().filter(|line| line.starts_with(&id));
                lines.all(|line| line.contains("master"))
            };
            cluster.nodes[1..3].iter().all(knows)
        });
        cluster.nodes[3].signal("STOP");
        let knock = async || {
            let load = store.load(&old[1]);
            drop(tokio::time::timeout(Duration::from_millis(50), load).await);
        };
        // It finds out that there is somebody new.
        for _ in 0..10 {
            knock().await;
        }
        cluster::ok(&cluster.nodes[4], &["CLUSTER", "FAILOVER", "TAKEOVER"]);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(6) {
            knock().await;
            for key in &others {
                let load = store.load(key);
                let load = tokio::time::timeout(Duration::from_secs(5), load).await;
                let load = load.expect("nothing is wrong with its server");
                assert!(matches!(load, Ok(Lookup::Found(_))), "{load:?}");
            }
        }
        cluster.nodes[3].signal("CONT");
        follows(&store, &old[1]).await;
    });
}

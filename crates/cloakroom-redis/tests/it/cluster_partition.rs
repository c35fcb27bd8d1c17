//! A primary of a cluster is cut off with a client, and its replica takes over at once, before anybody has
//! noticed: then both are believed, unless each has to be vouched for, and ends wait for older words. What
//! is ended on one side is not found on the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom_core::store::Lookup;
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::cluster::{self, Cluster};
use crate::histories::side_by_side;
use crate::kit::{self, Ids};
use crate::mesh::{Cut, Mesh, Side};

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
            Arc::new(RedisStore::open(&url).await.expect("it opens"))
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

/// Sessions whose slots the first node has.
async fn of_the_first(cluster: &Cluster, store: &RedisStore) -> Vec<StoredKey> {
    let (ids, first) = (Ids::new(), &cluster.nodes[0]);
    let mut keys = Vec::new();
    while keys.len() < SESSIONS {
        let key = ids.key(None);
        if cluster::slot_of(first, key.tag().number()) <= cluster::FIRST_HAS {
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

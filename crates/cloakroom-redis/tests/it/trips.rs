//! Promise 7, on the wire: how many trips each operation takes, in both layouts, with scripts and
//! without, and by `SET .. IFEQ`.

use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::{Condition, Rotation};
use cloakroom_core::store::Lookup;
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::cluster::{self, Cluster};
use crate::kit::{self, Ids};
use crate::proxy::Proxy;
use crate::server::{Brand, Server};

/// Operation; trips: packed, fields, packed without scripts, fields without scripts, packed by IFEQ, with
/// scripts and without.
const TABLE: &[(&str, [usize; 6])] = &[
    ("create", [1, 1, 2, 2, 1, 2]),
    ("create of a subject", [1, 1, 2, 2, 1, 2]),
    ("load", [1, 1, 1, 1, 1, 1]),
    ("load of nothing", [1, 1, 1, 1, 1, 1]),
    ("apply after load", [1, 1, 2, 2, 1, 1]),
    ("apply again", [1, 1, 2, 2, 1, 1]),
    ("apply by another process", [2, 1, 2, 2, 2, 2]),
    ("apply that meets another's write", [2, 1, 2, 2, 3, 3]),
    ("touch of three", [1, 1, 6, 6, 1, 2]),
    ("rotate after load", [1, 1, 2, 2, 1, 2]),
    ("login after load", [1, 1, 2, 2, 1, 2]),
    ("login within a cap", [1, 1, 2, 2, 1, 2]),
    ("destroy after load", [1, 1, 2, 2, 1, 2]),
    ("of_subject", [2, 2, 2, 2, 2, 2]),
    ("revoke", [2, 2, 3, 3, 2, 3]),
    ("revoke_subject", [2, 2, 3, 3, 2, 3]),
];

#[test]
fn every_operation_keeps_its_budget() {
    let server = Server::start(&[]);
    kit::run(async {
        let mut measured = Vec::new();
        for (number, way) in kit::WAYS.iter().enumerate() {
            measured.push(measure(&server, number, way).await);
        }
        let valkey = Server::start_brand(Brand::Valkey, &[]);
        measured.push(measure(&valkey, 0, "").await);
        measured.push(measure(&valkey, 1, "&scripts=never").await);
        let mut wrong = String::new();
        for (row, (name, expected)) in TABLE.iter().enumerate() {
            let trips: Vec<usize> = measured.iter().map(|column| column[row].1).collect();
            assert_eq!(measured[0][row].0, *name, "the order of the table");
            eprintln!("{name:40} {trips:?}");
            if trips != expected {
                wrong += &format!("{name}: {trips:?}, it should be {expected:?}\n");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    });
}

/// What each operation takes in a cluster: a login across slots is two trips, all else of one session
/// is one. Touches go to each node at once.
const IN_A_CLUSTER: &[(&str, [usize; 2])] = &[
    ("create", [1, 2]),
    ("load", [1, 1]),
    ("load of nothing", [1, 1]),
    ("apply after load", [1, 2]),
    ("rotate after load", [1, 2]),
    ("login in one slot", [1, 2]),
    ("login across slots", [2, 4]),
    ("login across slots, within a cap", [2, 4]),
    ("destroy after load", [1, 2]),
    ("revoke_subject", [2, 3]),
];

#[test]
fn in_a_cluster_as_well() {
    let cluster = Cluster::without_replicas();
    kit::run(async {
        let mut proxies = Vec::new();
        for node in &cluster.nodes {
            let proxy = Proxy::start(node.port).await;
            let port = proxy.port.to_string();
            cluster::ok(node, &["CONFIG", "SET", "cluster-announce-port", &port]);
            proxies.push(proxy);
        }
        cluster.wait("announced proxies", || {
            cluster.nodes.iter().all(|node| {
                let slots = node.cli(&["CLUSTER", "SLOTS"]);
                proxies
                    .iter()
                    .all(|proxy| slots.contains(&proxy.port.to_string()))
            })
        });
        let mut wrong = String::new();
        for (way, parameters) in ["", "&scripts=never&layout=fields"].iter().enumerate() {
            let url = cluster.url(&format!("timeout=30000&connections=1{parameters}"));
            let store = RedisStore::open(&url).await.expect("it opens");
            let mut meter = Meter {
                proxies: &proxies,
                all: Vec::new(),
            };
            clustered(&mut meter, &store).await;
            for ((name, expected), (measured, trips)) in IN_A_CLUSTER.iter().zip(&meter.all) {
                assert_eq!(name, measured, "the order of the table");
                eprintln!("{name:40} {trips}");
                if *trips != expected[way] {
                    wrong += &format!("{name}{parameters}: {trips}, not {}\n", expected[way]);
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        hung(&cluster, &proxies).await;
    });
}

/// A load whose connection hangs is asked for again over another while there is time for it.
async fn hung(cluster: &Cluster, proxies: &[Proxy]) {
    let url = cluster.url("timeout=4000&connections=2");
    let store = RedisStore::open(&url).await.expect("it opens");
    let ids = Ids::new();
    let key = ids.key(None);
    let created = store.create(&key, &ids.new_session(None)).await;
    created.expect("created");
    // Both connections are open, and know the tag's epoch and the time.
    for _ in 0..4 {
        store.load(&key).await.expect("loaded");
    }
    proxies.iter().for_each(Proxy::hang);
    let found = store.load(&key).await;
    assert!(matches!(found, Ok(Lookup::Found(_))), "{found:?}");
    assert!(proxies.iter().any(Proxy::has_hung), "a load was lost");
}

async fn clustered(meter: &mut Meter<'_>, store: &RedisStore) {
    let ids = Ids::new();
    let user = kit::subject("alice");
    // Opens connections to every node, and sends it every script.
    for _ in 0..40 {
        warm_up(store, &ids).await;
        let (key, moved) = (ids.key(None), ids.key(Some(&user)));
        store
            .create(&key, &ids.new_session(None))
            .await
            .expect("created");
        let moving = store.rotate(&key, &moved, &kit::login(&user, None)).await;
        moving.expect("rotated");
    }
    store.revoke_subject(&user, None).await.expect("revoked");
    let home = || ids.key(Some(&user));
    let away = || loop {
        let key = ids.key(None);
        if key.tag() != home().tag() {
            break key;
        }
    };
    let [key, other] = [away(), away()];
    let moved = StoredKey::from_parts(key.tag(), *away().hash());
    clustered_writes(meter, store, [key, moved, away()]).await;
    store
        .create(&other, &ids.new_session(None))
        .await
        .expect("created");
    let near = StoredKey::from_parts(home().tag(), *away().hash());
    store
        .create(&near, &ids.new_session(None))
        .await
        .expect("created");
    loaded(store, &near).await;
    let login = kit::login(&user, None);
    meter
        .count("login in one slot", store.rotate(&near, &home(), &login))
        .await;
    loaded(store, &moved).await;
    meter
        .count("login across slots", store.rotate(&moved, &home(), &login))
        .await;
    loaded(store, &other).await;
    let cap = MaxSessions {
        limit: 5,
        on_excess: OnExcess::RevokeOldest,
    };
    let (last, login) = (home(), kit::login(&user, Some(cap)));
    meter
        .count(
            "login across slots, within a cap",
            store.rotate(&other, &last, &login),
        )
        .await;
    loaded(store, &last).await;
    meter
        .count("destroy after load", store.destroy(&last))
        .await;
    meter
        .count("revoke_subject", store.revoke_subject(&user, None))
        .await;
}

async fn clustered_writes(
    meter: &mut Meter<'_>,
    store: &RedisStore,
    [key, moved, nobody]: [StoredKey; 3],
) {
    let (new, always) = (Ids::new().new_session(None), Condition::Always);
    meter.count("create", store.create(&key, &new)).await;
    meter.count("load", store.load(&key)).await;
    meter.count("load of nothing", store.load(&nobody)).await;
    let changes = kit::sets("cart", "coat");
    meter
        .count("apply after load", store.apply(&key, &changes, &always))
        .await;
    loaded(store, &key).await;
    let plain = Rotation::default();
    meter
        .count("rotate after load", store.rotate(&key, &moved, &plain))
        .await;
}

async fn measure(server: &Server, database: usize, way: &str) -> Vec<(&'static str, usize)> {
    let proxy = Proxy::start(server.port).await;
    let parameters = format!("?timeout=30000&connections=1{way}");
    let url = format!("redis://127.0.0.1:{}/{database}{parameters}", proxy.port);
    let store = RedisStore::open(&url).await.expect("it opens");
    let other = RedisStore::open(&server.url(database, way)).await;
    let other = other.expect("it opens");
    let ids = Ids::new();
    warm_up(&store, &ids).await;
    let proxies = [proxy];
    let mut meter = Meter {
        proxies: &proxies,
        all: Vec::new(),
    };
    let key = ids.key(None);
    let foreign = ids.key(None);
    writes(&mut meter, [&store, &other], &ids, [key, foreign]).await;
    subjects(&mut meter, &store, &ids, [key, foreign]).await;
    meter.all
}

/// Counts the trips of operations.
struct Meter<'a> {
    proxies: &'a [Proxy],
    all: Vec<(&'static str, usize)>,
}

impl Meter<'_> {
    async fn count<T>(
        &mut self,
        name: &'static str,
        operation: impl Future<Output = Result<T, cloakroom_core::Error>>,
    ) -> T {
        self.trips();
        let result = operation.await.expect(name);
        self.all.push((name, self.trips()));
        result
    }
}

impl Meter<'_> {
    fn trips(&self) -> usize {
        self.proxies.iter().map(Proxy::trips).sum()
    }
}

/// What happens to single sessions.
async fn writes(
    meter: &mut Meter<'_>,
    [store, other]: [&RedisStore; 2],
    ids: &Ids,
    [key, foreign]: [StoredKey; 2],
) {
    let user = kit::subject("alice");
    let (new, owned) = (ids.new_session(None), ids.key(Some(&user)));
    let always = Condition::Always;
    meter.count("create", store.create(&key, &new)).await;
    let with_subject = ids.new_session(Some(&user));
    meter
        .count("create of a subject", store.create(&owned, &with_subject))
        .await;
    meter.count("load", store.load(&key)).await;
    meter
        .count("load of nothing", store.load(&ids.key(None)))
        .await;
    let changes = kit::sets("cart", "coat");
    meter
        .count("apply after load", store.apply(&key, &changes, &always))
        .await;
    meter
        .count("apply again", store.apply(&key, &changes, &always))
        .await;
    let new = ids.new_session(None);
    other.create(&foreign, &new).await.expect("created");
    let applied = store.apply(&foreign, &changes, &always);
    meter.count("apply by another process", applied).await;
    other.apply(&key, &changes, &always).await.expect("applied");
    let applied = store.apply(&key, &changes, &always);
    meter
        .count("apply that meets another's write", applied)
        .await;
    meter
        .count("touch of three", store.touch(&[key, owned, foreign]))
        .await;
}

/// What moves and ends sessions.
async fn subjects(
    meter: &mut Meter<'_>,
    store: &RedisStore,
    ids: &Ids,
    [key, foreign]: [StoredKey; 2],
) {
    let user = kit::subject("alice");
    let moved = StoredKey::from_parts(key.tag(), *ids.key(None).hash());
    let plain = Rotation::default();
    loaded(store, &key).await;
    meter
        .count("rotate after load", store.rotate(&key, &moved, &plain))
        .await;
    loaded(store, &moved).await;
    let (home, login) = (ids.key(Some(&user)), kit::login(&user, None));
    meter
        .count("login after load", store.rotate(&moved, &home, &login))
        .await;
    loaded(store, &foreign).await;
    let cap = MaxSessions {
        limit: 5,
        on_excess: OnExcess::RevokeOldest,
    };
    let (second, login) = (ids.key(Some(&user)), kit::login(&user, Some(cap)));
    meter
        .count(
            "login within a cap",
            store.rotate(&foreign, &second, &login),
        )
        .await;
    loaded(store, &second).await;
    meter
        .count("destroy after load", store.destroy(&second))
        .await;
    let listed = meter.count("of_subject", store.of_subject(&user)).await;
    assert_eq!(listed.len(), 2, "sessions of the subject");
    meter
        .count("revoke", store.revoke(&user, &listed[0].handle))
        .await;
    let revoked = meter
        .count("revoke_subject", store.revoke_subject(&user, None))
        .await;
    assert_eq!(revoked, 1, "sessions that were left");
}

/// Opens connections and sends every script once, which costs its trips once in a server's life.
async fn warm_up(store: &RedisStore, ids: &Ids) {
    let key = ids.key(None);
    store
        .create(&key, &ids.new_session(None))
        .await
        .expect("created");
    store
        .apply(&key, &kit::sets("a", "1"), &Default::default())
        .await
        .expect("applied");
    store.touch(&[key]).await.expect("touched");
    store.destroy(&key).await.expect("destroyed");
}

async fn loaded(store: &RedisStore, key: &StoredKey) {
    let found = store.load(key).await.expect("it answers");
    assert!(matches!(found, Lookup::Found(_)), "the session is there");
}

//! Promise 7, on the wire: how many trips each operation takes, in both layouts, with scripts and
//! without.

use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::store::Lookup;
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::kit::{self, Ids};
use crate::proxy::Proxy;
use crate::server::Server;

/// Operation; trips: packed, fields, packed without scripts, fields without scripts.
const TABLE: &[(&str, [usize; 4])] = &[
    ("create", [1, 1, 2, 2]),
    ("create of a subject", [1, 1, 2, 2]),
    ("load", [1, 1, 1, 1]),
    ("load of nothing", [1, 1, 1, 1]),
    ("apply after load", [1, 1, 2, 2]),
    ("apply again", [1, 1, 2, 2]),
    ("apply by another process", [2, 1, 2, 2]),
    ("apply that meets another's write", [2, 1, 2, 2]),
    ("touch of three", [1, 1, 6, 6]),
    ("rotate after load", [1, 1, 2, 2]),
    ("login after load", [1, 1, 2, 2]),
    ("login within a cap", [1, 1, 2, 2]),
    ("destroy after load", [1, 1, 2, 2]),
    ("of_subject", [2, 2, 2, 2]),
    ("revoke", [2, 2, 3, 3]),
    ("revoke_subject", [2, 2, 3, 3]),
    ("revoke_all", [1, 1, 1, 1]),
];

#[test]
fn every_operation_keeps_its_budget() {
    let server = Server::start(&[]);
    kit::run(async {
        let ways = [
            "",
            "&layout=fields",
            "&scripts=never",
            "&scripts=never&layout=fields",
        ];
        let mut measured = Vec::new();
        for (number, way) in ways.iter().enumerate() {
            measured.push(measure(&server, number, way).await);
        }
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

async fn measure(server: &Server, database: usize, way: &str) -> Vec<(&'static str, usize)> {
    let proxy = Proxy::start(server.port).await;
    let parameters = format!("?timeout=30000&connections=1{way}");
    let url = format!("redis://127.0.0.1:{}/{database}{parameters}", proxy.port);
    let store = RedisStore::open(&url).await.expect("it opens");
    let other = RedisStore::open(&server.url(database, way))
        .await
        .expect("it opens");
    let ids = Ids::new();
    let user = kit::subject("alice");
    warm_up(&store, &ids).await;
    let mut all = Vec::new();
    macro_rules! trips {
        ($name:literal, $operation:expr) => {{
            proxy.trips();
            let result = $operation.await.expect($name);
            all.push(($name, proxy.trips()));
            result
        }};
    }
    let key = ids.key(None);
    trips!("create", store.create(&key, &ids.new_session(None)));
    let owned = ids.key(Some(&user));
    trips!(
        "create of a subject",
        store.create(&owned, &ids.new_session(Some(&user)))
    );
    trips!("load", store.load(&key));
    trips!("load of nothing", store.load(&ids.key(None)));
    let changes = kit::sets("cart", "coat");
    trips!(
        "apply after load",
        store.apply(&key, &changes, &Default::default())
    );
    trips!(
        "apply again",
        store.apply(&key, &changes, &Default::default())
    );
    let foreign = ids.key(None);
    other
        .create(&foreign, &ids.new_session(None))
        .await
        .expect("created");
    trips!(
        "apply by another process",
        store.apply(&foreign, &changes, &Default::default())
    );
    other
        .apply(&key, &changes, &Default::default())
        .await
        .expect("applied");
    trips!(
        "apply that meets another's write",
        store.apply(&key, &changes, &Default::default())
    );
    trips!("touch of three", store.touch(&[key, owned, foreign]));
    let moved = StoredKey::from_parts(key.tag(), *ids.key(None).hash());
    loaded(&store, &key).await;
    trips!(
        "rotate after load",
        store.rotate(&key, &moved, &Default::default())
    );
    loaded(&store, &moved).await;
    let home = ids.key(Some(&user));
    trips!(
        "login after load",
        store.rotate(&moved, &home, &kit::login(&user, None))
    );
    loaded(&store, &foreign).await;
    let cap = Some(MaxSessions {
        limit: 5,
        on_excess: OnExcess::RevokeOldest,
    });
    let second = ids.key(Some(&user));
    trips!(
        "login within a cap",
        store.rotate(&foreign, &second, &kit::login(&user, cap))
    );
    loaded(&store, &second).await;
    trips!("destroy after load", store.destroy(&second));
    let listed = trips!("of_subject", store.of_subject(&user));
    assert_eq!(listed.len(), 2, "sessions of the subject");
    trips!("revoke", store.revoke(&user, &listed[0].handle));
    let revoked = trips!("revoke_subject", store.revoke_subject(&user, None));
    assert_eq!(revoked, 1, "sessions that were left");
    trips!("revoke_all", store.revoke_all());
    all
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

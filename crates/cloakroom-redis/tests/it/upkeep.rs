//! What is left behind: every key has an end, indexes forget what is gone a little at a time, and
//! markers last as long as they should.

use std::time::Duration;

use cloakroom_core::limits;
use cloakroom_core::store::{Absence, Lookup};
use cloakroom_core::{Lifetimes, Store};
use cloakroom_redis::RedisStore;

use crate::kit::{self, Ids};
use crate::server::Server;

const WAYS: [&str; 4] = [
    "",
    "&layout=fields",
    "&scripts=never",
    "&scripts=never&layout=fields",
];

/// Every key but the epoch ends by itself, at the session's own deadline.
#[test]
fn every_key_has_an_end() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way))
                .await
                .expect("it opens");
            let ids = Ids::new();
            let user = kit::subject("alice");
            let key = ids.key(None);
            store
                .create(&key, &ids.new_session(None))
                .await
                .expect("created");
            let home = ids.key(Some(&user));
            store
                .rotate(&key, &home, &kit::login(&user, None))
                .await
                .expect("rotated");
            store
                .apply(&home, &kit::sets("a", "1"), &Default::default())
                .await
                .expect("applied");
            store.touch(&[home]).await.expect("touched");
            let number = database.to_string();
            let names = server.cli(&["-n", &number, "--raw", "KEYS", "*"]);
            let mut ends = Vec::new();
            for name in names.lines().filter(|name| *name != "session-epoch") {
                let left: i64 = server
                    .cli(&["-n", &number, "TTL", name])
                    .parse()
                    .expect("a number");
                ends.push((name.split(':').next().unwrap_or_default().to_owned(), left));
            }
            ends.sort();
            let near = |left: i64, limit: i64| left <= limit && left > limit - 60;
            assert_eq!(ends.len(), 3, "{way}: {ends:?}");
            assert!(
                near(ends[0].1, limits::TOMBSTONE.as_secs() as i64),
                "{way}: {ends:?}"
            );
            assert!(near(ends[1].1, 1800), "{way}: {ends:?}");
            assert!(near(ends[2].1, 28_800), "{way}: {ends:?}");
        }
    });
}

/// Entries of sessions that ended or expired vanish from the index while others come and go.
#[test]
fn an_index_forgets_what_is_gone() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way))
                .await
                .expect("it opens");
            let ids = Ids::new();
            let user = kit::subject("alice");
            let key = ids.key(Some(&user));
            store
                .create(&key, &ids.new_session(Some(&user)))
                .await
                .expect("created");
            let second = Lifetimes::fixed(Duration::from_secs(1)).expect("it is allowed");
            for _ in 0..20 {
                let mut new = ids.new_session(Some(&user));
                new.lifetimes = second;
                store
                    .create(&ids.key(Some(&user)), &new)
                    .await
                    .expect("created");
            }
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let number = database.to_string();
            let index = server.cli(&["-n", &number, "--raw", "KEYS", "subject:*"]);
            let size = || -> usize {
                server
                    .cli(&["-n", &number, "ZCARD", &index])
                    .parse()
                    .unwrap_or_default()
            };
            assert_eq!(size(), 21, "{way}: entries before anything else happens");
            let key = ids.key(Some(&user));
            store
                .create(&key, &ids.new_session(Some(&user)))
                .await
                .expect("created");
            assert!(size() < 20, "{way}: {} entries after a login", size());
            assert_eq!(store.of_subject(&user).await.expect("listed").len(), 2);
            assert_eq!(size(), 2, "{way}: entries");
        }
    });
}

/// A key that lost its life to a PERSIST by somebody is judged by the times in the record.
#[test]
fn a_lost_ttl_extends_nothing() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way))
                .await
                .expect("it opens");
            let ids = Ids::new();
            let mut new = ids.new_session(None);
            new.lifetimes = Lifetimes::fixed(Duration::from_secs(1)).expect("it is allowed");
            let key = ids.key(None);
            store.create(&key, &new).await.expect("created");
            let number = database.to_string();
            let name = server.cli(&["-n", &number, "--raw", "KEYS", "session:{*"]);
            assert_eq!(server.cli(&["-n", &number, "PERSIST", &name]), "1");
            let found = store.load(&key).await.expect("loaded");
            assert!(matches!(found, Lookup::Found(_)), "{way}");
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let found = store.load(&key).await.expect("loaded");
            assert_eq!(found, Lookup::Absent(Absence::Unknown), "{way}");
            let touched = store.touch(&[key]).await.expect("touched");
            assert_eq!(touched, 0, "{way}");
            let changes = kit::sets("a", "1");
            let applied = store
                .apply(&key, &changes, &Default::default())
                .await
                .expect("applied");
            assert!(
                matches!(applied, cloakroom_core::store::Applied::Absent(_)),
                "{way}"
            );
        }
    });
}

/// A lost epoch ends sessions; it revives none.
#[test]
fn a_lost_epoch_fails_closed() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way))
                .await
                .expect("it opens");
            let ids = Ids::new();
            let (old, new) = (ids.key(None), ids.key(None));
            store
                .create(&old, &ids.new_session(None))
                .await
                .expect("created");
            store.revoke_all().await.expect("revoked");
            store
                .create(&new, &ids.new_session(None))
                .await
                .expect("created");
            server.cli(&["-n", &database.to_string(), "DEL", "session-epoch"]);
            for key in [old, new] {
                let found = store.load(&key).await.expect("loaded");
                assert_eq!(found, Lookup::Absent(Absence::Unknown), "{way}");
            }
            let another = ids.key(None);
            store
                .create(&another, &ids.new_session(None))
                .await
                .expect("created");
            assert!(
                matches!(
                    store.load(&another).await.expect("loaded"),
                    Lookup::Found(_)
                ),
                "{way}"
            );
            for key in [old, new] {
                let found = store.load(&key).await.expect("loaded");
                assert_eq!(found, Lookup::Absent(Absence::Unknown), "{way}");
            }
        }
    });
}

//! Saves by `SET .. IFEQ`, where a server has it: what a script or WATCH would have guarded must hold
//! as well.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::record::{Changes, Condition, Label, NewSession};
use cloakroom_core::store::{Absence, Applied, Lookup};
use cloakroom_core::{Lifetimes, Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::kit::{self, Ids};
use crate::server::{Brand, Server};

const BRANDS: [Brand; 2] = [Brand::Valkey, Brand::NewestRedis];

#[test]
fn saves_go_by_ifeq_and_not_by_watch() {
    for brand in BRANDS {
        let server = Server::start_brand(brand, &[]);
        kit::run(async {
            let store = open(&server, "").await;
            let key = created(&store, &Ids::new().new_session(None)).await;
            server.cli(&["CONFIG", "RESETSTAT"]);
            applied(&store, &key, &kit::sets("a", "1")).await;
            store.touch(&[key]).await.expect("touched");
            assert_eq!(calls(&server, "set"), 2, "{brand:?}: saves by SET");
            assert_eq!(calls(&server, "watch"), 0, "{brand:?}: saves by WATCH");
            store.destroy(&key).await.expect("destroyed");
            assert_eq!(calls(&server, "watch"), 1, "{brand:?}: ends by WATCH");
        });
    }
}

/// Several processes count in one session, each in its own way: every increment counts.
#[test]
fn every_way_counts_beside_the_others() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    kit::run(async {
        let key = created(&open(&server, "").await, &Ids::new().new_session(None)).await;
        let mut one = Changes::new();
        one.increment("count", 1).expect("the field is allowed");
        let (one, mut counting) = (Arc::new(one), Vec::new());
        for way in ["", "", "&scripts=auto"] {
            let store = Arc::new(open(&server, way).await);
            for _ in 0..2 {
                let (store, one) = (Arc::clone(&store), Arc::clone(&one));
                counting.push(tokio::spawn(async move {
                    for _ in 0..50 {
                        applied(&store, &key, &one).await;
                        store.touch(&[key]).await.expect("touched");
                    }
                }));
            }
        }
        for one in counting {
            one.await.expect("it counts");
        }
        let Lookup::Found(found) = open(&server, "").await.load(&key).await.expect("loaded") else {
            panic!("the session is there");
        };
        let count = found.record.fields.get("count").map(|value| value.bytes);
        assert_eq!(count, Some(&b"300"[..]));
        assert_eq!(found.record.version, 301);
    });
}

/// `revoke_all` changes the epoch and no session: a save that knows the session from before must not
/// be acknowledged.
#[test]
fn a_mass_revocation_is_noticed() {
    for brand in BRANDS {
        let server = Server::start_brand(brand, &[]);
        kit::run(async {
            let (store, other) = (open(&server, "").await, open(&server, "").await);
            let key = created(&store, &Ids::new().new_session(None)).await;
            applied(&store, &key, &kit::sets("a", "1")).await;
            other.revoke_all().await.expect("revoked");
            assert_eq!(unknown(&store, &key).await, "over", "{brand:?}");
            let touched = store.touch(&[key]).await.expect("touched");
            assert_eq!(touched, 0, "{brand:?}");
        });
    }
}

/// A save that is on its way while the session ends saves nothing, and revives nothing where the key
/// had lost its life.
#[test]
fn a_save_that_comes_too_late_saves_nothing() {
    for (brand, persists) in BRANDS.map(|brand| [(brand, false), (brand, true)]).concat() {
        let server = Server::start_brand(brand, &[]);
        kit::run(async {
            let store = Arc::new(open(&server, "").await);
            let mut new = Ids::new().new_session(None);
            let (idle, absolute) = (Duration::from_secs(2), Duration::from_secs(3600));
            new.lifetimes = Lifetimes::new(idle, absolute).expect("it is allowed");
            let key = created(&store, &new).await;
            // Late in its life, so that what revived it would give it long to live.
            tokio::time::sleep(idle * 3 / 4).await;
            if persists {
                let name = server.cli(&["--raw", "KEYS", "session:{*"]);
                assert_eq!(server.cli(&["PERSIST", &name]), "1");
            }
            server.signal("STOP");
            let save = tokio::spawn({
                let store = Arc::clone(&store);
                async move { unknown(&store, &key).await }
            });
            // What makes it late is time itself: the idle limit passes on the server's clock.
            tokio::time::sleep(idle / 2).await;
            server.signal("CONT");
            let what = format!("{brand:?}, persists: {persists}");
            assert_eq!(save.await.expect("it ends"), "over", "{what}");
            let found = store.load(&key).await.expect("loaded");
            assert_eq!(found, Lookup::Absent(Absence::Unknown), "{what}");
        });
    }
}

/// Bytes that this version would write otherwise are compared in vain; such sessions go by WATCH.
#[test]
fn bytes_of_another_version_are_saved_as_well() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    kit::run(async {
        let (store, ids) = (open(&server, "").await, Ids::new());
        let mut new = ids.new_session(None);
        new.label = Some(Label::new("Firefox"));
        let key = created(&store, &new).await;
        // A control character, of which labels are freed when they are read.
        let name = server.cli(&["--raw", "KEYS", "session:{*"]);
        server.cli(&["SETRANGE", &name, "59", "\x01"]);
        let store = open(&server, "").await;
        for round in ["1", "2"] {
            applied(&store, &key, &kit::sets("a", round)).await;
        }
        assert_eq!(store.touch(&[key]).await.expect("touched"), 1);
    });
}

/// A failover may lead to a server that has no IFEQ.
#[test]
fn an_older_server_is_served_by_watch() {
    let mut server = Server::start_brand(Brand::Valkey, &[]);
    kit::run(async {
        let one = "&scripts=never&connections=1";
        let (store, ids) = (open(&server, one).await, Ids::new());
        let key = created(&store, &ids.new_session(None)).await;
        applied(&store, &key, &kit::sets("a", "1")).await;
        server.kill_and_restart_as(Brand::Redis);
        let key = loop {
            // The connections of before are broken, and found to be so one by one.
            let key = ids.key(None);
            let made = store.create(&key, &ids.new_session(None)).await;
            if made.is_ok() && store.load(&key).await.is_ok() {
                break key;
            }
        };
        for _ in 0..2 {
            applied(&store, &key, &kit::sets("a", "1")).await;
            assert_eq!(store.touch(&[key]).await.expect("touched"), 1);
        }
        assert!(calls(&server, "watch") >= 4);
        assert_eq!(count(&server, "set", "failed_calls"), 1, "tries of IFEQ");
    });
}

async fn open(server: &Server, way: &str) -> RedisStore {
    let way = if way.is_empty() {
        "&scripts=never"
    } else {
        way
    };
    let opened = RedisStore::open(&server.url(0, way)).await;
    opened.expect("it opens")
}

/// A session that its store has just loaded.
async fn created(store: &RedisStore, new: &NewSession) -> StoredKey {
    let key = Ids::new().key(None);
    store.create(&key, new).await.expect("created");
    let found = store.load(&key).await.expect("loaded");
    assert!(matches!(found, Lookup::Found(_)), "the session is there");
    key
}

async fn applied(store: &RedisStore, key: &StoredKey, changes: &Changes) {
    let applied = store.apply(key, changes, &Condition::Always).await;
    let applied = applied.expect("it answers");
    assert!(matches!(applied, Applied::Done { .. }), "{applied:?}");
}

/// `over` if a save finds no session.
async fn unknown(store: &RedisStore, key: &StoredKey) -> &'static str {
    let changes = kit::sets("a", "2");
    match store.apply(key, &changes, &Condition::Always).await {
        Ok(Applied::Absent(Absence::Unknown)) => "over",
        Ok(_) => "saved",
        Err(_) => "failed",
    }
}

/// How often a server ran a command.
fn calls(server: &Server, command: &str) -> u64 {
    count(server, command, "calls")
}

/// A number that a server counts for a command.
fn count(server: &Server, command: &str, what: &str) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]);
    let (name, what) = (format!("cmdstat_{command}:"), format!("{what}="));
    let line = stats.lines().find_map(|line| line.strip_prefix(&*name));
    let mut numbers = line.unwrap_or_default().split(',');
    let number = numbers.find_map(|part| part.strip_prefix(&*what));
    number.map_or(0, |number| number.trim().parse().expect("a number"))
}

//! What `safe` and `fast` do without replicas, and servers that come back with older data: no
//! acknowledged logout is undone.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::store::Lookup;
use cloakroom_core::{ErrorKind, Store, StoredKey};
use cloakroom_redis::{Class, RedisStore};

use crate::failures::failure;
use crate::kit::{self, Ids};
use crate::server::Server;

/// Without a replica that confirms, `safe` refuses and says why; `fast` goes on.
#[test]
fn without_replicas_safe_refuses() {
    let primary = Server::start(&[]);
    let replica = primary.replica();
    while primary.cli(&["WAIT", "1", "1000"]) != "1" {}
    kit::run(async {
        let url = format!("redis://127.0.0.1:{}?timeout=2000", primary.port);
        let safe = RedisStore::open(&url).await.expect("it opens");
        let fast = RedisStore::open(&format!("{url}&durability=fast"))
            .await
            .expect("it opens");
        let ids = Ids::new();
        let [before, key] = [(); 2].map(|()| ids.key(None));
        for key in [&before, &key] {
            safe.create(key, &ids.new_session(None))
                .await
                .expect("the replica confirms");
        }
        // This sends the script as well, which takes a trip of its own.
        safe.destroy(&before).await.expect("the replica confirms");
        replica.signal("STOP");
        let lost = ids.key(None);
        let error = safe
            .create(&lost, &ids.new_session(None))
            .await
            .expect_err("no replica");
        assert_eq!(failure(&error).class(), Class::NoReplicas, "{error:?}");
        assert_eq!(error.kind(), &ErrorKind::StoreUnavailable);
        for _ in 0..2 {
            // The second try finds a session that is ended, and that may come back.
            let error = safe.destroy(&key).await;
            let error = error.expect_err("no replica confirms the logout");
            assert_eq!(failure(&error).class(), Class::NoReplicas, "{error:?}");
        }
        fast.create(&ids.key(None), &ids.new_session(None))
            .await
            .expect("fast asks nobody");
        safe.load(&key).await.expect("reading asks nobody");
        replica.signal("CONT");
        while safe.destroy(&key).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// A replica that has just got its data is waited for, although the connection is older than it and nobody
/// else knows of it yet.
#[test]
fn a_replica_that_joined_is_waited_for() {
    let primary = Server::start(&[]);
    let mut waits = Waits::of(&primary);
    let _one = primary.replica();
    while primary.cli(&["WAIT", "1", "1000"]) != "1" {}
    kit::run(async {
        let store = RedisStore::open(&primary.url(0, "&durability=fast")).await;
        let store = store.expect("it opens");
        end_one(&store).await;
        assert_eq!(waits.last(&primary), "1");
        let _other = primary.replica();
        while primary.cli(&["WAIT", "2", "1000"]) != "2" {}
        end_one(&store).await;
        assert_eq!(waits.last(&primary), "2");
    });
}

async fn end_one(store: &RedisStore) {
    let (ids, key) = (Ids::new(), Ids::new().key(None));
    let created = store.create(&key, &ids.new_session(None)).await;
    created.expect("created");
    assert!(store.destroy(&key).await.expect("ended"));
}

/// Hears what a server is asked for.
struct Waits(BufReader<TcpStream>);

impl Waits {
    fn of(server: &Server) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("it answers");
        stream.write_all(b"MONITOR\r\n").expect("it listens");
        Self(BufReader::new(stream))
    }

    /// For how many replicas a store waited last, of those that it asked about since the last call. With a
    /// deadline of 30 s it waits for half of that, as the tests themselves do not.
    fn last(&mut self, server: &Server) -> String {
        server.cli(&["ECHO", "so far"]);
        let lines = self.0.by_ref().lines().map_while(Result::ok);
        let lines = lines.take_while(|line| !line.contains("so far"));
        let waits = lines.filter_map(|line| {
            let (_, wait) = line.split_once("\"WAIT\" \"")?;
            Some(wait.strip_suffix("\" \"15000\"")?.to_owned())
        });
        waits.last().expect("the store waited")
    }
}

/// A login that was refused ended nothing, and nothing is ended for it later.
#[test]
fn a_refused_login_is_not_told_again() {
    kit::run(async {
        let mut server = Server::start(&[]);
        let store = RedisStore::open(&server.url(0, ""))
            .await
            .expect("it opens");
        let (ids, user) = (Ids::new(), kit::subject("alice"));
        let one = MaxSessions {
            limit: 1,
            on_excess: OnExcess::Refuse,
        };
        let visitor = ids.key(None);
        store
            .create(&ids.key(Some(&user)), &ids.new_session(Some(&user)))
            .await
            .expect("created");
        store
            .create(&visitor, &ids.new_session(None))
            .await
            .expect("created");
        let home = ids.key(Some(&user));
        store
            .rotate(&visitor, &home, &kit::login(&user, Some(one)))
            .await
            .expect_err("there is one session already");
        server.cli(&["SAVE"]);
        server.kill_and_restart();
        let found = store.load(&visitor).await.expect("it is back");
        assert!(matches!(found, Lookup::Found(_)), "{found:?}");
    });
}

/// A server that comes back with older data is told again what was revoked, before it is trusted.
#[test]
fn an_older_state_undoes_no_logout() {
    kit::run(async {
        for way in kit::WAYS {
            let mut server = Server::start(&[]);
            let store = RedisStore::open(&server.url(0, way))
                .await
                .expect("it opens");
            let ids = Ids::new();
            let user = kit::subject("alice");
            let mut keys = Vec::new();
            for _ in 0..5 {
                let key = ids.key(Some(&user));
                let new = ids.new_session(Some(&user));
                store.create(&key, &new).await.expect("created");
                keys.push((key, new.handle));
            }
            let visitor = ids.key(None);
            store
                .create(&visitor, &ids.new_session(None))
                .await
                .expect("created");
            server.cli(&["SAVE"]);
            store.destroy(&keys[0].0).await.expect("destroyed");
            store.revoke(&user, &keys[1].1).await.expect("revoked");
            let home = ids.key(Some(&user));
            store
                .rotate(&visitor, &home, &kit::login(&user, None))
                .await
                .expect("logged in");
            server.kill_and_restart();
            for (key, alive) in [
                (keys[0].0, false),
                (keys[1].0, false),
                (visitor, false),
                (keys[2].0, true),
            ] {
                let found = store.load(&key).await.expect("it is back");
                assert_eq!(matches!(found, Lookup::Found(_)), alive, "{way}");
            }
            store
                .revoke_subject(&user, Some(&keys[3].1))
                .await
                .expect("revoked");
            server.kill_and_restart();
            assert_eq!(
                alive(&store, &keys).await,
                [false, false, false, true, false],
                "{way}"
            );
            store.revoke_all().await.expect("revoked");
            server.kill_and_restart();
            assert_eq!(alive(&store, &keys).await, [false; 5], "{way}");
        }
    });
}

async fn alive(store: &RedisStore, keys: &[(StoredKey, cloakroom_core::Handle)]) -> Vec<bool> {
    let mut alive = Vec::new();
    for (key, _) in keys {
        let found = store.load(key).await.expect("it is back");
        alive.push(matches!(found, Lookup::Found(_)));
    }
    alive
}

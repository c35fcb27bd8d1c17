//! Servers that restart, hang, or forget scripts; callers that go away. Nothing hangs, nothing is
//! mixed up, and service comes back by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::store::Lookup;
use cloakroom_core::testkit::cancel_after;
use cloakroom_core::{ErrorKind, Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::kit::{self, Ids};
use crate::server::Server;

/// Loads that are dropped half-way never hand their reply to somebody else.
#[test]
fn a_reply_belongs_to_its_caller() {
    const SESSIONS: usize = 200;
    const TASKS: usize = 64;
    const LOADS: usize = 2_000;
    let server = Server::start(&[]);
    let (answered, dropped) = kit::run(async {
        let url = server.url(0, "&connections=2");
        let store = Arc::new(RedisStore::open(&url).await.expect("it opens"));
        let ids = Ids::new();
        let mut handles = HashMap::new();
        for _ in 0..SESSIONS {
            let (key, new) = (ids.key(None), ids.new_session(None));
            store.create(&key, &new).await.expect("created");
            handles.insert(key, new.handle);
        }
        let handles: Arc<Vec<_>> = Arc::new(handles.into_iter().collect());
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (store, handles) = (Arc::clone(&store), Arc::clone(&handles));
                tokio::spawn(async move {
                    let (mut answered, mut dropped) = (0, 0);
                    for number in 0..LOADS {
                        let mix = (task * LOADS + number).wrapping_mul(0x9e37_79b9) >> 7;
                        let (key, handle) = &handles[mix % SESSIONS];
                        let polls = if mix.is_multiple_of(3) {
                            1 + mix % 4
                        } else {
                            usize::MAX
                        };
                        match cancel_after(polls, store.load(key)).await {
                            None => dropped += 1,
                            Some(found) => match found.expect("it answers") {
                                Lookup::Found(loaded) => {
                                    assert_eq!(loaded.record.handle, *handle, "another's reply");
                                    answered += 1;
                                }
                                Lookup::Absent(absence) => panic!("a session is {absence:?}"),
                            },
                        }
                    }
                    (answered, dropped)
                })
            })
            .collect();
        let (mut answered, mut dropped) = (0, 0);
        for task in tasks {
            let (one, other) = task.await.expect("no reply was mixed up");
            (answered, dropped) = (answered + one, dropped + other);
        }
        (answered, dropped)
    });
    eprintln!("{answered} loads answered, {dropped} dropped");
    assert_eq!(answered + dropped, TASKS * LOADS);
    assert!(
        dropped > TASKS * LOADS / 100,
        "hardly any load was dropped half-way"
    );
}

/// A server that forgot the scripts (a restart, a failover) is sent them again.
#[test]
fn scripts_are_sent_again() {
    let server = Server::start(&[]);
    kit::run(async {
        let store = RedisStore::open(&server.url(0, ""))
            .await
            .expect("it opens");
        let ids = Ids::new();
        for _ in 0..3 {
            server.cli(&["SCRIPT", "FLUSH"]);
            let key = ids.key(None);
            store
                .create(&key, &ids.new_session(None))
                .await
                .expect("created");
            server.cli(&["SCRIPT", "FLUSH"]);
            store
                .apply(&key, &kit::sets("a", "1"), &Default::default())
                .await
                .expect("applied");
        }
    });
}

/// Connections that the server closes are opened again; a read does not even notice.
#[test]
fn broken_connections_are_opened_again() {
    let server = Server::start(&[]);
    kit::run(async {
        let store = RedisStore::open(&server.url(0, ""))
            .await
            .expect("it opens");
        let ids = Ids::new();
        let key = ids.key(None);
        store
            .create(&key, &ids.new_session(None))
            .await
            .expect("created");
        for _ in 0..5 {
            server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
            let found = store.load(&key).await.expect("a read is tried once more");
            assert!(matches!(found, Lookup::Found(_)));
        }
    });
}

/// A server that hangs without closing anything: every call ends with its deadline, and when the
/// server is back, so is the store.
#[test]
fn a_hung_server_holds_nobody() {
    let server = Server::start(&[]);
    kit::run(async {
        let url = format!("redis://127.0.0.1:{}?timeout=300", server.port);
        let store = RedisStore::open(&url).await.expect("it opens");
        let ids = Ids::new();
        let key = ids.key(None);
        store
            .create(&key, &ids.new_session(None))
            .await
            .expect("created");
        server.signal("STOP");
        for _ in 0..8 {
            let error = store.load(&key).await.expect_err("the server hangs");
            assert_eq!(error.kind(), &ErrorKind::DeadlineExceeded, "{error:?}");
            assert!(error.is_retryable());
        }
        server.signal("CONT");
        back_again(&store, &key).await;
    });
}

/// What a call that came too late did not do is not done later either, or is done wholly: a create
/// whose deadline passed leaves a whole session or none.
async fn back_again(store: &RedisStore, key: &StoredKey) {
    for _ in 0..200 {
        if let Ok(Lookup::Found(_)) = store.load(key).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the store did not come back with the server");
}

//! `revoke_all` goes over 4096 tags: nothing slips through while it does, nothing that is younger is
//! ended, and a half-done one says so.

use cloakroom_core::Store;
use cloakroom_core::store::{Lookup, Rotated};
use cloakroom_redis::RedisStore;

use crate::cluster::Cluster;
use crate::failures::failure;
use crate::kit::{self, Ids};
use crate::server::Server;

const WAYS: [&str; 2] = ["", "&scripts=never&layout=fields"];

/// Half of the tags know of a mass revocation: a session of the other half cannot move over and
/// outlive it.
#[test]
fn a_session_cannot_move_to_where_it_is_over() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let url = format!(
                "redis://127.0.0.1:{}/{database}?timeout=300{way}",
                server.port
            );
            let store = RedisStore::open(&url).await.expect("it opens");
            let (ids, user) = (Ids::new(), kit::subject("alice"));
            let (old, new) = (ids.key(None), ids.key(Some(&user)));
            let created = store.create(&old, &ids.new_session(None)).await;
            created.expect("created");
            let tag = |key: &str, at: u16| format!("{key}:{{{at:03x}}}");
            let told = new.tag().number();
            let number = database.to_string();
            let cli = |words: &[&str]| server.cli(&[&["-n", &number][..], words].concat());
            cli(&["SADD", &tag("session-closing", told), "somebody"]);
            cli(&["SET", &tag("session-epoch", told), "01234567"]);
            let login = kit::login(&user, None);
            let moved = store.rotate(&old, &new, &login).await;
            moved.expect_err("a login while everything is being revoked");
            let found = store.load(&new).await.expect("it answers");
            assert!(matches!(found, Lookup::Absent(_)), "{way}: it moved");
            cli(&["SREM", &tag("session-closing", told), "somebody"]);
            cli(&["SET", &tag("session-epoch", old.tag().number()), "01234567"]);
            let moved = store.rotate(&old, &new, &login).await.expect("it answers");
            assert!(matches!(moved, Rotated::Absent(_)), "{way}: it was ended");
        }
    });
}

/// When it is done, no tag stays closed, and every tag has the new epoch.
#[test]
fn it_leaves_every_tag_open() {
    let server = Server::start(&[]);
    kit::run(async {
        let store = RedisStore::open(&server.url(0, "")).await;
        let store = store.expect("it opens");
        store.revoke_all().await.expect("revoked");
        let count = |pattern: &str| {
            server
                .cli(&["--scan", "--pattern", pattern])
                .lines()
                .count()
        };
        assert_eq!(count("session-closing:*"), 0, "tags that are closed");
        assert_eq!(count("session-epoch:*"), 4096, "epochs");
    });
}

/// A node of a cluster is away: the revocation may be done in part, and says that it is to be repeated.
#[test]
fn a_part_of_it_is_not_done() {
    let mut cluster = Cluster::without_replicas();
    kit::run(async {
        let store = kit::open_patiently(&cluster.url("timeout=1000")).await;
        let ids = Ids::new();
        let mut keys = Vec::new();
        for _ in 0..30 {
            let key = ids.key(None);
            let created = store.create(&key, &ids.new_session(None)).await;
            created.expect("created");
            keys.push(key);
        }
        cluster.nodes[2].cli(&["SAVE"]);
        cluster.nodes[2].kill();
        let error = store.revoke_all().await.expect_err("a node is away");
        assert!(error.is_retryable(), "{error:?}");
        let text = failure(&error).to_string();
        assert!(text.contains("revoke all again"), "{text}");
        cluster.nodes[2].kill_and_restart();
        cluster.wait_until_whole();
        store.revoke_all().await.expect("everybody is there");
        for key in keys {
            let found = store.load(&key).await.expect("it answers");
            assert!(matches!(found, Lookup::Absent(_)), "it lives: {found:?}");
        }
    });
}

/// A server that restarts is told again of what it may have lost. That ends no session that began
/// after the mass revocation.
#[test]
fn telling_again_ends_nothing_younger() {
    let mut server = Server::start(&[]);
    kit::run(async {
        let store = RedisStore::open(&server.url(0, "")).await;
        let store = store.expect("it opens");
        let ids = Ids::new();
        let (old, young) = (ids.key(None), ids.key(None));
        let create = |key| {
            let (store, new) = (&store, ids.new_session(None));
            async move { store.create(&key, &new).await.expect("created") }
        };
        create(old).await;
        store.revoke_all().await.expect("revoked");
        create(young).await;
        server.cli(&["SAVE"]);
        server.kill_and_restart();
        let lives = |key| {
            let store = &store;
            async move { matches!(store.load(&key).await.expect("loaded"), Lookup::Found(_)) }
        };
        assert!(lives(young).await, "a session that began afterwards");
        assert!(!lives(old).await, "a session from before");
    });
}

//! Failovers under load, with a history: what was acknowledged, and what is there afterwards. In
//! `safe` no acknowledged create is lost; in either mode no acknowledged logout is undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom_core::store::Lookup;
use cloakroom_core::{ErrorKind, Store, StoredKey};
use cloakroom_redis::{Class, RedisStore};

use crate::constellation::Constellation;
use crate::failures::failure;
use crate::kit::{self, Ids};
use crate::server::Server;

#[test]
fn a_killed_primary() {
    let (created, ended) = run("", |constellation| {
        constellation.servers[0].kill();
    });
    assert_eq!((created, ended), (0, 0), "lost creates and undone logouts");
}

#[test]
fn a_killed_primary_when_fast() {
    let (_, ended) = run("&durability=fast&layout=fields", |constellation| {
        constellation.servers[0].kill();
    });
    assert_eq!(ended, 0, "undone logouts");
}

#[test]
fn a_failover_by_command() {
    let (created, ended) = run("&scripts=never", |constellation| {
        constellation.sentinels[0].cli(&["SENTINEL", "FAILOVER", "shop"]);
    });
    assert_eq!((created, ended), (0, 0), "lost creates and undone logouts");
}

/// The primary hangs without closing anything, and comes back when another is primary.
#[test]
fn a_hung_primary() {
    let (created, ended) = run("", |constellation| {
        constellation.servers[0].signal("STOP");
        let port = constellation.servers[0].port;
        constellation.wait_for_another(port);
        std::thread::sleep(Duration::from_secs(2));
        constellation.servers[0].signal("CONT");
    });
    assert_eq!((created, ended), (0, 0), "lost creates and undone logouts");
}

/// Without a replica that confirms, `safe` refuses and says why; `fast` goes on.
#[test]
fn without_replicas_safe_refuses() {
    let primary = Server::start(&[]);
    let replica = primary.replica();
    while primary.cli(&["WAIT", "1", "1000"]) != "1" {}
    kit::run(async {
        let url = format!("redis://127.0.0.1:{}?timeout=1000", primary.port);
        let safe = RedisStore::open(&url).await.expect("it opens");
        let fast = RedisStore::open(&format!("{url}&durability=fast"))
            .await
            .expect("it opens");
        let ids = Ids::new();
        let key = ids.key(None);
        safe.create(&key, &ids.new_session(None))
            .await
            .expect("the replica confirms");
        replica.signal("STOP");
        let lost = ids.key(None);
        let error = safe
            .create(&lost, &ids.new_session(None))
            .await
            .expect_err("no replica");
        assert_eq!(failure(&error).class(), Class::NoReplicas, "{error:?}");
        assert_eq!(error.kind(), &ErrorKind::StoreUnavailable);
        safe.destroy(&key)
            .await
            .expect_err("no replica confirms the logout");
        fast.create(&ids.key(None), &ids.new_session(None))
            .await
            .expect("fast asks nobody");
        safe.load(&key).await.expect("reading asks nobody");
        replica.signal("CONT");
    });
}

/// A server that comes back with older data is told again what was revoked, before it is trusted.
#[test]
fn an_older_state_undoes_no_logout() {
    kit::run(async {
        let ways = [
            "",
            "&layout=fields",
            "&scripts=never",
            "&scripts=never&layout=fields",
        ];
        for way in ways {
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

/// What one writer was told.
#[derive(Default)]
struct History {
    created: Vec<StoredKey>,
    ended: Vec<StoredKey>,
    refused: usize,
    longest: Duration,
    gap: Duration,
}

/// Runs writers, lets `trouble` happen in the middle, and compares what was acknowledged with what is
/// there. Gives lost creates and undone logouts.
fn run(parameters: &str, trouble: impl FnOnce(&mut Constellation) + Send) -> (usize, usize) {
    let mut constellation = Constellation::start();
    let before = constellation.primary();
    let url = constellation.url(0, &format!("timeout=500{parameters}"));
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let store = Arc::new(runtime.block_on(RedisStore::open(&url)).expect("it opens"));
    let writers: Vec<_> = (0..8)
        .map(|_| runtime.spawn(write(Arc::clone(&store), Arc::clone(&stop))))
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    trouble(&mut constellation);
    constellation.wait_for_another(before);
    std::thread::sleep(Duration::from_secs(3));
    stop.store(true, Ordering::SeqCst);
    let mut all = History::default();
    for writer in writers {
        let one = runtime.block_on(writer).expect("no writer panics");
        all.created.extend(one.created);
        all.ended.extend(one.ended);
        all.refused += one.refused;
        all.longest = all.longest.max(one.longest);
        all.gap = all.gap.max(one.gap);
    }
    let found = |keys: Vec<StoredKey>| {
        let store = Arc::clone(&store);
        runtime.block_on(async move {
            let mut found = 0;
            for key in keys {
                let loaded = store.load(&key).await.expect("the new primary answers");
                found += usize::from(matches!(loaded, Lookup::Found(_)));
            }
            found
        })
    };
    let (created, ended) = (all.created.len(), all.ended.len());
    let lost = created - found(all.created);
    let undone = found(all.ended);
    eprintln!(
        "{parameters}: {created} creates and {ended} logouts acknowledged, {} calls refused, \
         longest call {:?}, longest gap {:?}; lost {lost}, undone {undone}",
        all.refused, all.longest, all.gap
    );
    assert!(created > 50 && ended > 50, "hardly anything was tried");
    (lost, undone)
}

/// Creates sessions and ends every other one, until told to stop.
async fn write(store: Arc<RedisStore>, stop: Arc<AtomicBool>) -> History {
    let (ids, mut history) = (Ids::new(), History::default());
    let mut last = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        let key = ids.key(None);
        match store.create(&key, &ids.new_session(None)).await {
            Ok(_) if history.ended.len() < history.created.len() => {
                match store.destroy(&key).await {
                    Ok(true) => history.ended.push(key),
                    // Nobody was told that it is done, so it may be there or not.
                    Ok(false) | Err(_) => history.refused += 1,
                }
            }
            Ok(_) => history.created.push(key),
            Err(_) => {
                history.refused += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
        }
        history.longest = history.longest.max(began.elapsed());
        history.gap = history.gap.max(last.elapsed());
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    history
}

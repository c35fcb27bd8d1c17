//! A load does not ask for the epoch that it is judged by: the server tells when one changes. No load
//! that begins after a change was acknowledged may be judged by the epoch from before it.

use std::sync::Arc;

use cloakroom_core::store::Lookup;
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::kit::{self, Ids};
use crate::proxy::Proxy;
use crate::server::Server;

/// Processes, each with some connections; and how often the epoch changes under them.
const STORES: usize = 6;
const ROUNDS: usize = 1_500;

/// Somebody changes the epoch of a tag, and everybody loads at once: ended with the one epoch, alive
/// with the other, thousands of times, while other loads keep every connection busy.
#[test]
fn a_load_after_a_change_knows_of_it() {
    let server = Server::start(&[]);
    for way in [
        "&connections=3",
        "&connections=3&layout=fields",
        "&protocol=resp2",
    ] {
        server.cli(&["FLUSHALL"]);
        kit::run(rounds(&server, way));
    }
}

async fn rounds(server: &Server, way: &str) {
    let mut stores = Vec::new();
    for _ in 0..STORES {
        let store = RedisStore::open(&server.url(0, way)).await;
        stores.push(Arc::new(store.expect("it opens")));
    }
    let ids = Ids::new();
    let key = ids.key(None);
    let created = stores[0].create(&key, &ids.new_session(None)).await;
    created.expect("created");
    let client = redis::Client::open(server.url(0, "")).expect("a URL");
    let other = client.get_multiplexed_async_connection().await;
    let mut other = other.expect("the server runs");
    let name = format!("session-epoch:{{{:03x}}}", key.tag().number());
    let epoch: Vec<u8> = ask(&mut other, redis::cmd("GET").arg(&name)).await;
    let noise: Vec<_> = stores
        .iter()
        .map(|store| tokio::spawn(load_always(Arc::clone(store), key)))
        .collect();
    let begun = stores.clone();
    for round in 0..ROUNDS {
        let lives = round % 2 == 1;
        let value = if lives { &epoch[..] } else { b"another!" };
        let () = ask(&mut other, redis::cmd("SET").arg(&name).arg(value)).await;
        let loads = begun.iter().map(|store| store.load(&key));
        for found in futures_util::future::join_all(loads).await {
            let found = matches!(found.expect("it answers"), Lookup::Found(_));
            assert_eq!(found, lives, "{way}: round {round}");
        }
    }
    noise.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn ask<T: redis::FromRedisValue>(
    connection: &mut redis::aio::MultiplexedConnection,
    command: &redis::Cmd,
) -> T {
    let answer = command.query_async(connection).await;
    answer.expect("the server answers")
}

async fn load_always(store: Arc<RedisStore>, key: StoredKey) {
    loop {
        store.load(&key).await.expect("it answers");
        tokio::task::yield_now().await;
    }
}

/// What else ends an epoch: that its key goes, one way or the other.
#[test]
fn an_epoch_that_is_lost_ends_sessions() {
    let server = Server::start(&[]);
    kit::run(async {
        for layout in ["packed", "fields"] {
            for how in [
                "DEL",
                "UNLINK",
                "PEXPIRE",
                "RENAME",
                "script",
                "transaction",
            ] {
                let store = RedisStore::open(&server.url(0, &format!("&layout={layout}"))).await;
                let store = store.expect("it opens");
                let ids = Ids::new();
                let key = ids.key(None);
                let created = store.create(&key, &ids.new_session(None)).await;
                created.expect("created");
                for _ in 0..4 {
                    assert!(lives(&store, &key).await, "{layout}: created");
                }
                let name = format!("session-epoch:{{{:03x}}}", key.tag().number());
                match how {
                    "PEXPIRE" => server.cli(&["PEXPIRE", &name, "0"]),
                    "RENAME" => server.cli(&["RENAME", &name, "elsewhere"]),
                    "script" => server.cli(&[
                        "EVAL",
                        "return redis.call('SET', KEYS[1], 'another!')",
                        "1",
                        &name,
                    ]),
                    "transaction" => {
                        let text = format!("MULTI\nSET {name} another!\nEXEC\n");
                        server.cli_lines(&text)
                    }
                    how => server.cli(&[how, &name]),
                };
                assert!(!lives(&store, &key).await, "{layout}: {how}");
            }
        }
    });
}

/// One trip and one command for a load, once a connection knows the epoch and the time.
#[test]
fn a_load_is_one_command() {
    let server = Server::start(&[]);
    kit::run(async {
        for (layout, command) in [("packed", "get"), ("fields", "hgetall")] {
            let proxy = Proxy::start(server.port).await;
            let url = format!(
                "redis://127.0.0.1:{}/0?timeout=30000&connections=1&layout={layout}",
                proxy.port
            );
            let store = RedisStore::open(&url).await.expect("it opens");
            let ids = Ids::new();
            let key = ids.key(None);
            let created = store.create(&key, &ids.new_session(None)).await;
            created.expect("created");
            assert!(lives(&store, &key).await, "created");
            server.cli(&["CONFIG", "RESETSTAT"]);
            proxy.trips();
            let loads = 200;
            for _ in 0..loads {
                assert!(lives(&store, &key).await, "created");
            }
            assert_eq!(proxy.trips(), loads, "trips");
            let stats = server.cli(&["INFO", "commandstats"]);
            let calls = |name: &str| {
                let line = stats
                    .lines()
                    .find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
                let number = line.and_then(|rest| rest.split(',').next()?.parse().ok());
                number.unwrap_or(0_usize)
            };
            assert_eq!(calls(command), loads, "{layout}: loads");
            assert_eq!(calls("pttl"), 0, "{layout}");
            // The time is asked for once a second, however long this took.
            let others: usize = ["client|caching", "mget"].into_iter().map(calls).sum();
            assert_eq!(others, 0, "{layout}: commands besides");
        }
    });
}

async fn lives(store: &RedisStore, key: &StoredKey) -> bool {
    let found = store.load(key).await.expect("it answers");
    matches!(found, Lookup::Found(_))
}

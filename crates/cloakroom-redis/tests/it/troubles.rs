//! Real servers in real trouble: each is made, and told by its class. What cannot be made here is
//! answered by a fake (`failures`).

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cloakroom_core::{Error, Store};
use cloakroom_redis::{Class, RedisStore};

use crate::failures::failure;
use crate::kit::{self, Ids};
use crate::server::Server;

const WAYS: [&str; 3] = ["", "&layout=fields", "&scripts=never"];

/// What creating a session fails with.
async fn refused(server: &Server, way: &str) -> Error {
    let store = RedisStore::open(&server.url(0, way)).await;
    let store = store.expect("it opens");
    let ids = Ids::new();
    let created = store.create(&ids.key(None), &ids.new_session(None)).await;
    created.expect_err("the server refuses")
}

async fn is_refused_as(server: &Server, class: Class) {
    for way in WAYS {
        let error = refused(server, way).await;
        let found = failure(&error);
        assert_eq!(found.class(), class, "{way}: {error:?}");
        assert_eq!(error.is_retryable(), class.is_retryable(), "{error:?}");
        assert!(found.to_string().contains(class.advice()), "{found}");
    }
}

/// Asks for a session until the answer is this trouble.
async fn until(store: &RedisStore, class: Class) {
    let key = Ids::new().key(None);
    for _ in 0..3_000 {
        match store.load(&key).await {
            Err(error) => {
                assert_eq!(failure(&error).class(), class, "{error:?}");
                return;
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    panic!("the server never was {class:?}");
}

#[test]
fn a_replica_takes_no_writes() {
    let primary = Server::start(&[]);
    let replica = primary.replica();
    kit::run(async {
        for way in WAYS {
            replica.wait_for_its_primary();
            let opened = RedisStore::open(&replica.url(0, way)).await;
            let error = opened.expect_err("it is told at the start");
            assert_eq!(failure(&error).class(), Class::ReadOnly, "{error:?}");
            let text = failure(&error).to_string();
            let name = format!("127.0.0.1:{}: ", replica.port);
            assert!(text.starts_with(&name), "{text} does not name the replica");
            replica.cli(&["REPLICAOF", "NO", "ONE"]);
            let store = RedisStore::open(&replica.url(0, way)).await;
            let store = store.expect("it is a primary");
            replica.cli(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
            let ids = Ids::new();
            let created = store.create(&ids.key(None), &ids.new_session(None)).await;
            let error = created.expect_err("it is a replica");
            assert_eq!(failure(&error).class(), Class::ReadOnly, "{error:?}");
        }
    });
}

#[test]
fn a_replica_that_lost_its_primary() {
    let mut primary = Server::start(&[]);
    let replica = primary.replica();
    replica.cli(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    kit::run(async {
        let url = replica.url(0, "&durability=fast");
        replica.cli(&["REPLICAOF", "NO", "ONE"]);
        let store = RedisStore::open(&url).await.expect("it opens");
        replica.cli(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
        replica.wait_for_its_primary();
        primary.kill();
        until(&store, Class::Down).await;
    });
}

#[test]
fn memory_is_used_up() {
    let server = Server::start(&[]);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    kit::run(is_refused_as(&server, Class::Full));
}

#[test]
fn replicas_are_missing() {
    let server = Server::start(&["--min-replicas-to-write", "1"]);
    kit::run(is_refused_as(&server, Class::NoReplicas));
}

#[test]
fn snapshots_cannot_be_written() {
    let server = Server::start(&["--enable-protected-configs", "yes", "--save", "3600 1"]);
    let lost = server.directory.join("lost");
    std::fs::create_dir(&lost).expect("the directory is ours");
    server.cli(&["CONFIG", "SET", "dir", &lost.display().to_string()]);
    std::fs::remove_dir(&lost).expect("the directory is ours");
    server.cli(&["BGSAVE"]);
    kit::run(async {
        for _ in 0..500 {
            if server
                .cli(&["INFO", "persistence"])
                .contains("rdb_last_bgsave_status:err")
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        is_refused_as(&server, Class::CannotSave).await;
    });
}

#[test]
fn a_script_blocks_the_server() {
    let mut server = Server::start(&["--lua-time-limit", "20"]);
    kit::run(async {
        let store = RedisStore::open(&server.url(0, ""))
            .await
            .expect("it opens");
        let endless = Background::start(&server, &["EVAL", "while true do end", "0"]);
        until(&store, Class::Busy).await;
        server.cli(&["SCRIPT", "KILL"]);
        drop(endless);
        server.wait_until_it_answers();
        let ids = Ids::new();
        let created = store.create(&ids.key(None), &ids.new_session(None)).await;
        created.expect("it is over");
    });
}

#[test]
fn the_data_is_being_loaded() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    server.cli(&["DEBUG", "POPULATE", "2000"]);
    server.cli(&["CONFIG", "SET", "key-load-delay", "5000"]);
    server.cli(&[
        "CONFIG",
        "SET",
        "loading-process-events-interval-bytes",
        "1024",
    ]);
    kit::run(async {
        let store = RedisStore::open(&server.url(0, ""))
            .await
            .expect("it opens");
        let _loading = Background::start(&server, &["DEBUG", "RELOAD"]);
        until(&store, Class::Loading).await;
    });
}

#[test]
fn a_right_is_missing() {
    let server = Server::start(&["--user", "app", "on", ">secret", "~*", "+@all"]);
    kit::run(async {
        for way in WAYS {
            server.cli(&["ACL", "SETUSER", "app", "+@all"]);
            let url = format!(
                "redis://app:secret@127.0.0.1:{}?timeout=30000{way}",
                server.port
            );
            let store = RedisStore::open(&url).await.expect("it opens");
            server.cli(&["ACL", "SETUSER", "app", "-set", "-hset"]);
            let error = RedisStore::open(&url)
                .await
                .expect_err("it is told at the start");
            assert_eq!(failure(&error).class(), Class::Permission, "{error:?}");
            let ids = Ids::new();
            let created = store.create(&ids.key(None), &ids.new_session(None)).await;
            let error = created.expect_err("a right is missing");
            assert_eq!(
                failure(&error).class(),
                Class::Permission,
                "{way}: {error:?}"
            );
        }
    });
}

/// What visitors need is asked for when the store opens, command by command, and all that is missing is told at once.
#[test]
fn each_missing_right_is_told_at_the_start() {
    const ALWAYS: &str = "select get set exists pttl pexpireat zadd zrange zrem sadd srem pexpire";
    const SCRIPTS: &str = "evalsha zcard zscore zrangebyscore";
    const TRANSACTIONS: &str = "watch unwatch multi exec";
    const FIELDS: &str = "hgetall hset hmget hget hdel hlen hexists hincrby del";
    let server = Server::start(&["--user", "app", "on", ">secret", "~*", "+@all"]);
    kit::run(async {
        for (way, needed) in [
            ("layout=packed", [ALWAYS, SCRIPTS, "getrange setrange"]),
            ("layout=fields", [ALWAYS, SCRIPTS, FIELDS]),
            ("scripts=never", [ALWAYS, TRANSACTIONS, ""]),
            (
                "scripts=never&layout=fields",
                [ALWAYS, TRANSACTIONS, FIELDS],
            ),
        ] {
            let url = format!(
                "redis://app:secret@127.0.0.1:{}/1?timeout=30000&{way}",
                server.port
            );
            let told = async |without: &[&str]| {
                for right in without {
                    server.cli(&["ACL", "SETUSER", "app", &format!("-{right}")]);
                }
                let error = RedisStore::open(&url).await.expect_err(without[0]);
                for right in without {
                    server.cli(&["ACL", "SETUSER", "app", &format!("+{right}")]);
                }
                let found = failure(&error);
                assert_eq!(found.class(), Class::Permission, "{without:?}: {error:?}");
                let named = format!("127.0.0.1:{}: the server answered ", server.port);
                let text = found.to_string();
                assert!(text.starts_with(&named), "{way}: {text}");
                for right in without {
                    assert!(
                        text.contains(&format!("{right:?}")),
                        "{way}: {right} is not named: {text}"
                    );
                }
            };
            for right in needed.iter().flat_map(|rights| rights.split_whitespace()) {
                told(&[right]).await;
            }
            told(&["pttl", "sadd", "zadd", "pexpire"]).await;
            RedisStore::open(&url).await.expect("nothing is missing");
        }
    });
    assert_eq!(
        server.cli(&["-n", "1", "DBSIZE"]),
        "0",
        "nothing was written"
    );
}

/// A `redis-cli` that waits for a server. Ended with the test, if it does not end by itself.
struct Background(Child);

impl Background {
    fn start(server: &Server, args: &[&str]) -> Self {
        let child = Command::new("redis-cli")
            .args(["-p", &server.port.to_string()])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-cli is missing: apt-get install -y redis-tools");
        Self(child)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! What is left behind: every key has an end, indexes forget what is gone a little at a time, and
//! markers last as long as they should.

use std::time::Duration;

use cloakroom_core::limits;
use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::store::{Absence, Lookup};
use cloakroom_core::{Lifetimes, Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::kit::{self, Ids};
use crate::server::Server;

/// After every operation every key but the epoch ends by itself, at the session's own deadline.
#[test]
fn every_key_has_an_end() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way))
                .await
                .expect("it opens");
            let ids = Ids::new();
            let user = kit::subject("alice");
            let (key, home) = (ids.key(None), ids.key(Some(&user)));
            let login = kit::login(&user, None);
            let ends = |what: &str, expected: &[(&str, i64)]| {
                let ends = lives(&server, database);
                let names: Vec<&str> = ends.iter().map(|(name, _)| name.as_str()).collect();
                let wanted: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
                assert_eq!(names, wanted, "{way}, {what}: {ends:?}");
                for ((_, left), (_, limit)) in ends.iter().zip(expected) {
                    let near = (limit - 60..=*limit).contains(left);
                    assert!(near, "{way}, {what}: {ends:?}, it should be {expected:?}");
                }
            };
            let new = ids.new_session(None);
            store.create(&key, &new).await.expect("created");
            ends("create", &[("session", 1800)]);
            let changes = kit::sets("a", "1");
            let applied = store.apply(&key, &changes, &Default::default()).await;
            applied.expect("applied");
            ends("apply", &[("session", 1800)]);
            store.touch(&[key]).await.expect("touched");
            ends("touch", &[("session", 1800)]);
            store.rotate(&key, &home, &login).await.expect("rotated");
            let tombstone = limits::TOMBSTONE.as_secs() as i64;
            let moved = [
                ("session", tombstone),
                ("session", 1800),
                ("subject", 28_800),
            ];
            ends("login", &moved);
            store.destroy(&home).await.expect("destroyed");
            ends("destroy", &[("session", tombstone), ("session", tombstone)]);
        }
    });
}

/// What is left of every key's life, in seconds, but for the epoch.
fn lives(server: &Server, database: usize) -> Vec<(String, i64)> {
    let number = database.to_string();
    let names = server.cli(&["-n", &number, "--raw", "KEYS", "*"]);
    let names = names
        .lines()
        .filter(|name| !name.starts_with("session-epoch:"));
    let mut lives: Vec<_> = names
        .map(|name| {
            let left = server.cli(&["-n", &number, "TTL", name]);
            let kind = name.split(':').next().unwrap_or_default().to_owned();
            (kind, left.parse().expect("a number"))
        })
        .collect();
    lives.sort();
    lives
}

/// Entries of sessions that ended or expired vanish from the index while others come and go.
#[test]
fn an_index_forgets_what_is_gone() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
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
            assert_eq!(size(), 6, "{way}: a login forgets 16, and enters one");
            assert_eq!(store.of_subject(&user).await.expect("listed").len(), 2);
            assert_eq!(size(), 2, "{way}: entries");
        }
    });
}

/// However many sessions a subject had, no command that a login sends is about more than 500 of them.
#[test]
fn upkeep_never_holds_the_server() {
    const GONE: usize = 1_200;
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way)).await;
            let store = store.expect("it opens");
            let ids = Ids::new();
            let user = kit::subject("alice");
            for _ in 0..GONE {
                let new = ids.new_session(Some(&user));
                let created = store.create(&ids.key(Some(&user)), &new).await;
                created.expect("created");
            }
            let number = database.to_string();
            let cli = |words: &[&str]| server.cli(&[&["-n", &number], words].concat());
            cli(&[
                "EVAL",
                "for _, k in ipairs(redis.call('KEYS', 'session:*')) do redis.call('DEL', k) end",
                "0",
            ]);
            cli(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
            cli(&["CONFIG", "SET", "slowlog-max-len", "10000"]);
            cli(&["SLOWLOG", "RESET"]);
            let mut new = ids.new_session(Some(&user));
            new.max_sessions = Some(MaxSessions {
                limit: 1,
                on_excess: OnExcess::RevokeOldest,
            });
            let created = store.create(&ids.key(Some(&user)), &new).await;
            created.unwrap_or_else(|error| panic!("{way}: {error:?}"));
            let log = cli(&["SLOWLOG", "GET", "-1"]);
            cli(&["CONFIG", "SET", "slowlog-log-slower-than", "-1"]);
            // The log shows the first 31 words of a command, and tells how many more there were.
            let more = log.lines().filter_map(|line| {
                let (_, rest) = line.split_once("... (")?;
                rest.split(' ').next()?.parse::<usize>().ok()
            });
            let most = more.max().unwrap_or_default() + 31;
            assert!(
                (100..600).contains(&most),
                "{way}: a command of {most} words"
            );
            let index = cli(&["--raw", "KEYS", "subject:*"]);
            assert_eq!(cli(&["ZCARD", &index]), "1", "{way}");
        }
    });
}

/// A key that lost its life to a PERSIST by somebody is judged by the times in the record.
#[test]
fn a_lost_ttl_extends_nothing() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
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
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way))
                .await
                .expect("it opens");
            let ids = Ids::new();
            let (old, new) = (ids.key(None), ids.key(None));
            let another = StoredKey::from_parts(new.tag(), *ids.key(None).hash());
            store
                .create(&old, &ids.new_session(None))
                .await
                .expect("created");
            store.revoke_all().await.expect("revoked");
            store
                .create(&new, &ids.new_session(None))
                .await
                .expect("created");
            for key in [old, new] {
                let epoch = format!("session-epoch:{{{:03x}}}", key.tag().number());
                server.cli(&["-n", &database.to_string(), "DEL", &epoch]);
            }
            for key in [old, new] {
                let found = store.load(&key).await.expect("loaded");
                assert_eq!(found, Lookup::Absent(Absence::Unknown), "{way}");
            }
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

/// An integer counts whichever codec wrote it, in every layout, also beyond what a double can hold.
#[test]
fn every_integer_counts() {
    use cloakroom_core::record::{Changes, Value};
    use cloakroom_core::store::Applied;
    use cloakroom_core::{Codec, codec};
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way))
                .await
                .expect("it opens");
            let ids = Ids::new();
            let key = ids.key(None);
            store
                .create(&key, &ids.new_session(None))
                .await
                .expect("created");
            let large = i64::MAX - 1;
            let mut changes = Changes::new();
            let packed = codec::encode(Codec::MessagePack, "a", &41).expect("a number");
            changes.set("a", packed).expect("it fits");
            changes.set("b", Value::integer(large)).expect("it fits");
            changes
                .set("c", Value::new(Codec::Raw, *b"7"))
                .expect("it fits");
            store
                .apply(&key, &changes, &Default::default())
                .await
                .expect("applied");
            let mut changes = Changes::new();
            changes.increment("a", 1).expect("a name");
            changes.increment("b", 1).expect("a name");
            let applied = store.apply(&key, &changes, &Default::default()).await;
            let applied = applied.unwrap_or_else(|error| panic!("{way}: {error:?}"));
            let increments = match applied {
                Applied::Done { increments, .. } => increments,
                other => panic!("{way}: {other:?}"),
            };
            assert_eq!(increments, [42, i64::MAX], "{way}");
            let mut changes = Changes::new();
            changes.increment("c", 1).expect("a name");
            let error = store.apply(&key, &changes, &Default::default()).await;
            let error = error.expect_err("raw bytes are no integer");
            let field = "c".to_owned();
            let kind = cloakroom_core::ErrorKind::NotAnInteger { field };
            assert_eq!(error.kind(), &kind, "{way}");
        }
    });
}

/// What a process has seen of a session decides nothing about it: another has made an integer of the field since,
/// and what the condition asks for true.
#[test]
fn an_integer_counts_whatever_it_was_when_it_was_seen() {
    use cloakroom_core::record::{Changes, Condition, FieldName, Value};
    use cloakroom_core::store::Applied;
    use cloakroom_core::{Codec, codec};
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let url = server.url(database, way);
            let ours = RedisStore::open(&url).await.expect("it opens");
            let theirs = RedisStore::open(&url).await.expect("it opens");
            let (ids, always) = (Ids::new(), Condition::Always);
            let key = ids.key(None);
            let created = ours.create(&key, &ids.new_session(None)).await;
            created.expect("created");
            let saved = ours.apply(&key, &kit::sets("a", "text"), &always).await;
            saved.expect("saved");
            ours.load(&key).await.expect("loaded");
            let mut changes = kit::sets("b", "now");
            let packed = codec::encode(Codec::MessagePack, "a", &41).expect("a number");
            changes.set("a", packed).expect("it fits");
            let saved = theirs.apply(&key, &changes, &always).await;
            saved.expect("saved");
            let mut one = Changes::new();
            one.increment("a", 1).expect("a name");
            let condition = Condition::Field {
                name: FieldName::new("b").expect("a name"),
                expected: Some(Value::new(Codec::Raw, *b"now")),
            };
            for (condition, sum) in [(&condition, 42), (&always, 43)] {
                let applied = ours.apply(&key, &one, condition).await;
                let applied = applied.unwrap_or_else(|error| panic!("{way}: {error:?}"));
                let is_right =
                    matches!(&applied, Applied::Done { increments, .. } if *increments == [sum]);
                assert!(is_right, "{way}: {applied:?}");
            }
            // The same without a condition that would have it looked at again.
            let saved = ours.apply(&key, &kit::sets("c", "text"), &always).await;
            saved.expect("saved");
            ours.load(&key).await.expect("loaded");
            let packed = codec::encode(Codec::MessagePack, "c", &1).expect("a number");
            let mut changes = Changes::new();
            changes.set("c", packed).expect("it fits");
            let saved = theirs.apply(&key, &changes, &always).await;
            saved.expect("saved");
            let mut one = Changes::new();
            one.increment("c", 1).expect("a name");
            let applied = ours.apply(&key, &one, &always).await;
            let is_right =
                matches!(&applied, Ok(Applied::Done { increments, .. }) if *increments == [2]);
            assert!(is_right, "{way}: {applied:?}");
        }
    });
}

//! What others wrote under our prefix is an error that says so, for every operation, and stays as it
//! is.

use std::sync::Arc;

use cloakroom_core::observe::Concern;
use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::Subject;
use cloakroom_core::store::{Absence, Cursor, Lookup};
use cloakroom_core::{Handle, OsEntropy, SessionId, Store, StoredKey};
use cloakroom_redis::{Class, RedisStore};

use crate::concerns;
use crate::failures::failure;
use crate::kit::{self, Ids};
use crate::server::Server;

/// What somebody else puts under a session's key, before and after the key.
const CONTENTS: &[(&str, &[&str])] = &[
    ("SET", &["garbage"]),
    ("SET", &["\u{1}short"]),
    ("SADD", &["member"]),
    ("HSET", &["field", "value"]),
    ("RPUSH", &["item"]),
];

#[test]
fn foreign_values_are_never_touched() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way))
                .await
                .expect("it opens");
            let ids = Ids::new();
            let user = kit::subject("alice");
            let place = ids.key(None);
            store
                .create(&place, &ids.new_session(None))
                .await
                .expect("created");
            let number = database.to_string();
            let name = server.cli(&["-n", &number, "--raw", "KEYS", "session:{*"]);
            for (command, rest) in CONTENTS {
                server.cli(&["-n", &number, "DEL", &name]);
                let mut words = vec!["-n", &number, command, &name];
                words.extend(*rest);
                server.cli(&words);
                let before = server.cli(&["-n", &number, "DUMP", &name]);
                // A process that has not seen the session before.
                let store = RedisStore::open(&server.url(database, way))
                    .await
                    .expect("it opens");
                let moved = ids.key(Some(&user));
                let outcomes = [
                    store.load(&place).await.map(drop),
                    store
                        .apply(&place, &kit::sets("a", "1"), &Default::default())
                        .await
                        .map(drop),
                    store
                        .rotate(&place, &moved, &kit::login(&user, None))
                        .await
                        .map(drop),
                    store.destroy(&place).await.map(drop),
                    store.touch(&[place]).await.map(drop),
                ];
                for (operation, outcome) in outcomes.into_iter().enumerate() {
                    let words = format!("{command} {rest:?}{way}, operation {operation}");
                    let error = outcome.expect_err(&words);
                    assert_eq!(
                        failure(&error).class(),
                        Class::Foreign,
                        "{words}: {error:?}"
                    );
                    assert!(!error.is_retryable(), "{words}");
                }
                let created = store.create(&place, &ids.new_session(None)).await;
                created.expect_err("the key is taken");
                let after = server.cli(&["-n", &number, "DUMP", &name]);
                assert_eq!(before, after, "{command}{way}: the value was touched");
            }
        }
    });
}

/// Nor by a process that had seen the session there, tries to end it, and tries again: what was refused is not
/// made sure of later.
#[test]
fn what_is_foreign_is_not_ended_later() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let url = server.url(database, &format!("&timeout=500{way}"));
            let store = RedisStore::open(&url).await;
            let store = store.expect("it opens");
            let ids = Ids::new();
            let (place, name) = usurped(&server, database, &store, &ids).await;
            // This one leaves a doubt, which who tries again settles first.
            server.signal("STOP");
            let ended = store.destroy(&place).await;
            assert_eq!(
                failure(&ended.expect_err("it hangs")).class(),
                Class::Timeout
            );
            server.signal("CONT");
            for _ in 0..3 {
                let ended = store.destroy(&place).await;
                let error = ended.expect_err("it is no session");
                assert_eq!(failure(&error).class(), Class::Foreign, "{way}: {error:?}");
            }
            let kind = server.cli(&["-n", &database.to_string(), "TYPE", &name]);
            assert_eq!(kind, "list", "{way}: the value was touched");
        }
    });
}

/// The key of a session in an empty database, where somebody else's value is now, and what the server calls it.
async fn usurped(
    server: &Server,
    database: usize,
    store: &RedisStore,
    ids: &Ids,
) -> (StoredKey, String) {
    let place = ids.key(None);
    let created = store.create(&place, &ids.new_session(None)).await;
    created.expect("created");
    let number = database.to_string();
    let name = server.cli(&["-n", &number, "--raw", "KEYS", "session:{*"]);
    server.cli(&["-n", &number, "DEL", &name]);
    server.cli(&["-n", &number, "RPUSH", &name, "item"]);
    (place, name)
}

/// A list of all sessions, and their number, do without it.
#[test]
fn what_is_foreign_is_in_no_list_of_all() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way)).await;
            let store = store.expect("it opens");
            let ids = Ids::new();
            let (place, _) = usurped(&server, database, &store, &ids).await;
            // One is of the same tag, so they are asked for together.
            let beside = SessionId::generate(place.tag(), &OsEntropy);
            let beside = beside.expect("there is entropy").key();
            for key in [beside, ids.key(None)] {
                let created = store.create(&key, &ids.new_session(None)).await;
                created.expect("created");
            }
            let page = store.scan(Cursor::default(), 100).await.expect("a page");
            assert_eq!(page.sessions.len(), 2, "{way}");
            let stats = store.stats().await.expect("numbers");
            assert_eq!(stats.sessions, 2, "{way}");
        }
    });
}

/// Sessions of a subject, the first of which has become somebody else's value.
struct Crowd {
    places: Vec<StoredKey>,
    first: Handle,
    /// What the server calls the first.
    name: String,
}

async fn crowd(
    server: &Server,
    number: &str,
    store: &RedisStore,
    user: &Subject,
    count: usize,
) -> Crowd {
    let ids = Ids::new();
    let before = server.cli(&["-n", number, "--raw", "KEYS", "session:{*"]);
    let new = ids.new_session(Some(user));
    let place = ids.key(Some(user));
    store.create(&place, &new).await.expect("created");
    let after = server.cli(&["-n", number, "--raw", "KEYS", "session:{*"]);
    let name = after.lines().find(|name| !before.contains(*name));
    let name = name.expect("one was created").to_owned();
    let mut places = vec![place];
    for _ in 1..count {
        let place = ids.key(Some(user));
        let created = store.create(&place, &ids.new_session(Some(user))).await;
        created.expect("created");
        places.push(place);
    }
    server.cli(&["-n", number, "DEL", &name]);
    server.cli(&["-n", number, "RPUSH", &name, "item"]);
    Crowd {
        places,
        first: new.handle,
        name,
    }
}

/// How many of these are alive, and how many are no sessions.
async fn alive_and_foreign(store: &RedisStore, places: &[StoredKey]) -> (usize, usize) {
    let (mut alive, mut foreign) = (0, 0);
    for place in places {
        match store.load(place).await {
            Ok(found) => alive += usize::from(matches!(found, Lookup::Found(_))),
            Err(_) => foreign += 1,
        }
    }
    (alive, foreign)
}

/// It is no device, refuses no login and is in no list; the sessions of the subject end all the same. It is told once, and
/// not to whom it does not concern.
#[test]
fn what_is_foreign_is_no_session_of_its_subject() {
    let server = Server::start(&["--maxmemory", "100mb"]);
    let cap = |on_excess| {
        let limit = 3;
        Some(MaxSessions { limit, on_excess })
    };
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let told = Arc::default();
            let store = concerns::open(&server.url(database, way), &told).await;
            let ids = Ids::new();
            let number = database.to_string();
            let mut crowds = Vec::new();
            for on_excess in [OnExcess::RevokeOldest, OnExcess::Refuse] {
                let user = kit::subject(&format!("{on_excess:?}"));
                let mut crowd = crowd(&server, &number, &store, &user, 3).await;
                let guest = ids.key(None);
                let created = store.create(&guest, &ids.new_session(None)).await;
                created.expect("created");
                let place = ids.key(Some(&user));
                let login = kit::login(&user, cap(on_excess));
                let signed_in = store.rotate(&guest, &place, &login).await;
                signed_in.unwrap_or_else(|error| panic!("{on_excess:?}{way}: {error:?}"));
                crowd.places.push(place);
                let found = alive_and_foreign(&store, &crowd.places).await;
                assert_eq!(found, (3, 1), "{on_excess:?}{way}");
                crowds.push(crowd);
            }
            let user = kit::subject("listed");
            crowds.push(crowd(&server, &number, &store, &user, 3).await);
            let listed = store.of_subject(&user).await;
            assert_eq!(listed.expect("two are sessions").len(), 2, "{way}");
            let user = kit::subject("revoked");
            let revoked = crowd(&server, &number, &store, &user, 5).await;
            let ended = store.revoke_subject(&user, None).await;
            assert_eq!(ended.expect("four are sessions"), 4, "{way}");
            let found = alive_and_foreign(&store, &revoked.places).await;
            assert_eq!(found, (0, 1), "{way}");
            crowds.push(revoked);
            let user = kit::subject("one");
            let one = crowd(&server, &number, &store, &user, 1).await;
            for _ in 0..2 {
                let ended = store.revoke(&user, &one.first).await;
                assert!(!ended.expect("there is none"), "{way}");
            }
            crowds.push(one);
            for Crowd { name, .. } in &crowds {
                let kind = server.cli(&["-n", &number, "TYPE", name]);
                assert_eq!(kind, "list", "{way}: the value was touched");
            }
            assert_eq!(told.concerns(), [Concern::ForeignValue; 5], "{way}");
        }
    });
}

/// A session that the other layout wrote is one: nobody is told that all are ended, and who wrote it still finds it.
#[test]
fn a_session_of_another_layout_is_not_given_up() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, [one, other]) in [[0, 1], [1, 0], [2, 3], [3, 2]].into_iter().enumerate() {
            let [one, other] = [kit::WAYS[one], kit::WAYS[other]];
            let store = RedisStore::open(&server.url(database, one)).await;
            let store = store.expect("it opens");
            let ids = Ids::new();
            let user = kit::subject("alice");
            for _ in 0..2 {
                let created = store
                    .create(&ids.key(Some(&user)), &ids.new_session(Some(&user)))
                    .await;
                created.expect("created");
            }
            let stranger = RedisStore::open(&server.url(database, other)).await;
            let stranger = stranger.expect("it opens");
            let own = ids.key(Some(&user));
            let created = stranger.create(&own, &ids.new_session(Some(&user))).await;
            created.expect("created");
            let mut capped = ids.new_session(Some(&user));
            let on_excess = OnExcess::RevokeOldest;
            capped.max_sessions = Some(MaxSessions {
                limit: 2,
                on_excess,
            });
            for _ in 0..2 {
                let refused = [
                    stranger.of_subject(&user).await.map(drop),
                    stranger.revoke_subject(&user, None).await.map(drop),
                    stranger
                        .create(&ids.key(Some(&user)), &capped)
                        .await
                        .map(drop),
                ];
                for refused in refused {
                    let error = refused.expect_err("there are sessions");
                    assert_eq!(
                        failure(&error).class(),
                        Class::Foreign,
                        "{other}: {error:?}"
                    );
                    let text = failure(&error).to_string();
                    assert!(text.contains("layout"), "{text}");
                }
            }
            let found = stranger.load(&own).await.expect("it is a session");
            assert!(
                matches!(found, Lookup::Absent(Absence::Ended)),
                "{other}: {found:?}"
            );
            let listed = store.of_subject(&user).await;
            assert_eq!(listed.expect("they are here").len(), 2, "{one}");
        }
    });
}

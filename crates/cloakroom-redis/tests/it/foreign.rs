//! What others wrote under our prefix is an error that says so, for every operation, and stays as it
//! is.

use cloakroom_core::Store;
use cloakroom_core::store::Lookup;
use cloakroom_redis::{Class, RedisStore};

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
            let store = RedisStore::open(&server.url(database, way)).await;
            let store = store.expect("it opens");
            let ids = Ids::new();
            let place = ids.key(None);
            let created = store.create(&place, &ids.new_session(None)).await;
            created.expect("created");
            let number = database.to_string();
            let name = server.cli(&["-n", &number, "--raw", "KEYS", "session:{*"]);
            server.cli(&["-n", &number, "DEL", &name]);
            server.cli(&["-n", &number, "RPUSH", &name, "item"]);
            for _ in 0..3 {
                let ended = store.destroy(&place).await;
                let error = ended.expect_err("it is no session");
                assert_eq!(failure(&error).class(), Class::Foreign, "{way}: {error:?}");
            }
            let kind = server.cli(&["-n", &number, "TYPE", &name]);
            assert_eq!(kind, "list", "{way}: the value was touched");
        }
    });
}

/// The sessions of a subject end all the same, and the next revocation has nothing to tell any more.
#[test]
fn what_is_foreign_keeps_no_session_of_its_subject_alive() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let store = RedisStore::open(&server.url(database, way)).await;
            let store = store.expect("it opens");
            let ids = Ids::new();
            let user = kit::subject("alice");
            let number = database.to_string();
            let mut places = Vec::new();
            let mut first = String::new();
            for _ in 0..5 {
                let place = ids.key(Some(&user));
                let created = store.create(&place, &ids.new_session(Some(&user))).await;
                created.expect("created");
                if places.is_empty() {
                    first = server.cli(&["-n", &number, "--raw", "KEYS", "session:{*"]);
                }
                places.push(place);
            }
            let name = &*first;
            server.cli(&["-n", &number, "DEL", name]);
            server.cli(&["-n", &number, "RPUSH", name, "item"]);
            let revoked = store.revoke_subject(&user, None).await;
            let error = revoked.expect_err("one is no session");
            assert_eq!(failure(&error).class(), Class::Foreign, "{way}: {error:?}");
            let mut foreign = 0;
            for place in &places {
                match store.load(place).await {
                    Ok(found) => assert!(matches!(found, Lookup::Absent(_)), "{way}: {found:?}"),
                    Err(_) => foreign += 1,
                }
            }
            assert_eq!(foreign, 1, "{way}");
            let again = store.revoke_subject(&user, None).await;
            assert_eq!(again.expect("nothing is left"), 0, "{way}");
            let kind = server.cli(&["-n", &number, "TYPE", name]);
            assert_eq!(kind, "list", "{way}: the value was touched");
        }
    });
}

//! What happens to sessions while nodes are added or taken away.

use std::time::Duration;

use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::store::{Absence, Lookup, Rotated};
use cloakroom_core::{OsEntropy, SessionId, Store};
use cloakroom_redis::RedisStore;

use super::{Nodes, all, apply, none_is_left, sign_in, text};
use crate::kit::{self, Ids, run};

/// Sessions that a third node takes over: each operation finds them, as its first and as its second.
#[test]
fn sessions_follow_their_tags() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let ids = Ids::new();
            let mut keys = Vec::new();
            for number in 0..60 {
                let key = ids.key(None);
                let new = ids.new_session(None);
                before.create(&key, &new).await.expect("created");
                let value = number.to_string();
                apply(&before, &key, "number", &value).await;
                keys.push(key);
            }
            let after = nodes.open_moving(database, way, -1).await;
            assert_eq!(
                all(&after).await,
                60,
                "{way}: a scan finds all before they move"
            );
            for (number, key) in keys.iter().enumerate() {
                let value = number.to_string();
                match number % 4 {
                    0 => assert_eq!(text(&after, key, "number").await, Some(value), "{way}"),
                    1 => apply(&after, key, "more", "1").await,
                    2 => assert!(after.destroy(key).await.expect("destroyed"), "{way}"),
                    _ => {
                        let new = SessionId::generate(key.tag(), &OsEntropy);
                        let new = new.expect("there is entropy").key();
                        let plan = kit::rotation(Duration::ZERO);
                        let rotated = after.rotate(key, &new, &plan).await.expect("no error");
                        assert!(matches!(rotated, Rotated::Done(_)), "{way}: {rotated:?}");
                        assert_eq!(text(&after, &new, "number").await, Some(value), "{way}");
                    }
                }
            }
            for (number, key) in keys
                .iter()
                .enumerate()
                .filter(|(number, _)| number % 4 == 2)
            {
                let lookup = after.load(key).await.expect("no error");
                assert_eq!(lookup, Lookup::Absent(Absence::Ended), "{way}: {number}");
            }
            assert_eq!(
                all(&after).await,
                45,
                "{way}: each is found once after they moved"
            );
        }
    });
}

/// A process whose clock is late, or that asks in the moment of the change, neither loses a session
/// that another one moved, nor writes to what is left of it.
#[test]
fn who_is_late_learns_that_the_move_has_begun() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let early = format!("{way}{}", nodes.moving(2, -1, 3600));
            let late = format!("{way}{}", nodes.moving(2, 1800, 3600));
            let ids = Ids::new();
            let mut keys = Vec::new();
            let before = nodes.open(2, database, way).await;
            for _ in 0..40 {
                let key = ids.key(None);
                before
                    .create(&key, &ids.new_session(None))
                    .await
                    .expect("created");
                keys.push(key);
            }
            let early = nodes.open(3, database, &early).await;
            for key in &keys {
                apply(&early, key, "by", "the early one").await;
            }
            for first in 0..3 {
                let late = nodes.open(3, database, &late).await;
                let keys = keys.iter().skip(first * 10).take(10);
                for key in keys {
                    match first {
                        0 => {
                            let by = text(&late, key, "by").await;
                            assert_eq!(by.as_deref(), Some("the early one"), "{way}");
                        }
                        1 => apply(&late, key, "by", "both").await,
                        _ => {
                            assert!(late.destroy(key).await.expect("destroyed"), "{way}");
                            let lookup = early.load(key).await.expect("no error");
                            assert_eq!(lookup, Lookup::Absent(Absence::Ended), "{way}");
                        }
                    }
                }
            }
        }
    });
}

/// What is revoked while sessions move stays revoked, wherever they were.
#[test]
fn revoked_sessions_do_not_come_along() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let after = nodes.open_moving(database, way, -1).await;
            let ids = Ids::new();
            for user in 0..12 {
                let user = kit::subject(&format!("user-{user}"));
                let keys = sign_in(&before, &ids, &user, 3).await;
                let listed = after.of_subject(&user).await.expect("listed");
                assert_eq!(listed.len(), 3, "{way}");
                let ended = after.revoke_subject(&user, None).await.expect("revoked");
                assert_eq!(ended, 3, "{way}");
                none_is_left(&after, &keys, way).await;
            }
            let user = kit::subject("everybody");
            let keys = sign_in(&before, &ids, &user, 3).await;
            after.revoke_all().await.expect("revoked");
            none_is_left(&after, &keys, way).await;
            none_is_left(&before, &keys, way).await;
        }
    });
}

/// A process with a late clock looks for what others have moved already, or have begun there.
#[test]
fn who_is_late_ends_what_has_moved() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let early = nodes.open_moving(database, way, -1).await;
            let ids = Ids::new();
            for user in 0..12 {
                let user = kit::subject(&format!("user-{user}"));
                let mut keys = sign_in(&before, &ids, &user, 1).await;
                assert_eq!(early.of_subject(&user).await.expect("listed").len(), 1);
                keys.extend(sign_in(&early, &ids, &user, 1).await);
                let late = nodes.open_moving(database, way, 20).await;
                let ended = late.revoke_subject(&user, None).await.expect("revoked");
                assert_eq!(ended, 2, "{way}");
                none_is_left(&early, &keys, way).await;
            }
            for _ in 0..12 {
                let key = ids.key(None);
                let created = early.create(&key, &ids.new_session(None)).await;
                created.expect("created");
                let late = nodes.open_moving(database, way, 20).await;
                assert!(late.destroy(&key).await.expect("destroyed"), "{way}");
                none_is_left(&early, &[key], way).await;
            }
        }
    });
}

/// An old owner that forgot that a session left brings back no logged-out one.
#[test]
fn an_old_owner_that_comes_back_revives_nothing() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let after = nodes.open_moving(database, way, -1).await;
            let ids = Ids::new();
            for _ in 0..12 {
                let key = ids.key(None);
                let new = ids.new_session(None);
                before.create(&key, &new).await.expect("created");
                let lookup = after.load(&key).await.expect("no error");
                assert!(matches!(lookup, Lookup::Found(_)), "{way}");
                nodes.forget(database);
                // It is what a restart on older data brings.
                drop(before.create(&key, &new).await);
                assert!(after.destroy(&key).await.expect("destroyed"), "{way}");
                // The marker at the new owner goes in time.
                nodes.forget(database);
                none_is_left(&after, &[key], way).await;
            }
        }
    });
}

/// A server under another name is the same server.
#[test]
fn a_server_with_two_names_keeps_its_sessions() {
    let nodes = Nodes::start(2);
    run(async {
        let before = nodes.open(2, 0, "").await;
        let ids = Ids::new();
        let user = kit::subject("alice");
        let keys = sign_in(&before, &ids, &user, 3).await;
        let window = nodes.moving(2, -1, 3600);
        let names = window.split("&moving=").nth(1).expect("a time");
        let [one, two] = [0, 1].map(|number| nodes.0[number].port);
        let old = format!("n0=localhost:{one}|n1=localhost:{two}");
        let url = nodes.url(2, 0, &format!("&moved-from={old}&moving={names}"));
        for round in 0..2 {
            let store = RedisStore::open(&url).await.expect("it opens");
            let listed = store.of_subject(&user).await.expect("listed");
            assert_eq!(listed.len(), 3, "{round}");
            for key in &keys {
                let lookup = store.load(key).await.expect("no error");
                assert!(matches!(lookup, Lookup::Found(_)), "{round}: {lookup:?}");
            }
        }
    });
}

/// The sessions of a subject are counted for a limit wherever they are.
#[test]
fn device_caps_count_what_has_not_moved() {
    let nodes = Nodes::start(3);
    run(async {
        let before = nodes.open(2, 0, "").await;
        let after = nodes.open(3, 0, &nodes.moving(2, -1, 3600)).await;
        let ids = Ids::new();
        for user in 0..8 {
            let user = kit::subject(&format!("user-{user}"));
            sign_in(&before, &ids, &user, 3).await;
            let mut new = ids.new_session(Some(&user));
            let on_excess = OnExcess::RevokeOldest;
            new.max_sessions = Some(MaxSessions {
                limit: 3,
                on_excess,
            });
            let created = after.create(&ids.key(Some(&user)), &new).await;
            created.expect("created");
            let listed = after.of_subject(&user).await.expect("listed");
            assert_eq!(listed.len(), 3);
        }
    });
}

/// A process that ends in the middle of a move leaves a session that the next request finds.
#[test]
fn a_move_that_was_left_half_way_is_finished() {
    let nodes = Nodes::start(3);
    run(async {
        for (database, way) in kit::WAYS.into_iter().enumerate() {
            let before = nodes.open(2, database, way).await;
            let ids = Ids::new();
            let user = kit::subject("alice");
            let mut keys = sign_in(&before, &ids, &user, 3).await;
            for _ in 0..40 {
                let key = ids.key(None);
                before
                    .create(&key, &ids.new_session(None))
                    .await
                    .expect("created");
                keys.push(key);
            }
            let moving = format!("{way}{}", nodes.moving(2, -1, 3600));
            for (number, key) in keys.iter().enumerate() {
                // Given up at another moment each time.
                let after = nodes.open(3, database, &moving).await;
                let patience = Duration::from_micros(150 * (number as u64 % 12));
                drop(tokio::time::timeout(patience, after.load(key)).await);
            }
            let after = nodes.open(3, database, &moving).await;
            assert_eq!(
                after.of_subject(&user).await.expect("listed").len(),
                3,
                "{way}"
            );
            for (number, key) in keys.iter().enumerate() {
                let lookup = after.load(key).await.expect("no error");
                assert!(
                    matches!(lookup, Lookup::Found(_)),
                    "{way}, {number}: {lookup:?}"
                );
            }
            // What was given up goes on by itself; until it is through, a scan gives a session twice.
            for _ in 0..500 {
                if all(&after).await == keys.len() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(all(&after).await, keys.len(), "{way}");
        }
    });
}

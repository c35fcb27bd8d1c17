//! Sessions that other programs begin, and hashes that are none: the part of `plain` that is about what
//! Cloakroom did not write.

use std::time::Duration;

use cloakroom_core::Store;
use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::record::{Condition, Rotation};
use cloakroom_core::store::{Absence, Applied, Rotated};
use cloakroom_redis::Class;

use crate::failures::failure;
use crate::kit;
use crate::plain::{Known, Shop, known, long};

/// A hash that another program began is a session, and lives as that program says.
#[test]
fn a_session_begun_by_hand_is_adopted() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, name } = known();
        shop.cli(&format!("HSET {name} user carol visits 3"));
        shop.cli(&format!("EXPIRE {name} 600"));
        let first = shop.found(&key).await.record;
        assert_eq!(first.fields.len(), 2);
        assert_eq!(first.subject, None, "nobody signed in here");
        let again = shop.found(&key).await.record;
        assert_eq!((again.handle, again.version), (first.handle, first.version));
        shop.set(&key, "ours", "1").await;
        assert!(
            (590..=600).contains(&shop.ttl(&name)),
            "our activity does not prolong it"
        );
        shop.cli(&format!("EXPIRE {name} 6000"));
        shop.set(&key, "ours", "2").await;
        assert!((5990..=6000).contains(&shop.ttl(&name)), "theirs does");

        let user = kit::subject("carol");
        let tag = SlotTag::of_subject(&user);
        let moved = StoredKey::from_plain_parts(tag, *known().key.hash());
        let rotated = shop
            .store
            .rotate(&key, &moved, &kit::login(&user, None))
            .await;
        assert!(matches!(rotated.expect("it answers"), Rotated::Done(_)));
        assert_eq!(shop.text(&moved, "visits").await.as_deref(), Some("3"));
        let listed = shop.store.of_subject(&user).await.expect("it answers");
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].handle, first.handle);
        assert!(
            listed[0].remaining <= Duration::from_secs(1800),
            "as the login says"
        );
        assert_eq!(
            shop.store
                .revoke_subject(&user, None)
                .await
                .expect("it answers"),
            1
        );
        assert_eq!(shop.absence(&moved).await, Absence::Ended);
    });
}

/// The first write to a session that another program began needs no read before it.
#[test]
fn a_session_begun_by_hand_is_adopted_by_a_write() {
    kit::run(async {
        let shop = Shop::open().await;
        let Known { key, name } = known();
        shop.cli(&format!("HSET {name} user carol"));
        shop.cli(&format!("EXPIRE {name} 600"));
        let applied = shop.set(&key, "ours", "1").await;
        assert!(matches!(applied, Applied::Done { .. }), "{applied:?}");
        assert_eq!(shop.text(&key, "user").await.as_deref(), Some("\"carol\""));
        let rotation = Rotation::default();
        let Known { key, name } = known();
        shop.cli(&format!("HSET {name} user dave"));
        shop.cli(&format!("EXPIRE {name} 600"));
        let new = StoredKey::from_plain_parts(key.tag(), *known().key.hash());
        let rotated = shop.store.rotate(&key, &new, &rotation).await;
        assert!(matches!(rotated.expect("it answers"), Rotated::Done(_)));
        let names = shop.server.cli(&["--scan", "--pattern", "session:*"]);
        let ttls: Vec<i64> = names.lines().map(|name| shop.ttl(name)).collect();
        assert_eq!(ttls.len(), 2, "{names}");
        assert!(
            ttls.iter().all(|left| (590..=600).contains(left)),
            "{ttls:?}"
        );
    });
}

#[test]
fn what_is_no_session_is_left_alone() {
    kit::run(async {
        let shop = Shop::open().await;
        let contents = [
            "HSET NAME user carol",
            "SET NAME text",
            "SADD NAME member",
            "HSET NAME user carol _cloakroom 00",
        ];
        for command in contents {
            let Known { key, name } = known();
            shop.cli(&command.replace("NAME", &name));
            let dump = shop.cli(&format!("DUMP {name}"));
            let outcomes = [
                shop.store.load(&key).await.map(drop),
                shop.store.destroy(&key).await.map(drop),
                shop.store.touch(&[key]).await.map(drop),
                shop.store
                    .apply(&key, &kit::sets("a", "1"), &Condition::Always)
                    .await
                    .map(drop),
            ];
            for outcome in outcomes {
                let error = outcome.expect_err(command);
                assert_eq!(
                    failure(&error).class(),
                    Class::Foreign,
                    "{command}: {error:?}"
                );
            }
            assert_eq!(shop.cli(&format!("DUMP {name}")), dump, "{command}");
        }
    });
}

/// A program that writes whole hashes keeps a session if it writes ours back as it was; else it begins
/// another one, in which nobody is signed in.
#[test]
fn a_hash_that_is_written_anew() {
    kit::run(async {
        let shop = Shop::open().await;
        let user = kit::subject("alice");
        let Known { key, .. } = shop.begin(long()).await;
        let tag = SlotTag::of_subject(&user);
        let home = StoredKey::from_plain_parts(tag, *known().key.hash());
        let rotated = shop
            .store
            .rotate(&key, &home, &kit::login(&user, None))
            .await;
        assert!(matches!(rotated.expect("it answers"), Rotated::Done(_)));
        let name = shop.server.cli(&["--scan", "--pattern", "session:*"]);
        let before = shop.found(&home).await.record;
        let head = shop.cli(&format!("HGET {name} _cloakroom"));
        shop.cli(&format!("DEL {name}"));
        shop.cli(&format!(
            "HSET {name} _cloakroom {head} _cloakroom.subject alice a 1"
        ));
        shop.cli(&format!("EXPIRE {name} 600"));
        let record = shop.found(&home).await.record;
        assert_eq!(
            (record.handle, record.subject),
            (before.handle, Some(user.clone()))
        );
        assert_eq!(record.version, before.version + 1);

        shop.cli(&format!("DEL {name}"));
        shop.cli(&format!("HSET {name} a 1 _cloakroom.subject alice"));
        shop.cli(&format!("EXPIRE {name} 600"));
        let record = shop.found(&home).await.record;
        assert_ne!(record.handle, before.handle);
        assert_eq!(record.subject, None, "nobody signs in by hand");
        assert!(
            shop.store
                .of_subject(&user)
                .await
                .expect("it answers")
                .is_empty()
        );
        assert_eq!(shop.cli(&format!("HEXISTS {name} _cloakroom.subject")), "0");
    });
}

//! Logins across the slots of a cluster, which are two steps: whatever happens to the old session
//! between a process's last look and the login is neither lost nor undone.

use cloakroom_core::id::SlotTag;
use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::Condition;
use cloakroom_core::store::{Absence, Lookup, Rotated};
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::cluster::Cluster;
use crate::kit::{self, Ids};

const WAYS: [&str; 2] = ["", "&scripts=never&layout=fields"];

/// Two processes, and a visitor whom the first has just seen.
struct Scene {
    ours: RedisStore,
    theirs: RedisStore,
    ids: Ids,
    old: StoredKey,
}

impl Scene {
    async fn open(cluster: &Cluster, way: &str) -> Self {
        let url = cluster.url(&format!("timeout=10000{way}"));
        let ours = RedisStore::open(&url).await.expect("it opens");
        let theirs = RedisStore::open(&url).await.expect("it opens");
        let ids = Ids::new();
        let old = ids.key(None);
        let created = ours.create(&old, &ids.new_session(None)).await;
        created.expect("created");
        ours.load(&old).await.expect("loaded");
        Self {
            ours,
            theirs,
            ids,
            old,
        }
    }
}

#[test]
fn a_session_that_is_gone_meanwhile_is_not_signed_in() {
    let cluster = Cluster::without_replicas();
    kit::run(async {
        for (number, way) in WAYS.into_iter().enumerate() {
            let user = kit::subject(&format!("alice{number}"));
            let scene = Scene::open(&cluster, way).await;
            let ended = scene.theirs.destroy(&scene.old).await;
            assert!(ended.expect("destroyed"), "{way}");
            let new = scene.ids.key(Some(&user));
            let login = kit::login(&user, None);
            let moved = scene.ours.rotate(&scene.old, &new, &login).await;
            let moved = moved.expect("it answers");
            let gone = Rotated::Absent(Absence::Ended);
            assert_eq!(moved, gone, "{way}");
            let listed = scene.theirs.of_subject(&user).await.expect("listed");
            assert!(listed.is_empty(), "{way}: a copy is left: {listed:?}");
            let found = scene.theirs.load(&new).await.expect("loaded");
            assert_eq!(found, Lookup::Absent(Absence::Unknown), "{way}");
        }
    });
}

#[test]
fn what_was_written_meanwhile_is_signed_in_as_well() {
    let cluster = Cluster::without_replicas();
    kit::run(async {
        for (number, way) in WAYS.into_iter().enumerate() {
            let user = kit::subject(&format!("bob{number}"));
            let scene = Scene::open(&cluster, way).await;
            let changes = kit::sets("cart", "coat");
            let written = scene.theirs.apply(&scene.old, &changes, &Condition::Always);
            written.await.expect("applied");
            let new = scene.ids.key(Some(&user));
            let login = kit::login(&user, None);
            let moved = scene.ours.rotate(&scene.old, &new, &login).await;
            assert!(matches!(moved, Ok(Rotated::Done(_))), "{way}: {moved:?}");
            match scene.theirs.load(&new).await.expect("loaded") {
                Lookup::Found(loaded) => {
                    let cart = loaded.record.fields.get("cart");
                    assert_eq!(cart.map(|value| value.bytes), Some(&b"coat"[..]), "{way}");
                }
                Lookup::Absent(absence) => panic!("{way}: it is {absence:?}"),
            }
            let old = scene.theirs.load(&scene.old).await.expect("loaded");
            assert_eq!(old, Lookup::Absent(Absence::Ended), "{way}");
            let listed = scene.theirs.of_subject(&user).await.expect("listed");
            assert_eq!(listed.len(), 1, "{way}: {listed:?}");
        }
    });
}

/// The place of another device is not given to a session that is over.
#[test]
fn nobody_is_signed_out_for_a_session_that_is_gone() {
    let cluster = Cluster::without_replicas();
    kit::run(async {
        for (number, way) in WAYS.into_iter().enumerate() {
            let user = kit::subject(&format!("carol{number}"));
            let scene = Scene::open(&cluster, way).await;
            let device = scene.ids.key(Some(&user));
            let new = scene.ids.new_session(Some(&user));
            scene.ours.create(&device, &new).await.expect("created");
            scene.theirs.destroy(&scene.old).await.expect("destroyed");
            let cap = MaxSessions {
                limit: 1,
                on_excess: OnExcess::RevokeOldest,
            };
            let login = kit::login(&user, Some(cap));
            let new = scene.ids.key(Some(&user));
            let moved = scene.ours.rotate(&scene.old, &new, &login).await;
            assert_eq!(
                moved.expect("it answers"),
                Rotated::Absent(Absence::Ended),
                "{way}"
            );
            let found = scene.ours.load(&device).await.expect("loaded");
            let lives = matches!(found, Lookup::Found(_));
            assert!(lives, "{way}: the device was signed out");
        }
    });
}

/// The end of the session from before a login is an end: what could be promoted has it in either mode, or the login
/// is not acknowledged.
#[test]
fn the_id_from_before_a_login_ends_for_sure() {
    let cluster = Cluster::start();
    kit::run(async {
        let firsts = cluster.tags_of_the_first();
        for (number, way) in WAYS.into_iter().enumerate() {
            let url = cluster.url(&format!("timeout=3000&durability=fast{way}"));
            let store = kit::open_patiently(&url).await;
            let ids = Ids::new();
            let mut visitors = std::iter::repeat_with(|| ids.key(None));
            let mut visitor = || visitors.find(|key| firsts.contains(&key.tag()));
            let mut users = (0..).map(|user| kit::subject(&format!("dora{number}-{user}")));
            let user = users.find(|user| !firsts.contains(&SlotTag::of_subject(user)));
            let user = user.expect("some are elsewhere");
            let mut sign_in = async || {
                let old = visitor().expect("some are there");
                let created = store.create(&old, &ids.new_session(None)).await;
                created.expect("created");
                let new = ids.key(Some(&user));
                store.rotate(&old, &new, &kit::login(&user, None)).await
            };
            let moved = sign_in().await.expect("its replica confirms");
            assert!(matches!(moved, Rotated::Done(_)), "{way}: {moved:?}");
            cluster.nodes[3].signal("STOP");
            let error = sign_in().await.expect_err("nobody confirms the end");
            assert!(error.is_retryable(), "{way}: {error:?}");
            cluster.nodes[3].signal("CONT");
            cluster.wait_until_whole();
        }
    });
}

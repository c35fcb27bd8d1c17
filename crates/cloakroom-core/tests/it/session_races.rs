//! Many handles of one session at once, requests that go away, and updates under contention.

use std::sync::Arc;

use cloakroom_core::session::Cookie;
use cloakroom_core::testkit::{
    HeldSpawn, ReferenceStore, SeededEntropy, ThreadSpawn, YieldingStore, block_on, cancel_after,
    join_all, spawn_all,
};
use cloakroom_core::{ErrorKind, PresentedId, Session, Sessions, Store};

fn app(store: Arc<dyn Store>) -> Sessions {
    Sessions::new(
        store,
        Arc::new(SeededEntropy::new(1)),
        Arc::new(ThreadSpawn),
    )
}

/// A session with some fields, and its id.
fn begin(sessions: &Sessions, set: impl FnOnce(&Session)) -> PresentedId {
    let session = sessions.open(None);
    set(&session);
    let outcome = block_on(session.finish());
    let Cookie::Set { id, .. } = outcome.cookie else {
        panic!("a new session has a cookie: {outcome:?}");
    };
    PresentedId::parse(id.expose_secret().as_bytes()).expect("an own id")
}

#[test]
fn one_of_many_takers_gets_it() {
    let (store, _) = ReferenceStore::manual();
    let sessions = app(store);
    for _ in 0..20 {
        let id = begin(&sessions, |session| {
            session.set("token", &7).expect("it fits");
        });
        let takers = (0..16).map(|_| -> cloakroom_core::session::BoxFuture<_> {
            let session = sessions.open(Some(&id));
            Box::pin(async move { session.take::<u8>("token").await.expect("a take") })
        });
        let told = block_on(spawn_all(&ThreadSpawn, takers));
        let taken = told.into_iter().flatten().flatten().count();
        assert_eq!(taken, 1);
    }
}

#[test]
fn updates_under_contention_all_count_or_say_so() {
    let (store, _) = ReferenceStore::manual();
    let sessions = app(YieldingStore::yielding(store));
    let id = begin(&sessions, |session| {
        session.set("other", &0).expect("it fits");
    });
    let handles: Vec<Session> = (0..8).map(|_| sessions.open(Some(&id))).collect();
    let updates = handles
        .iter()
        .map(|session| session.update("list", |old: Option<u32>| old.unwrap_or(0) + 1));
    let told = block_on(join_all(updates));
    let done = told.iter().filter(|told| told.is_ok()).count();
    let conflicts = told.iter().filter(|told| {
        told.as_ref()
            .is_err_and(|error| *error.kind() == ErrorKind::Conflict)
    });
    assert_eq!(done + conflicts.count(), 8);
    assert!(done > 0, "nobody won");
    let read = block_on(sessions.open(Some(&id)).get::<u32>("list")).expect("it decodes");
    assert_eq!(
        read,
        u32::try_from(done).ok(),
        "what was told and what is stored"
    );
}

#[test]
fn writers_of_other_fields_do_not_disturb_an_update() {
    let (store, _) = ReferenceStore::manual();
    let sessions = app(store);
    let id = begin(&sessions, |session| {
        session.set("mine", &1).expect("it fits");
    });
    let session = sessions.open(Some(&id));
    block_on(async {
        assert_eq!(
            session.get::<u8>("mine").await.expect("it decodes"),
            Some(1)
        );
        let other = sessions.open(Some(&id));
        other.set("theirs", &1).expect("it fits");
        other.finish().await.saved.expect("it is saved");
        let mut asked = 0;
        let updated = session.update("mine", |old: Option<u8>| {
            asked += 1;
            old.unwrap_or(0) + 1
        });
        assert_eq!(updated.await.expect("an update"), 2);
        assert_eq!(asked, 1);
    });
}

#[test]
fn an_update_of_an_ended_session_begins_none() {
    let (store, _) = ReferenceStore::manual();
    let sessions = app(Arc::<ReferenceStore>::clone(&store));
    let id = begin(&sessions, |session| session.set("n", &1).expect("it fits"));
    let session = sessions.open(Some(&id));
    block_on(async {
        assert_eq!(session.get::<u8>("n").await.expect("it decodes"), Some(1));
        sessions.open(Some(&id)).logout().await.expect("a logout");
        let ended = session
            .update("n", |old: Option<u8>| old.unwrap_or(0) + 1)
            .await;
        assert_eq!(ended.unwrap_err().kind(), &ErrorKind::SessionEnded);
        let outcome = session.finish().await;
        outcome.saved.expect("nothing to save");
        assert!(
            matches!(outcome.cookie, Cookie::Keep),
            "{:?}",
            outcome.cookie
        );
        assert_eq!(store.stats().await.expect("stats").sessions, 0);
    });
}

#[test]
fn clones_load_and_create_once() {
    let (store, _) = ReferenceStore::manual();
    let store = cloakroom_core::testkit::CountingStore::counting(YieldingStore::yielding(store));
    let sessions = app(Arc::<cloakroom_core::testkit::CountingStore>::clone(&store));
    let id = begin(&sessions, |session| session.set("a", &1).expect("it fits"));
    store.take_trips();
    let session = sessions.open(Some(&id));
    let clones: Vec<Session> = (0..8).map(|_| session.clone()).collect();
    let reads = block_on(join_all(clones.iter().map(|clone| clone.get::<u8>("a"))));
    assert!(reads.into_iter().all(|read| read.ok().flatten() == Some(1)));
    assert_eq!(store.take_trips(), 1);
    let fresh = sessions.open(None);
    fresh.set("a", &1).expect("it fits");
    let clones: Vec<Session> = (0..8).map(|_| fresh.clone()).collect();
    for saved in block_on(join_all(clones.iter().map(Session::save))) {
        saved.expect("a save");
    }
    assert_eq!(store.take_trips(), 1);
}

/// A request that goes away at any point of its save: the write that began is finished, by whoever
/// runs what was handed over; one that had not begun never happens.
#[test]
fn a_dropped_save_is_finished() {
    for (finished, polls) in (1..20).enumerate() {
        let (store, _) = ReferenceStore::manual();
        let shared = YieldingStore::yielding(Arc::<ReferenceStore>::clone(&store));
        let held = Arc::new(HeldSpawn::default());
        let spawn = Arc::<HeldSpawn>::clone(&held);
        let sessions = Sessions::new(shared, Arc::new(SeededEntropy::new(1)), spawn);
        let id = begin(&sessions, |session| session.set("a", &1).expect("it fits"));
        let session = sessions.open(Some(&id));
        session.set("a", &2).expect("it fits");
        let done = block_on(cancel_after(polls, session.save()));
        drop(session);
        if let Some(saved) = done {
            saved.expect("a save");
            assert!(finished > 0, "the save was never interrupted");
            return;
        }
        assert_eq!(held.run(), 1, "handed over, dropped at {polls}");
        let read = block_on(sessions.open(Some(&id)).get::<u8>("a"));
        assert_eq!(read.expect("it decodes"), Some(2), "dropped at {polls}");
    }
    panic!("a save that never ends");
}

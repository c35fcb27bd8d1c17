//! Handlers and observers that do what they should not, and moments that come at the wrong time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use cloakroom_core::observe::{Event, Observer};
use cloakroom_core::policy::{OnExcess, Policy};
use cloakroom_core::record::{Changes, Subject, Value};
use cloakroom_core::session::{Cookie, Outcome};
use cloakroom_core::testkit::{
    HeldSpawn, ReferenceStore, SeededEntropy, ThreadSpawn, YieldingStore, block_on, cancel_after,
    join_all,
};
use cloakroom_core::{ErrorKind, PresentedId, Session, Sessions, Store, limits};

fn app(store: Arc<dyn Store>) -> Sessions {
    Sessions::new(
        store,
        Arc::new(SeededEntropy::new(1)),
        Arc::new(ThreadSpawn),
    )
}

fn id_of(outcome: Outcome) -> PresentedId {
    let Cookie::Set { id, .. } = outcome.cookie else {
        panic!("no cookie: {outcome:?}");
    };
    PresentedId::parse(id.expose_secret().as_bytes()).expect("an own id")
}

#[test]
fn the_closure_of_an_update_may_use_the_session() {
    let (store, _) = ReferenceStore::manual();
    let session = app(store).open(None);
    block_on(async {
        let changed = session.update("count", |old: Option<u8>| {
            // Under a lock of the session, this would wait for ever.
            session
                .set("seen", &format!("{session:?}"))
                .expect("it fits");
            old.unwrap_or(0) + 1
        });
        assert_eq!(changed.await.expect("an update"), 1);
        let seen = session.get::<String>("seen").await.expect("it decodes");
        assert_eq!(seen.as_deref(), Some("Session"));
    });
}

#[test]
fn what_a_panicking_closure_leaves_is_a_session_that_works() {
    let (store, _) = ReferenceStore::manual();
    let session = app(store).open(None);
    session.set("count", &1).expect("it fits");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let panicking = session.update("count", |_: Option<u8>| -> u8 {
            panic!("the application's own")
        });
        block_on(panicking)
    }));
    assert!(panicked.is_err());
    let sum = block_on(session.increment("count", 1));
    assert_eq!(sum.expect("nothing is locked"), 2);
    block_on(session.finish()).saved.expect("a save");
}

/// Looks at the session whose event it hears of.
#[derive(Debug, Default)]
struct Curious(Mutex<Option<Session>>);

impl Observer for Curious {
    fn observe(&self, _: &Event) {
        if let Some(session) = &*self.0.lock().unwrap() {
            // Under a lock of the session, this would wait for ever.
            assert!(format!("{session:?}").starts_with("Session"));
        }
    }
}

#[test]
fn an_observer_may_look_at_the_session() {
    let (store, _) = ReferenceStore::manual();
    let curious = Arc::new(Curious::default());
    let session = app(store).observer(Arc::clone(&curious) as _).open(None);
    *curious.0.lock().unwrap() = Some(session.clone());
    block_on(async {
        session.set("a", &1).expect("it fits");
        session.login("alice").await.expect("a login");
        session.rotate().expect("open");
        session.save().await.expect("a save");
        session.logout().await.expect("a logout");
    });
    *curious.0.lock().unwrap() = None;
}

#[test]
fn a_new_id_that_is_dead_already_is_not_told() {
    let (store, _) = ReferenceStore::manual();
    let session = app(Arc::clone(&store) as _).open(None);
    let outcome = block_on(async {
        session.login("alice").await.expect("a login");
        let alice = Subject::new("alice").expect("a subject");
        let revoked = store.revoke_subject(&alice, None).await;
        assert_eq!(revoked.expect("a revocation"), 1);
        let late = session.increment("n", 1).await.expect_err("it ended");
        assert_eq!(*late.kind(), ErrorKind::SessionEnded);
        session.finish().await
    });
    assert!(matches!(outcome.cookie, Cookie::Keep), "{outcome:?}");
}

#[test]
fn a_write_that_was_given_up_is_not_taken_for_acknowledged() {
    type Act = fn(&Session) -> cloakroom_core::session::BoxFuture<()>;
    let acts: [Act; 4] = [
        |session| {
            session.set("a", &2).expect("it fits");
            let session = session.clone();
            Box::pin(async move { drop(session.save().await) })
        },
        |session| {
            let session = session.clone();
            Box::pin(async move { drop(session.increment("n", 1).await) })
        },
        |session| {
            let session = session.clone();
            Box::pin(async move { drop(session.login("alice").await) })
        },
        |session| {
            let session = session.clone();
            Box::pin(async move { drop(session.logout().await) })
        },
    ];
    for (number, act) in acts.into_iter().enumerate() {
        let (store, _) = ReferenceStore::manual();
        let held = Arc::new(HeldSpawn::default());
        let slow = YieldingStore::yielding(store);
        let sessions = Sessions::new(slow, Arc::new(SeededEntropy::new(1)), held.clone());
        let first = sessions.open(None);
        first.set("a", &1).expect("it fits");
        let id = id_of(block_on(first.finish()));

        let session = sessions.open(Some(&id));
        // As a time limit inside of a handler does it.
        assert!(block_on(cancel_after(1, act(&session))).is_none());
        assert!(session.finish_now().is_none(), "{number}: nobody knows yet");
        let outcome = block_on(session.finish());
        let unsure = outcome.saved.expect_err("the store has not said anything");
        assert!(unsure.is_retryable(), "{number}: {unsure}");
        held.run();
    }
}

type Told<'a> = Pin<Box<dyn Future<Output = Result<(), ErrorKind>> + 'a>>;

#[test]
fn a_login_that_waited_until_the_response_was_decided_is_refused() {
    let (store, _) = ReferenceStore::manual();
    let sessions = app(YieldingStore::yielding(store.clone()));
    let session = sessions.open(None);
    session.set("a", &1).expect("it fits");
    let clone = session.clone();
    // The first poll of the save takes the gate, so the login has to wait for it.
    let both: [Told<'_>; 2] = [
        Box::pin(async { session.finish().await.saved.map_err(|it| it.kind().clone()) }),
        Box::pin(async { clone.login("alice").await.map_err(|it| it.kind().clone()) }),
    ];
    let told = block_on(join_all(both));
    assert_eq!(told, [Ok(()), Err(ErrorKind::Finished)]);
}

#[test]
fn a_refused_login_leaves_the_rotation_that_was_asked_for() {
    let (store, _) = ReferenceStore::manual();
    let policy = Policy::default().max_sessions(1, OnExcess::Refuse);
    let sessions = app(store).policy(policy);
    let other = sessions.open(None);
    block_on(other.login("alice")).expect("the first");
    let first = sessions.open(None);
    first.set("a", &1).expect("it fits");
    let id = id_of(block_on(first.finish()));

    let session = sessions.open(Some(&id));
    session.rotate().expect("open");
    block_on(session.login("alice")).expect_err("one is enough");
    let outcome = block_on(session.finish());
    assert!(matches!(outcome.cookie, Cookie::Set { .. }), "{outcome:?}");
}

/// Keeps what it hears.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Event>>);

impl Observer for Heard {
    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

#[test]
fn every_logout_that_ended_something_is_heard_of() {
    let (store, _) = ReferenceStore::manual();
    let heard = Arc::new(Heard::default());
    let sessions = app(store).observer(Arc::clone(&heard) as _);
    let first = sessions.open(None);
    block_on(first.login("alice")).expect("a login");
    let id = id_of(block_on(first.finish()));
    heard.0.lock().unwrap().clear();
    // A logout handler reads nothing of the session; the second comes too late.
    for _ in 0..2 {
        block_on(sessions.open(Some(&id)).logout()).expect("a logout");
    }
    assert_eq!(*heard.0.lock().unwrap(), [Event::LoggedOut(None)]);
}

#[test]
fn changes_that_gather_are_bounded() {
    let mut changes = Changes::new();
    for number in 0..limits::CHANGES {
        changes
            .set(&format!("f{number}"), Value::integer(1))
            .expect("within the limit");
    }
    changes.remove("f0").expect("a field that is named already");
    for refused in [
        changes.set("one more", Value::integer(1)),
        changes.remove("one more"),
        changes.increment("one more", 1),
    ] {
        let kind = refused.expect_err("over the limit").kind().clone();
        let (limit, size) = (limits::CHANGES, limits::CHANGES + 1);
        assert_eq!(
            kind,
            ErrorKind::Limit {
                what: "changes",
                limit,
                size
            }
        );
    }
}

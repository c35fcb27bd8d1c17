//! The session as an application holds it: trips to the store, what the browser is told, and what is
//! stored, request by request.

use std::sync::Arc;

use cloakroom_core::observe::Operation;
use cloakroom_core::policy::{OnExcess, Policy};
use cloakroom_core::session::{Cookie, LoginOptions, Outcome};
use cloakroom_core::testkit::{
    CollidingEntropy, CountingStore, FailingEntropy, Fault, FaultyStore, ManualClock,
    ReferenceStore, SeededEntropy, ThreadSpawn, block_on,
};
use cloakroom_core::{ErrorKind, PresentedId, Session, Sessions, Store};

/// An application's sessions over a counted store.
pub(crate) struct App {
    pub(crate) sessions: Sessions,
    store: Arc<CountingStore>,
    clock: ManualClock,
}

/// A browser's cookie.
#[derive(Default)]
pub(crate) struct Browser(pub(crate) Option<PresentedId>);

impl App {
    pub(crate) fn new() -> Self {
        let (reference, clock) = ReferenceStore::manual();
        let store = CountingStore::counting(reference);
        let shared: Arc<dyn Store> = store.clone();
        let entropy = Arc::new(SeededEntropy::new(1));
        Self {
            sessions: Sessions::new(shared, entropy, Arc::new(ThreadSpawn)),
            store,
            clock,
        }
    }

    /// A request: what it does, and the trips that it took, its response included.
    pub(crate) fn request<T>(
        &self,
        browser: &mut Browser,
        act: impl AsyncFnOnce(&Session) -> T,
    ) -> (T, usize) {
        self.store.take_trips();
        let session = self.sessions.open(browser.0.as_ref());
        let told = block_on(act(&session));
        let outcome = block_on(session.finish());
        browser.take(outcome);
        (told, self.store.take_trips())
    }

    fn count(&self) -> u64 {
        block_on(self.store.stats())
            .expect("the store answers")
            .sessions
    }
}

impl Browser {
    fn take(&mut self, outcome: Outcome) {
        outcome.saved.expect("what was set is saved");
        match outcome.cookie {
            Cookie::Keep => {}
            Cookie::Clear => self.0 = None,
            Cookie::Set { id, .. } => {
                let id = PresentedId::parse(id.expose_secret().as_bytes());
                self.0 = Some(id.expect("an own id"));
            }
        }
    }
}

#[test]
fn trips_are_counted() {
    let app = App::new();
    let mut browser = Browser::default();
    let trips = |browser: &mut Browser, act: &dyn Fn(&Session)| {
        app.request(browser, async |session| act(session)).1
    };
    assert_eq!(trips(&mut browser, &|_| {}), 0, "untouched, no cookie");
    let (empty, asked) = app.request(&mut browser, async |session| session.get::<u8>("a").await);
    assert_eq!(
        (empty.expect("no error"), asked),
        (None, 0),
        "a read without a cookie"
    );
    let set = |session: &Session| {
        for number in 0..20 {
            session
                .set(&format!("field{number}"), &number)
                .expect("it fits");
        }
    };
    assert_eq!(trips(&mut browser, &set), 1, "a new session of many fields");
    assert_eq!(trips(&mut browser, &|_| {}), 0, "untouched, with a cookie");
    assert_eq!(trips(&mut browser, &set), 1, "a save of many fields");
    let (read, asked) = app.request(&mut browser, async |session| {
        for number in 0..20 {
            let stored = session.get::<i32>(&format!("field{number}")).await;
            assert_eq!(stored.expect("it decodes"), Some(number));
        }
        session.names().await.expect("names").len()
    });
    assert_eq!((read, asked), (20, 1), "many reads");
    let (_, asked) = app.request(&mut browser, async |session| {
        session.increment("n", 1).await
    });
    assert_eq!(asked, 1, "an increment");
    let (_, asked) = app.request(&mut browser, async |session| session.login("alice").await);
    assert_eq!(asked, 1, "a login with a session");
    let (_, asked) = app.request(&mut browser, async |session| {
        session.set("a", &1).expect("it fits");
        session.login("alice").await
    });
    assert_eq!(asked, 1, "a login that saves as well");
    let (_, asked) = app.request(&mut browser, async |session| session.rotate());
    assert_eq!(asked, 1, "a rotation");
    let (_, asked) = app.request(&mut browser, async |session| session.logout().await);
    assert_eq!((asked, app.count()), (1, 0), "a logout");
    let (_, asked) = app.request(&mut Browser::default(), async |session| {
        session.login("bob").await
    });
    assert_eq!((asked, app.count()), (1, 1), "a login without a session");
}

#[test]
fn a_flash_is_read_once() {
    let app = App::new();
    let mut browser = Browser::default();
    app.request(&mut browser, async |session| {
        session.flash("notice", "saved").expect("it fits");
    });
    let mut read = || {
        let (read, _) = app.request(&mut browser, async |session| {
            session.take_flash::<String>("notice").await
        });
        read.expect("it decodes")
    };
    assert_eq!((read().as_deref(), read()), (Some("saved"), None));
}

#[test]
fn an_undecodable_field_fails_alone() {
    let app = App::new();
    let mut browser = Browser::default();
    app.request(&mut browser, async |session| {
        session.set("bad", "text").expect("it fits");
        session.set("good", &1).expect("it fits");
    });
    let (_, trips) = app.request(&mut browser, async |session| {
        let error = session.get::<u8>("bad").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Undecodable { field } if field == "bad"));
        assert!(
            session.take::<u8>("bad").await.is_err(),
            "a take of another type"
        );
        assert_eq!(
            session.get::<u8>("good").await.expect("it decodes"),
            Some(1)
        );
    });
    assert_eq!(trips, 1);
    let (bad, _) = app.request(&mut browser, async |session| {
        session.get::<String>("bad").await
    });
    assert_eq!(
        bad.expect("it decodes").as_deref(),
        Some("text"),
        "it is still there"
    );
}

#[test]
fn nothing_is_written_after_the_response() {
    let app = App::new();
    let mut browser = Browser::default();
    app.request(&mut browser, async |session| {
        session.set("a", &1).expect("it fits");
    });
    let session = app.sessions.open(browser.0.as_ref());
    block_on(session.finish()).saved.expect("nothing to save");
    app.store.take_trips();
    let finished = |kind: &ErrorKind| assert_eq!(kind, &ErrorKind::Finished);
    finished(session.set("a", &2).unwrap_err().kind());
    finished(session.remove("a").unwrap_err().kind());
    block_on(async {
        finished(session.increment("n", 1).await.unwrap_err().kind());
        finished(
            session
                .update::<u8, _>("a", |_| 3)
                .await
                .unwrap_err()
                .kind(),
        );
        finished(session.login("alice").await.unwrap_err().kind());
        finished(session.rotate().unwrap_err().kind());
        finished(session.logout().await.unwrap_err().kind());
    });
    assert_eq!(app.store.take_trips(), 0);
}

#[test]
fn a_login_of_somebody_else_drops_the_data() {
    let app = App::new();
    let mut browser = Browser::default();
    app.request(&mut browser, async |session| {
        session.set("cart", "coat").expect("it fits");
        session.login("alice").await.expect("a login");
    });
    let cart = |browser: &mut Browser, who: &'static str| {
        app.request(browser, async |session| {
            session.login(who).await.expect("a login");
            session.get::<String>("cart").await.expect("it decodes")
        })
        .0
    };
    assert_eq!(cart(&mut browser, "alice").as_deref(), Some("coat"));
    assert_eq!(cart(&mut browser, "bob"), None);
    assert_eq!(cart(&mut browser, "alice"), None);
}

#[test]
fn a_failed_generator_stores_nothing() {
    // A creation asks three times: for the handle, the tag and the id.
    for calls in 0..3 {
        let (store, _) = ReferenceStore::manual();
        let shared: Arc<dyn Store> = store.clone();
        let entropy = Arc::new(FailingEntropy::after(calls));
        let sessions = Sessions::new(shared, entropy, Arc::new(ThreadSpawn));
        let session = sessions.open(None);
        session.set("a", &1).expect("it fits");
        let outcome = block_on(session.finish());
        let error = outcome.saved.unwrap_err();
        assert_eq!(
            error.kind(),
            &ErrorKind::EntropyFailed,
            "after {calls} calls"
        );
        assert!(
            matches!(outcome.cookie, Cookie::Keep),
            "{:?}",
            outcome.cookie
        );
        assert_eq!(block_on(store.stats()).expect("stats").sessions, 0);
    }
}

#[test]
fn a_generator_that_repeats_itself_is_found_out() {
    let (store, _) = ReferenceStore::manual();
    let store = CountingStore::counting(store);
    let shared: Arc<dyn Store> = store.clone();
    let sessions = Sessions::new(shared, Arc::new(CollidingEntropy), Arc::new(ThreadSpawn));
    let create = || {
        let session = sessions.open(None);
        session.set("a", &1).expect("it fits");
        block_on(session.finish()).saved
    };
    create().expect("the first id is new");
    store.take_trips();
    assert_eq!(create().unwrap_err().kind(), &ErrorKind::Collision);
    assert_eq!(store.take_trips(), 2, "tries");
}

#[test]
fn a_remembered_login_needs_a_policy() {
    let app = App::new();
    let remember = |policy: Policy| {
        let session = app.sessions.clone().policy(policy).open(None);
        let login = block_on(session.login_with(LoginOptions::new("alice").remember(true)));
        (login, block_on(session.finish()).cookie)
    };
    let (refused, _) = remember(Policy::OWASP_HIGH_VALUE);
    assert_eq!(refused.unwrap_err().kind(), &ErrorKind::RememberNotAllowed);
    let (granted, cookie) = remember(Policy::OWASP_LOW_VALUE);
    granted.expect("a remembered login");
    let Cookie::Set {
        absolute_left,
        remembered,
        ..
    } = cookie
    else {
        panic!("a login sets a cookie");
    };
    assert_eq!((absolute_left.as_secs(), remembered), (30 * 86_400, true));
}

#[test]
fn a_refused_login_leaves_the_session() {
    let app = App::new();
    let policy = Policy::default().max_sessions(1, OnExcess::Refuse);
    let sessions = app.sessions.clone().policy(policy);
    block_on(async {
        sessions
            .open(None)
            .login("alice")
            .await
            .expect("the first login");
        let session = sessions.open(None);
        session.set("cart", &1).expect("it fits");
        let refused = session.login("alice").await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::TooManySessions { limit: 1 });
        assert_eq!(
            session.get::<u8>("cart").await.expect("it decodes"),
            Some(1)
        );
        assert_eq!(session.subject().await.expect("no error"), None);
        session
            .finish()
            .await
            .saved
            .expect("the visitor's cart is saved");
    });
}

#[test]
fn the_subject_sees_and_ends_its_sessions() {
    let app = App::new();
    let mut browsers = [Browser::default(), Browser::default(), Browser::default()];
    for browser in &mut browsers {
        app.request(browser, async |session| {
            session.login("alice").await.expect("a login");
        });
        app.clock.advance(std::time::Duration::from_secs(1));
    }
    let [first, second, third] = &mut browsers;
    let (handle, _) = app.request(second, async |session| session.handle().await);
    let handle = handle.expect("no error").expect("a session");
    app.request(first, async |session| {
        assert_eq!(session.sessions().await.expect("a list").len(), 3);
        assert!(session.revoke(&handle).await.expect("a revocation"));
        assert!(!session.revoke(&handle).await.expect("a revocation"));
        assert_eq!(
            session
                .logout_everywhere_else()
                .await
                .expect("a revocation"),
            1
        );
        assert_eq!(session.sessions().await.expect("a list").len(), 1);
    });
    let (subject, _) = app.request(third, async |session| session.subject().await);
    assert_eq!(subject.expect("no error"), None);
    app.request(first, async |session| {
        assert_eq!(session.logout_everywhere().await.ok(), Some(1));
    });
    assert!(first.0.is_none() && app.count() == 0, "nobody is signed in");
    let (refused, _) = app.request(first, async |session| session.sessions().await);
    assert_eq!(refused.unwrap_err().kind(), &ErrorKind::NotLoggedIn);
}

#[test]
fn a_lost_answer_is_an_error_and_keeps_the_changes() {
    for fault in [Fault::Refused, Fault::LostReply] {
        let (reference, _) = ReferenceStore::manual();
        let store = FaultyStore::faulty(reference);
        let shared: Arc<dyn Store> = store.clone();
        let entropy = Arc::new(SeededEntropy::new(1));
        let sessions = Sessions::new(shared, entropy, Arc::new(ThreadSpawn));
        let mut browser = Browser::default();
        let session = sessions.open(None);
        session.set("a", &1).expect("it fits");
        browser.take(block_on(session.finish()));
        let session = sessions.open(browser.0.as_ref());
        session.set("a", &2).expect("it fits");
        store.fail(Operation::Apply, 1, fault);
        let failed = block_on(session.save()).unwrap_err();
        assert!(failed.is_retryable() && *failed.kind() == ErrorKind::StoreUnavailable);
        let outcome = block_on(session.finish());
        assert!(
            matches!(outcome.cookie, Cookie::Keep),
            "an outage is no logout"
        );
        outcome.saved.expect("the second try is acknowledged");
        let session = sessions.open(browser.0.as_ref());
        store.fail(Operation::Load, 1, fault);
        assert!(
            block_on(session.get::<u8>("a")).is_err(),
            "no answer is not no session"
        );
        assert_eq!(
            block_on(session.get::<u8>("a")).expect("it decodes"),
            Some(2)
        );
    }
}

#[test]
fn an_acknowledged_write_is_never_reported_as_failed() {
    let app = App::new();
    let mut browser = Browser::default();
    app.request(&mut browser, async |session| {
        for number in 0..128 {
            session.set(&format!("field{number}"), &1).expect("it fits");
        }
    });
    let session = app.sessions.open(browser.0.as_ref());
    assert_eq!(
        block_on(session.get::<u8>("field0")).expect("it decodes"),
        Some(1)
    );
    app.request(&mut browser, async |other| {
        other.remove("field1").expect("a removal");
    });
    session.set("another", &2).expect("it fits");
    block_on(session.save()).expect("the store had room");
    assert_eq!(
        block_on(session.get::<u8>("another")).expect("it decodes"),
        Some(2)
    );
    assert_eq!(
        block_on(session.get::<u8>("field1")).expect("it decodes"),
        None
    );
    assert_eq!(block_on(session.version()).expect("no error"), Some(3));
}

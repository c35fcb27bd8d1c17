//! One application's surroundings in a test: a store that can be watched, a clock that can be moved,
//! the events, and a way to act as another request.

use std::sync::Arc;

use cloakroom::core::observe::CookieFault;
use cloakroom::core::session::{BoxFuture, Spawn};
use cloakroom::core::testkit::{ManualClock, ReferenceStore};
use cloakroom::core::{OsEntropy, PresentedId, Session, Sessions};
use cloakroom::{Event, Observer, SessionConfig};
use parking_lot::Mutex;

use crate::probe::Probe;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) probe: Arc<Probe>,
    pub(crate) clock: ManualClock,
    pub(crate) events: Arc<Events>,
    elsewhere: Sessions,
}

#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let (store, clock) = ReferenceStore::manual();
        let elsewhere = Sessions::new(store.clone(), Arc::new(OsEntropy), Arc::new(NoSpawn));
        Arc::new(Self {
            probe: Arc::new(Probe::new(store)),
            clock,
            events: Arc::default(),
            elsewhere,
        })
    }

    pub(crate) fn config(&self) -> SessionConfig {
        SessionConfig::shared(self.probe.clone()).observer(self.events.clone())
    }

    /// The session of another request that presents `id`; the probe does not see what it does.
    pub(crate) fn other_request(&self, id: &str) -> Session {
        let presented = PresentedId::parse(id.as_bytes()).unwrap();
        self.elsewhere.open(Some(&presented))
    }
}

impl Events {
    /// What was refused since the last time.
    pub(crate) fn take_refusals(&self) -> Vec<&'static str> {
        let events = std::mem::take(&mut *self.0.lock());
        let refusals = events.iter().filter(|event| {
            !matches!(
                event,
                Event::Created(_) | Event::Renewed(_) | Event::LoggedIn(_) | Event::LoggedOut(_)
            )
        });
        refusals.map(name).collect()
    }

    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Observer for Events {
    fn observe(&self, event: &Event) {
        self.0.lock().push(event.clone());
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::CookieRejected(CookieFault::Malformed) => "malformed",
        Event::CookieRejected(CookieFault::Duplicate) => "duplicate",
        Event::CookieRejected(CookieFault::Forged) => "forged",
        Event::CookieRejected(CookieFault::TooLong) => "too long",
        other => other.name(),
    }
}

#[derive(Debug)]
struct NoSpawn;

impl Spawn for NoSpawn {
    fn spawn(&self, _: BoxFuture<()>) {
        panic!("other requests of a test are not cancelled");
    }
}

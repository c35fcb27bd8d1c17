//! What all sessions of an application share: the store, what is handed in, and the policy.

use std::sync::Arc;
use std::time::Duration;

use super::detached::Spawn;
use super::state::{State, Ticket};
use super::{Session, Shared};
use crate::codec::Codec;
use crate::entropy::Entropy;
use crate::id::{PresentedId, StoredKey};
use crate::observe::{Observer, Unobserved};
use crate::policy::Policy;
use crate::store::Store;

/// Opens a [`Session`] for each request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sessions(pub(super) Arc<Config>);

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) store: Arc<dyn Store>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) spawn: Arc<dyn Spawn>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) policy: Policy,
    pub(super) codec: Codec,
    pub(super) grace: Duration,
}

impl Sessions {
    /// How long a superseded id leads to its successor, unless [`Sessions::rotation_grace`] says
    /// otherwise: requests that were sent with the old id arrive within it.
    pub const ROTATION_GRACE: Duration = Duration::from_secs(30);

    /// Sessions in `store`, with the default policy.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, entropy: Arc<dyn Entropy>, spawn: Arc<dyn Spawn>) -> Self {
        Self(Arc::new(Config {
            store,
            entropy,
            spawn,
            observer: Arc::new(Unobserved),
            policy: Policy::default(),
            codec: Codec::default(),
            grace: Self::ROTATION_GRACE,
        }))
    }

    /// With this policy.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        self.with(|config| config.policy = policy)
    }

    /// With this codec for new values; values of other codecs stay readable.
    #[must_use]
    pub fn codec(self, codec: Codec) -> Self {
        self.with(|config| config.codec = codec)
    }

    /// With somebody who takes notice of events.
    #[must_use]
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        self.with(|config| config.observer = observer)
    }

    /// With this time for which a superseded id leads to its successor; at most
    /// [`limits::ROTATION_GRACE`](crate::limits::ROTATION_GRACE).
    #[must_use]
    pub fn rotation_grace(self, grace: Duration) -> Self {
        self.with(|config| config.grace = grace.min(crate::limits::ROTATION_GRACE))
    }

    /// The session of a request that presented `id`, or none. Does nothing until it is used.
    #[must_use]
    pub fn open(&self, id: Option<&PresentedId>) -> Session {
        let ticket = id.map_or(Ticket::None, |id| Ticket::Presented(id.duplicate()));
        self.with_ticket(ticket)
    }

    /// A further handle of the session that a request found under `key` ([`Session::key`]), for
    /// work that outlives the request. If the session has ended since, writes fail with
    /// [`ErrorKind::SessionEnded`](crate::ErrorKind::SessionEnded) or are dropped, and never create
    /// one.
    ///
    /// What [`Session::finish`] says of the cookie reaches a browser only if somebody brings it
    /// there: without a response to come, neither log in nor rotate with this handle.
    #[must_use]
    pub fn reopen(&self, key: StoredKey) -> Session {
        self.with_ticket(Ticket::Stale(key))
    }

    fn with_ticket(&self, ticket: Ticket) -> Session {
        Session(Arc::new(Shared {
            config: self.clone(),
            state: State::new(ticket, self.0.store.key_form()).into(),
            gate: async_lock::Mutex::new(()),
        }))
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Who takes notice of events.
    #[must_use]
    pub fn observed_by(&self) -> &Arc<dyn Observer> {
        &self.0.observer
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

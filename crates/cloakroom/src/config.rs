//! What an application says once about its sessions, for whichever framework carries them.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{Codec, Observer, OsEntropy, Policy, Sessions, Store, limits};

use crate::cookie::{CookieConfig, CookieKeys};
use crate::spawn::TokioSpawn;
use crate::touch::TouchQueue;
use crate::trace::Traced;
use crate::watch::Watches;

/// The store, the policy and the cookie of an application's sessions. Cheap to clone.
///
/// `SessionLayer` and `SessionMiddleware` are made of it, and have its methods too.
#[derive(Clone, Debug)]
pub struct SessionConfig(Arc<Parts>);

#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) sessions: Sessions,
    pub(crate) cookie: CookieConfig,
    pub(crate) keys: Option<CookieKeys>,
    pub(crate) touches: Arc<TouchQueue>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) watch_interval: Duration,
}

impl SessionConfig {
    /// Sessions in `store`, with the default policy and cookie, reported to `tracing`.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self::shared(Arc::new(store))
    }

    /// Sessions in a store that others hold too.
    #[must_use]
    pub fn shared(store: Arc<dyn Store>) -> Self {
        let sessions = Sessions::new(store, Arc::new(OsEntropy), Arc::new(TokioSpawn::current()));
        Self(Arc::new(Parts {
            sessions: sessions.observer(Arc::new(Traced::default())),
            cookie: CookieConfig::default(),
            keys: None,
            touches: Arc::default(),
            watches: Arc::default(),
            watch_interval: limits::WATCH_INTERVAL,
        }))
    }

    /// With this policy: lifetimes, "remember me", parallel sessions.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        self.sessions(|sessions| sessions.policy(policy))
    }

    /// With this cookie.
    #[must_use]
    pub fn cookie(self, cookie: CookieConfig) -> Self {
        self.with(|parts| parts.cookie = cookie)
    }

    /// With signed cookies, so that forged ones cost no trip to the store.
    #[must_use]
    pub fn cookie_key(self, keys: impl Into<CookieKeys>) -> Self {
        self.with(|parts| parts.keys = Some(keys.into()))
    }

    /// With this codec for new values; values of other codecs stay readable.
    #[must_use]
    pub fn codec(self, codec: Codec) -> Self {
        self.sessions(|sessions| sessions.codec(codec))
    }

    /// With this time for which a superseded id leads to its successor.
    #[must_use]
    pub fn rotation_grace(self, grace: Duration) -> Self {
        self.sessions(|sessions| sessions.rotation_grace(grace))
    }

    /// With somebody who takes notice of events, in place of `tracing`.
    #[must_use]
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        self.sessions(|sessions| sessions.observer(observer))
    }

    /// With this time between two looks at watched sessions ([`Session::watch`]): so long a
    /// connection may outlive its session. Each look costs one load for each session that is
    /// watched in this process, however many connections it has. At least
    /// [`limits::WATCH_INTERVAL_MIN`]; [`limits::WATCH_INTERVAL`] if nothing is said.
    ///
    /// [`Session::watch`]: crate::Session::watch
    #[must_use]
    pub fn watch_interval(self, interval: Duration) -> Self {
        self.with(|parts| parts.watch_interval = interval.max(limits::WATCH_INTERVAL_MIN))
    }

    /// Records what activity still waits to be recorded, now. For an orderly end of the process:
    /// without it, the last [`limits::TOUCH_DELAY`](crate::limits::TOUCH_DELAY) of it is lost.
    pub async fn flush(&self) {
        self.0.touches.flush(&self.0.sessions).await;
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }

    fn sessions(self, change: impl FnOnce(Sessions) -> Sessions) -> Self {
        self.with(|parts| parts.sessions = change(parts.sessions.clone()))
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

/// Gives a carrier, a tuple struct around [`SessionConfig`], the methods of it.
macro_rules! delegate_to_config {
    ($carrier:ident) => {
        impl $carrier {
            /// Sessions in `store`, with the default policy and cookie, reported to `tracing`.
            #[must_use]
            pub fn new(store: impl cloakroom_core::Store) -> Self {
                Self($crate::SessionConfig::new(store))
            }

            /// Sessions in a store that others hold too.
            #[must_use]
            pub fn shared(store: std::sync::Arc<dyn cloakroom_core::Store>) -> Self {
                Self($crate::SessionConfig::shared(store))
            }

            /// With this policy: lifetimes, "remember me", parallel sessions.
            #[must_use]
            pub fn policy(self, policy: $crate::Policy) -> Self {
                Self(self.0.policy(policy))
            }

            /// With this cookie.
            #[must_use]
            pub fn cookie(self, cookie: $crate::CookieConfig) -> Self {
                Self(self.0.cookie(cookie))
            }

            /// With signed cookies, so that forged ones cost no trip to the store.
            #[must_use]
            pub fn cookie_key(self, keys: impl Into<$crate::CookieKeys>) -> Self {
                Self(self.0.cookie_key(keys))
            }

            /// With this codec for new values; values of other codecs stay readable.
            #[must_use]
            pub fn codec(self, codec: $crate::Codec) -> Self {
                Self(self.0.codec(codec))
            }

            /// With this time for which a superseded id leads to its successor.
            #[must_use]
            pub fn rotation_grace(self, grace: std::time::Duration) -> Self {
                Self(self.0.rotation_grace(grace))
            }

            /// With somebody who takes notice of events, in place of `tracing`.
            #[must_use]
            pub fn observer(self, observer: std::sync::Arc<dyn $crate::Observer>) -> Self {
                Self(self.0.observer(observer))
            }

            /// With this time between two looks at watched sessions; see
            /// [`SessionConfig::watch_interval`]($crate::SessionConfig::watch_interval).
            #[must_use]
            pub fn watch_interval(self, interval: std::time::Duration) -> Self {
                Self(self.0.watch_interval(interval))
            }

            /// What it is made of, to share it or to call
            /// [`SessionConfig::flush`]($crate::SessionConfig::flush).
            #[must_use]
            pub fn config(&self) -> &$crate::SessionConfig {
                &self.0
            }
        }

        impl From<$crate::SessionConfig> for $carrier {
            fn from(config: $crate::SessionConfig) -> Self {
                Self(config)
            }
        }
    };
}

pub(crate) use delegate_to_config;

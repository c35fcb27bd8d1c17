//! Short words for what these tests do all the time.

use std::time::Duration;

use cloakroom_core::id::SlotTag;
use cloakroom_core::policy::MaxSessions;
use cloakroom_core::record::{Changes, Fields, Keep, Login, NewSession, Rotation, Subject, Value};
use cloakroom_core::{Codec, Handle, Lifetimes, OsEntropy, SessionId, StoredKey};
use cloakroom_redis::RedisStore;

/// Both layouts, with scripts and without: what is added to a URL.
pub(crate) const WAYS: [&str; 4] = [
    "",
    "&layout=fields",
    "&scripts=never",
    "&scripts=never&layout=fields",
];

/// Makes keys and sessions.
pub(crate) struct Ids;

impl Ids {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) fn key(&self, subject: Option<&Subject>) -> StoredKey {
        let tag = subject.map_or_else(
            || SlotTag::random(&OsEntropy).expect("there is entropy"),
            SlotTag::of_subject,
        );
        SessionId::generate(tag, &OsEntropy)
            .expect("there is entropy")
            .key()
    }

    pub(crate) fn new_session(&self, subject: Option<&Subject>) -> NewSession {
        NewSession {
            handle: Handle::generate(&OsEntropy).expect("there is entropy"),
            lifetimes: lifetimes(1800, 28_800),
            subject: subject.cloned(),
            label: None,
            max_sessions: None,
            fields: Fields::default(),
        }
    }
}

pub(crate) fn lifetimes(idle: u64, absolute: u64) -> Lifetimes {
    let [idle, absolute] = [idle, absolute].map(Duration::from_secs);
    Lifetimes::new(idle, absolute).expect("the lifetimes are allowed")
}

pub(crate) fn subject(name: &str) -> Subject {
    Subject::new(name).expect("the name is allowed")
}

pub(crate) fn sets(name: &str, text: &str) -> Changes {
    let mut changes = Changes::new();
    let value = Value::new(Codec::Raw, text.as_bytes());
    changes.set(name, value).expect("the field is allowed");
    changes
}

pub(crate) fn login(subject: &Subject, max_sessions: Option<MaxSessions>) -> Rotation {
    Rotation {
        changes: Changes::new(),
        login: Some(Login {
            subject: subject.clone(),
            label: None,
            lifetimes: lifetimes(1800, 28_800),
            max_sessions,
            keep: Keep::All,
        }),
        grace: Duration::ZERO,
    }
}

pub(crate) fn rotation(grace: Duration) -> Rotation {
    Rotation {
        changes: Changes::new(),
        login: None,
        grace,
    }
}

/// Opens a store whose calls are short. On a busy machine one of the first may take longer than that, which
/// is not what is tried here.
pub(crate) async fn open_patiently(url: &str) -> RedisStore {
    let mut failed = None;
    for _ in 0..20 {
        match RedisStore::open(url).await {
            Ok(store) => return store,
            Err(error) => failed = Some(error),
        }
    }
    panic!("it does not open: {failed:?}");
}

/// Runs a test on a runtime.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(test)
}

//! What the tests share: a store on a clock that they hold, keys and sessions by number, a store
//! call without a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloakroom_core::codec::Codec;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::{Changes, Fields, Login, NewSession, Rotation, Subject, Value};
use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{Handle, Lifetimes, StoredKey};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};

/// A store without a thread of its own, on a clock that the test holds.
pub(crate) fn store(clock: &ManualClock, config: EmbeddedConfig) -> EmbeddedStore {
    let clock = Arc::new(clock.clone());
    EmbeddedStore::new(config.clock(clock).housekeeping(false)).unwrap()
}

pub(crate) fn subject(number: u64) -> Subject {
    Subject::new(&format!("user-{number}")).unwrap()
}

pub(crate) fn tag_of(subject: Option<&Subject>) -> SlotTag {
    subject.map_or(SlotTag::new(7).unwrap(), SlotTag::of_subject)
}

/// The key with this number under a tag.
pub(crate) fn key(tag: SlotTag, number: u64) -> StoredKey {
    let mut hash = [0; 32];
    hash[24..].copy_from_slice(&number.to_be_bytes());
    StoredKey::from_parts(tag, hash)
}

pub(crate) fn handle(number: u64) -> Handle {
    let mut bytes = [0; Handle::BYTES];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Handle::from_bytes(bytes)
}

pub(crate) fn lifetimes(idle: u64, absolute: u64) -> Lifetimes {
    Lifetimes::new(Duration::from_secs(idle), Duration::from_secs(absolute)).unwrap()
}

pub(crate) fn session(number: u64, subject: Option<Subject>) -> NewSession {
    NewSession {
        handle: handle(number),
        lifetimes: lifetimes(600, 3_600),
        subject,
        label: None,
        max_sessions: None,
        fields: Fields::default(),
    }
}

pub(crate) fn login(subject: Subject) -> Rotation {
    Rotation {
        login: Some(Login {
            subject,
            label: None,
            lifetimes: lifetimes(600, 3_600),
            max_sessions: None,
            keep: cloakroom_core::record::Keep::All,
        }),
        ..Rotation::default()
    }
}

pub(crate) fn set(name: &str, bytes: Vec<u8>) -> Changes {
    let mut changes = Changes::new();
    changes.set(name, Value::new(Codec::Raw, bytes)).unwrap();
    changes
}

/// The answer of a future that is ready at once: no operation of this store ever waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation of the embedded store waited"),
    }
}

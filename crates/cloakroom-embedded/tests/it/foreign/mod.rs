//! Sessions of other frameworks in the keyspaces: their clients do as they always do.

mod ends;
mod flushed;
mod holds;
mod kept;
mod listed;
mod restarted;
mod room;
mod usual;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_core::record::Subject;
use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{Event, Observer, SessionInfo, UnixMillis, limits};
use cloakroom_embedded::{
    Change, Db, EmbeddedConfig, Engine, Foreign, ForeignConfig, KeyError, Text, There, Watcher,
    Written,
};

use crate::kit;

const SID: &[u8] = b"sess:mNLwOE8QV2aJcL1Xa-bxx97ijtvSjBZK";
const OTHER: &[u8] = b"sess:PLz4gpC5rDXpQmcqw0SHh6hwCBUxYXo-";
const LARAVEL: &[u8] = b"laravel_database_laravel_cache_iAXNZRn4g5hJNfuSQdOVUwLYMzOQ8iJXqH9we3aO";
const PHP: &[u8] = b"PHPREDIS_SESSION:e3ekp9klit8708kcuf1pkg0noe";
const SPRING: &[u8] = b"spring:session:sessions:25352345-18f8-4e05-8fda-88c1b6ae9100";
const SPRING_NEW: &[u8] = b"spring:session:sessions:0c70138d-0047-4ddb-a7e7-256b888ffa7a";

const ALICE: &[u8] = br#"{"cookie":{},"passport":{"user":"alice"}}"#;
const BOB: &[u8] = br#"{"cookie":{},"passport":{"user":"bob"}}"#;
const GUEST: &[u8] = br#"{"cookie":{},"cart":["coat"]}"#;

const PRINCIPAL: &[u8] = b"sessionAttr:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME";
const NAME: &[u8] = b"\xac\xed\x00\x05t\x00\x05alice";

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An engine with its keeper, and a client's commands on it.
struct Front {
    engine: Engine,
    foreign: Arc<Foreign>,
    clock: ManualClock,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Event>>);

impl Observer for Heard {
    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Heard {
    fn count(&self, name: &str) -> usize {
        let heard = self.0.lock().unwrap();
        heard.iter().filter(|event| event.name() == name).count()
    }
}

/// As a protocol front does it.
struct Told;

impl Watcher for Told {
    fn changed(&self, db: Db, _: &[u8], _: Change) {
        assert!(db < 16, "a tombstone is nobody's key");
    }

    fn flushed(&self, _: Option<Db>, _: &mut There<'_>) {}

    fn swapped(&self, _: Db, _: Db, _: &mut There<'_>) {}
}

fn front() -> Front {
    front_with(ForeignConfig::default())
}

fn front_with(config: ForeignConfig) -> Front {
    front_on(config, EmbeddedConfig::new(), ManualClock::new())
}

fn front_on(config: ForeignConfig, embedded: EmbeddedConfig, clock: ManualClock) -> Front {
    let engine = kit::store(&clock, embedded).engine();
    let heard = Arc::new(Heard::default());
    let foreign = Arc::new(Foreign::new(config.observer(heard.clone())).unwrap());
    assert!(engine.watch(Arc::new(Told)));
    Front {
        engine,
        foreign,
        clock,
        heard,
    }
}

impl Front {
    fn now(&self) -> UnixMillis {
        self.engine.with_key(0, b"x", |tx| tx.now())
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn set(&self, key: &[u8], value: &[u8], life: Option<Duration>) -> Result<(), KeyError> {
        self.engine.with_key(0, key, |tx| {
            let deadline = life.map(|life| tx.now().saturating_add(life));
            self.foreign
                .set_string(tx, 0, key, Text::plain(value), deadline)
        })
    }

    /// As `set`, by way of what every other write is.
    fn set_the_long_way(
        &self,
        key: &[u8],
        value: &[u8],
        life: Option<Duration>,
    ) -> Result<(), KeyError> {
        self.engine.with_key(0, key, |tx| {
            let deadline = life.map(|life| tx.now().saturating_add(life));
            self.foreign
                .write(tx, 0, key, Written::Value(value), (), |tx| {
                    tx.set_string(0, key, value, deadline)
                })
        })
    }

    fn setex(&self, key: &[u8], value: &[u8]) {
        self.set(key, value, Some(HOUR)).unwrap();
    }

    fn hset(&self, key: &[u8], field: &[u8], value: &[u8]) -> bool {
        let written = Written::Field(field, value);
        let set = self.engine.with_key(0, key, |tx| {
            let set = |tx: &mut cloakroom_embedded::Tx<'_>| tx.hash_set(0, key, field, value);
            self.foreign.write(tx, 0, key, written, true, set)
        });
        set.unwrap()
    }

    fn hget(&self, key: &[u8], field: &[u8]) -> Option<Vec<u8>> {
        let get = |tx: &mut cloakroom_embedded::Tx<'_>| {
            tx.hash_get(0, key, field).unwrap().map(<[u8]>::to_vec)
        };
        self.engine.with_key(0, key, get)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let get =
            |tx: &mut cloakroom_embedded::Tx<'_>| tx.string(0, key).unwrap().map(<[u8]>::to_vec);
        self.engine.with_key(0, key, get)
    }

    fn del(&self, key: &[u8]) -> bool {
        self.engine
            .with_key(0, key, |tx| self.foreign.remove(tx, 0, key))
    }

    fn flush(&self, db: Option<Db>) {
        self.engine.with_all(|tx| self.foreign.flush(tx, db));
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> bool {
        let keys = [(0, from), (0, to)];
        let renamed = self
            .engine
            .with_keys(&keys, |tx| self.foreign.rename(tx, (0, from), (0, to)));
        renamed.unwrap()
    }

    /// `EXPIRE`, or `PERSIST`.
    fn expire(&self, key: &[u8], life: Option<Duration>) -> bool {
        self.engine.with_key(0, key, |tx| {
            let deadline = life.map(|life| tx.now().saturating_add(life));
            self.foreign.set_deadline(tx, 0, key, deadline)
        })
    }

    /// `GETEX`.
    fn getex(&self, key: &[u8], life: Duration) -> Result<Option<Vec<u8>>, KeyError> {
        let mut value = None;
        let there = self.engine.with_key(0, key, |tx| {
            let deadline = tx.now().saturating_add(life);
            let read = |bytes: &[u8]| value = Some(bytes.to_vec());
            self.foreign.string_until(tx, 0, key, deadline, read)
        })?;
        assert_eq!(there, value.is_some());
        Ok(value)
    }

    /// What is left of a key's life; `None` if it is not there.
    fn ttl(&self, key: &[u8]) -> Option<Duration> {
        let now = self.now();
        let deadline = self.engine.with_key(0, key, |tx| tx.deadline(0, key))?;
        Some(deadline.expect("a session has a deadline").since(now))
    }

    fn with_subject(&self) -> usize {
        self.foreign.with_subject(&self.engine)
    }

    fn of(&self, subject: &str) -> Vec<SessionInfo> {
        let subject = Subject::new(subject).unwrap();
        self.foreign.of_subject(&self.engine, &subject)
    }
}

fn tombstone() -> Duration {
    limits::TOMBSTONE
}

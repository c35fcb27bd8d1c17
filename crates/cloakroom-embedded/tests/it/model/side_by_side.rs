//! The store and the map, asked the same things one after the other.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::expiry::{Verdict, decide};
use cloakroom_core::policy::MaxSessions;
use cloakroom_core::record::{Changes, Condition, Keep, Label, Login, Rotation};
use cloakroom_core::store::{Applied, Cursor, Lookup};
use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{
    Clock as _, Error, ErrorKind, Handle, SessionInfo, Store, StoredKey, UnixMillis,
};
use cloakroom_embedded::journal::JournalConfig;
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};
use proptest::prelude::*;

use super::Step;
use super::map::{Found, Model, apply, create, revoke, rotate};
use crate::journal::block_on;
use crate::journal::disk::FakeDisk;
use crate::kit;

type Agreed = Result<(), TestCaseError>;

/// A store, the map that it should be, and the keys that steps name by number.
pub(super) struct Both {
    clock: ManualClock,
    config: EmbeddedConfig,
    store: EmbeddedStore,
    model: Model,
    /// Which key each number stands for by now; keys are never used twice.
    keys: Vec<StoredKey>,
    next: usize,
}

impl Both {
    /// With a journal on `disk`, or without one.
    pub(super) fn new(shards: usize, disk: Option<&FakeDisk>) -> Self {
        let clock = ManualClock::new();
        let mut config = EmbeddedConfig::new().shards(shards);
        if let Some(disk) = disk {
            let journal = JournalConfig::new(Arc::new(disk.clone()));
            config = config.journal(journal.segment_bytes(4_000));
        }
        let store = kit::store(&clock, config.clone());
        Self {
            clock,
            config,
            store,
            model: Model::default(),
            keys: (0..8).map(|number| key(number, None)).collect(),
            next: 8,
        }
    }

    pub(super) fn take(&mut self, step: Step) -> Agreed {
        let at = self.clock.now();
        self.model.settle(at);
        match step {
            Step::Create(place, owner, changes, max_sessions, again) => {
                self.create(place, owner, &changes, max_sessions, again, at)
            }
            Step::Load(place) => self.load(place, at),
            Step::Touch(places) => self.touch(&places, at),
            Step::Apply(place, changes, condition) => self.apply(place, &changes, &condition, at),
            Step::Rotate(place, to, changes, grace) => self.rotate(place, to, changes, grace, at),
            Step::Login(place, to, owner, max_sessions, keep) => {
                self.login(place, to, owner, max_sessions, keep, at)
            }
            Step::Destroy(place) => self.destroy(place, at),
            Step::OfSubject(owner) => self.of_subject(owner, at),
            Step::Revoke(owner, number) => self.revoke(owner, number, at),
            Step::RevokeSubject(owner, except) => self.revoke_subject(owner, except, at),
            Step::RevokeAll => {
                self.model.alive.clear();
                same(block_on(self.store.revoke_all()), Ok(()))
            }
            Step::Clock(millis) => {
                self.clock.advance(Duration::from_millis(millis));
                Ok(())
            }
            Step::Sweep => {
                self.store.sweep();
                Ok(())
            }
            Step::ScanAndCount => self.scan_and_count(at),
            Step::Restart => self.restart(at),
            Step::Rewrite => {
                let rewritten = self.store.rewrite().unwrap();
                prop_assert_eq!(rewritten.is_some(), self.store.journal().is_some());
                Ok(())
            }
        }
    }

    /// The store goes and comes back from its journal. Activity that was not worth noting is lost
    /// with it, so all sessions are written to before.
    fn restart(&mut self, at: UnixMillis) -> Agreed {
        if self.store.journal().is_none() {
            return Ok(());
        }
        let (changes, always) = (Changes::new(), Condition::Always);
        for (key, record) in &mut self.model.alive {
            let expected = apply(record, &changes, &always, at);
            same(block_on(self.store.apply(key, &changes, &always)), expected)?;
        }
        let empty = kit::store(&self.clock, EmbeddedConfig::new());
        drop(std::mem::replace(&mut self.store, empty));
        self.store = kit::store(&self.clock, self.config.clone());
        let recovered = self.store.recovered().expect("it has a journal");
        prop_assert_eq!(&recovered.cut, &None);
        Ok(())
    }

    fn create(
        &mut self,
        place: usize,
        owner: Option<u64>,
        changes: &Changes,
        max_sessions: Option<MaxSessions>,
        again: bool,
        at: UnixMillis,
    ) -> Agreed {
        if !again {
            self.keys[place] = key(self.next, owner);
            self.next += 1;
        }
        let mut new = kit::session(self.model.handles, owner.map(kit::subject));
        self.model.handles += 1;
        new.max_sessions = max_sessions;
        new.label = again.then(|| Label::new("a browser"));
        new.fields = new
            .fields
            .changed(changes)
            .map_or_else(|_| new.fields.clone(), |it| it.0);
        let expected = create(&mut self.model, &self.keys[place], &new, at);
        same(
            block_on(self.store.create(&self.keys[place], &new)),
            expected,
        )?;
        Ok(())
    }

    fn load(&self, place: usize, at: UnixMillis) -> Agreed {
        let expected = match self.model.find(&self.keys[place]) {
            Found::Not(absence) => Err(absence),
            Found::Here(key, forwarded) => Ok((self.model.alive[&key].clone(), forwarded)),
        };
        let found = match block_on(self.store.load(&self.keys[place])).unwrap() {
            Lookup::Absent(absence) => Err(absence),
            Lookup::Found(found) => {
                let verdict = decide(&found.record.times, at);
                let (remaining, touch_due) = (found.remaining, found.touch_due);
                prop_assert_eq!(
                    verdict,
                    Verdict::Alive {
                        remaining,
                        touch_due
                    }
                );
                Ok((found.record, found.forwarded))
            }
        };
        prop_assert_eq!(found, expected);
        Ok(())
    }

    fn touch(&mut self, places: &[usize], at: UnixMillis) -> Agreed {
        let touched: Vec<_> = places.iter().map(|place| self.keys[*place]).collect();
        let mut expected = 0;
        for key in &touched {
            if let Found::Here(key, _) = self.model.find(key) {
                self.model.alive.get_mut(&key).unwrap().touch(at);
                expected += 1;
            }
        }
        same(block_on(self.store.touch(&touched)), Ok(expected))?;
        Ok(())
    }

    fn apply(
        &mut self,
        place: usize,
        changes: &Changes,
        condition: &Condition,
        at: UnixMillis,
    ) -> Agreed {
        let expected = match self.model.find(&self.keys[place]) {
            Found::Not(absence) => Ok(Applied::Absent(absence)),
            Found::Here(key, _) => {
                let record = self.model.alive.get_mut(&key).unwrap();
                apply(record, changes, condition, at)
            }
        };
        same(
            block_on(self.store.apply(&self.keys[place], changes, condition)),
            expected,
        )?;
        Ok(())
    }

    fn rotate(
        &mut self,
        place: usize,
        to: usize,
        changes: Changes,
        grace: u64,
        at: UnixMillis,
    ) -> Agreed {
        let owner = self
            .model
            .alive
            .get(&self.keys[place])
            .and_then(|it| it.subject.clone());
        let tag = kit::tag_of(owner.as_ref());
        let new = kit::key(tag, self.next as u64);
        self.next += 1;
        let rotation = Rotation {
            changes,
            login: None,
            grace: Duration::from_secs(grace),
        };
        let expected = rotate(&mut self.model, &self.keys[place], &new, &rotation, at);
        let expected = expected.map_err(|error| error.kind().clone());
        same(
            block_on(self.store.rotate(&self.keys[place], &new, &rotation)),
            expected,
        )?;
        self.keys[to] = new;
        Ok(())
    }

    fn login(
        &mut self,
        place: usize,
        to: usize,
        owner: u64,
        max_sessions: Option<MaxSessions>,
        keep: Keep,
        at: UnixMillis,
    ) -> Agreed {
        let new = key(self.next, Some(owner));
        self.next += 1;
        let rotation = Rotation {
            changes: kit::set("signed", vec![1]),
            login: Some(Login {
                subject: kit::subject(owner),
                label: Some(Label::new("Firefox on Linux")),
                lifetimes: kit::lifetimes(300 + owner, 3_600),
                max_sessions,
                keep,
            }),
            grace: Duration::from_secs(30),
        };
        let expected = rotate(&mut self.model, &self.keys[place], &new, &rotation, at);
        let expected = expected.map_err(|error| error.kind().clone());
        same(
            block_on(self.store.rotate(&self.keys[place], &new, &rotation)),
            expected,
        )?;
        self.keys[to] = new;
        Ok(())
    }

    fn destroy(&mut self, place: usize, at: UnixMillis) -> Agreed {
        let found = match self.model.find(&self.keys[place]) {
            Found::Here(key, _) => Some(key),
            Found::Not(_) => None,
        };
        if let Some(key) = &found {
            self.model.end(key, at);
        }
        same(
            block_on(self.store.destroy(&self.keys[place])),
            Ok(found.is_some()),
        )?;
        Ok(())
    }

    fn of_subject(&self, owner: u64, at: UnixMillis) -> Agreed {
        let owner = kit::subject(owner);
        let expected: Vec<SessionInfo> = self
            .model
            .of(&owner)
            .iter()
            .map(|key| self.model.alive[key].info(at))
            .collect();
        same(block_on(self.store.of_subject(&owner)), Ok(expected))?;
        Ok(())
    }

    fn revoke(&mut self, owner: u64, number: u64, at: UnixMillis) -> Agreed {
        let chosen = |handle: Handle| handle == kit::handle(number);
        let revoked = revoke(&mut self.model, owner, chosen, at);
        let answer = block_on(
            self.store
                .revoke(&kit::subject(owner), &kit::handle(number)),
        );
        same(answer, Ok(revoked == 1))?;
        Ok(())
    }

    fn revoke_subject(&mut self, owner: u64, except: Option<u64>, at: UnixMillis) -> Agreed {
        let except = except.map(kit::handle);
        let revoked = revoke(&mut self.model, owner, |handle| Some(handle) != except, at);
        let answer = block_on(
            self.store
                .revoke_subject(&kit::subject(owner), except.as_ref()),
        );
        same(answer, Ok(revoked))?;
        Ok(())
    }

    fn scan_and_count(&self, at: UnixMillis) -> Agreed {
        self.store.sweep(); // so that none is counted that expired and was not read
        let mut expected: Vec<_> = self.model.alive.values().map(|it| it.info(at)).collect();
        expected.sort_by_key(|info| info.handle);
        let stats = block_on(self.store.stats()).unwrap();
        // The wheel sweeps to the second.
        prop_assert!(stats.sessions >= expected.len() as u64);
        let (mut found, mut cursor) = (Vec::new(), Some(Cursor::default()));
        while let Some(from) = cursor {
            let page = block_on(self.store.scan(from, 3)).unwrap();
            prop_assert!(page.sessions.len() <= 3);
            found.extend(page.sessions);
            cursor = page.next;
        }
        found.sort_by_key(|info| info.handle);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(
            block_on(self.store.stats()).unwrap().sessions,
            self.model.alive.len() as u64
        );
        Ok(())
    }
}

/// A key by number, for the subject that has it or for none.
fn key(number: usize, subject: Option<u64>) -> StoredKey {
    let subject = subject.map(kit::subject);
    let mut tag = kit::tag_of(subject.as_ref());
    if subject.is_none() && number.is_multiple_of(3) {
        tag = cloakroom_core::id::SlotTag::new(number as u16).unwrap();
    }
    kit::key(tag, number as u64)
}

fn same<T: PartialEq + std::fmt::Debug>(
    store: Result<T, Error>,
    model: Result<T, ErrorKind>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(store.map_err(|error| error.kind().clone()), model);
    Ok(())
}

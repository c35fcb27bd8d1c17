//! The engine beside a naive model, through random steps: every answer is the same, and at the end
//! everything that can be read.

mod collections;
mod same;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::testkit::ManualClock;
use cloakroom_core::{Clock as _, UnixMillis};
use cloakroom_embedded::journal::{Durability, JournalConfig};
use cloakroom_embedded::{Db, EmbeddedConfig, Engine, KeyError, Reach, Tx};
use proptest::prelude::*;

use self::same::{same_hash, same_order, same_set};
use super::simple::{Entry, Simple, Value};
use crate::journal::block_on;
use crate::journal::disk::FakeDisk;
use crate::kit;

/// A step, on a key, a member and a size that are few, so that steps meet.
#[derive(Clone, Debug)]
struct Step {
    what: u8,
    db: Db,
    key: u8,
    other: u8,
    member: u8,
    size: usize,
    secs: Option<u16>,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0_usize..40, 0_usize..600, 3_900_usize..4_200];
    let secs = prop::option::weighted(0.4, 0_u16..40);
    (0_u8..24, 0_u8..3, 0_u8..6, 0_u8..6, any::<u8>(), size, secs).prop_map(
        |(what, db, key, other, member, size, secs)| Step {
            what,
            db,
            key,
            other,
            member,
            size,
            secs,
        },
    )
}

fn key(number: u8) -> Vec<u8> {
    // One is long, so that its entries are wide.
    match number {
        5 => vec![b'k'; 300],
        number => vec![b'k', number],
    }
}

fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| seed.wrapping_add(at as u8)).collect()
}

/// Engine, model, and what they share.
struct Pair {
    engine: Engine,
    model: Simple,
    clock: ManualClock,
    disk: Option<FakeDisk>,
}

fn open(clock: &ManualClock, disk: Option<&FakeDisk>) -> Engine {
    let mut config = EmbeddedConfig::new().shards(4);
    if let Some(disk) = disk {
        let journal = JournalConfig::new(Arc::new(disk.clone()));
        config = config.journal(journal.durability(Durability::No));
    }
    kit::store(clock, config).engine()
}

impl Pair {
    fn new(disk: Option<FakeDisk>) -> Self {
        let clock = ManualClock::new();
        Self {
            engine: open(&clock, disk.as_ref()),
            model: Simple::default(),
            clock,
            disk,
        }
    }

    /// Comes back from the journal, if there is one.
    fn restart(&mut self) {
        if self.disk.is_some() {
            block_on(self.engine.synced()).unwrap();
            self.engine = open(&self.clock, None);
            self.engine = open(&self.clock, self.disk.as_ref());
        }
    }

    fn deadline(&self, step: &Step) -> Option<UnixMillis> {
        let secs = Duration::from_secs(step.secs?.into());
        Some(self.clock.now().saturating_add(secs))
    }

    fn run(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        for db in 0..3 {
            for number in 0..6 {
                self.model.settle(now, db, &key(number));
            }
        }
        match step.what {
            0 => {
                let secs = u64::from(step.secs.unwrap_or(1)) / 4;
                self.clock.advance(Duration::from_secs(secs));
            }
            1 => self.engine.store().sweep(),
            2..=6 => self.strings(step)?,
            7..=11 => self.hashes(step)?,
            12..=14 => self.sets(step)?,
            15..=18 => self.sorted(step)?,
            19..=21 => self.names(step)?,
            22 if step.member < 60 => self.restart(),
            22 if step.member < 120 => drop(self.engine.store().rewrite().unwrap()),
            22 => self.check()?,
            _ => {
                if step.member < 60 {
                    self.engine.flush(Some(step.db));
                    self.model.0.retain(|(db, _), _| *db != step.db);
                } else {
                    self.engine.with_all(|tx| tx.swap(0, step.db));
                    let all = std::mem::take(&mut self.model.0).into_iter();
                    let swapped = all.map(|((db, key), entry)| match db {
                        0 => ((step.db, key), entry),
                        db if db == step.db => ((0, key), entry),
                        db => ((db, key), entry),
                    });
                    self.model.0 = swapped.collect();
                }
            }
        }
        Ok(())
    }

    fn within<T>(&self, step: &Step, work: impl FnOnce(&mut Tx<'_>, Db, &[u8]) -> T) -> T {
        within(&self.engine, step, work)
    }

    fn strings(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let (db, key, now) = (step.db, key(step.key), self.clock.now());
        let value = bytes(step.member, step.size);
        let deadline = self.deadline(step);
        match step.what {
            2 | 3 => {
                self.within(step, |tx, db, key| tx.set_string(db, key, &value, deadline))
                    .unwrap();
                let value = Value::String(value.into());
                self.model.put(db, &key, Entry { deadline, value });
                self.model.settle(now, db, &key);
            }
            4 => {
                let done = self.within(step, |tx, db, key| tx.update_string(db, key, &value));
                let known = self.model.string(db, &key).map(drop);
                prop_assert_eq!(done, known);
                if known.is_ok() {
                    let deadline = self.model.get(db, &key).and_then(|entry| entry.deadline);
                    let value = Value::String(value.into());
                    self.model.put(db, &key, Entry { deadline, value });
                }
            }
            5 => {
                let at = usize::from(step.other) * 30;
                let part = bytes(step.member, step.size % 50);
                let len = self.within(step, |tx, db, key| tx.write_string(db, key, at, &part));
                let known = self.model.string(db, &key);
                let known = known.map(|it| it.map_or_else(Vec::new, <[u8]>::to_vec));
                let Ok(mut known) = known else {
                    prop_assert_eq!(len, Err(KeyError::WrongType));
                    return Ok(());
                };
                if !part.is_empty() {
                    known.resize(known.len().max(at + part.len()), 0);
                    known[at..at + part.len()].copy_from_slice(&part);
                    let deadline = self.model.get(db, &key).and_then(|entry| entry.deadline);
                    let value = Value::String(known.clone().into());
                    self.model.put(db, &key, Entry { deadline, value });
                }
                prop_assert_eq!(len, Ok(known.len()));
            }
            _ => {
                let there = self.within(step, |tx, db, key| tx.set_deadline(db, key, deadline));
                let entry = self.model.get_mut(db, &key);
                prop_assert_eq!(there, entry.is_some());
                if let Some(entry) = entry {
                    entry.deadline = deadline;
                }
                self.model.settle(now, db, &key);
            }
        }
        Ok(())
    }

    fn names(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let (from_key, to_key) = (key(step.key), key(step.other));
        let (from, to) = ((step.db, &*from_key), (step.member % 3, &*to_key));
        let both = [from, to];
        match step.what {
            19 => {
                let done = self.engine.with_keys(&both, |tx| tx.rename(from, to));
                let entry = self.model.take(from.0, from.1);
                prop_assert_eq!(done, Ok(entry.is_some()));
                if let Some(entry) = entry {
                    self.model.put(to.0, to.1, entry);
                }
            }
            20 => {
                let done = self.engine.with_keys(&both, |tx| tx.copy(from, to));
                let entry = self.model.get(from.0, from.1).cloned();
                prop_assert_eq!(done, Ok(entry.is_some()));
                if let Some(entry) = entry {
                    self.model.put(to.0, to.1, entry);
                }
            }
            _ => {
                let absent = self.within(step, |tx, db, key| !tx.remove(db, key));
                prop_assert_eq!(absent, self.model.take(from.0, from.1).is_none());
            }
        }
        Ok(())
    }

    /// Everything that can be read is the same.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        let names: Vec<_> = self.model.0.keys().cloned().collect();
        for (db, key) in &names {
            self.model.settle(now, *db, key);
        }
        for db in 0..3 {
            let mut seen = BTreeMap::new();
            let mut cursor = 0;
            loop {
                cursor = self.engine.scan(db, cursor, 3, &mut |key, kind| {
                    seen.insert(key.to_vec(), kind);
                });
                if cursor == 0 {
                    break;
                }
            }
            let of_db = self.model.0.iter().filter(|((known, _), _)| *known == db);
            let expected: BTreeMap<_, _> = of_db
                .map(|((_, key), entry)| (key.to_vec(), entry.value.kind()))
                .collect();
            prop_assert_eq!(&seen, &expected);
            let random = self.engine.random_key(db);
            prop_assert_eq!(random.is_some(), !expected.is_empty());
            prop_assert!(random.is_none_or(|key| expected.contains_key(&*key)));
        }
        for ((db, key), entry) in &self.model.0 {
            let (db, key) = (*db, &**key);
            self.engine.with_key(db, key, |tx| {
                prop_assert_eq!(tx.deadline(db, key), Some(entry.deadline));
                prop_assert!(tx.bytes_of(db, key).is_some_and(|bytes| bytes > key.len()));
                match &entry.value {
                    Value::String(value) => prop_assert_eq!(tx.string(db, key), Ok(Some(&**value))),
                    Value::Hash(fields) => same_hash(tx, db, key, fields)?,
                    Value::Set(members) => same_set(tx, db, key, members)?,
                    Value::Sorted(members) => same_order(tx, db, key, members)?,
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn within<T>(engine: &Engine, step: &Step, work: impl FnOnce(&mut Tx<'_>, Db, &[u8]) -> T) -> T {
    let (one, other) = (key(step.key), key(step.other));
    let hash = engine.hash_of(&one);
    if step.secs.is_none() {
        // What is said to come next is as it was.
        let other = (engine.hash_of(&other), Reach::Value);
        engine.come_next(step.db, &[(hash, Reach::Head), other]);
        return engine.with_hashed(step.db, &one, hash, |tx| work(tx, step.db, &one));
    }
    engine.with_key(step.db, &one, |tx| work(tx, step.db, &one))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_those_of_the_model(
        steps in prop::collection::vec(step(), 1..120), journaled in any::<bool>(),
    ) {
        let mut pair = Pair::new(journaled.then(FakeDisk::default));
        for step in &steps {
            pair.run(step)?;
        }
        pair.check()?;
        pair.restart();
        pair.check()?;
        // When all is over, nothing is left, and nothing is counted for it.
        pair.engine.flush(None);
        pair.engine.store().sweep();
        for db in 0..3 {
            prop_assert_eq!(pair.engine.keyspace(db), Default::default());
        }
    }
}

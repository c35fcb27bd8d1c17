//! Taking up what a journal brought back: it did not pass by here. Names and values are put as the settings
//! say now, so switching hashing or sealing on, off, or to another key is a restart and nothing else.

use std::thread;

use cloakroom_core::layout::Layout;

use super::Foreign;
use super::head::{Facts, Head, beside};
use super::seal::{self, Found};
use crate::engine::{DATABASES, Db, Engine, Entry, KeyError, Kind, Place, Tx};

/// Slots that a walk looks at before it lets go of the lock.
const PORTION: usize = 256;
/// Threads that look, each at shards of its own.
const THREADS: usize = 4;

/// What was found at a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenUp {
    /// Sessions whose names or values were written anew.
    pub rewritten: usize,
    /// Sessions that are over, because their names have hashes and ids are not hashed any more:
    /// nobody can present one.
    pub lost: usize,
    /// The name of a key that sealed sessions and is not at hand. Then nothing was changed, and
    /// whoever goes on serves sessions that nobody can read.
    pub missing: Option<String>,
}

/// What one thread found that is to be done when all have looked.
#[derive(Default)]
struct Looked {
    anew: Vec<(Db, Box<[u8]>)>,
    missing: Option<String>,
}

impl Foreign {
    /// Looks at all sessions that are there, after a start: names and values are put as they would be written
    /// now, and those of which nothing is known are taken as new.
    pub fn reindex(&self, engine: &Engine) -> TakenUp {
        let parts = thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS));
        let places = (0..parts).map(|part| Place::of_part(part, parts));
        let looked: Vec<Looked> = thread::scope(|scope| {
            let parts: Vec<_> = places
                .map(|place| scope.spawn(move || self.look_over(engine, place)))
                .collect();
            let ended = parts.into_iter().map(thread::ScopedJoinHandle::join);
            ended
                .map(|part| part.expect("looking does not panic"))
                .collect()
        });
        let mut taken = TakenUp {
            missing: looked.iter().find_map(|part| part.missing.clone()),
            ..TakenUp::default()
        };
        if taken.missing.is_some() {
            return taken;
        }
        for (db, key) in looked.into_iter().flat_map(|part| part.anew) {
            self.write_anew(engine, db, &key, &mut taken);
        }
        self.rename_tombstones(engine);
        taken
    }

    /// Looks at the sessions of some shards, and takes up those whose names and values are right.
    fn look_over(&self, engine: &Engine, from: Place) -> Looked {
        let mut looked = Looked::default();
        self.walk(engine, from, |tx, db, key| {
            match self.look_at(tx, db, key) {
                Found::Right => self.take_up(tx, db, key),
                Found::Other => looked.anew.push((db, Box::from(key))),
                Found::Missing(id) => looked.missing = Some(id),
            }
        });
        looked
    }

    /// Has what is left of sessions that are gone stand under the names that are kept now.
    fn rename_tombstones(&self, engine: &Engine) {
        if !self.layouts.any_hashed() {
            return;
        }
        let mut alone: Vec<(Db, Box<[u8]>)> = Vec::new();
        let mut place = Some(Place::of_part(0, 1));
        while let Some(from) = place {
            place = engine.go_over(from, PORTION, &mut |db, entry| {
                if db >= DATABASES && !self.is_rightly_named(entry.key()) {
                    alone.push((db, entry.key().into()));
                }
            });
        }
        for (db, key) in alone {
            if let Some(name) = self.layouts.kept_as(&key) {
                let (old, new) = ((db, &*key), (db, &*name));
                // Without room it is forgotten, as at the end of its time.
                let _ = engine.with_keys(&[old, new], |tx| tx.rename(old, new));
            }
        }
    }

    /// Whether this is the name under which the session would be kept now.
    fn is_rightly_named(&self, key: &[u8]) -> bool {
        let hashes = self.layout(key).is_some_and(Layout::hashes_ids);
        hashes == self.layouts.is_hashed(key)
    }

    /// How a session's name and values are to what would be written now.
    fn look_at(&self, tx: &mut Tx<'_>, db: Db, key: &[u8]) -> Found {
        let present = self.seals(key);
        let mut found = match self.is_rightly_named(key) {
            true => Found::Right,
            false => Found::Other,
        };
        let mut note = |stored: &[u8]| match seal::look(self.sealer.as_ref(), present, stored) {
            Found::Right => {}
            Found::Other if matches!(found, Found::Missing(_)) => {}
            other => found = other,
        };
        match tx.kind(db, key) {
            Some(Kind::String) => {
                if let Ok(Some(value)) = tx.string(db, key) {
                    note(value);
                }
            }
            Some(Kind::Hash) => drop(tx.hash_each(db, key, &mut |_, value| note(value))),
            _ => {}
        }
        found
    }

    /// Sees to it that a session has its mark and is within its limits, which may be others now: one that was written
    /// before there were layouts, or came from elsewhere, is taken as new; what earlier versions kept beside it is put
    /// where it belongs.
    fn take_up(&self, tx: &mut Tx<'_>, db: Db, key: &[u8]) {
        let Some(layout) = self.layout(key) else {
            return;
        };
        let Some(head) = Head::read(tx, db, key) else {
            // As any write of it would: it gets a deadline and a head.
            let _ = self.write(tx, db, key, super::Written::Part, (), |_| Ok(()));
            return;
        };
        if !head.ended {
            head.bring_in(tx, db, key);
        }
        let deadline = tx.deadline(db, key).flatten();
        self.move_deadline(tx, db, key, layout, deadline);
    }

    fn write_anew(&self, engine: &Engine, db: Db, key: &[u8], taken: &mut TakenUp) {
        if self.layout(key).is_none() {
            engine.with_key(db, key, |tx| {
                tx.remove(beside(db), key);
                tx.remove(db, key);
            });
            taken.lost += 1;
            return;
        }
        let name = match self.is_rightly_named(key) {
            true => key.to_vec(),
            false => self.layouts.kept_as(key).unwrap_or_else(|| key.to_vec()),
        };
        let keys = [(db, key), (db, &*name)];
        let done: Result<(), KeyError> = engine.with_keys(&keys, |tx| {
            let head = Head::read(tx, db, key);
            if *name != *key {
                tx.rename((db, key), (db, &name))?;
                tx.rename((beside(db), key), (beside(db), &name))?;
            }
            self.reseal(tx, key, (db, &name))?;
            // A mark does not go along with a name.
            if let Some(head) = head {
                head.bring_in(tx, db, &name);
            }
            self.take_up(tx, db, &name);
            Ok(())
        });
        // Without room it stays as it is, and can be read as well.
        taken.rewritten += usize::from(done.is_ok());
    }

    /// Writes the values under a name as they would be written there now; they were sealed, if they
    /// were, for the name `was`.
    pub(super) fn reseal(
        &self,
        tx: &mut Tx<'_>,
        was: &[u8],
        (db, key): (Db, &[u8]),
    ) -> Result<(), KeyError> {
        let Some(all) = &self.sealer else {
            return Ok(());
        };
        let seals = self.seals(key);
        let change = |of: seal::Of<'_>, stored: &[u8], into: &mut Vec<u8>| {
            let mut plain = Vec::new();
            seal::open(Some(all), was, of, stored, &mut plain)?;
            match seals {
                true => all.seal(key, of, &plain, into),
                false => *into = plain,
            }
            Ok(())
        };
        let mut value = Vec::new();
        match tx.kind(db, key) {
            Some(Kind::String) => {
                if let Some(stored) = tx.string(db, key)? {
                    change(seal::Of::Value, stored, &mut value)?;
                    tx.update_string(db, key, &value)?;
                }
            }
            Some(Kind::Hash) => {
                let mut fields = Vec::new();
                tx.hash_each(db, key, &mut |field, stored| {
                    fields.push((field.to_vec(), stored.to_vec()));
                })?;
                for (field, stored) in fields {
                    change(seal::Of::Field(&field), &stored, &mut value)?;
                    tx.hash_update(db, key, &field, &value)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes over all keys from a place on that are sessions, also by names that would be others now, and for which there is
    /// something to be done; each in a step. One that is written meanwhile may be passed over: it comes by here anyway.
    fn walk(&self, engine: &Engine, from: Place, mut each: impl FnMut(&mut Tx<'_>, Db, &[u8])) {
        let mut place = Some(from);
        while let Some(from) = place {
            let mut keys: Vec<(Db, Box<[u8]>)> = Vec::new();
            place = engine.go_over(from, PORTION, &mut |db, entry| {
                if db < DATABASES && self.is_wanted(&entry) {
                    keys.push((db, entry.key().into()));
                }
            });
            for (db, key) in keys {
                engine.with_key(db, &key, |tx| each(tx, db, &key));
            }
        }
    }

    /// Whether it has its mark, and ends when it has to at the latest.
    fn is_within(&self, entry: &Entry<'_>) -> bool {
        let facts = entry.mark().and_then(Facts::of);
        facts.is_some_and(|facts| {
            facts.ended || entry.deadline() <= self.latest(facts.first, entry.now())
        })
    }

    /// Whether there is something to be done for what lies here. Most have nothing, and need no step of their own.
    fn is_wanted(&self, entry: &Entry<'_>) -> bool {
        let key = entry.key();
        if !matches!(entry.kind(), Kind::String | Kind::Hash) {
            return false;
        }
        let mut wanted = !self.is_within(entry) || !self.is_rightly_named(key);
        if !wanted {
            let (sealer, present) = (self.sealer.as_ref(), self.seals(key));
            entry.each_value(&mut |value| {
                wanted |= seal::look(sealer, present, value) != Found::Right;
            });
        }
        wanted && (self.layout(key).is_some() || self.layouts.is_hashed(key))
    }
}

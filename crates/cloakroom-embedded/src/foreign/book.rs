//! The sessions of each subject, by their keys. It is asked only through heads, which know better, and it
//! loses an entry when the session goes: by a command, by expiry, by eviction. So nothing can leak.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;

use cloakroom_core::record::Subject;
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;

use crate::engine::Db;

/// Parts with a lock each, so that shards seldom wait for each other here.
const PARTS: usize = 64;

/// A session of a subject: the subject's hash, the keyspace, the key.
type Entry = (u64, Db, Box<[u8]>);

pub(super) struct Book {
    hasher: DefaultHashBuilder,
    /// The hash of its subject, by the hash of a session's key and keyspace.
    subjects: Box<[Mutex<HashMap<u64, u64>>]>,
    entries: Box<[Mutex<BTreeSet<Entry>>]>,
}

impl Book {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            subjects: (0..PARTS).map(|_| Mutex::default()).collect(),
            entries: (0..PARTS).map(|_| Mutex::default()).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.iter().map(|part| part.lock().len()).sum()
    }

    /// Says whom a session belongs to now.
    pub(super) fn put(&self, db: Db, key: &[u8], subject: Option<&Subject>) {
        let hash = self.hash_of_key(db, key);
        let new = subject.map(|subject| self.hasher.hash_one(subject.as_str()));
        let old = {
            let mut subjects = part(&self.subjects, hash).lock();
            match new {
                Some(new) => subjects.insert(hash, new),
                None => subjects.remove(&hash),
            }
        };
        if old == new {
            return;
        }
        if let Some(old) = old {
            part(&self.entries, old)
                .lock()
                .remove(&(old, db, key.into()));
        }
        if let Some(new) = new {
            part(&self.entries, new)
                .lock()
                .insert((new, db, key.into()));
        }
    }

    /// Forgets a session.
    pub(super) fn remove(&self, db: Db, key: &[u8]) {
        self.put(db, key, None);
    }

    /// Keys that may be sessions of this subject; their heads say.
    pub(super) fn of(&self, subject: &Subject) -> Vec<(Db, Box<[u8]>)> {
        let hash = self.hasher.hash_one(subject.as_str());
        let entries = part(&self.entries, hash).lock();
        let from = (hash, 0, Box::default());
        let of_subject = entries
            .range(from..)
            .take_while(|(known, ..)| *known == hash);
        of_subject.map(|(_, db, key)| (*db, key.clone())).collect()
    }

    /// Forgets a keyspace, or all.
    pub(super) fn flush(&self, db: Option<Db>) {
        let gone = |entry: &Entry| db.is_none_or(|db| db == entry.1);
        self.take(gone);
    }

    /// Has two keyspaces change places.
    pub(super) fn swap(&self, one: Db, other: Db) {
        let moved = self.take(|(_, db, _)| *db == one || *db == other);
        for (subject, db, key) in moved {
            let db = if db == one { other } else { one };
            let hash = self.hash_of_key(db, &key);
            part(&self.subjects, hash).lock().insert(hash, subject);
            part(&self.entries, subject)
                .lock()
                .insert((subject, db, key));
        }
    }

    fn take(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut taken = Vec::new();
        for entries in &self.entries {
            taken.extend(entries.lock().extract_if(.., |entry| wanted(entry)));
        }
        for (_, db, key) in &taken {
            let hash = self.hash_of_key(*db, key);
            part(&self.subjects, hash).lock().remove(&hash);
        }
        taken
    }

    fn hash_of_key(&self, db: Db, key: &[u8]) -> u64 {
        self.hasher.hash_one((db, key))
    }
}

fn part<T>(parts: &[Mutex<T>], hash: u64) -> &Mutex<T> {
    &parts[(hash >> 32) as usize % PARTS]
}

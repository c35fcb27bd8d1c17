//! Who is connected, and who wants to hear what: channels and patterns, keyspace events, watched keys.
//! Changes come from the engine under a shard's lock, so everything here is quick, and where nobody
//! listens it is one look at a number.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use cloakroom_embedded::{Change, DATABASES, Db, Foreign, There, Watcher};
use parking_lot::{Mutex, RwLock};

use super::client::Client;
use super::events::{self, Class};
use super::glob;
use super::number::write_integer;
use super::tracking::Tracking;

type Bytes = Box<[u8]>;
type Watched = HashMap<(Db, Bytes), Vec<Arc<Client>>>;
type Subscribers = HashMap<Bytes, Vec<Arc<Client>>>;

/// Where connections meet.
#[derive(Default)]
pub(crate) struct Hub {
    pub(crate) clients: Mutex<std::collections::BTreeMap<u64, Arc<Client>>>,
    channels: RwLock<Subscribers>,
    patterns: RwLock<Subscribers>,
    subscriptions: AtomicUsize,
    watched: Mutex<Watched>,
    watches: AtomicUsize,
    pub(crate) tracking: Tracking,
    /// The classes of keyspace events that are told.
    pub(crate) events: AtomicU32,
    /// What holds for keys that are sessions of other frameworks, if any are.
    pub(crate) foreign: OnceLock<Arc<Foreign>>,
    pub(crate) expired: AtomicU64,
    pub(crate) evicted: AtomicU64,
}

thread_local! {
    /// The connection whose command runs on this thread: who changed a key need not be told of it.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
    /// The key of which trackers were told last while it runs: members are written one by one, and it is one change.
    static TOLD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Says whose commands run on this thread from now on.
pub(crate) fn set_current(client: u64) {
    CURRENT.with(|current| current.set(client));
    TOLD.with(|told| told.replace(None));
}

impl Hub {
    /// A client subscribes to a channel, or to a pattern. Returns whether it had not.
    pub(crate) fn subscribe(&self, client: &Arc<Client>, name: &[u8], pattern: bool) {
        let mut names = self.names(pattern).write();
        names
            .entry(name.into())
            .or_default()
            .push(Arc::clone(client));
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
    }

    /// It does not any longer.
    pub(crate) fn unsubscribe(&self, client: &Client, name: &[u8], pattern: bool) {
        let mut names = self.names(pattern).write();
        if let Some(clients) = names.get_mut(name) {
            forget(clients, client);
            if clients.is_empty() {
                names.remove(name);
            }
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sends a message to all who subscribed. Returns to how many.
    pub(crate) fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        if self.subscriptions.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let mut heard = 0;
        if let Some(clients) = self.channels.read().get(channel) {
            for client in clients {
                client.push(|out| {
                    out.push(3);
                    out.bulk(b"message");
                    out.bulk(channel);
                    out.bulk(message);
                });
                heard += 1;
            }
        }
        for (pattern, clients) in &*self.patterns.read() {
            if !glob::matches(pattern, channel) {
                continue;
            }
            for client in clients {
                client.push(|out| {
                    out.push(4);
                    out.bulk(b"pmessage");
                    out.bulk(pattern);
                    out.bulk(channel);
                    out.bulk(message);
                });
                heard += 1;
            }
        }
        heard
    }

    /// The channels that have subscribers and are of this form.
    pub(crate) fn active_channels(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let channels = self.channels.read();
        let of_form = |name: &&Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        channels.keys().filter(of_form).cloned().collect()
    }

    /// How many subscribe to this channel.
    pub(crate) fn subscribers(&self, channel: &[u8]) -> usize {
        self.channels.read().get(channel).map_or(0, Vec::len)
    }

    /// How many channels, or patterns, have subscribers.
    pub(crate) fn subscribed(&self, pattern: bool) -> usize {
        self.names(pattern).read().len()
    }

    /// Tells of a keyspace event, if it is wanted.
    pub(crate) fn event(&self, db: Db, class: Class, name: &str, key: &[u8]) {
        let wanted = self.events.load(Ordering::Relaxed);
        if wanted & class as u32 == 0 || self.subscriptions.load(Ordering::Relaxed) == 0 {
            return;
        }
        let channel = |kind: &[u8], rest: &[u8]| {
            let mut channel = kind.to_vec();
            write_integer(i64::from(db), &mut channel);
            channel.extend_from_slice(b"__:");
            channel.extend_from_slice(rest);
            channel
        };
        if wanted & events::KEYSPACE != 0 {
            self.publish(&channel(b"__keyspace@", key), name.as_bytes());
        }
        if wanted & events::KEYEVENT != 0 {
            self.publish(&channel(b"__keyevent@", name.as_bytes()), key);
        }
    }

    /// A client wants to know whether a key changes.
    pub(crate) fn watch(&self, client: &Arc<Client>, db: Db, key: &[u8]) {
        let mut watched = self.watched.lock();
        let clients = watched.entry((db, key.into())).or_default();
        clients.push(Arc::clone(client));
        self.watches.fetch_add(1, Ordering::SeqCst);
    }

    /// It does not any longer.
    pub(crate) fn unwatch(&self, client: &Client, db: Db, key: &[u8]) {
        let mut watched = self.watched.lock();
        let name = (db, Bytes::from(key));
        if let Some(clients) = watched.get_mut(&name) {
            forget(clients, client);
            if clients.is_empty() {
                watched.remove(&name);
            }
            self.watches.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn names(&self, pattern: bool) -> &RwLock<Subscribers> {
        match pattern {
            true => &self.patterns,
            false => &self.channels,
        }
    }

    /// A watched key changed.
    fn dirty(&self, db: Db, key: Bytes) {
        if let Some(clients) = self.watched.lock().get(&(db, key)) {
            for client in clients {
                client.dirty.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Keys of these keyspaces changed that were there, or are by now.
    fn dirty_in(&self, of: impl Fn(Db) -> bool, mut there: impl FnMut(Db, &[u8]) -> bool) {
        if self.watches.load(Ordering::SeqCst) == 0 {
            return;
        }
        let watched: Vec<_> = self.watched.lock().keys().cloned().collect();
        for (db, key) in watched {
            // Without the lock: what is over by now goes, and that is told, too.
            if of(db) && there(db, &key) {
                self.dirty(db, key);
            }
        }
    }
}

/// One of them is looked for by where it lies: to ask each for its number would be a miss of the cache for each.
fn forget(clients: &mut Vec<Arc<Client>>, client: &Client) {
    let mut known = clients.iter();
    if let Some(at) = known.position(|known| std::ptr::eq(&raw const **known, client)) {
        clients.remove(at);
    }
}

impl Watcher for Hub {
    fn changed(&self, db: Db, key: &[u8], change: Change) {
        match change {
            Change::Expired => {
                self.expired.fetch_add(1, Ordering::Relaxed);
                self.event(db, Class::Expired, "expired", key);
            }
            Change::Evicted => {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                self.event(db, Class::Evicted, "evicted", key);
            }
            Change::HashExpired => self.event(db, Class::Hash, "hexpired", key),
            _ => {}
        }
        if self.watches.load(Ordering::SeqCst) > 0 {
            self.dirty(db, Bytes::from(key));
        }
        if self.tracking.anybody() {
            let by = CURRENT.with(Cell::get);
            let last = TOLD.with(|told| told.replace(Some(key.to_vec())));
            if by == 0 || last.as_deref() != Some(key) {
                self.tracking.changed(self, key, by);
            }
        }
    }

    fn flushed(&self, db: Option<Db>, there: &mut There<'_>) {
        self.dirty_in(|known| db.is_none_or(|db| db == known), there);
        if self.tracking.anybody() {
            self.tracking.forget_all(self);
        }
    }

    fn swapped(&self, one: Db, other: Db, there: &mut There<'_>) {
        debug_assert!(one < DATABASES && other < DATABASES);
        let either = |_, key: &[u8]| there(one, key) || there(other, key);
        self.dirty_in(|known| known == one || known == other, either);
        if self.tracking.anybody() {
            self.tracking.forget_all(self);
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("clients", &self.clients.lock().len())
            .finish_non_exhaustive()
    }
}

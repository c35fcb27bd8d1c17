//! `CLIENT TRACKING`: who read which key, and has to be told when it changes. In the default mode a key is
//! remembered with its readers until it changes once; with BCAST, prefixes are remembered and
//! nothing is kept for a key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::client::Client;
use super::hub::Hub;
use super::limits;

type Bytes = Box<[u8]>;

/// What is tracked, for whom.
#[derive(Debug, Default)]
pub(crate) struct Tracking {
    clients: AtomicUsize,
    readers: Mutex<HashMap<Bytes, Vec<Reader>>>,
    prefixes: Mutex<HashMap<Bytes, Vec<Reader>>>,
}

/// Who is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    /// Who read.
    pub(crate) client: u64,
    /// Who is told: itself, or a connection that it named.
    pub(crate) told: u64,
    /// It is not told of what it changed itself.
    pub(crate) no_loop: bool,
}

impl Tracking {
    /// Whether anybody tracks anything.
    pub(crate) fn anybody(&self) -> bool {
        self.clients.load(Ordering::SeqCst) > 0
    }

    /// How many do.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::SeqCst)
    }

    /// How many keys, and prefixes, are remembered.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.readers.lock().len(), self.prefixes.lock().len())
    }

    /// A client begins to track; with prefixes if it wants all keys that begin so.
    pub(crate) fn begin(&self, reader: Reader, prefixes: &[Bytes]) {
        self.clients.fetch_add(1, Ordering::SeqCst);
        let mut known = self.prefixes.lock();
        for prefix in prefixes {
            known.entry(prefix.clone()).or_default().push(reader);
        }
    }

    /// It tracks no longer: neither these prefixes, nor keys, which are forgotten when they change.
    pub(crate) fn end(&self, client: u64, prefixes: &[Bytes]) {
        self.clients.fetch_sub(1, Ordering::SeqCst);
        let mut known = self.prefixes.lock();
        for prefix in prefixes {
            if let Some(readers) = known.get_mut(prefix) {
                readers.retain(|reader| reader.client != client);
                if readers.is_empty() {
                    known.remove(prefix);
                }
            }
        }
        drop(known);
        if self.clients() == 0 {
            *self.readers.lock() = HashMap::new();
        }
    }

    /// A client read a key. Called under the lock of its shard, so that no change gets in between.
    pub(crate) fn read(&self, hub: &Hub, key: &[u8], reader: Reader) {
        let mut readers = self.readers.lock();
        if let Some(known) = readers.get_mut(key) {
            if !known.contains(&reader) {
                // Who is gone is in no list but this one, which is as long as it takes until the key changes.
                if known.len() > 2 * self.clients() {
                    let clients = hub.clients.lock();
                    known.retain(|reader| clients.contains_key(&reader.client));
                }
                known.push(reader);
            }
            return;
        }
        if readers.len() >= limits::TRACKED_KEYS {
            // Who is told to forget a key too early only reads it again.
            let some = readers.keys().next().cloned();
            let given_up = some.and_then(|key| Some((readers.remove(&key)?, key)));
            if let Some((given_up, key)) = given_up {
                given_up
                    .iter()
                    .for_each(|reader| tell(hub, *reader, Some(&key)));
            }
        }
        readers.insert(key.into(), vec![reader]);
    }

    /// A key changed; `by` is who did it.
    pub(crate) fn changed(&self, hub: &Hub, key: &[u8], by: u64) {
        let readers = self.readers.lock().remove(key);
        for reader in readers.into_iter().flatten() {
            if !(reader.no_loop && reader.client == by) {
                tell(hub, reader, Some(key));
            }
        }
        for (prefix, readers) in &*self.prefixes.lock() {
            if !key.starts_with(prefix) {
                continue;
            }
            for reader in readers {
                if !(reader.no_loop && reader.client == by) {
                    tell(hub, *reader, Some(key));
                }
            }
        }
    }

    /// All keys changed at once: everybody is told to forget everything.
    pub(crate) fn forget_all(&self, hub: &Hub) {
        let readers = std::mem::take(&mut *self.readers.lock());
        let mut told: Vec<Reader> = readers.into_values().flatten().collect();
        told.extend(self.prefixes.lock().values().flatten());
        told.sort_unstable_by_key(|reader| (reader.client, reader.told));
        told.dedup_by_key(|reader| (reader.client, reader.told));
        for reader in told {
            tell(hub, reader, None);
        }
    }
}

/// The channel on which RESP2 connections hear of it.
const CHANNEL: &[u8] = b"__redis__:invalidate";

fn tell(hub: &Hub, reader: Reader, key: Option<&[u8]>) {
    let client = hub.clients.lock().get(&reader.told).cloned();
    let Some(client) = client else {
        return;
    };
    let tracks = reader.told != reader.client || client.tracking.load(Ordering::Relaxed);
    if tracks {
        say(&client, key);
    }
}

fn say(client: &Client, key: Option<&[u8]>) {
    client.push(|out| {
        if out.resp3 {
            out.push(2);
            out.bulk(b"invalidate");
        } else {
            out.push(3);
            out.bulk(b"message");
            out.bulk(CHANNEL);
        }
        match key {
            Some(key) => {
                out.array(1);
                out.bulk(key);
            }
            None => out.nil_array(),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_gone_is_not_kept_for_a_key_that_never_changes() {
        let (hub, tracking) = (Hub::default(), Tracking::default());
        let reader = |client| Reader {
            client,
            told: client,
            no_loop: false,
        };
        tracking.begin(reader(0), &[]);
        for client in 0..1_000 {
            tracking.read(&hub, b"k", reader(client));
        }
        let kept = tracking.readers.lock()[&b"k"[..]].len();
        assert!(kept <= 3, "{kept}");
    }
}

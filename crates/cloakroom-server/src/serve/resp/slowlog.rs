//! Commands that took long, the latest first: `SLOWLOG`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::args::Args;
use super::client::Client;
use super::limits;
use super::server::micros_now;

/// The latest slow commands.
#[derive(Debug)]
pub(crate) struct Slowlog {
    entries: Mutex<VecDeque<Slow>>,
    next: AtomicU64,
    /// How many are kept.
    pub(crate) most: AtomicUsize,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) id: u64,
    /// Seconds since 1970.
    pub(crate) at: i64,
    pub(crate) micros: i64,
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) address: String,
    pub(crate) name: String,
}

impl Slowlog {
    pub(crate) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            next: AtomicU64::new(0),
            most: AtomicUsize::new(limits::SLOWLOG_ENTRIES),
        }
    }

    /// Remembers a command; its secrets are not.
    pub(crate) fn add(&self, client: &Client, args: Args<'_>, took: Duration) {
        let most = self.most.load(Ordering::Relaxed);
        if most == 0 {
            return;
        }
        let entry = Slow {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            at: i64::try_from(micros_now() / 1_000_000).unwrap_or(0),
            micros: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
            words: words(args),
            address: client.address.clone(),
            name: client.told.lock().name.clone(),
        };
        let mut entries = self.entries.lock();
        entries.push_front(entry);
        entries.truncate(most);
    }

    pub(crate) fn latest(&self, count: usize) -> Vec<Slow> {
        self.entries.lock().iter().take(count).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    pub(crate) fn clear(&self) {
        self.entries.lock().clear();
    }
}

/// The command's words, cut as Redis cuts them. Keys and values are the ids and contents of sessions:
/// only the name and how long the others are is kept.
fn words(args: Args<'_>) -> Vec<Vec<u8>> {
    let kept = limits::SLOWLOG_ARGUMENTS;
    let mut words: Vec<Vec<u8>> = args.from(0).take(1).map(<[u8]>::to_vec).collect();
    let rest = args.from(1).take(kept - 1);
    words.extend(rest.map(|word| format!("({} bytes)", word.len()).into_bytes()));
    if args.len() > kept {
        let more = args.len() - kept + 1;
        words.truncate(kept - 1);
        words.push(format!("... ({more} more arguments)").into_bytes());
    }
    words
}

//! Revocations that this process was told are done, remembered for a while. A server that comes back,
//! or a replica that is promoted, may not know the last of them: they are said again before its
//! answers are trusted. So what was ended stays ended, whatever a failover lost.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::{Error, UnixMillis, limits};
use parking_lot::Mutex;

use crate::epoch::Epoch;
use crate::failure::Failure;
use crate::head::Marker;
use crate::keys;
use crate::settings::LayoutName;
use crate::wire::Command;

/// How long: a failover that takes longer than this is seen by people.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How many, so that a flood of logouts does not fill the memory (some 10 MB).
const MOST: usize = 100_000;
/// Doubts that are settled at once.
const DOUBTS: usize = 500;

/// The revocations of this process.
#[derive(Debug)]
pub(crate) struct Revoked {
    layout: LayoutName,
    kept: Mutex<VecDeque<(Instant, What)>>,
    count: AtomicU64,
    /// Ends that were asked for and not acknowledged: they may be done or not, or done where they
    /// will be lost.
    doubtful: Mutex<HashSet<StoredKey>>,
}

/// Sessions that are being ended. Dropped before [`Attempt::done`], it leaves a doubt.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    revoked: &'a Revoked,
    keys: Vec<StoredKey>,
}

impl Attempt<'_> {
    /// The server has answered. If what is under one of the keys is somebody else's, nothing was done, and that must
    /// not be written over when doubts are settled or a server is told again.
    pub(crate) fn answered<T>(mut self, answer: Result<T, Error>) -> Result<T, Error> {
        match &answer {
            Ok(_) => self.done(),
            Err(error) if Failure::is_foreign(error) => {
                self.revoked.unnote(&self.keys);
                self.keys.clear();
            }
            Err(_) => {}
        }
        answer
    }

    /// It is acknowledged.
    pub(crate) fn done(mut self) {
        let mut doubtful = self.revoked.doubtful.lock();
        for key in self.keys.drain(..) {
            doubtful.remove(&key);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut doubtful = self.revoked.doubtful.lock();
        doubtful.extend(self.keys.drain(..));
        if doubtful.len() > MOST {
            doubtful.clear();
        }
    }
}

#[derive(Clone, Debug)]
enum What {
    Session(StoredKey),
    Everything(Arc<Everything>),
}

/// A mass revocation, and what is known of it.
#[derive(Debug)]
pub(crate) struct Everything {
    epoch: Epoch,
    before: Mutex<Before>,
}

/// The epochs that it ended.
#[derive(Debug, Default)]
struct Before {
    known: HashSet<Epoch>,
    /// Whether every tag has answered.
    all: bool,
    /// Whether one answered that was told before already.
    unheard: bool,
}

impl Everything {
    /// A tag had this epoch before.
    pub(crate) fn ended(&self, epoch: Epoch) {
        let mut before = self.before.lock();
        if epoch == self.epoch {
            // It was told twice, and what it said the first time was not heard.
            before.unheard = true;
        } else {
            before.known.insert(epoch);
        }
    }

    /// Every tag has answered.
    pub(crate) fn is_done(&self) {
        self.before.lock().all = true;
    }

    /// Whether sessions of this epoch were ended. As long as not all epochs of before are known, it
    /// may be any but its own.
    fn is_over(&self, epoch: Epoch) -> bool {
        let before = self.before.lock();
        let all_known = before.all && !before.unheard;
        before.known.contains(&epoch) || !all_known && epoch != self.epoch
    }
}

impl Revoked {
    pub(crate) fn new(layout: LayoutName) -> Self {
        Self {
            layout,
            kept: Mutex::default(),
            doubtful: Mutex::default(),
            count: AtomicU64::new(0),
        }
    }

    /// Remembers sessions that are about to be ended because somebody asked for it.
    pub(crate) fn ending(&self, keys: Vec<StoredKey>) -> Attempt<'_> {
        self.note(keys.iter().copied());
        Attempt {
            revoked: self,
            keys,
        }
    }

    /// Sessions of a tag whose end was asked for and not acknowledged, and the commands that end
    /// them, whatever the server knows.
    pub(crate) fn doubts(&self, tag: SlotTag) -> Option<(Attempt<'_>, Vec<Command>)> {
        let doubtful = self.doubtful.lock();
        let keys = doubtful.iter().filter(|key| key.tag() == tag).take(DOUBTS);
        let keys: Vec<_> = keys.copied().collect();
        drop(doubtful);
        let commands: Vec<_> = keys.iter().flat_map(|key| self.end(key)).collect();
        let attempt = Attempt {
            revoked: self,
            keys,
        };
        (!commands.is_empty()).then_some((attempt, commands))
    }

    /// The commands that end a session, whatever the server knows.
    pub(crate) fn end(&self, key: &StoredKey) -> Vec<Command> {
        // Only the marker's own life matters here, and the server counts it; the time inside lies
        // far enough ahead for any clock.
        let marker = Marker {
            forgotten_at: UnixMillis::new(1 << 47),
            forward: None,
        };
        self.layout.end(&keys::session(key), &marker)
    }

    /// Remembers sessions that are about to be ended. Noted before the server is asked, so that none
    /// is acknowledged and not noted.
    pub(crate) fn note(&self, keys: impl IntoIterator<Item = StoredKey>) {
        self.push(keys.into_iter().map(What::Session));
    }

    /// Forgets that these were to be ended.
    fn unnote(&self, keys: &[StoredKey]) {
        let is_one = |what: &What| matches!(what, What::Session(noted) if keys.contains(noted));
        self.kept.lock().retain(|(_, what)| !is_one(what));
    }

    /// Remembers that all sessions are about to be ended, by this epoch.
    pub(crate) fn note_everything(&self, epoch: Epoch) -> Arc<Everything> {
        let everything = Arc::new(Everything {
            epoch,
            before: Mutex::default(),
        });
        self.push([What::Everything(Arc::clone(&everything))]);
        everything
    }

    fn push(&self, all: impl IntoIterator<Item = What>) {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        kept.extend(all.into_iter().map(|what| (now, what)));
        self.count.fetch_add(1, Ordering::SeqCst);
        while kept.len() > MOST
            || kept
                .front()
                .is_some_and(|(at, _)| now.duration_since(*at) > REMEMBERED)
        {
            kept.pop_front();
        }
    }

    /// Changes whenever something is noted.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether anything was revoked of these tags.
    pub(crate) fn concerns(&self, holds: &dyn Fn(SlotTag) -> bool) -> bool {
        self.kept.lock().iter().any(|(_, what)| match what {
            What::Session(key) => holds(key.tag()),
            What::Everything(_) => true,
        })
    }

    /// The sessions of these tags that were ended.
    pub(crate) fn ended(&self, holds: &(dyn Fn(SlotTag) -> bool + Sync)) -> Vec<StoredKey> {
        debug_assert!(
            limits::TOMBSTONE < REMEMBERED,
            "what is told again outlasts its marker"
        );
        let now = Instant::now();
        let kept = self.kept.lock();
        let keys = kept.iter().filter_map(|(at, what)| match what {
            What::Session(key) if now - *at <= REMEMBERED && holds(key.tag()) => Some(*key),
            What::Session(_) | What::Everything(_) => None,
        });
        keys.collect()
    }

    /// Those of these tags whose epoch may be one that was ended.
    pub(crate) fn tags_to_check(&self, holds: &(dyn Fn(SlotTag) -> bool + Sync)) -> Vec<SlotTag> {
        if self.everything().is_empty() {
            return Vec::new();
        }
        keys::tags().filter(|tag| holds(*tag)).collect()
    }

    /// Whether the sessions of this epoch were ended by a mass revocation of this process.
    pub(crate) fn is_over(&self, epoch: Epoch) -> bool {
        let all = self.everything();
        all.iter().any(|everything| everything.is_over(epoch))
    }

    fn everything(&self) -> Vec<Arc<Everything>> {
        let kept = self.kept.lock();
        let fresh = kept.iter().filter(|(at, _)| at.elapsed() <= REMEMBERED);
        let all = fresh.filter_map(|(_, what)| match what {
            What::Everything(everything) => Some(Arc::clone(everything)),
            What::Session(_) => None,
        });
        all.collect()
    }
}

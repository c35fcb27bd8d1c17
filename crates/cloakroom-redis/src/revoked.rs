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
    kept: Mutex<VecDeque<Note>>,
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
    /// Of its notes.
    number: u64,
}

/// What is remembered, since when, and by which attempt.
#[derive(Debug)]
struct Note {
    at: Instant,
    what: What,
    number: u64,
}

impl Attempt<'_> {
    /// The server has answered. If what is under one of the keys is somebody else's, nothing was done, and that must
    /// not be written over when doubts are settled or a server is told again. What others ended meanwhile stays noted.
    pub(crate) fn answered<T>(mut self, answer: Result<T, Error>) -> Result<T, Error> {
        match &answer {
            Ok(_) => self.done(),
            Err(error) if Failure::is_foreign(error) => {
                self.revoked.unnote(|note| note.number == self.number);
                self.keys.clear();
            }
            Err(_) => {}
        }
        answer
    }

    pub(crate) fn keys(&self) -> &[StoredKey] {
        &self.keys
    }

    /// What is under this key is somebody else's, so it is not to be ended.
    pub(crate) fn excuse(&mut self, key: &StoredKey) {
        let is_it = |note: &Note| matches!(&note.what, What::Session(noted) if noted == key);
        self.revoked.unnote(is_it);
        self.revoked.doubtful.lock().remove(key);
        self.keys.retain(|other| other != key);
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
        let number = self.push(keys.iter().copied().map(What::Session));
        Attempt {
            revoked: self,
            keys,
            number,
        }
    }

    /// Sessions of a tag whose end was asked for and not acknowledged.
    pub(crate) fn doubts(&self, tag: SlotTag) -> Option<Attempt<'_>> {
        let doubtful = self.doubtful.lock();
        let keys = doubtful.iter().filter(|key| key.tag() == tag).take(DOUBTS);
        let keys: Vec<_> = keys.copied().collect();
        drop(doubtful);
        // Theirs are the notes of those who asked.
        (!keys.is_empty()).then_some(Attempt {
            revoked: self,
            keys,
            number: 0,
        })
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

    fn unnote(&self, is_one: impl Fn(&Note) -> bool) {
        self.kept.lock().retain(|note| !is_one(note));
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

    /// Gives the number of the notes, which no others have.
    fn push(&self, all: impl IntoIterator<Item = What>) -> u64 {
        let at = Instant::now();
        let mut kept = self.kept.lock();
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        kept.extend(all.into_iter().map(|what| Note { at, what, number }));
        while kept.len() > MOST
            || kept
                .front()
                .is_some_and(|note| at.duration_since(note.at) > REMEMBERED)
        {
            kept.pop_front();
        }
        number
    }

    /// Changes whenever something is noted.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether anything was revoked of these tags.
    pub(crate) fn concerns(&self, holds: &dyn Fn(SlotTag) -> bool) -> bool {
        self.kept.lock().iter().any(|note| match &note.what {
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
        let keys = kept.iter().filter_map(|note| match &note.what {
            What::Session(key) if now - note.at <= REMEMBERED && holds(key.tag()) => Some(*key),
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
        let fresh = kept.iter().filter(|note| note.at.elapsed() <= REMEMBERED);
        let all = fresh.filter_map(|note| match &note.what {
            What::Everything(everything) => Some(Arc::clone(everything)),
            What::Session(_) => None,
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use cloakroom_core::{OsEntropy, SessionId};

    use super::*;

    fn keys() -> [StoredKey; 2] {
        let tag = keys::tags().next().expect("there are tags");
        [(); 2].map(|()| {
            let id = SessionId::generate(tag, &OsEntropy);
            id.expect("there is entropy").key()
        })
    }

    fn foreign() -> Result<(), Error> {
        Err(Failure::foreign("somebody else's").into())
    }

    /// A logout and "log out everywhere" at the same time, and a foreign value among the sessions of the latter.
    #[test]
    fn what_another_call_ended_stays_noted() {
        let revoked = Revoked::new(LayoutName::Packed);
        let [one, other] = keys();
        let all = revoked.ending(vec![one, other]);
        revoked.ending(vec![one]).done();
        all.answered(foreign()).expect_err("nothing was done");
        assert_eq!(revoked.ended(&|_| true), [one]);
        assert!(revoked.doubts(one.tag()).is_none(), "nothing is in doubt");
    }

    #[test]
    fn what_is_excused_is_neither_noted_nor_in_doubt() {
        let revoked = Revoked::new(LayoutName::Packed);
        let [one, other] = keys();
        drop(revoked.ending(vec![one, other]));
        let mut doubts = revoked.doubts(one.tag()).expect("nobody answered");
        doubts.excuse(&other);
        assert_eq!(doubts.keys(), [one]);
        drop(doubts);
        assert_eq!(revoked.ended(&|_| true), [one]);
        let doubts = revoked.doubts(one.tag()).expect("nobody answered");
        assert_eq!(doubts.keys(), [one]);
        doubts.done();
        assert!(revoked.doubts(one.tag()).is_none());
    }
}

//! Revocations that this process was told are done, remembered for a while. A server that comes back,
//! or a replica that is promoted, may not know the last of them: they are said again before its
//! answers are trusted. So what was ended stays ended, whatever a failover lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cloakroom_core::entropy::{Entropy, OsEntropy};
use cloakroom_core::id::StoredKey;
use cloakroom_core::{UnixMillis, limits};
use parking_lot::Mutex;

use crate::head::{Epoch, Marker};
use crate::keys::{self, EPOCH};
use crate::settings::LayoutName;
use crate::wire::{self, Command};

/// How long: a failover that takes longer than this is seen by people.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How many, so that a flood of logouts does not fill the memory (some 10 MB).
const MOST: usize = 100_000;

/// The revocations of this process.
#[derive(Debug)]
pub(crate) struct Revoked {
    layout: LayoutName,
    kept: Mutex<VecDeque<(Instant, What)>>,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Session(StoredKey),
    Everything,
}

impl Revoked {
    pub(crate) fn new(layout: LayoutName) -> Self {
        Self {
            layout,
            kept: Mutex::default(),
        }
    }

    /// Remembers sessions that are about to be ended. Noted before the server is asked, so that none
    /// is acknowledged and not noted.
    pub(crate) fn note(&self, keys: impl IntoIterator<Item = StoredKey>) {
        self.push(keys.into_iter().map(What::Session));
    }

    /// Remembers that all sessions are about to be ended.
    pub(crate) fn note_everything(&self) {
        self.push([What::Everything]);
    }

    fn push(&self, all: impl IntoIterator<Item = What>) {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        kept.extend(all.into_iter().map(|what| (now, what)));
        while kept.len() > MOST
            || kept
                .front()
                .is_some_and(|(at, _)| now.duration_since(*at) > REMEMBERED)
        {
            kept.pop_front();
        }
    }

    /// The commands that say all of it again, whatever the server knows.
    pub(crate) fn replay(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut everything = false;
        // Only the marker's own life matters here, and the server counts it; the time inside lies
        // far enough ahead for any clock.
        let marker = Marker {
            forgotten_at: UnixMillis::new(1 << 47),
            forward: None,
        };
        for (at, what) in self.kept.lock().iter() {
            if at.elapsed() > REMEMBERED {
                continue;
            }
            match what {
                What::Session(key) => {
                    commands.extend(self.layout.end(&keys::session(key), &marker));
                }
                What::Everything => everything = true,
            }
        }
        if everything {
            // A fresh epoch, not the one of then: another process may have revoked all since.
            let mut epoch = Epoch::default();
            if OsEntropy.fill(&mut epoch).is_ok() {
                let mut set = wire::command("SET", [EPOCH]);
                set.arg(&epoch[..]);
                commands.push(set);
            }
        }
        debug_assert!(
            limits::TOMBSTONE < REMEMBERED,
            "a replay outlasts its marker"
        );
        commands
    }
}

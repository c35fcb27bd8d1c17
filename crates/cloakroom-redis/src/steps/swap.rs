//! `SET key new IFEQ old` and what has to go with it in the same trip: the server's time before, and
//! the epoch behind it. [`super::compared`] says why.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::{Record, UnixMillis};
use parking_lot::Mutex;

use super::time;
use crate::epoch::{self, Epoch};
use crate::failure::{Class, Failure};
use crate::keys;
use crate::layout::{Present, packed};
use crate::route::{Batch, Route};
use crate::wire::{self, Command, Lane, Reply};

/// How far the stamp of a save may be from the server's time, besides the time of the trip: a quarter
/// of the shortest idle limit, which is how exactly activity is recorded anyway.
const TOLERANCE: Duration = Duration::from_millis(250);

/// Replaces values, and remembers what it needs for that.
#[derive(Debug)]
pub(super) struct Swaps {
    route: Arc<dyn Route>,
    /// What was seen last under each tag.
    known: Mutex<HashMap<SlotTag, Known>>,
    lacking: AtomicBool,
}

/// What must be known before a swap. A guess: the server checks it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) epoch: Epoch,
    /// The time that the tag's server told, and when it did.
    told: (UnixMillis, Instant),
}

/// A value to be replaced by another.
pub(super) struct Swap {
    key: StoredKey,
    epoch: Epoch,
    before: Vec<u8>,
    /// When `before` is over.
    lived_until: UnixMillis,
    after: Vec<u8>,
    lives_until: UnixMillis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swapped {
    Done,
    /// There is something else.
    Differs,
    /// The session had expired, or was revoked with all others.
    Over,
}

/// What is under a key.
pub(super) struct Seen {
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) epoch: Option<Epoch>,
    pub(super) now: UnixMillis,
    pub(super) present: Present,
}

/// Asks a server whether it has `IFEQ`. It changes nothing: there is no such key. Others are asked by
/// the first swap.
pub(crate) async fn probe(route: &dyn Route) -> Result<bool, Failure> {
    let Some(tag) = keys::tags().next() else {
        return Ok(false);
    };
    let mut set = wire::command("SET", [keys::probe(tag)]);
    set.arg("").arg("PX").arg(1).arg("IFEQ").arg("never");
    match route.send(tag, Lane::Main, vec![set]).await {
        Ok(_) => Ok(true),
        Err(failure) if matches!(failure.class(), Class::Unreachable | Class::Timeout) => {
            Err(failure)
        }
        Err(_) => Ok(false),
    }
}

impl Swaps {
    pub(super) fn new(route: Arc<dyn Route>) -> Self {
        Self {
            route,
            known: Mutex::default(),
            lacking: AtomicBool::new(false),
        }
    }

    /// Whether a server was met that has no `IFEQ`: a failover may lead to an older one.
    pub(super) fn are_lacking(&self) -> bool {
        self.lacking.load(Ordering::Relaxed)
    }

    /// What was seen last under the tag.
    pub(super) fn known(&self, tag: SlotTag) -> Option<Known> {
        self.known.lock().get(&tag).copied()
    }

    pub(super) fn saw(&self, tag: SlotTag, epoch: Option<Epoch>, now: UnixMillis) {
        let mut known = self.known.lock();
        match epoch {
            Some(epoch) => {
                let told = (now, Instant::now());
                known.insert(tag, Known { epoch, told });
            }
            None => {
                known.remove(&tag);
            }
        }
    }

    /// Replaces values, in one trip to each server; gives its time with each. `None`: a server has no
    /// `IFEQ`.
    pub(super) async fn swap(
        &self,
        swaps: &[Swap],
    ) -> Result<Option<Vec<(Swapped, UnixMillis)>>, Failure> {
        let batches = swaps.iter().map(|swap| Batch {
            tag: swap.key.tag(),
            commands: vec![clock(), swap.command(), epoch::read(swap.key.tag())],
        });
        let answers = self.route.send_each(Lane::Write, batches.collect()).await;
        let mut late = Vec::new();
        let mut swapped = Vec::with_capacity(swaps.len());
        for (swap, answer) in swaps.iter().zip(answers) {
            let (now, set, epoch) = match answer {
                Err(failure) if failure.class() == Class::Protocol => {
                    tracing::info!("a server has no SET .. IFEQ any more: saves go another way");
                    self.lacking.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
                answer => self.heard(&swap.key, answer?)?,
            };
            let outcome = match set {
                Reply::Nil => Swapped::Differs,
                _ if now >= swap.lived_until => {
                    late.push(swap.undone());
                    Swapped::Over
                }
                _ if epoch != Some(swap.epoch) => Swapped::Over,
                _ => Swapped::Done,
            };
            swapped.push((outcome, now));
        }
        if !late.is_empty() {
            for answer in self.route.send_each(Lane::Write, late).await {
                answer?;
            }
        }
        Ok(Some(swapped))
    }

    /// Reads what is under keys, in one trip to each server.
    pub(super) async fn look(&self, keys: &[StoredKey]) -> Result<Vec<Seen>, Failure> {
        let batches = keys.iter().map(|key| Batch {
            tag: key.tag(),
            commands: vec![
                clock(),
                packed::read(&keys::session(key)),
                epoch::read(key.tag()),
            ],
        });
        let answers = self.route.send_each(Lane::Main, batches.collect()).await;
        let mut all = Vec::with_capacity(keys.len());
        for (key, answer) in keys.iter().zip(answers) {
            let (now, raw, epoch) = self.heard(key, answer?)?;
            all.push(Seen {
                present: packed::decode(&raw)?.judge(epoch, now),
                bytes: wire::bytes(raw)?,
                epoch,
                now,
            });
        }
        Ok(all)
    }

    /// The answers to a batch: time, something, epoch.
    fn heard(
        &self,
        key: &StoredKey,
        replies: Vec<Reply>,
    ) -> Result<(UnixMillis, Reply, Option<Epoch>), Failure> {
        let [now, reply, epoch] = wire::exactly(replies)?;
        let (now, epoch) = (time(now)?, epoch::decode(epoch)?);
        self.saw(key.tag(), epoch, now);
        Ok((now, reply, epoch))
    }
}

impl Known {
    /// The server's time as far as it is known here, for a session that was last seen then: what
    /// the server told, and what passed since. So it is late by a trip.
    pub(super) fn stamp(&self, seen_at: UnixMillis) -> UnixMillis {
        let now = self.told.0.saturating_add(self.told.1.elapsed());
        // Another process may have been told later.
        if seen_at.since(now) <= TOLERANCE {
            return now.max(seen_at);
        }
        now
    }
}

fn clock() -> Command {
    wire::command::<&str>("TIME", [])
}

impl Swap {
    /// `bytes` of `before` become those of `after`, which has the same epoch.
    pub(super) fn new(
        key: &StoredKey,
        epoch: Epoch,
        bytes: Vec<u8>,
        before: &Record,
        after: &Record,
    ) -> Self {
        Self {
            key: *key,
            epoch,
            before: bytes,
            lived_until: before.times.deadline(),
            after: packed::encode(after, epoch),
            lives_until: after.times.deadline(),
        }
    }

    fn command(&self) -> Command {
        set_if(&self.key, &self.after, self.lives_until, &self.before)
    }

    /// Deletes what was written: its end has come. The end is long past, because what ends now lives on
    /// to the end of this millisecond.
    fn undone(&self) -> Batch {
        let past = UnixMillis::new(1);
        Batch {
            tag: self.key.tag(),
            commands: vec![set_if(&self.key, &self.after, past, &self.after)],
        }
    }
}

fn set_if(key: &StoredKey, value: &[u8], until: UnixMillis, old: &[u8]) -> Command {
    let mut set = wire::command("SET", [keys::session(key)]);
    set.arg(value).arg("PXAT").arg(until.as_millis());
    set.arg("IFEQ").arg(old);
    set
}

/// Whether a server that told `now` within `trip` of a stamp has moved its clock since it told it
/// before.
pub(super) fn is_wrong(stamp: UnixMillis, now: UnixMillis, trip: Duration) -> bool {
    stamp.since(now) > TOLERANCE || now.since(stamp) > trip + TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Told time; the stamp may be late by a trip and a little, and ahead by a little.
    #[test]
    fn a_clock_that_was_moved_is_noticed() {
        let at = UnixMillis::new;
        let trip = Duration::from_millis(100);
        for (stamp, now, wrong) in [
            (10_000, 10_000, false),
            (10_000, 10_350, false),
            (10_000, 10_351, true),
            (10_250, 10_000, false),
            (10_251, 10_000, true),
            (10_000, 3_610_000, true),
            (3_610_000, 10_000, true),
        ] {
            let found = is_wrong(at(stamp), at(now), trip);
            assert_eq!(found, wrong, "stamp {stamp}, now {now}");
        }
    }
}

//! Steps by compare-and-set: `SET key new IFEQ old`, which Redis 8.4 and Valkey 8.1 have, for the
//! packed layout. A save is one trip, as by script, and costs the server less than half of that. Where
//! scripts are forbidden, a save by WATCH would be two trips, on a connection of its own, and a batch
//! of touches two trips each; here they are two to each server in all.
//!
//! What has to be written is made from what this process saw last; who saw nothing reads first. All
//! bytes are compared, and they hold version, times and epoch. What scripts and WATCH guard beyond
//! that:
//!
//! - *The epoch.* `revoke_all` changes another key than the session's. So the epoch is read behind the
//!   write, in the same trip: if it still is that of the session, it was at the write, because no
//!   epoch comes back. If it is not, the session had ended, and the write went where nobody looks.
//!   In a cluster whose slots move, the two may be a round apart, and the epoch be read first: its key is
//!   still here, and the session's is asked for elsewhere (`ASK`). A save may then be acknowledged that
//!   came after a revocation. But that revocation was not acknowledged when the save began, or the epoch
//!   would have told, so the two were at the same time, and the save counts as the earlier one. What it
//!   wrote has the old epoch and is over.
//! - *The server's time* must be known before the trip, for the stamp of a save. It is the time that
//!   the server told last and what passed here since: not more than the server's, so no session gets
//!   more than is its due. Every trip asks for the time again; if the server's clock was moved, the
//!   save is followed by a touch. No answer rests on this time.
//! - *An end on the way.* The key's own life ends with the session, and then IFEQ finds nothing. If
//!   the key had lost its life (`PERSIST`), the server's time in the same trip shows that the write
//!   came too late, and the key is deleted, again only if it still is what was written.
//!
//! Not here but by the steps below, scripts or WATCH: what is about several keys (rotations, logins,
//! ends of sessions of a subject), what replicas must confirm (creations, ends), and records that were
//! encoded otherwise than this version does, whose bytes cannot be made again.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::record::{Changes, Condition};
use cloakroom_core::store::Absence;
use cloakroom_core::{Error, Record, UnixMillis};

use super::swap::{Swap, Swapped, Swaps, is_wrong};
use super::{Done, Ending, Found, Left, Old, Place, Placed, Steps, There, Tried};
use crate::epoch::Epoch;
use crate::failure::Failure;
use crate::layout::{Present, packed};
use crate::route::Route;

/// Rounds of a touch before it goes by the steps below.
const ROUNDS: usize = 8;

/// Steps by compare-and-set, and by other steps what needs more.
#[derive(Debug)]
pub(crate) struct Compared {
    swaps: Swaps,
    below: Arc<dyn Steps>,
    /// Whether the steps below touch any number of sessions in one trip.
    touches_below: bool,
}

impl Compared {
    pub(crate) fn new(route: Arc<dyn Route>, below: Arc<dyn Steps>, touches_below: bool) -> Self {
        Self {
            swaps: Swaps::new(route),
            below,
            touches_below,
        }
    }

    /// Writes `before`, changed, if it still is what there is. `None`: it must go by the steps below.
    async fn try_apply(
        &self,
        key: &StoredKey,
        before: &Record,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Option<Tried>, Error> {
        let Some(known) = self.swaps.known(key.tag()) else {
            let (present, _) = self.look(key).await?;
            return Ok(Some(Tried::Stale(present)));
        };
        let asked = Instant::now();
        let (epoch, stamp) = (known.epoch, known.stamp(before.times.seen_at));
        let (record, increments) = match before.applied(changes, stamp) {
            Ok(applied) if before.meets(condition) => applied,
            refused => {
                let refused = refused.map(|(_, increments)| increments);
                return self.refuse(key, before, condition, refused).await;
            }
        };
        let swap = Swap::new(key, epoch, packed::encode(before, epoch), before, &record);
        let Some(swapped) = self.swaps.swap(&[swap]).await? else {
            return Ok(None);
        };
        let now = match swapped[..] {
            [(Swapped::Done, now)] => now,
            [(Swapped::Over, _)] => {
                let present = Present::Absent(Absence::Unknown);
                return Ok(Some(Tried::Stale(present)));
            }
            _ => {
                let (present, current) = self.look(key).await?;
                let same = matches!(&present, Present::Alive(found) if **found == *before);
                let other_bytes = same && current == Some(epoch);
                return Ok((!other_bytes).then_some(Tried::Stale(present)));
            }
        };
        if is_wrong(stamp, now, asked.elapsed()) {
            // The save is done; what is left is to put its time right.
            if let Err(error) = self.below.touch(&[*key]).await {
                tracing::debug!(%error, "a save is stamped with the time of another clock");
            }
        }
        Ok(Some(Tried::Done(Done {
            version: record.version,
            increments,
            there: There::Record(record),
        })))
    }

    /// A hint that cannot be changed so may be old: the server knows.
    async fn refuse(
        &self,
        key: &StoredKey,
        before: &Record,
        condition: &Condition,
        refused: Result<Vec<i64>, Error>,
    ) -> Result<Option<Tried>, Error> {
        let (present, _) = self.look(key).await?;
        let version = before.version;
        match &present {
            Present::Alive(current) if current.version == version => {
                if !before.meets(condition) {
                    return Ok(Some(Tried::Conflict { version }));
                }
                refused?;
            }
            _ => {}
        }
        Ok(Some(Tried::Stale(present)))
    }

    async fn look(&self, key: &StoredKey) -> Result<(Present, Option<Epoch>), Failure> {
        let mut seen = self.swaps.look(&[*key]).await?;
        let missing = || Failure::protocol("not as many replies as commands");
        let seen = seen.pop().ok_or_else(missing)?;
        Ok((seen.present, seen.epoch))
    }

    /// One round of a touch: `None` where somebody was faster.
    async fn touch_once(&self, keys: &[StoredKey]) -> Result<Vec<Option<Found>>, Failure> {
        let seen = self.swaps.look(keys).await?;
        let mut swaps = Vec::new();
        let mut found = Vec::with_capacity(keys.len());
        for (key, seen) in keys.iter().zip(seen) {
            found.push(match (seen.present, seen.bytes, seen.epoch) {
                (Present::Alive(before), Some(bytes), Some(epoch)) => {
                    let mut record = before.clone();
                    record.touch(seen.now);
                    swaps.push(Swap::new(key, epoch, bytes, &before, &record));
                    None
                }
                (Present::Forward(target), ..) => Some(Found::Moved(target)),
                _ => Some(Found::Dead),
            });
        }
        if swaps.is_empty() {
            return Ok(found);
        }
        let Some(swapped) = self.swaps.swap(&swaps).await? else {
            return Ok(found);
        };
        let waiting = found.iter_mut().filter(|found| found.is_none());
        for (found, (swapped, _)) in waiting.zip(swapped) {
            *found = match swapped {
                Swapped::Done => Some(Found::Alive),
                Swapped::Over => Some(Found::Dead),
                Swapped::Differs => None,
            };
        }
        Ok(found)
    }
}

#[async_trait]
impl Steps for Compared {
    async fn place(&self, place: &Place<'_>) -> Result<Placed, Error> {
        self.below.place(place).await
    }

    async fn leave(&self, new: &StoredKey, old: &Old<'_>) -> Result<Left, Error> {
        self.below.leave(new, old).await
    }

    async fn undo(&self, key: &StoredKey, record: &Record) -> Result<(), Error> {
        self.below.undo(key, record).await
    }

    async fn apply(
        &self,
        key: &StoredKey,
        hint: Option<&Record>,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Tried, Error> {
        if !self.swaps.are_lacking() {
            let Some(before) = hint else {
                return Ok(Tried::NeedsHint);
            };
            if let Some(tried) = self.try_apply(key, before, changes, condition).await? {
                return Ok(tried);
            }
        }
        self.below.apply(key, hint, changes, condition).await
    }

    async fn end(
        &self,
        tag: SlotTag,
        index: Option<&str>,
        sessions: &[Ending],
        besides: Option<usize>,
    ) -> Result<Option<Vec<Found>>, Error> {
        self.below.end(tag, index, sessions, besides).await
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<Vec<Found>, Error> {
        if self.touches_below {
            return self.below.touch(keys).await;
        }
        let mut found: Vec<Option<Found>> = vec![None; keys.len()];
        for _ in 0..ROUNDS {
            let waiting = keys.iter().zip(&found).filter(|(_, found)| found.is_none());
            let waiting: Vec<StoredKey> = waiting.map(|(key, _)| *key).collect();
            if waiting.is_empty() || self.swaps.are_lacking() {
                break;
            }
            let round = self.touch_once(&waiting).await?;
            let unknown = found.iter_mut().filter(|found| found.is_none());
            for (found, now) in unknown.zip(round) {
                *found = now;
            }
        }
        let mut all = Vec::with_capacity(keys.len());
        for (key, found) in keys.iter().zip(found) {
            match found {
                Some(found) => all.push(found),
                None => all.extend(self.below.touch(&[*key]).await?),
            }
        }
        Ok(all)
    }

    fn saw(&self, tag: SlotTag, epoch: Option<Epoch>, now: UnixMillis) {
        self.swaps.saw(tag, epoch, now);
    }
}

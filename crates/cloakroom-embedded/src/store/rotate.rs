//! A rotation: the session goes from one shard and comes to another, as one step for everybody else.

use cloakroom_core::record::Rotation;
use cloakroom_core::store::{Absence, Rotated};
use cloakroom_core::{Error, Record, StoredKey};

use super::Inner;
use crate::shard::{Alive, At, Found, Reaped, Shard};

impl Inner {
    /// One hop of a rotation. `Err` is where to go on.
    pub(super) fn rotate_from(
        &self,
        old: &StoredKey,
        new: &StoredKey,
        rotation: &Rotation,
        first: bool,
    ) -> Result<Result<Rotated, Error>, StoredKey> {
        let (from, to) = (self.shard_of(old.tag()), self.shard_of(new.tag()));
        // In the order of their numbers, so that two rotations cannot wait for each other.
        let low = self.shards[from.min(to)].lock();
        let high = (from != to).then(|| self.shards[from.max(to)].lock());
        let (mut source, mut target) = match high {
            Some(high) if from < to => (low, Some(high)),
            Some(high) => (high, Some(low)),
            None => (low, None),
        };
        let at = self.at();
        let result = match source.find(old, at) {
            Found::Alive(alive) => {
                Ok(
                    rotate(&mut source, target.as_deref_mut(), alive, new, rotation, at)
                        .map(|record| Rotated::Done(Box::new(record))),
                )
            }
            Found::Moved(to) if rotation.login.is_some() => Err(to),
            Found::Unknown if first => Ok(Ok(Rotated::Absent(Absence::Unknown))),
            Found::Moved(_) | Found::Ended | Found::Unknown => {
                Ok(Ok(Rotated::Absent(Absence::Ended)))
            }
        };
        // Both locks go before anybody is told; the second guard is let go of first.
        let mut reaped = source.take_reaped();
        let mut freed_there = None;
        let freed = source.take_freed();
        self.log_all(
            [Some(&mut *source), target.as_deref_mut()]
                .into_iter()
                .flatten(),
        );
        if let Some(mut target) = target {
            reaped.add(target.take_reaped());
            freed_there = Some(target.take_freed());
            target.count_memory(&self.memory);
        }
        source.count_memory(&self.memory);
        drop(source);
        drop((freed, freed_there));
        if reaped != Reaped::default() {
            self.report(reaped);
        }
        result
    }
}

/// Moves a session, with the shard of its new key if that is another one.
fn rotate(
    source: &mut Shard,
    target: Option<&mut Shard>,
    alive: Alive,
    new: &StoredKey,
    rotation: &Rotation,
    at: At<'_>,
) -> Result<Record, Error> {
    let record = source.rotated(alive, new, rotation, at)?;
    match target {
        Some(target) => {
            target.admit_rotated(new, &record, rotation, None, at)?;
            target.arrive(new, &record, at);
            source.leave(alive, new, rotation, at);
        }
        None => {
            source.admit_rotated(new, &record, rotation, Some(alive), at)?;
            // One step for everybody else, so the order is free; this one needs no second slot.
            source.leave(alive, new, rotation, at);
            source.arrive(new, &record, at);
        }
    }
    Ok(record)
}

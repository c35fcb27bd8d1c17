//! Going over the keys of all keyspaces at once, in the order in which they lie in memory.
//!
//! [`Engine::scan`] goes by hashes, so each key is a miss of the cache, and sees one keyspace: right for whoever asks
//! while others write, and half of a start's time for whoever has to look at everything. Here a key may be
//! passed over that is written meanwhile.

use cloakroom_core::UnixMillis;

use super::{BESIDE, DATABASES, Db, Engine, Kind};
use crate::shard::{KeyView, Shard};
use crate::slab::SlotRef;

/// How far one is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    shard: usize,
    slot: SlotRef,
    /// From a shard to the next one.
    step: usize,
}

impl Place {
    /// Where a part of all shards begins, of so many parts.
    pub(crate) const fn of_part(part: usize, parts: usize) -> Self {
        Self {
            shard: part,
            slot: 0,
            step: parts,
        }
    }
}

/// A key that lives, where it lies.
pub(crate) struct Entry<'a> {
    shard: &'a Shard,
    slot: SlotRef,
    view: KeyView<'a>,
    now: UnixMillis,
}

impl Entry<'_> {
    pub(crate) fn key(&self) -> &[u8] {
        self.view.key()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.view.kind()
    }

    pub(crate) fn mark(&self) -> Option<&[u8]> {
        self.view.mark()
    }

    /// When it ends; one that has no deadline, at the end of time.
    pub(crate) fn deadline(&self) -> UnixMillis {
        UnixMillis::new(self.view.deadline())
    }

    pub(crate) const fn now(&self) -> UnixMillis {
        self.now
    }

    /// What a string is, or a hash has in its fields.
    pub(crate) fn each_value(&self, each: &mut dyn FnMut(&[u8])) {
        match self.kind() {
            Kind::String => each(self.view.value()),
            Kind::Hash => self.shard.each_member(self.slot, &mut |member| {
                if member.deadline > self.now.as_millis() {
                    each(member.value);
                }
            }),
            Kind::Set | Kind::SortedSet => {}
        }
    }
}

impl Engine {
    /// Looks at so many slots of one shard from a place on, and calls `each` with the keys there and their keyspaces;
    /// those beside a keyspace count on from [`DATABASES`]. Returns the place to go on from, if there is more.
    /// `each` is called under a lock and must not use the engine.
    pub(crate) fn go_over(
        &self,
        place: Place,
        slots: usize,
        each: &mut dyn FnMut(Db, Entry<'_>),
    ) -> Option<Place> {
        let shard = self.0.shards.get(place.shard)?.lock();
        let at = self.0.at();
        let slot = shard.walk_memory(place.slot, slots, at, &mut |slot, view| {
            let beside = if view.db() & BESIDE == 0 {
                0
            } else {
                DATABASES
            };
            let Some(db) = at.ears.db_of(view.db() & !BESIDE) else {
                return;
            };
            let (shard, now) = (&*shard, at.now);
            each(
                beside + db,
                Entry {
                    shard,
                    slot,
                    view,
                    now,
                },
            );
        });
        Some(match slot {
            Some(slot) => Place { slot, ..place },
            None => Place {
                shard: place.shard + place.step,
                slot: 0,
                ..place
            },
        })
    }
}

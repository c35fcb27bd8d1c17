//! What this process saw of sessions a moment ago, so that a save after a load is one trip: the
//! changes are merged into this, and Redis takes the result only if nothing changed since. It is a
//! hint, never an answer: nobody reads a session from here.

use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::record::Changes;
use cloakroom_core::{Record, UnixMillis};
use parking_lot::Mutex;

const SHARDS: usize = 16;
/// Bytes of fields in one shard; 16 MiB in all.
const SHARD_BYTES: usize = 1 << 20;
/// What a record takes besides its fields, roughly.
const OVERHEAD: usize = 256;
/// Groups of marks in a shard: 512 KiB in all, and places for 65536 sessions.
const GROUPS: usize = 512;

/// The records seen last.
#[derive(Debug, Default)]
pub(crate) struct Recent([Mutex<Shard>; SHARDS]);

/// Marks say which states are known, and where their records lie. Most reads see the state that was seen before, and
/// are told so by one look at the memory: records take more of it than a cache has. Where a group is full, somebody goes.
#[derive(Debug, Default)]
struct Shard {
    groups: Vec<Group>,
    rows: Vec<Row>,
    free: Vec<usize>,
    /// Who goes next, if room is needed.
    oldest: usize,
    bytes: usize,
    /// How many states were remembered so far.
    stamp: u64,
    /// For who makes something of a record, while the shard is his.
    scratch: Vec<u8>,
}

/// As many as lie together in a cache.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Group([Mark; 8]);

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// Stands for the state. Two states with one number would cost a save a second trip.
    state: u32,
    /// A part of the key.
    key: u16,
    /// One more than the number of the row; 0 for none.
    row: u16,
}

#[derive(Debug)]
struct Row {
    key: StoredKey,
    /// Of this state alone.
    stamp: u64,
    record: Option<Record>,
}

/// Where a state was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    row: usize,
    stamp: u64,
}

impl Recent {
    /// Remembers what was read or written, unless that or a later state of it is known. Under one version
    /// the fields are the same, but for another server's, and then everything is forgotten.
    pub(crate) fn see(&self, key: &StoredKey, record: &Record) {
        self.shard(key).lock().see(key, record);
    }

    /// What was seen of a session last.
    pub(crate) fn get(&self, key: &StoredKey) -> Option<Record> {
        self.with(key, |record, _, _| Some(record.clone()))
    }

    /// Looks at what was seen of a session last, where it lies; there is an empty buffer to work with.
    pub(crate) fn with<T>(
        &self,
        key: &StoredKey,
        look: impl FnOnce(&Record, Place, &mut Vec<u8>) -> Option<T>,
    ) -> Option<T> {
        let mut shard = self.shard(key).lock();
        let (_, row) = shard.find(key)?;
        let Shard { rows, scratch, .. } = &mut *shard;
        let Row { record, stamp, .. } = &rows[row];
        let place = Place { row, stamp: *stamp };
        scratch.clear();
        look(record.as_ref()?, place, scratch)
    }

    /// What was found at `place` was changed so at the server, at `now`. Another state that is there by now stays: it was
    /// not what was changed.
    pub(crate) fn saved(&self, key: &StoredKey, place: Place, changes: &Changes, now: UnixMillis) {
        let mut shard = self.shard(key).lock();
        let Shard {
            groups,
            rows,
            bytes,
            stamp,
            ..
        } = &mut *shard;
        let row = rows
            .get_mut(place.row)
            .filter(|row| row.stamp == place.stamp);
        let Some(Row {
            record: Some(record),
            stamp: its,
            ..
        }) = row
        else {
            return;
        };
        let before = size(record);
        if record.apply(changes, now).is_err() {
            return shard.forget(key);
        }
        *bytes = *bytes + size(record) - before;
        *stamp += 1;
        *its = *stamp;
        let marks = &mut groups[Mark::group(key)].0;
        if let Some(mark) = marks.iter_mut().find(|mark| mark.is_of(place.row)) {
            mark.state = Mark::state(key, record);
        }
        shard.make_room(place.row);
    }

    /// Forgets a session that is gone.
    pub(crate) fn forget(&self, key: &StoredKey) {
        self.shard(key).lock().forget(key);
    }

    /// Forgets the sessions of some tags: as [`Recent::clear`], for a server that got only these.
    pub(crate) fn forget_tags(&self, is_one: &dyn Fn(SlotTag) -> bool) {
        for shard in &self.0 {
            let mut shard = shard.lock();
            let gone = shard.rows.iter().filter(|row| is_one(row.key.tag()));
            for key in gone.map(|row| row.key).collect::<Vec<_>>() {
                shard.forget(&key);
            }
        }
    }

    /// Forgets everything: another server may have other states under the same versions.
    pub(crate) fn clear(&self) {
        for shard in &self.0 {
            let mut shard = shard.lock();
            // No state of later has the stamp of one from before.
            let stamp = shard.stamp;
            *shard = Shard {
                stamp,
                ..Shard::default()
            };
        }
    }

    fn shard(&self, key: &StoredKey) -> &Mutex<Shard> {
        &self.0[usize::from(key.hash()[0]) % SHARDS]
    }
}

impl Shard {
    fn see(&mut self, key: &StoredKey, record: &Record) {
        let state = Mark::state(key, record);
        if self.has(key, state) {
            return;
        }
        let row = match self.find(key) {
            Some((at, row)) => {
                let Some(there) = &mut self.rows[row].record else {
                    return;
                };
                if there.handle == record.handle && there.version > record.version {
                    return;
                }
                self.bytes = self.bytes + size(record) - size(there);
                copy(record, there);
                self.groups[Mark::group(key)].0[at].state = state;
                self.stamp += 1;
                self.rows[row].stamp = self.stamp;
                row
            }
            None => self.add(key, state, record),
        };
        self.make_room(row);
    }

    /// Gives the number of its row.
    fn add(&mut self, key: &StoredKey, state: u32, record: &Record) -> usize {
        if self.groups.is_empty() {
            self.groups.resize(GROUPS, Group::default());
        }
        let marks = &self.groups[Mark::group(key)].0;
        let free = marks.iter().position(|mark| mark.row == 0);
        let at = free.unwrap_or(state as usize % marks.len());
        if let Some(row) = marks[at].row() {
            let other = self.rows[row].key;
            self.forget(&other);
        }
        self.bytes += size(record);
        self.stamp += 1;
        let new = Row {
            key: *key,
            stamp: self.stamp,
            record: Some(record.clone()),
        };
        let row = match self.free.pop() {
            Some(row) => {
                self.rows[row] = new;
                row
            }
            None => {
                self.rows.push(new);
                self.rows.len() - 1
            }
        };
        self.groups[Mark::group(key)].0[at] = Mark {
            state,
            key: Mark::part(key),
            row: u16::try_from(row + 1).expect("no more rows than a shard has bytes for"),
        };
        row
    }

    /// Where the mark of a session is in its group, and the number of its row.
    fn find(&self, key: &StoredKey) -> Option<(usize, usize)> {
        let marks = &self.groups.get(Mark::group(key))?.0;
        let part = Mark::part(key);
        marks.iter().enumerate().find_map(|(at, mark)| {
            let row = mark.row().filter(|_| mark.key == part)?;
            (self.rows[row].key == *key).then_some((at, row))
        })
    }

    /// Whether this state of a session is known.
    fn has(&self, key: &StoredKey, state: u32) -> bool {
        let part = Mark::part(key);
        let group = self.groups.get(Mark::group(key));
        let is_it = |mark: &Mark| mark.state == state && mark.key == part && mark.row != 0;
        group.is_some_and(|group| group.0.iter().any(is_it))
    }

    /// Nobody goes for others in the moment in which he is seen.
    fn make_room(&mut self, seen: usize) {
        while self.bytes > SHARD_BYTES {
            let row = self.oldest % self.rows.len();
            self.oldest = row + 1;
            if row != seen && self.rows[row].record.is_some() {
                let oldest = self.rows[row].key;
                self.forget(&oldest);
            }
        }
    }

    fn forget(&mut self, key: &StoredKey) {
        let Some((at, row)) = self.find(key) else {
            return;
        };
        self.groups[Mark::group(key)].0[at] = Mark::default();
        if let Some(record) = self.rows[row].record.take() {
            self.bytes -= size(&record);
            self.free.push(row);
        }
    }
}

impl Mark {
    /// Keys are as good as random already: they are hashes, or ids of sessions that were found.
    fn group(key: &StoredKey) -> usize {
        let [.., one, other] = *key.hash();
        usize::from(u16::from_le_bytes([one, other])) % GROUPS
    }

    fn part(key: &StoredKey) -> u16 {
        let [_, one, other, ..] = *key.hash();
        u16::from_le_bytes([one, other])
    }

    /// What stands for the state of a session: under one key, handle and version only the last activity
    /// may still differ.
    fn state(key: &StoredKey, record: &Record) -> u32 {
        let number = |bytes: &[u8]| {
            let first = bytes.first_chunk();
            first.map_or(0, |first| u64::from_le_bytes(*first))
        };
        let handle = record.handle.as_bytes();
        let parts = [
            (number(&key.hash()[16..]), 0x9e37_79b9_7f4a_7c15),
            (number(handle), 0xbf58_476d_1ce4_e5b9),
            (number(&handle[4..]), 0x94d0_49bb_1331_11eb),
            (record.version, 0xd6e8_feb8_6659_fd93),
            (record.times.seen_at.as_millis(), 0xa076_1d64_78bd_642f),
        ];
        let sum = parts.iter().fold(0u64, |sum, (part, by): &(u64, u64)| {
            sum.wrapping_add(part.wrapping_mul(*by).rotate_left(29))
        });
        (sum ^ (sum >> 32)) as u32
    }

    fn row(self) -> Option<usize> {
        usize::from(self.row).checked_sub(1)
    }

    fn is_of(self, row: usize) -> bool {
        usize::from(self.row) == row + 1
    }
}

/// Copies a record to where an older state of the same session is: mostly nothing has to be allocated for that.
fn copy(from: &Record, to: &mut Record) {
    let Record {
        handle,
        times,
        subject,
        label,
        version,
        fields,
    } = from;
    (to.handle, to.times, to.version) = (*handle, *times, *version);
    to.fields.clone_from(fields);
    if to.subject != *subject {
        to.subject.clone_from(subject);
    }
    if to.label != *label {
        to.label.clone_from(label);
    }
}

fn size(record: &Record) -> usize {
    OVERHEAD + record.fields.as_bytes().len()
}

#[cfg(test)]
mod tests {
    use cloakroom_core::id::Handle;
    use cloakroom_core::record::{Changes, Fields, NewSession, Value};
    use cloakroom_core::{Lifetimes, UnixMillis};

    use super::*;

    /// A hash that is as good as random in all its bytes.
    fn key(number: u64) -> StoredKey {
        let mut hash = [0; 32];
        let mut next = number;
        for part in hash.chunks_exact_mut(8) {
            next = (next ^ (next >> 30)).wrapping_add(0x9e37_79b9_7f4a_7c15);
            next = next.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            part.copy_from_slice(&(next ^ (next >> 27)).to_le_bytes());
        }
        StoredKey::from_parts(SlotTag::default(), hash)
    }

    fn record() -> Record {
        let lifetimes = Lifetimes::fixed(std::time::Duration::from_secs(60)).expect("limits");
        let new = NewSession {
            handle: Handle::from_bytes([7; 12]),
            lifetimes,
            subject: None,
            label: None,
            max_sessions: None,
            fields: Fields::default(),
        };
        Record::create(&new, UnixMillis::new(1000))
    }

    fn changes() -> Changes {
        let mut changes = Changes::new();
        let set = changes.set("a", Value::integer(1));
        set.expect("within the limits");
        changes
    }

    fn later(record: &Record, seen_at: u64) -> Record {
        let mut record = record.clone();
        let applied = record.apply(&changes(), UnixMillis::new(seen_at));
        applied.expect("within the limits");
        record
    }

    fn place(recent: &Recent, key: &StoredKey) -> Place {
        let place = recent.with(key, |_, place, _| Some(place));
        place.expect("it is there")
    }

    #[test]
    fn the_latest_state_is_known_in_whatever_order_states_are_seen() {
        let recent = Recent::default();
        let first = record();
        let second = later(&first, 2000);
        let both = [&first, &second];
        for (number, latest) in [(0, 0), (0, 0), (1, 1), (0, 1), (1, 1), (0, 1)] {
            recent.see(&key(1), both[number]);
            let known = recent.get(&key(1));
            assert_eq!(known.as_ref(), Some(both[latest]), "{number} was seen");
        }
        let mut touched = second.clone();
        touched.touch(UnixMillis::new(3000));
        recent.see(&key(1), &touched);
        assert_eq!(
            recent.get(&key(1)),
            Some(touched.clone()),
            "times change alone"
        );
        // As a save does, whose answer may come late.
        recent.see(&key(1), &first);
        assert_eq!(recent.get(&key(1)), Some(touched), "the first came late");
    }

    #[test]
    fn what_was_forgotten_or_changed_is_seen_again() {
        let recent = Recent::default();
        let (first, other) = (record(), later(&record(), 2000));
        recent.see(&key(1), &first);
        recent.forget(&key(1));
        assert_eq!(recent.get(&key(1)), None);
        recent.see(&key(1), &first);
        assert_eq!(
            recent.get(&key(1)),
            Some(first.clone()),
            "after it was forgotten"
        );
        recent.forget_tags(&|_| true);
        recent.see(&key(1), &first);
        assert_eq!(
            recent.get(&key(1)),
            Some(first.clone()),
            "after its tag was"
        );
        recent.clear();
        recent.see(&key(1), &first);
        assert_eq!(recent.get(&key(1)), Some(first.clone()), "after all were");
        // Another session under the key: the first may be there again afterwards.
        let mut another = other;
        another.handle = Handle::from_bytes([8; 12]);
        recent.see(&key(1), &another);
        recent.see(&key(1), &first);
        assert_eq!(
            recent.get(&key(1)),
            Some(first),
            "after another was put there"
        );
    }

    #[test]
    fn a_save_changes_what_it_was_made_from_and_nothing_else() {
        let recent = Recent::default();
        let (first, now) = (record(), UnixMillis::new(2000));
        let second = later(&first, 2000);
        recent.see(&key(1), &first);
        let saved = place(&recent, &key(1));
        recent.saved(&key(1), saved, &changes(), now);
        assert_eq!(recent.get(&key(1)), Some(second.clone()));
        recent.see(&key(1), &second);
        assert_eq!(
            recent.get(&key(1)),
            Some(second.clone()),
            "it is seen again"
        );
        recent.saved(&key(1), saved, &changes(), now);
        assert_eq!(
            recent.get(&key(1)),
            Some(second.clone()),
            "it is changed once"
        );
        // Whatever became of it meanwhile: another server's state, under the same version, is another.
        let becomes: [&dyn Fn(); 3] = [
            &|| recent.forget(&key(1)),
            &|| recent.forget_tags(&|_| true),
            &|| recent.clear(),
        ];
        for become_of in becomes {
            let place = place(&recent, &key(1));
            become_of();
            recent.saved(&key(1), place, &changes(), now);
            assert_eq!(recent.get(&key(1)), None, "it was forgotten");
            recent.see(&key(2), &first);
            recent.saved(&key(1), place, &changes(), now);
            assert_eq!(recent.get(&key(2)), Some(first.clone()), "in its place");
            recent.see(&key(1), &second);
            recent.saved(&key(1), place, &changes(), now);
            assert_eq!(recent.get(&key(1)), Some(second.clone()), "seen again");
        }
    }

    /// More than fit, and more than have marks: what was left out for room is remembered when it is seen.
    #[test]
    fn what_had_to_go_for_others_is_seen_again() {
        let recent = Recent::default();
        let (record, many) = (record(), 200_000);
        for number in 0..many {
            recent.see(&key(number), &record);
        }
        let bytes: usize = recent.0.iter().map(|shard| shard.lock().bytes).sum();
        assert!(bytes <= SHARDS * SHARD_BYTES, "{bytes} bytes");
        for number in (0..many).step_by(7) {
            recent.see(&key(number), &record);
            assert!(recent.get(&key(number)).is_some(), "number {number}");
        }
    }
}

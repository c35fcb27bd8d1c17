//! The records of a part of all sessions, in rows, with the marks that say where each is.

use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::record::Changes;
use cloakroom_core::{Record, UnixMillis};

use super::mark::{GROUPS, Group, Mark};

/// Bytes of fields in one shard; 16 MiB in all.
pub(super) const SHARD_BYTES: usize = 1 << 20;
/// What a record takes besides its fields, roughly.
const OVERHEAD: usize = 256;

/// Marks say which states are known, and where their records lie. Most reads see the state that was seen before, and
/// are told so by one look at the memory: records take more of it than a cache has. Where a group is full, somebody goes.
#[derive(Debug, Default)]
pub(super) struct Shard {
    groups: Vec<Group>,
    rows: Vec<Row>,
    free: Vec<usize>,
    /// Who goes next, if room is needed.
    oldest: usize,
    pub(super) bytes: usize,
    /// How many states were remembered so far.
    stamp: u64,
    /// For who makes something of a record, while the shard is his.
    scratch: Vec<u8>,
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

impl Shard {
    pub(super) fn see(&mut self, key: &StoredKey, record: &Record) {
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

    pub(super) fn with<T>(
        &mut self,
        key: &StoredKey,
        look: impl FnOnce(&Record, Place, &mut Vec<u8>) -> Option<T>,
    ) -> Option<T> {
        let (_, row) = self.find(key)?;
        let Self { rows, scratch, .. } = self;
        let Row { record, stamp, .. } = &rows[row];
        let place = Place { row, stamp: *stamp };
        scratch.clear();
        look(record.as_ref()?, place, scratch)
    }

    pub(super) fn saved(
        &mut self,
        key: &StoredKey,
        place: Place,
        changes: &Changes,
        now: UnixMillis,
    ) {
        let row = self
            .rows
            .get_mut(place.row)
            .filter(|row| row.stamp == place.stamp);
        let Some(Row {
            record: Some(record),
            stamp,
            ..
        }) = row
        else {
            return;
        };
        let before = size(record);
        if record.apply(changes, now).is_err() {
            return self.forget(key);
        }
        self.bytes = self.bytes + size(record) - before;
        self.stamp += 1;
        *stamp = self.stamp;
        let marks = &mut self.groups[Mark::group(key)].0;
        if let Some(mark) = marks.iter_mut().find(|mark| mark.is_of(place.row)) {
            mark.state = Mark::state(key, record);
        }
        self.make_room(place.row);
    }

    pub(super) fn forget_tags(&mut self, is_one: &dyn Fn(SlotTag) -> bool) {
        let gone = self.rows.iter().filter(|row| is_one(row.key.tag()));
        for key in gone.map(|row| row.key).collect::<Vec<_>>() {
            self.forget(&key);
        }
    }

    /// No state of later has the stamp of one from before.
    pub(super) fn clear(&mut self) {
        *self = Self {
            stamp: self.stamp,
            ..Self::default()
        };
    }

    pub(super) fn forget(&mut self, key: &StoredKey) {
        let Some((at, row)) = self.find(key) else {
            return;
        };
        self.groups[Mark::group(key)].0[at] = Mark::default();
        if let Some(record) = self.rows[row].record.take() {
            self.bytes -= size(&record);
            self.free.push(row);
        }
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

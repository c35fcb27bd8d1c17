//! Values, which may be sealed: strings and fields of hashes. What commands read is open, what the engine
//! gets is sealed, and a key that is no session of a sealing layout costs one look at its name.

use cloakroom_core::limits;
use cloakroom_embedded::{Db, Foreign, KeyError, Text, Tx, Written};

use super::{Answer, Gate, moment};

impl<'a> Gate<'a, '_> {
    /// A string's bytes; nothing if the key is not there.
    pub(crate) fn string(&mut self, key: &[u8]) -> Answer<Option<&[u8]>> {
        let Some(foreign) = self.sealing(key) else {
            let found = self.tx.string(self.db, key);
            self.seen.note_answer(&found);
            return found;
        };
        let found = self.tx.string(self.db, key);
        self.seen.note_answer(&found);
        let Some(stored) = found? else {
            return Ok(None);
        };
        foreign.open(key, None, stored, &mut self.scratch)?;
        Ok(Some(&self.scratch))
    }

    /// Has `read` see a string's bytes, which has this deadline from then on. Returns whether the key was there.
    pub(crate) fn string_until(
        &mut self,
        key: &[u8],
        deadline: i64,
        read: impl FnOnce(&[u8]),
    ) -> Answer<bool> {
        if self.sealing(key).is_some() {
            let Some(value) = self.string(key)? else {
                return Ok(false);
            };
            read(value);
            return Ok(self.set_deadline(key, Some(deadline)));
        }
        let (db, deadline) = (self.db, moment(deadline));
        let found = match self.hub.foreign.get() {
            Some(foreign) => foreign.string_until(self.tx, db, key, deadline, read),
            None => self.tx.string_until(db, key, deadline, read),
        };
        let found = found.map(|found| found.then_some(()));
        self.seen.note_answer(&found);
        found.map(|found| found.is_some())
    }

    /// The value of a field; nothing if it is not there.
    pub(crate) fn hash_get(&mut self, key: &[u8], field: &[u8]) -> Answer<Option<&[u8]>> {
        let Some(foreign) = self.sealing(key) else {
            let found = self.tx.hash_get(self.db, key, field);
            self.seen.note_field(&found);
            return found;
        };
        let found = self.tx.hash_get(self.db, key, field);
        self.seen.note_field(&found);
        let Some(stored) = found? else {
            return Ok(None);
        };
        foreign.open(key, Some(field), stored, &mut self.scratch)?;
        Ok(Some(&self.scratch))
    }

    /// The field and value at this place.
    pub(crate) fn hash_at(&mut self, key: &[u8], index: usize) -> Answer<Option<(&[u8], &[u8])>> {
        let Some(foreign) = self.sealing(key) else {
            return self.tx.hash_at(self.db, key, index);
        };
        let Some((field, stored)) = self.tx.hash_at(self.db, key, index)? else {
            return Ok(None);
        };
        foreign.open(key, Some(field), stored, &mut self.scratch)?;
        Ok(Some((field, &self.scratch)))
    }

    /// All fields and values.
    pub(crate) fn hash_each(
        &mut self,
        key: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Answer<()> {
        let mut opened = Opened::new(self.sealing(key), key, &mut self.scratch);
        self.tx.hash_each(self.db, key, &mut |field, value| {
            opened.pass(field, value, each);
        })?;
        opened.done
    }

    /// Some fields and values, from a cursor on; returns where to go on.
    pub(crate) fn hash_scan(
        &mut self,
        key: &[u8],
        cursor: u64,
        count: usize,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Answer<u64> {
        let mut opened = Opened::new(self.sealing(key), key, &mut self.scratch);
        let next = self
            .tx
            .hash_scan(self.db, key, cursor, count, &mut |field, value| {
                opened.pass(field, value, each);
            })?;
        opened.done?;
        Ok(next)
    }

    /// A string with this deadline, in place of whatever was there.
    pub(crate) fn set_string(
        &mut self,
        key: &[u8],
        value: &[u8],
        deadline: Option<i64>,
    ) -> Answer<()> {
        let (db, deadline) = (self.db, deadline.map(moment));
        let Some(foreign) = self.hub.foreign.get() else {
            return self.tx.set_string(db, key, value, deadline);
        };
        if !foreign.seals(key) {
            return foreign.set_string(self.tx, db, key, Text::plain(value), deadline);
        }
        foreign.seal(key, None, value, &mut self.scratch);
        let text = Text {
            open: value,
            stored: &self.scratch,
        };
        foreign.set_string(self.tx, db, key, text, deadline)
    }

    /// A string with its deadline kept.
    pub(crate) fn update_string(&mut self, key: &[u8], value: &[u8]) -> Answer<()> {
        self.value_written(key, None, value, (), |tx, db, value| {
            tx.update_string(db, key, value)
        })
    }

    /// Bytes in a string at this place; returns its length.
    pub(crate) fn write_string(
        &mut self,
        key: &[u8],
        offset: usize,
        bytes: &[u8],
    ) -> Answer<usize> {
        let end = offset.saturating_add(bytes.len());
        let Some(foreign) = self.sealing(key) else {
            return self.written(key, Written::Part, end, |tx, db| {
                tx.write_string(db, key, offset, bytes)
            });
        };
        let mut value = self.string(key)?.unwrap_or_default().to_vec();
        if bytes.is_empty() {
            return Ok(value.len());
        }
        if end > limits::LAYOUT_BYTES {
            return Err(KeyError::TooLarge);
        }
        value.resize(value.len().max(end), 0);
        value[offset..end].copy_from_slice(bytes);
        let mut sealed = Vec::new();
        foreign.seal(key, None, &value, &mut sealed);
        self.written(key, Written::Part, end, |tx, db| {
            tx.update_string(db, key, &sealed)?;
            Ok(value.len())
        })
    }

    /// A field; returns whether it is new. It loses its deadline.
    pub(crate) fn hash_set(&mut self, key: &[u8], field: &[u8], value: &[u8]) -> Answer<bool> {
        self.value_written(key, Some(field), value, true, |tx, db, value| {
            tx.hash_set(db, key, field, value)
        })
    }

    /// The same with its deadline kept.
    pub(crate) fn hash_update(&mut self, key: &[u8], field: &[u8], value: &[u8]) -> Answer<bool> {
        self.value_written(key, Some(field), value, true, |tx, db, value| {
            tx.hash_update(db, key, field, value)
        })
    }

    /// A write of a whole value, which `work` is handed as it is to be stored.
    fn value_written<T>(
        &mut self,
        key: &[u8],
        field: Option<&[u8]>,
        value: &[u8],
        dropped: T,
        work: impl FnOnce(&mut Tx<'_>, Db, &[u8]) -> Answer<T>,
    ) -> Answer<T> {
        let written = match field {
            Some(field) => Written::Field(field, value),
            None => Written::Value(value),
        };
        let Some(foreign) = self.sealing(key) else {
            return self.written(key, written, dropped, |tx, db| work(tx, db, value));
        };
        let mut sealed = std::mem::take(&mut self.scratch);
        foreign.seal(key, field, value, &mut sealed);
        let done = self.written(key, written, dropped, |tx, db| work(tx, db, &sealed));
        self.scratch = sealed;
        done
    }

    /// Who seals this key's values, if anybody does.
    fn sealing(&self, key: &[u8]) -> Option<&'a Foreign> {
        let foreign: &'a Foreign = self.hub.foreign.get()?;
        foreign.seals(key).then_some(foreign)
    }
}

/// Fields on their way to a command.
struct Opened<'f> {
    foreign: Option<&'f Foreign>,
    key: &'f [u8],
    scratch: &'f mut Vec<u8>,
    done: Answer<()>,
}

impl<'f> Opened<'f> {
    fn new(foreign: Option<&'f Foreign>, key: &'f [u8], scratch: &'f mut Vec<u8>) -> Self {
        Self {
            foreign,
            key,
            scratch,
            done: Ok(()),
        }
    }

    /// Opens a field's value and hands it on.
    fn pass(&mut self, field: &[u8], value: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) {
        let Some(foreign) = self.foreign else {
            return each(field, value);
        };
        match foreign.open(self.key, Some(field), value, self.scratch) {
            Ok(()) => each(field, self.scratch),
            Err(why) => self.done = Err(why),
        }
    }
}

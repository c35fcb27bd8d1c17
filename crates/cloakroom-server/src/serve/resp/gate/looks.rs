//! Lookups that `INFO` counts as hits and misses: as in Redis those of commands that read, one for each key that
//! they name, whether or not it is of the right kind. Reads take note by the way whether the key was there, so
//! that counting costs no lookup of its own; where their answer does not tell, the key is looked up again.

use cloakroom_embedded::{KeyError, Kind};

use super::{Answer, Gate};
use crate::serve::resp::args::Args;
use crate::serve::resp::events::Class;
use crate::serve::resp::table::{Command, Group, ONE};

/// Keys that were looked up and were there, and that were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looks {
    pub(crate) hits: u32,
    pub(crate) misses: u32,
}

/// What the reads of a command have found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Whether the key of the first read that tells it was there.
    first: Option<bool>,
    hits: u32,
}

impl Looks {
    #[cfg(feature = "lua")]
    pub(crate) const fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.misses += other.misses;
    }

    pub(super) const fn note(&mut self, found: bool) {
        if found {
            self.hits += 1;
        } else {
            self.misses += 1;
        }
    }
}

impl Seen {
    #[inline]
    pub(super) const fn note(&mut self, found: bool) {
        if self.first.is_none() {
            self.first = Some(found);
        }
        self.hits += found as u32;
    }

    /// A read has answered: what is of the wrong kind is there, too.
    #[inline]
    pub(super) const fn note_answer<T>(&mut self, answer: &Answer<Option<T>>) {
        match answer {
            Ok(found) => self.note(found.is_some()),
            Err(KeyError::WrongType) => self.note(true),
            Err(_) => {}
        }
    }

    /// A field was read. One that is not there does not tell whether the key is.
    #[inline]
    pub(super) const fn note_field<T>(&mut self, answer: &Answer<Option<T>>) {
        if let Ok(Some(_)) | Err(KeyError::WrongType) = answer {
            self.note(true);
        }
    }
}

impl Gate<'_, '_> {
    /// What a key holds, of a command that counts this lookup by itself.
    pub(crate) fn kind_counted(&mut self, key: &[u8]) -> Option<Kind> {
        let kind = self.kind(key);
        self.counts(key, kind.is_some());
        kind
    }

    /// Counts a lookup, and tells those who listen of a miss.
    pub(crate) fn counts(&mut self, key: &[u8], found: bool) {
        self.counted.note(found);
        if !found {
            self.event(Class::Miss, "keymiss", key);
        }
    }

    /// What the lookups of a command that was run come to.
    #[inline]
    pub(crate) fn looks(&mut self, command: &Command, args: Args<'_>) -> Looks {
        if command.looks && self.counted == Looks::default() {
            match self.seen.first {
                Some(found) if command.keys == ONE => self.counts(args.get(1), found),
                _ => self.look_again(command, args),
            }
        }
        self.counted
    }

    #[cold]
    fn look_again(&mut self, command: &Command, args: Args<'_>) {
        let Ok(places) = command.key_places(args) else {
            return;
        };
        // What describes the server counts nothing, `MEMORY USAGE` among it.
        if command.group == Group::Server {
            return;
        }
        let keys = u32::try_from(places.iter().count()).unwrap_or(u32::MAX);
        if self.seen.hits == keys {
            self.counted.hits = keys;
            return;
        }
        for at in places.iter() {
            let (key, found) = (args.get(at), self.kind(args.get(at)).is_some());
            // `OBJECT` is no use of a key, and its misses are not told.
            match command.name.starts_with("object|") {
                true => self.counted.note(found),
                false => self.counts(key, found),
            }
        }
    }
}

//! What a session handle knows and has been told during one request. No store, no waiting: the
//! decisions that need neither.

use std::time::Duration;

use super::Outcome;
use crate::error::{Error, ErrorKind};
use crate::id::{KeyForm, PresentedId, SessionId, StoredKey};
use crate::record::{Change, Changes, FieldName, Record, Value, ValueRef};
use crate::store::Absence;

/// The state of one request's session.
#[derive(Debug)]
pub(super) struct State {
    /// What the store wants to know of an id.
    form: KeyForm,
    pub(super) ticket: Ticket,
    /// Fields that were set or removed and are not written yet. No increments.
    pub(super) overlay: Changes,
    /// Whether the session gets a new id when it is written.
    pub(super) rotate: bool,
    /// What the browser has to be told.
    pub(super) cookie: Cookie,
    /// Whether the response depends on the session.
    pub(super) accessed: bool,
    /// The key whose activity is due to be recorded.
    pub(super) touch: Option<StoredKey>,
    /// Writes that the store has not answered. Once the gate is free again: writes of callers that
    /// went away, so that nobody in this request will hear whether they happened.
    pub(super) unanswered: usize,
    /// Whether the response was decided; nothing changes after that.
    pub(super) finished: bool,
}

/// What is known of the request's session.
#[derive(Debug)]
pub(super) enum Ticket {
    /// No id was presented, or the session was ended by this very request.
    None,
    /// An id was presented; nobody has looked for it yet. It is hashed when somebody does, because
    /// most requests that carry a cookie never ask for the session.
    Presented(PresentedId),
    /// The session as the store last told, with this request's acknowledged writes.
    Live(StoredKey, Box<Known>),
    /// A session that this request has written to, or that another one has found; what it holds now
    /// is for the store to say.
    Stale(StoredKey),
    /// An id was presented that leads nowhere.
    Gone(Absence),
}

/// A session as the store told it, and what was written to it since.
#[derive(Debug)]
pub(super) struct Known {
    /// Its version is the latest; its fields are those that were told.
    record: Record,
    /// Acknowledged changes of these, no increments. They lie beside the record, because hardly anybody reads after
    /// a save, and packing the fields anew would cost each request that saves.
    written: Changes,
}

impl Known {
    /// As the store just told it.
    pub(super) fn told(record: Record) -> Box<Self> {
        let written = Changes::new();
        Box::new(Self { record, written })
    }
}

/// What the browser has to be told of the session's id.
#[derive(Debug, Default)]
pub enum Cookie {
    /// Nothing: the cookie is right, or somebody else's response says what it is now.
    #[default]
    Keep,
    /// This id is the session's from now on; it was written.
    Set {
        /// The id.
        id: SessionId,
        /// What is left of the session's life at most; no cookie needs to live longer.
        absolute_left: Duration,
        /// Whether the visitor asked to be remembered.
        remembered: bool,
    },
    /// The id it has leads nowhere.
    Clear,
}

impl State {
    pub(super) fn new(ticket: Ticket, form: KeyForm) -> Self {
        Self {
            form,
            ticket,
            overlay: Changes::new(),
            rotate: false,
            cookie: Cookie::Keep,
            accessed: false,
            touch: None,
            unanswered: 0,
            finished: false,
        }
    }

    /// The key to act on, if there may be a session.
    pub(super) fn key(&self) -> Option<StoredKey> {
        match &self.ticket {
            Ticket::Presented(id) => Some(id.key_as(self.form)),
            Ticket::Live(key, _) | Ticket::Stale(key) => Some(*key),
            Ticket::None | Ticket::Gone(_) => None,
        }
    }

    /// The session without its fields, which [`State::value`] and [`State::names`] know.
    pub(super) fn record(&self) -> Option<&Record> {
        self.known().map(|known| &known.record)
    }

    fn known(&self) -> Option<&Known> {
        match &self.ticket {
            Ticket::Live(_, known) => Some(known),
            Ticket::None | Ticket::Presented(_) | Ticket::Stale(_) | Ticket::Gone(_) => None,
        }
    }

    /// Whether the store has to be asked before anything can be read.
    pub(super) const fn is_unread(&self) -> bool {
        matches!(self.ticket, Ticket::Presented(_) | Ticket::Stale(_))
    }

    /// The key to ask the store about before anything can be read. It may have to be hashed for that.
    pub(super) fn unread(&self) -> Option<StoredKey> {
        match &self.ticket {
            Ticket::Presented(id) => Some(id.key_as(self.form)),
            Ticket::Stale(key) => Some(*key),
            Ticket::None | Ticket::Live(..) | Ticket::Gone(_) => None,
        }
    }

    /// Whether the session was there when this request last heard of it.
    pub(super) const fn was_alive(&self) -> bool {
        matches!(self.ticket, Ticket::Live(..) | Ticket::Stale(_))
    }

    /// The value of a field as this request sees it, provided the session was looked for.
    pub(super) fn value(&self, name: &str) -> Option<ValueRef<'_>> {
        let known = self.known();
        let written = || known.and_then(|known| known.written.get(name));
        match self.overlay.get(name).or_else(written) {
            Some(Change::Set(value)) => Some(value.as_ref()),
            Some(Change::Remove) => None,
            Some(Change::Increment(_)) | None => known?.record.fields.get(name),
        }
    }

    /// The names of all fields as this request sees them, provided the session was looked for.
    pub(super) fn names(&self) -> Vec<String> {
        let known = self.known();
        let told = known.into_iter().flat_map(|known| &known.record.fields);
        let mut names: Vec<String> = told.map(|(name, _)| name.to_owned()).collect();
        let written = known.into_iter().flat_map(|known| known.written.iter());
        for (name, change) in written.chain(self.overlay.iter()) {
            names.retain(|known| known != name.as_str());
            if matches!(change, Change::Set(_)) {
                names.push(name.as_str().to_owned());
            }
        }
        names
    }

    /// Whether a read of `name` has to ask the store first.
    pub(super) fn must_load(&self, name: &str) -> bool {
        self.is_unread() && self.overlay.get(name).is_none()
    }

    /// Whether a read-modify-write of `name` needs no store: nobody else can see the field yet, or
    /// this request has replaced it anyway.
    pub(super) fn is_local(&self, name: &str) -> bool {
        let unwritten = matches!(self.ticket, Ticket::None | Ticket::Gone(Absence::Unknown));
        unwritten || self.overlay.get(name).is_some()
    }

    /// Takes acknowledged changes into what is known. If others wrote meanwhile, that is older than what
    /// the store has, so they may not fit; they are stored all the same, and the next read asks the store.
    pub(super) fn acknowledge(&mut self, changes: Changes, new_version: u64) {
        let Ticket::Live(key, known) = &mut self.ticket else {
            return;
        };
        let is_next = new_version == known.record.version + 1;
        known.record.version = new_version;
        if known.written.is_empty() {
            known.written = changes;
        } else {
            for (name, change) in changes.iter() {
                known.written.push(name.clone(), change.clone());
            }
        }
        if !is_next {
            match known.record.fields.changed(&known.written) {
                Ok((fields, _)) => {
                    known.record.fields = fields;
                    known.written = Changes::new();
                }
                Err(_) => self.ticket = Ticket::Stale(*key),
            }
        }
    }

    /// Takes one acknowledged value into what is known.
    pub(super) fn acknowledge_value(&mut self, name: FieldName, value: Value, new_version: u64) {
        let mut changes = Changes::new();
        changes.push(name, Change::Set(value));
        self.acknowledge(changes, new_version);
    }

    /// Whether anything is left to be written.
    pub(super) const fn is_unsaved(&self) -> bool {
        self.rotate || !self.overlay.is_empty()
    }

    /// Whether there is nothing to write and nothing to wait for.
    pub(super) const fn is_settled(&self) -> bool {
        !self.is_unsaved() && self.unanswered == 0
    }

    /// The response is decided: nothing changes any more. A write that was begun and not waited for
    /// may or may not have happened, so the response must not claim it.
    pub(super) fn close(&mut self, saved: Result<(), Error>) -> Outcome {
        self.finished = true;
        let saved = match self.unanswered {
            0 => saved,
            _ => saved.and(Err(ErrorKind::StoreUnavailable.into())),
        };
        Outcome {
            cookie: std::mem::take(&mut self.cookie),
            accessed: self.accessed,
            touch: self.touch.take(),
            saved,
        }
    }

    /// Refuses changes after the response was decided.
    pub(super) fn open_for_changes(&mut self) -> Result<(), Error> {
        self.accessed = true;
        if self.finished {
            Err(ErrorKind::Finished.into())
        } else {
            Ok(())
        }
    }
}

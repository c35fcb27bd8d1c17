//! A session as stores keep it: who, when, and the fields; and the pure steps by which it changes,
//! so that every store changes it alike.

mod changes;
mod fields;
mod names;
mod value;

use std::time::Duration;

pub use changes::{Change, Changes, Condition, Keep, Login, NewSession, Rotation};
pub use fields::{Fields, FieldsIter};
pub use names::{FieldName, Label, Subject};
pub use value::{Value, ValueRef};

use crate::expiry::{Lifetimes, Times};
use crate::id::Handle;
use crate::time::UnixMillis;
use crate::{Error, limits};

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The public name; rotation keeps it.
    pub handle: Handle,
    /// All that expiry is decided from.
    pub times: Times,
    /// The user it belongs to, once logged in.
    pub subject: Option<Subject>,
    /// What a devices page calls it.
    pub label: Option<Label>,
    /// Counts the writes, from 1.
    pub version: u64,
    /// The application's data.
    pub fields: Fields,
}

/// What is shown of a session in lists: everything but its data. There is no id in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The public name.
    pub handle: Handle,
    /// The user it belongs to.
    pub subject: Option<Subject>,
    /// What a devices page calls it.
    pub label: Option<Label>,
    /// Created, signed in, last seen, limits.
    pub times: Times,
    /// What is left of its life if nothing more happens.
    pub remaining: Duration,
    /// Counts the writes, from 1.
    pub version: u64,
}

impl Record {
    /// The record of `new`, created at `now`.
    #[must_use]
    pub fn create(new: &NewSession, now: UnixMillis) -> Self {
        Self {
            handle: new.handle,
            times: Times::new(now, new.lifetimes, new.subject.is_some()),
            subject: new.subject.clone(),
            label: new.label.clone(),
            version: 1,
            fields: new.fields.clone(),
        }
    }

    /// Whether `condition` holds for this record.
    #[must_use]
    pub fn meets(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Always => true,
            Condition::Version(version) => self.version == *version,
            Condition::Field { name, expected } => {
                self.fields.get(name.as_str()) == expected.as_ref().map(Value::as_ref)
            }
        }
    }

    /// Changes fields, counts the version and records the activity. Returns what each increment
    /// made of its field, in the order of `changes`. On an error nothing is changed.
    ///
    /// # Errors
    /// A limit, or an increment of something that is no integer.
    pub fn apply(&mut self, changes: &Changes, now: UnixMillis) -> Result<Vec<i64>, Error> {
        let increments = self.fields.change(changes)?;
        self.times.seen_at = now;
        self.version += 1;
        Ok(increments)
    }

    /// What [`Record::apply`] would make of this record, and of each increment's field.
    ///
    /// # Errors
    /// As [`Record::apply`].
    pub fn applied(&self, changes: &Changes, now: UnixMillis) -> Result<(Self, Vec<i64>), Error> {
        let (fields, increments) = self.fields.changed(changes)?;
        let applied = Self {
            handle: self.handle,
            times: Times {
                seen_at: now,
                ..self.times
            },
            subject: self.subject.clone(),
            label: self.label.clone(),
            version: self.version + 1,
            fields,
        };
        Ok((applied, increments))
    }

    /// Takes the record to a new id: same session, no clock reset, unless it is a login.
    ///
    /// A login is an authentication: it restarts the absolute limit (NIST SP 800-63B-4, 5.2), and
    /// nothing of another subject's data goes along.
    ///
    /// # Errors
    /// As [`Record::apply`]; nothing is changed then.
    pub fn rotate(&mut self, rotation: &Rotation, now: UnixMillis) -> Result<(), Error> {
        let mut kept = self.fields.clone();
        if let Some(login) = &rotation.login {
            let stranger = self
                .subject
                .as_ref()
                .is_some_and(|subject| *subject != login.subject);
            kept = match &login.keep {
                _ if stranger => Fields::default(),
                Keep::All => kept,
                Keep::Only(names) => kept.only(names),
            };
        }
        let (fields, _) = kept.changed(&rotation.changes)?;
        self.fields = fields;
        self.version += 1;
        self.times.seen_at = now;
        if let Some(login) = &rotation.login {
            self.subject = Some(login.subject.clone());
            self.label.clone_from(&login.label);
            self.times.authenticated_at = Some(now);
            self.times.lifetimes = login.lifetimes;
        }
        Ok(())
    }

    /// Records activity at `now`.
    pub const fn touch(&mut self, now: UnixMillis) {
        self.times.seen_at = now;
    }

    /// What lists show of this record at `now`.
    #[must_use]
    pub fn info(&self, now: UnixMillis) -> SessionInfo {
        SessionInfo {
            handle: self.handle,
            subject: self.subject.clone(),
            label: self.label.clone(),
            times: self.times,
            remaining: self
                .times
                .deadline()
                .since(now)
                .min(longest(&self.times.lifetimes)),
            version: self.version,
        }
    }
}

fn longest(lifetimes: &Lifetimes) -> Duration {
    lifetimes
        .idle()
        .unwrap_or(limits::LIFETIME)
        .min(lifetimes.absolute())
}

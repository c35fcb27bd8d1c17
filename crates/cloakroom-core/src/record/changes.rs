//! What a write asks of a record: fields to change, under which condition; a login; a rotation.
//! Always intent, never a whole record, so that two writers of different fields both win.

use std::time::Duration;

use super::fields::Fields;
use super::names::{FieldName, Label, Subject, within};
use super::value::Value;
use crate::expiry::Lifetimes;
use crate::id::Handle;
use crate::policy::MaxSessions;
use crate::{Error, limits};

/// What happens to one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It gets this value.
    Set(Value),
    /// It goes.
    Remove,
    /// This is added to its integer; a missing field counts as 0.
    Increment(i64),
}

/// Changes of fields; at most one per field, the last one said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(Vec<(FieldName, Change)>);

impl Changes {
    /// No change.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Says what happens to the field `name`, in place of anything said before.
    pub fn push(&mut self, name: FieldName, change: Change) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = change,
            None => self.0.push((name, change)),
        }
    }

    /// The field `name` gets `value`.
    ///
    /// # Errors
    /// A name or value over its limit, more than [`limits::CHANGES`] fields.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), Error> {
        let size = value.as_ref().bytes.len();
        within("field value", size, limits::FIELD_VALUE_BYTES)?;
        self.push_within(name, Change::Set(value))
    }

    /// The field `name` goes.
    ///
    /// # Errors
    /// A name over its limit, more than [`limits::CHANGES`] fields.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.push_within(name, Change::Remove)
    }

    /// `by` is added to the field `name`.
    ///
    /// # Errors
    /// A name over its limit, more than [`limits::CHANGES`] fields.
    pub fn increment(&mut self, name: &str, by: i64) -> Result<(), Error> {
        self.push_within(name, Change::Increment(by))
    }

    fn push_within(&mut self, name: &str, change: Change) -> Result<(), Error> {
        let name = FieldName::new(name)?;
        if self.get(name.as_str()).is_none() {
            within("changes", self.0.len() + 1, limits::CHANGES)?;
        }
        self.push(name, change);
        Ok(())
    }

    /// What was said of the field `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Change> {
        self.0
            .iter()
            .find(|(known, _)| known.as_str() == name)
            .map(|(_, change)| change)
    }

    /// As [`Changes::get`], with the name as it was said.
    pub(super) fn of(&self, name: &[u8]) -> Option<(&FieldName, &Change)> {
        let mut all = self.iter();
        all.find(|(known, _)| known.as_str().as_bytes() == name)
    }

    /// All changes, in the order in which their fields were first named.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&FieldName, &Change)> {
        self.0.iter().map(|(name, change)| (name, change))
    }

    /// Whether nothing changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields change.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }
}

/// What must hold for a write to happen at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// The record has this version.
    Version(u64),
    /// The field has exactly this value; `None`: there is no such field. Writes to other fields do
    /// not disturb it.
    Field {
        /// The field.
        name: FieldName,
        /// Its value.
        expected: Option<Value>,
    },
}

/// A session to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Its public name.
    pub handle: Handle,
    /// Its limits.
    pub lifetimes: Lifetimes,
    /// The user who signed in, if the session begins with a login; then the key must have the
    /// subject's tag.
    pub subject: Option<Subject>,
    /// What a devices page calls it.
    pub label: Option<Label>,
    /// The limit on the subject's parallel sessions.
    pub max_sessions: Option<MaxSessions>,
    /// Its first data.
    pub fields: Fields,
}

/// A session's move to a new id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Fields to change on the way.
    pub changes: Changes,
    /// Somebody signs in. Then the old id is dead at once, whatever `grace` says.
    pub login: Option<Login>,
    /// How long the old id leads to the new one, for requests that are on their way; at most
    /// [`limits::ROTATION_GRACE`].
    pub grace: Duration,
}

/// Somebody signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub subject: Subject,
    /// What a devices page calls the session.
    pub label: Option<Label>,
    /// The session's limits from now on.
    pub lifetimes: Lifetimes,
    /// The limit on the subject's parallel sessions, this one included.
    pub max_sessions: Option<MaxSessions>,
    /// What stays of the data from before (OWASP CSRF, login). Data of another subject never does.
    pub keep: Keep,
}

/// Which fields a login keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    #[default]
    All,
    /// These.
    Only(Vec<FieldName>),
}

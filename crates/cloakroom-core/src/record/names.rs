//! The bounded strings of a record: a field's name, a subject, a label. Checked once, at the edge.

use std::fmt;

use smol_str::SmolStr;

use crate::{Error, ErrorKind, limits};

/// The name of a field: 1 to [`limits::FIELD_NAME_BYTES`] bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldName(Box<str>);

/// The user a session belongs to, by the application's own identifier: 1 to
/// [`limits::SUBJECT_BYTES`] bytes of UTF-8 without control characters. Personal data, so `Debug`
/// does not show it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(SmolStr);

/// What a devices page calls a session ("Firefox on Linux"): at most [`limits::LABEL_BYTES`] bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Label(SmolStr);

impl FieldName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is empty, [`ErrorKind::Limit`] if it is too long.
    pub fn new(name: &str) -> Result<Self, Error> {
        if name.is_empty() {
            return Err(ErrorKind::Invalid {
                what: "a field's name may not be empty",
            }
            .into());
        }
        within("field name", name.len(), limits::FIELD_NAME_BYTES)?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Subject {
    /// Checks a subject.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is empty, has control characters (it is sent in headers by
    /// forward-auth), or is `.` or `..`, [`ErrorKind::Limit`] if it is too long.
    pub fn new(subject: &str) -> Result<Self, Error> {
        if matches!(subject, "." | "..") {
            // In a path of the HTTP API it would be no subject, but a step to another one.
            let what = "a subject may not be `.` or `..`, which URLs have for steps of a path";
            return Err(ErrorKind::Invalid { what }.into());
        }
        Self::stored(subject)
    }

    /// Checks a subject that is stored already, or that another program has named: the same, but `.` and
    /// `..` may be there.
    ///
    /// # Errors
    /// The others of [`Subject::new`].
    pub fn stored(subject: &str) -> Result<Self, Error> {
        // Of ASCII a look at the bytes tells.
        let plain = subject.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if subject.is_empty() || !plain && subject.chars().any(char::is_control) {
            let what = "a subject may not be empty or contain control characters";
            return Err(ErrorKind::Invalid { what }.into());
        }
        within("subject", subject.len(), limits::SUBJECT_BYTES)?;
        Ok(Self(subject.into()))
    }

    /// What [`Subject::as_str`] gave, taken on trust by a store that kept it itself.
    #[must_use]
    pub fn from_trusted(subject: &str) -> Self {
        Self(subject.into())
    }

    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Label {
    /// Makes a label, cut to the limit at a character and freed of control characters: it is often
    /// made from a `User-Agent`, which the visitor chooses.
    #[must_use]
    pub fn new(label: &str) -> Self {
        let mut text = String::with_capacity(label.len().min(limits::LABEL_BYTES));
        for char in label.chars().filter(|char| !char.is_control()) {
            if text.len() + char.len_utf8() > limits::LABEL_BYTES {
                break;
            }
            text.push(char);
        }
        Self(text.into())
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({} bytes)", self.0.len())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({} bytes)", self.0.len())
    }
}

pub(crate) fn within(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size <= limit {
        Ok(())
    } else {
        Err(ErrorKind::Limit { what, limit, size }.into())
    }
}

//! What nearly every write of a session is: it is there, it has not ended, and it is saved or lives on. One
//! look tells that, and what is known of it already is not found out again. Everything else goes the long
//! way of [`super::write`], and so comes out the same.

use cloakroom_core::UnixMillis;
use cloakroom_core::layout::{Layout, handle_of};
use cloakroom_core::{Event, limits};

use super::head::{Facts, Head};
use super::{Foreign, Written};
use crate::engine::{Db, KeyError, Reach, Tx};

/// A string that is written: as its client wrote it, and as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// What whom it belongs to is read from.
    pub open: &'a [u8],
    /// The same, sealed if the layout has it so.
    pub stored: &'a [u8],
}

impl<'a> Text<'a> {
    /// One that is stored as it is.
    #[must_use]
    pub const fn plain(value: &'a [u8]) -> Self {
        Self {
            open: value,
            stored: value,
        }
    }
}

impl Foreign {
    /// Writes a string with this deadline, as [`Tx::set_string`]; a session's within its limits, and not at all
    /// if the session has ended.
    ///
    /// # Errors
    /// As [`Foreign::write`].
    pub fn set_string(
        &self,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        text: Text<'_>,
        deadline: Option<UnixMillis>,
    ) -> Result<(), KeyError> {
        let Some(layout) = self.layout(key) else {
            return tx.set_string(db, key, text.stored, deadline);
        };
        if text.open.len() <= limits::LAYOUT_BYTES {
            let mut news = News::None;
            let saved = tx.save_string(db, key, text.stored, |mark, same, now| {
                let facts = Facts::of(mark?)?;
                let ends = self.ends(facts, deadline, now)?;
                news = News::of(layout, mark?, facts, text.open, same);
                Some(ends)
            })?;
            let done = match saved {
                Some(true) => {
                    self.settle_news(tx, db, key, news);
                    true
                }
                Some(false) => false,
                None => self.create_string(tx, db, key, layout, text, deadline)?,
            };
            if done {
                return Ok(());
            }
        }
        let written = Written::Value(text.open);
        self.write_in(tx, db, key, layout, written, (), |tx| {
            tx.set_string(db, key, text.stored, deadline)
        })
    }

    /// Sets or clears a key's deadline, as [`Tx::set_deadline`]; a session's only within its limits.
    pub fn set_deadline(
        &self,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        deadline: Option<UnixMillis>,
    ) -> bool {
        let Some(layout) = self.layout(key) else {
            return tx.set_deadline(db, key, deadline);
        };
        let moved = tx.move_deadline(db, key, Reach::Head, |view, now| {
            self.moved(view.mark(), deadline, now)
        });
        moved.unwrap_or_else(|| self.move_deadline(tx, db, key, layout, deadline))
    }

    /// Has `read` see a string's bytes and sets its deadline, as [`Tx::string_until`]; a session's only within its
    /// limits.
    ///
    /// # Errors
    /// [`KeyError::WrongType`].
    pub fn string_until(
        &self,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        deadline: UnixMillis,
        read: impl FnOnce(&[u8]),
    ) -> Result<bool, KeyError> {
        let Some(layout) = self.layout(key) else {
            return tx.string_until(db, key, deadline, read);
        };
        let deadline = Some(deadline);
        let moved = tx.read_and_move(db, key, read, |mark, now| self.moved(mark, deadline, now))?;
        Ok(moved.unwrap_or_else(|| self.move_deadline(tx, db, key, layout, deadline)))
    }

    /// The deadline that a session of this mark gets when it is given this one, if it lives then.
    fn moved(
        &self,
        mark: Option<&[u8]>,
        deadline: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Option<Option<UnixMillis>> {
        // Without one it lives as long as it may.
        let wanted = deadline.unwrap_or(UnixMillis::new(u64::MAX));
        self.ends(Facts::of(mark?)?, Some(wanted), now).map(Some)
    }

    /// Writes a session that is not there, with what is known of it, at once. Returns whether it did: not if there was
    /// one before of which something is known, or if it would be over already.
    fn create_string(
        &self,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        layout: &Layout,
        text: Text<'_>,
        deadline: Option<UnixMillis>,
    ) -> Result<bool, KeyError> {
        let now = tx.now();
        let Some(ends) = self.ends(Facts::new_at(now), deadline, now) else {
            return Ok(false);
        };
        if Head::left(tx, db, key).is_some() {
            return Ok(false);
        }
        let subject = layout.subject_of_value(text.open);
        if subject.is_err() {
            self.observe(&Event::Undecodable);
        }
        let head = Head::live(now, subject.unwrap_or_default());
        tx.set_marked_string(db, key, text.stored, Some(ends), &head.encode())?;
        let handle = handle_of(db, key);
        self.observe(&Event::Created(handle));
        if head.subject.is_some() {
            self.observe(&Event::LoggedIn(handle));
        }
        Ok(true)
    }

    /// When a session ends that is written with this deadline, if it lives then.
    fn ends(
        &self,
        facts: Facts,
        deadline: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Option<UnixMillis> {
        let wanted = deadline.unwrap_or_else(|| now.saturating_add(self.unstated));
        let ends = wanted.min(self.latest(facts.first, now));
        (!facts.ended && ends > now).then_some(ends)
    }

    /// Has the head of a session say whom it belongs to by now.
    fn settle_news(&self, tx: &mut Tx<'_>, db: Db, key: &[u8], news: News) {
        match news {
            News::None => {}
            News::Unreadable => self.observe(&Event::Undecodable),
            News::Head(head) => {
                // Where there is no room for another name the session keeps the one it has.
                let _ = head.write(tx, db, key);
                if head.subject.is_some() {
                    self.observe(&Event::LoggedIn(handle_of(db, key)));
                }
            }
        }
    }
}

/// What a value that is saved says of whom its session belongs to.
enum News {
    /// What is known already.
    None,
    /// It cannot be read.
    Unreadable,
    /// Somebody else, or nobody any more.
    Head(Head),
}

impl News {
    fn of(layout: &Layout, mark: &[u8], facts: Facts, value: &[u8], same: bool) -> Self {
        // Whose these bytes are was found out when they were written first. A guest is asked again, because
        // the settings may have said by then where to look.
        if same && facts.named {
            return Self::None;
        }
        let Ok(subject) = layout.subject_of_value(value) else {
            return Self::Unreadable;
        };
        let head = Head::live(facts.first, subject);
        if head.is(mark) {
            return Self::None;
        }
        Self::Head(head)
    }
}

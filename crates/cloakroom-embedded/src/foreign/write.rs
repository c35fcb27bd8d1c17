//! Writes of keys, of which some are sessions. Each is one step of the engine: the key's shard is locked.

use std::time::Duration;

use cloakroom_core::layout::{Kind as LayoutKind, Layout, Tombstones, Unreadable, handle_of};
use cloakroom_core::record::Subject;
use cloakroom_core::{Event, UnixMillis, limits};

use super::Foreign;
use super::head::Head;
use crate::engine::{DATABASES, Db, KeyError, Kind, Tx};

/// How long a session that was ended by a field may still be read: its framework tells applications
/// of the end from it.
const FROZEN: Duration = Duration::from_secs(5 * 60);

/// What a write puts into a session.
#[derive(Clone, Copy, Debug)]
pub enum Written<'a> {
    /// All of it.
    Value(&'a [u8]),
    /// A field of a hash.
    Field(&'a [u8], &'a [u8]),
    /// Something else: a part of a string, a member of a set.
    Part,
}

impl Foreign {
    /// Does `work`, which writes `key`; or answers `dropped` without doing it, if the key is that of a
    /// session that ended.
    ///
    /// # Errors
    /// As `work`; [`KeyError::TooLarge`] for a session over [`limits::LAYOUT_BYTES`];
    /// [`KeyError::Full`].
    pub fn write<T>(
        &self,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        written: Written<'_>,
        dropped: T,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        match self.layout(key) {
            Some(layout) => self.write_in(tx, db, key, layout, written, dropped, work),
            None => work(tx),
        }
    }

    /// As [`Foreign::write`], of a session.
    #[expect(
        clippy::too_many_arguments,
        reason = "those of `write`, with what was found out of the key"
    )]
    pub(super) fn write_in<T>(
        &self,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        layout: &Layout,
        written: Written<'_>,
        dropped: T,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        if let Written::Value(value) | Written::Field(_, value) = written
            && value.len() > limits::LAYOUT_BYTES
        {
            self.observe(&Event::LimitExceeded("session"));
            return Err(KeyError::TooLarge);
        }
        let before = Head::read(tx, db, key);
        let alive = tx.kind(db, key).is_some();
        if is_over(layout, before.as_ref(), alive, written) {
            self.observe(&Event::LateWriteDropped);
            return Ok(dropped);
        }
        let done = work(tx)?;
        if let Written::Field(field, value) = written
            && layout.ends_by(field, value)
        {
            self.freeze(tx, db, key, layout);
            return Ok(done);
        }
        let before = before.as_ref().filter(|_| alive);
        self.settle(tx, db, key, layout, before, written)?;
        Ok(done)
    }

    /// Whether [`Foreign::write`] would drop this write, because the session has ended: whoever writes
    /// only what is not there is told that it is, and takes another id.
    pub fn drops(&self, tx: &mut Tx<'_>, db: Db, key: &[u8], written: Written<'_>) -> bool {
        let Some(layout) = self.layout(key) else {
            return false;
        };
        let head = Head::read(tx, db, key);
        let alive = tx.kind(db, key).is_some();
        is_over(layout, head.as_ref(), alive, written)
    }

    /// Removes all keys of a keyspace, or of all, as [`Tx::flush`], which takes no time. To the sessions among them it
    /// is as if they had ended by their deadlines at that moment: a late write does not bring them back, and what ended
    /// before stays ended for as long as it would have.
    pub fn flush(&self, tx: &mut Tx<'_>, db: Option<Db>) {
        let dbs = (0..DATABASES).filter(|each| db.is_none_or(|db| db % DATABASES == *each));
        let sessions: usize = dbs.map(|each| tx.count_marked(each)).sum();
        tx.flush(db);
        if sessions > 0 {
            Self::note_end();
            self.observe(&Event::Revoked(sessions));
        }
    }

    /// Removes a key. If it is a session's, it stays ended, whether it was there or not: a framework that
    /// keeps sessions in a database as well may be about to fill its cache from there.
    pub fn remove(&self, tx: &mut Tx<'_>, db: Db, key: &[u8]) -> bool {
        if let Some(layout) = self.layout(key) {
            let alive = tx.kind(db, key).is_some();
            let frozen = Head::read(tx, db, key).is_some_and(|head| head.ended);
            Self::end(tx, db, key, layout);
            if alive && !frozen {
                self.observe(&Event::LoggedOut(Some(handle_of(db, key))));
            }
        }
        tx.remove(db, key)
    }

    /// Sets or clears the deadline of a session that is there, whatever is known of it.
    pub(super) fn move_deadline(
        &self,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        layout: &Layout,
        deadline: Option<UnixMillis>,
    ) -> bool {
        let now = tx.now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.remove(tx, db, key);
            return true;
        }
        let head = Head::read(tx, db, key);
        if head.as_ref().is_some_and(|head| head.ended) {
            let last = now.saturating_add(FROZEN);
            let deadline = deadline.map_or(last, |deadline| deadline.min(last));
            return tx.set_deadline(db, key, Some(deadline));
        }
        let first = head.as_ref().map_or(now, |head| head.first);
        let latest = self.latest(first, now);
        let deadline = deadline.map_or(latest, |deadline| deadline.min(latest));
        if deadline <= now {
            self.remove(tx, db, key);
            return true;
        }
        let done = tx.set_deadline(db, key, Some(deadline));
        // A session without a head is one that was here before layouts were.
        let known = head.unwrap_or_else(|| {
            let subject = self.subject(tx, db, key, layout, Written::Part);
            Head::live(first, subject.ok().flatten())
        });
        let _ = known.write(tx, db, key);
        done
    }

    /// Puts what is under one key under another, as [`Tx::rename`]. A session goes on under its new id,
    /// as old as it was, and has ended under the old one. If another is there, it is as old as the older of the two.
    ///
    /// # Errors
    /// As [`Tx::rename`].
    pub fn rename(
        &self,
        tx: &mut Tx<'_>,
        from: (Db, &[u8]),
        to: (Db, &[u8]),
    ) -> Result<bool, KeyError> {
        let (old, new) = (self.layout(from.1), self.layout(to.1));
        if old.is_none() && new.is_none() || from == to || tx.kind(from.0, from.1).is_none() {
            return tx.rename(from, to);
        }
        let mut head = old.and_then(|_| Head::read(tx, from.0, from.1));
        if let Some(layout) = new {
            let there = Head::read(tx, to.0, to.1);
            let alive = tx.kind(to.0, to.1).is_some();
            let over = head.as_ref().is_some_and(|head| head.ended)
                || is_over(layout, there.as_ref(), alive, Written::Part);
            if over {
                self.observe(&Event::LateWriteDropped);
                if let Some(layout) = old {
                    Self::end(tx, from.0, from.1, layout);
                }
                return Ok(tx.remove(from.0, from.1));
            }
            if let Some(there) = there.filter(|_| alive) {
                let first = head.as_ref().map_or(there.first, |head| head.first);
                let first = first.min(there.first);
                head = Some(Head {
                    first,
                    ..head.unwrap_or(there)
                });
            }
        }
        let done = tx.rename(from, to)?;
        if let Err(why) = self.reseal(tx, from.1, to) {
            // Sealed for another name it could never be read.
            tx.remove(to.0, to.1);
            return Err(why);
        }
        if let Some(layout) = old {
            Self::end(tx, from.0, from.1, layout);
            if new.is_some() {
                self.observe(&Event::Renewed(handle_of(to.0, to.1)));
            }
        }
        if let Some(layout) = new {
            self.settle(tx, to.0, to.1, layout, head.as_ref(), Written::Part)?;
        }
        Ok(done)
    }

    /// Copies a key, as [`Tx::copy`].
    ///
    /// # Errors
    /// As [`Tx::copy`].
    pub fn copy(
        &self,
        tx: &mut Tx<'_>,
        from: (Db, &[u8]),
        to: (Db, &[u8]),
    ) -> Result<bool, KeyError> {
        let there = tx.kind(from.0, from.1).is_some();
        self.write(tx, to.0, to.1, Written::Part, there, |tx| {
            let done = tx.copy(from, to)?;
            if done && let Err(why) = self.reseal(tx, from.1, to) {
                tx.remove(to.0, to.1);
                return Err(why);
            }
            Ok(done)
        })
    }

    /// After a write: the session's deadline is within its limits, and its head says whose it is. `before` is
    /// its head if it was alive.
    fn settle(
        &self,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        layout: &Layout,
        before: Option<&Head>,
        written: Written<'_>,
    ) -> Result<(), KeyError> {
        let now = tx.now();
        let Some(deadline) = tx.deadline(db, key) else {
            // The write left nothing: it was empty, or its deadline had passed.
            Self::end(tx, db, key, layout);
            return Ok(());
        };
        let first = before.map_or(now, |head| head.first);
        let latest = self.latest(first, now);
        let wanted = deadline.unwrap_or_else(|| now.saturating_add(self.unstated));
        let wanted = wanted.min(latest);
        if wanted <= now {
            Self::end(tx, db, key, layout);
            tx.remove(db, key);
            return Ok(());
        }
        if deadline != Some(wanted) {
            tx.set_deadline(db, key, Some(wanted));
        }
        let old = before.and_then(|head| head.subject.clone());
        let subject = match written {
            Written::Field(field, _) if !layout.names_subject(field) => old.clone(),
            _ => self
                .subject(tx, db, key, layout, written)
                .unwrap_or_else(|Unreadable| {
                    self.observe(&Event::Undecodable);
                    old.clone()
                }),
        };
        let head = Head::live(first, subject);
        if let Err(full) = head.write(tx, db, key) {
            // A session of which nothing is known would outlive its limits.
            if before.is_none() {
                tx.remove(db, key);
                return Err(full);
            }
        }
        if before.is_none() {
            self.observe(&Event::Created(handle_of(db, key)));
        }
        if head.subject != old && head.subject.is_some() {
            self.observe(&Event::LoggedIn(handle_of(db, key)));
        }
        Ok(())
    }

    /// Whom a session belongs to, by what is written or by what is there.
    fn subject(
        &self,
        tx: &mut Tx<'_>,
        db: Db,
        key: &[u8],
        layout: &Layout,
        written: Written<'_>,
    ) -> Result<Option<Subject>, Unreadable> {
        if let Written::Value(value) = written {
            return layout.subject_of_value(value);
        }
        let mut opened = Vec::new();
        match (tx.kind(db, key), layout.kind()) {
            (Some(Kind::String), LayoutKind::String) => match tx.string(db, key) {
                Ok(Some(value)) => {
                    let done = self.open(key, None, value, &mut opened);
                    done.map_err(|_| Unreadable)?;
                    layout.subject_of_value(&opened)
                }
                Ok(None) | Err(_) => Ok(None),
            },
            (Some(Kind::Hash), LayoutKind::Hash) => layout.subject_of_fields(|field| {
                let value = tx.hash_get(db, key, field).ok()??;
                self.open(key, Some(field), value, &mut opened).ok()?;
                Some(std::mem::take(&mut opened))
            }),
            _ => Err(Unreadable),
        }
    }

    /// A session that was ended by a field: nothing changes it any more, and it can be read for a while.
    fn freeze(&self, tx: &mut Tx<'_>, db: Db, key: &[u8], layout: &Layout) {
        let now = tx.now();
        let last = now.saturating_add(FROZEN);
        let deadline = tx.deadline(db, key).flatten();
        let deadline = deadline.map_or(last, |deadline| deadline.min(last));
        tx.set_deadline(db, key, Some(deadline));
        Head::ended(deadline).freeze(tx, db, key, layout.tombstones());
        Self::note_end();
        self.observe(&Event::LoggedOut(Some(handle_of(db, key))));
    }
}

/// Whether a session has ended, so that nothing may be written into it.
fn is_over(layout: &Layout, head: Option<&Head>, alive: bool, written: Written<'_>) -> bool {
    let Some(head) = head else {
        return false;
    };
    match layout.tombstones() {
        _ if head.ended => true,
        _ if alive => false,
        Tombstones::Never => false,
        Tombstones::Always => true,
        Tombstones::Adopted => match written {
            Written::Value(value) => !matches!(layout.subject_of_value(value), Ok(None)),
            Written::Field(..) | Written::Part => true,
        },
    }
}

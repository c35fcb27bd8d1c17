//! Looking at sessions of other frameworks, and ending them, from outside of a client's step.

use cloakroom_core::expiry::Times;
use cloakroom_core::layout::{Layout, Layouts, handle_of};
use cloakroom_core::record::{Fields, Label, Record, SessionInfo, Subject};
use cloakroom_core::{Handle, UnixMillis};

use super::Foreign;
use super::head::Head;
use crate::engine::{DATABASES, Db, Engine, Kind, Tx};

/// Keys that a walk takes at a time.
const PAGE: usize = 256;

/// A session that is alive.
#[derive(Clone, Debug)]
pub struct Found {
    /// What a list shows of it; its label is the layout's name.
    pub info: SessionInfo,
    /// Whom it belongs to.
    pub subject: Option<Subject>,
}

impl Foreign {
    /// Sessions of which a subject is known; those that are over and not swept are among them.
    #[must_use]
    pub fn with_subject(&self, engine: &Engine) -> usize {
        engine.count_named()
    }

    /// The sessions of a subject that are alive, the newest first.
    #[must_use]
    pub fn of_subject(&self, engine: &Engine, subject: &Subject) -> Vec<SessionInfo> {
        let keys = keys_of(engine, subject).into_iter();
        let mut found: Vec<_> = keys
            .filter_map(|(db, key)| engine.with_key(db, &key, |tx| self.look(tx, db, &key)))
            .filter(|found| found.subject.as_ref() == Some(subject))
            .map(|found| found.info)
            .collect();
        found.sort_by_key(|info| std::cmp::Reverse(info.times.created_at));
        found
    }

    /// Ends the session `handle` of `subject`. Returns whether it was alive.
    pub fn revoke(&self, engine: &Engine, subject: &Subject, handle: &Handle) -> bool {
        let mut keys = keys_of(engine, subject).into_iter();
        let named = keys.find(|(db, key)| handle_of(*db, key) == *handle);
        named.is_some_and(|(db, key)| self.revoke_key(engine, db, &key, Some(subject)))
    }

    /// Ends all sessions of a subject but for one, each in a step. Returns how many were alive.
    pub fn revoke_subject(
        &self,
        engine: &Engine,
        subject: &Subject,
        except: Option<&Handle>,
    ) -> usize {
        let keys = keys_of(engine, subject).into_iter();
        let wanted = keys.filter(|(db, key)| except.is_none_or(|it| handle_of(*db, key) != *it));
        wanted
            .filter(|(db, key)| self.revoke_key(engine, *db, key, Some(subject)))
            .count()
    }

    /// Ends all sessions, each in a step. Returns how many were alive.
    pub fn revoke_all(&self, engine: &Engine) -> usize {
        let mut ended = 0;
        for db in 0..DATABASES {
            self.each(engine, db, |tx, key| {
                ended += usize::from(self.revoke_in(tx, db, key, None));
            });
        }
        ended
    }

    /// Whether a cookie of this name may belong to a session.
    #[must_use]
    pub fn knows_cookie(&self, name: &str) -> bool {
        let mut names = self.layouts.iter().flat_map(Layout::cookies);
        names.any(|known| known == name)
    }

    /// The session that a cookie belongs to, by the cookie's name and its value as the browser sends
    /// it. The keyspaces are tried one after another.
    #[must_use]
    pub fn of_cookie(&self, engine: &Engine, name: &str, value: &str) -> Option<Found> {
        let layouts = self.layouts.iter();
        let mut of_name = layouts.filter(|layout| layout.cookies().any(|it| it == name));
        of_name.find_map(|layout| {
            let key = layout.key_of_cookie(value)?;
            let key = self.layouts.kept_as(&key).unwrap_or(key);
            (0..DATABASES).find_map(|db| engine.with_key(db, &key, |tx| self.look(tx, db, &key)))
        })
    }

    /// About `count` sessions of a keyspace, from `cursor` on, and where to go on; 0 at the end.
    pub(super) fn page(
        &self,
        engine: &Engine,
        db: Db,
        cursor: u64,
        count: usize,
    ) -> (Vec<SessionInfo>, u64) {
        let (keys, next) = keys(&self.layouts, engine, db, cursor, count);
        let look = |key: Box<[u8]>| engine.with_key(db, &key, |tx| self.look(tx, db, &key));
        let found = keys.into_iter().filter_map(look);
        (found.map(|found| found.info).collect(), next)
    }

    /// The session under this key, if it is alive.
    fn look(&self, tx: &mut Tx<'_>, db: Db, key: &[u8]) -> Option<Found> {
        let layout = self.layout(key)?;
        let deadline = tx.deadline(db, key)?;
        let head = Head::read(tx, db, key).filter(|head| !head.ended)?;
        let now = tx.now();
        let record = Record {
            handle: handle_of(db, key),
            times: Times::new(head.first, self.lifetimes, head.subject.is_some()),
            subject: head.subject.clone(),
            label: Some(Label::new(layout.name())),
            version: 1,
            fields: Fields::default(),
        };
        let mut info = record.info(now);
        let latest = self.latest(head.first, now);
        info.remaining = deadline
            .map_or(latest, |it: UnixMillis| it.min(latest))
            .since(now);
        Some(Found {
            info,
            subject: head.subject,
        })
    }

    fn revoke_key(&self, engine: &Engine, db: Db, key: &[u8], of: Option<&Subject>) -> bool {
        engine.with_key(db, key, |tx| self.revoke_in(tx, db, key, of))
    }

    fn revoke_in(&self, tx: &mut Tx<'_>, db: Db, key: &[u8], of: Option<&Subject>) -> bool {
        let head = Head::read(tx, db, key);
        let is_theirs = |head: &Head| of.is_none_or(|of| head.subject.as_ref() == Some(of));
        let alive = tx.kind(db, key).is_some();
        if !alive || !head.is_some_and(|head| !head.ended && is_theirs(&head)) {
            return false;
        }
        if self.layout(key).is_some() {
            Self::bury(tx, db, key);
        }
        tx.remove(db, key)
    }

    /// Goes over all sessions' keys of a keyspace, each in a step.
    fn each(&self, engine: &Engine, db: Db, mut each: impl FnMut(&mut Tx<'_>, &[u8])) {
        let mut cursor = 0;
        loop {
            let (keys, next) = keys(&self.layouts, engine, db, cursor, PAGE);
            for key in keys {
                engine.with_key(db, &key, |tx| each(tx, &key));
            }
            if next == 0 {
                return;
            }
            cursor = next;
        }
    }
}

/// Keys that may be sessions of this subject; their heads say.
fn keys_of(engine: &Engine, subject: &Subject) -> Vec<(Db, Box<[u8]>)> {
    engine.named(subject.as_str().as_bytes())
}

/// Keys of sessions from `cursor` on, and where to go on.
fn keys(
    layouts: &Layouts,
    engine: &Engine,
    db: Db,
    cursor: u64,
    count: usize,
) -> (Vec<Box<[u8]>>, u64) {
    let mut keys = Vec::new();
    let next = engine.scan_entries(db, cursor, count, &mut |view| {
        let may_be = matches!(view.kind(), Kind::String | Kind::Hash);
        if may_be && layouts.find(view.key()).is_some() {
            keys.push(view.key().into());
        }
    });
    (keys, next)
}

//! Steps without scripts: WATCH what is read, decide here, write in MULTI. Redis writes only if
//! nothing that was read has changed, or has expired. Two trips, on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::limits;
use cloakroom_core::record::{Changes, Condition};
use cloakroom_core::{Error, Record, UnixMillis};

use super::transaction::{Decision, Moment, Transactions};
use super::{Done, Ending, Found, Left, Old, Place, Placed, Steps, There, Tried};
use crate::epoch;
use crate::failure::Failure;
use crate::head::{self, Marker};
use crate::keys::{self, Entry};
use crate::layout::{Kept, Present};
use crate::route::Route;
use crate::settings::LayoutName;
use crate::wire::{self, Command, Lane, Reply};

/// Entries of an index that one step looks at for clean-up.
const TIDY: usize = 16;

/// Steps by WATCH and MULTI.
#[derive(Debug)]
pub(crate) struct Watched {
    layout: LayoutName,
    transactions: Transactions,
}

impl Watched {
    pub(crate) fn new(route: Arc<dyn Route>, layout: LayoutName) -> Self {
        Self {
            layout,
            transactions: Transactions::new(route),
        }
    }

    fn present(&self, moment: &mut Moment) -> Result<Present, Failure> {
        let kept = self.layout.decode(moment.next()?)?;
        Ok(kept.judge(moment.epoch, moment.now))
    }

    fn decide_place(&self, place: &Place<'_>, at: &mut Moment) -> Result<Decision<Placed>, Error> {
        let nothing = |placed| Ok((Vec::new(), placed));
        let tag = place.key.tag();
        let taken = at.next()? != Reply::Int(0);
        if place.comes_from_another_tag() && at.next()? != Reply::Int(0) {
            return nothing(Placed::Closing);
        }
        let here = place.old.as_ref().filter(|old| !old.elsewhere);
        if let Some(old) = here {
            let old_epoch = epoch::decode(at.next()?)?;
            let present = self.layout.decode(at.next()?)?.judge(old_epoch, at.now);
            let as_expected = matches!(&present, Present::Alive(record)
                if head::identity(record) == head::identity(old.record));
            if !as_expected {
                return nothing(Placed::Stale(present));
            }
        }
        if taken {
            return nothing(Placed::Taken);
        }
        let mut writes = Vec::new();
        let epoch = match at.epoch {
            Some(epoch) => epoch,
            None => {
                let epoch = epoch::fresh()?;
                writes.push(epoch::set(tag, epoch));
                epoch
            }
        };
        if let Some(subject) = &place.record.subject {
            let index = keys::index(subject);
            let entries = wire::array(at.next()?)?;
            let left = wire::integer(&at.next()?)?;
            if !self.make_room(place, &index, &entries, at, &mut writes)? {
                return nothing(Placed::Crowded);
            }
            let final_at = at_time(place, at.now).times.absolute_deadline();
            tidy(&index, &entries, at.now, &mut writes);
            let entry = Entry {
                handle: place.record.handle,
                key: *place.key,
            };
            let mut add = wire::command("ZADD", [&index]);
            add.arg(final_at.as_millis()).arg(&entry.encode()[..]);
            writes.push(add);
            let ends_at = at.now.as_millis().saturating_add_signed(left.max(0));
            if left < 0 || ends_at < final_at.as_millis() {
                let mut expire = wire::command("PEXPIREAT", [&index]);
                expire.arg(final_at.as_millis());
                writes.push(expire);
            }
        }
        if let Some(old) = here {
            writes.extend(self.left(place.key, old, at.now));
        }
        let record = at_time(place, at.now);
        writes.extend(self.layout.write(&keys::session(place.key), &record, epoch));
        Ok((writes, Placed::Done(at.now)))
    }

    /// Leaves a marker where the old session was, and takes it out of its subject's index.
    fn left(&self, new: &StoredKey, old: &Old<'_>, now: UnixMillis) -> Vec<Command> {
        let until = |grace| now.saturating_add(Duration::from_millis(grace));
        let marker = Marker {
            forgotten_at: now.saturating_add(limits::TOMBSTONE),
            // Without a grace it forwards nobody, but a scan still finds the session by it.
            forward: Some((*new, old.grace.map_or(UnixMillis::default(), until))),
        };
        let mut writes = self.layout.end(&keys::session(old.key), &marker);
        if let Some((index, entry)) = old.entry() {
            writes.push(drop_entry(&index, &entry.encode()));
        }
        writes
    }

    /// Ends candidates until one more session has room; says whether it has.
    fn make_room(
        &self,
        place: &Place<'_>,
        index: &str,
        entries: &[Reply],
        at: &mut Moment,
        writes: &mut Vec<Command>,
    ) -> Result<bool, Error> {
        if place.limit == 0 {
            return Ok(true);
        }
        let has = |entry: &Entry| {
            let bytes = entry.encode();
            let mut members = entries.iter().step_by(2);
            members.any(|member| matches!(member, Reply::BulkString(found) if **found == bytes))
        };
        let mut others = entries.len() / 2;
        if let Some(old) = &place.old {
            let entry = Entry {
                handle: old.record.handle,
                key: *old.key,
            };
            others -= usize::from(old.record.subject == place.record.subject && has(&entry));
        }
        for candidate in &place.candidates {
            let present = self.present(at)?;
            if !has(candidate) {
                continue;
            }
            let lives =
                matches!(&present, Present::Alive(record) if record.handle == candidate.handle);
            if lives && others < place.limit {
                continue;
            }
            if lives {
                let ended = ended_marker(at.now);
                writes.extend(self.layout.end(&keys::session(&candidate.key), &ended));
            }
            writes.push(drop_entry(index, &candidate.encode()));
            others -= 1;
        }
        Ok(others < place.limit)
    }
}

#[async_trait]
impl Steps for Watched {
    async fn place(&self, place: &Place<'_>) -> Result<Placed, Error> {
        let key = keys::session(place.key);
        let index = place.record.subject.as_ref().map(keys::index);
        let mut reads = vec![wire::command("EXISTS", [&key])];
        let mut watched: Vec<String> = index.iter().cloned().collect();
        watched.push(key);
        let tag = place.key.tag();
        if place.comes_from_another_tag() {
            watched.push(keys::closing(tag));
            reads.push(epoch::is_closing(tag));
        }
        if let Some(old) = place.old.as_ref().filter(|old| !old.elsewhere) {
            watched.push(keys::session(old.key));
            watched.push(keys::epoch(old.key.tag()));
            reads.push(epoch::read(old.key.tag()));
            reads.push(self.layout.read(&keys::session(old.key)));
        }
        if let Some(index) = &index {
            let most = if place.limit == 0 {
                TIDY as i64 - 1
            } else {
                -1
            };
            let mut range = wire::command("ZRANGE", [index]);
            range.arg(0).arg(most).arg("WITHSCORES");
            reads.push(range);
            reads.push(wire::command("PTTL", [index]));
        }
        for candidate in &place.candidates {
            let key = keys::session(&candidate.key);
            reads.push(self.layout.read(&key));
            watched.push(key);
        }
        let decide = |moment: &mut Moment| self.decide_place(place, moment);
        let transactions = &self.transactions;
        transactions
            .run(tag, &watched, &reads, Lane::Safe, decide)
            .await
    }

    async fn leave(&self, new: &StoredKey, old: &Old<'_>) -> Result<Left, Error> {
        let name = keys::session(old.key);
        let decide = |at: &mut Moment| {
            let kept = self.layout.decode(at.next()?)?;
            // It was done already, and the answer got lost.
            let is_done = matches!(&kept, Kept::Ended(Marker { forward: Some((target, _)), .. })
                if target == new);
            if is_done {
                return Ok((Vec::new(), Left::Done));
            }
            match kept.judge(at.epoch, at.now) {
                Present::Alive(record) if head::identity(&record) == head::identity(old.record) => {
                    Ok((self.left(new, old, at.now), Left::Done))
                }
                present => Ok((Vec::new(), Left::Stale(present))),
            }
        };
        let (watched, reads) = ([name.clone()], [self.layout.read(&name)]);
        let transactions = &self.transactions;
        transactions
            .run(old.key.tag(), &watched, &reads, Lane::Final, decide)
            .await
    }

    async fn undo(&self, key: &StoredKey, record: &Record) -> Result<(), Error> {
        let name = keys::session(key);
        let decide = |at: &mut Moment| {
            let mut writes = Vec::new();
            let kept = self.layout.decode(at.next()?)?;
            if matches!(&kept, Kept::Record(kept, _) if head::identity(kept) == head::identity(record))
            {
                writes.push(wire::command("DEL", [&name]));
                if let Some(subject) = &record.subject {
                    let (handle, key) = (record.handle, *key);
                    let entry = Entry { handle, key };
                    writes.push(drop_entry(&keys::index(subject), &entry.encode()));
                }
            }
            Ok((writes, ()))
        };
        let (watched, reads) = ([name.clone()], [self.layout.read(&name)]);
        let transactions = &self.transactions;
        transactions
            .run(key.tag(), &watched, &reads, Lane::Write, decide)
            .await
    }

    async fn apply(
        &self,
        key: &StoredKey,
        _: Option<&Record>,
        changes: &Changes,
        condition: &Condition,
    ) -> Result<Tried, Error> {
        let name = keys::session(key);
        let decide = |at: &mut Moment| {
            let mut record = match self.present(at)? {
                Present::Alive(record) => record,
                absent => return Ok((Vec::new(), Tried::Stale(absent))),
            };
            let version = record.version;
            if !record.meets(condition) {
                return Ok((Vec::new(), Tried::Conflict { version }));
            }
            let increments = record.apply(changes, at.now)?;
            let epoch = at.epoch.unwrap_or_default();
            let writes = self.layout.write(&name, &record, epoch);
            let done = Done {
                version: record.version,
                increments,
                there: There::Record(*record),
            };
            Ok((writes, Tried::Done(done)))
        };
        let (watched, reads) = ([name.clone()], [self.layout.read(&name)]);
        let transactions = &self.transactions;
        transactions
            .run(key.tag(), &watched, &reads, Lane::Write, decide)
            .await
    }

    async fn end(
        &self,
        tag: SlotTag,
        index: Option<&str>,
        sessions: &[Ending],
        besides: Option<usize>,
    ) -> Result<Option<Vec<Found>>, Error> {
        let names: Vec<_> = sessions
            .iter()
            .map(|ending| keys::session(&ending.key))
            .collect();
        let mut watched: Vec<String> = index.iter().map(|index| (*index).to_owned()).collect();
        watched.extend(names.iter().cloned());
        let mut reads = vec![match index {
            Some(index) => {
                let mut range = wire::command("ZRANGE", [index]);
                range.arg(0).arg(-1);
                range
            }
            None => wire::command::<&str>("TIME", []),
        }];
        reads.extend(names.iter().map(|name| self.layout.read(name)));
        let decide = |at: &mut Moment| {
            let members = wire::array(at.next()?)?;
            let known = |member: &Reply| {
                let is = |ending: &Ending| {
                    let entry = ending.entry.map(|entry| entry.encode());
                    matches!((member, entry), (Reply::BulkString(found), Some(entry)) if **found == entry)
                };
                sessions.iter().any(is)
            };
            if let Some(besides) = besides {
                let others = members.iter().filter(|member| !known(member)).count();
                if others > besides {
                    return Ok((Vec::new(), None));
                }
            }
            let (mut writes, mut found) = (Vec::new(), Vec::new());
            for (ending, name) in sessions.iter().zip(&names) {
                let wanted = |record: &Record| {
                    ending
                        .entry
                        .is_none_or(|entry| entry.handle == record.handle)
                };
                found.push(match self.present(at)? {
                    Present::Alive(record) if wanted(&record) => {
                        writes.extend(self.layout.end(name, &ended_marker(at.now)));
                        Found::Alive
                    }
                    Present::Forward(target) => Found::Moved(target),
                    Present::Alive(_) | Present::Absent(_) => Found::Dead,
                });
                // The entry of a session that is leaving for another node is what it is found by.
                let moved = matches!(found.last(), Some(Found::Moved(_)));
                if let (Some(index), Some(entry), false) = (index, &ending.entry, moved) {
                    writes.push(drop_entry(index, &entry.encode()));
                }
            }
            Ok((writes, Some(found)))
        };
        let transactions = &self.transactions;
        transactions
            .run(tag, &watched, &reads, Lane::Final, decide)
            .await
    }

    async fn touch(&self, keys: &[StoredKey]) -> Result<Vec<Found>, Error> {
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            let name = keys::session(key);
            let decide = |at: &mut Moment| {
                Ok(match self.present(at)? {
                    Present::Alive(mut record) => {
                        record.touch(at.now);
                        let epoch = at.epoch.unwrap_or_default();
                        (self.layout.write(&name, &record, epoch), Found::Alive)
                    }
                    Present::Forward(target) => (Vec::new(), Found::Moved(target)),
                    Present::Absent(_) => (Vec::new(), Found::Dead),
                })
            };
            let (watched, reads) = ([name.clone()], [self.layout.read(&name)]);
            all.push(
                self.transactions
                    .run(key.tag(), &watched, &reads, Lane::Write, decide)
                    .await?,
            );
        }
        Ok(all)
    }
}

/// The record of a placement with the server's times in it.
pub(crate) fn at_time(place: &Place<'_>, now: UnixMillis) -> Record {
    let mut record = place.record.clone();
    record.times.seen_at = now;
    if place.old.is_none() {
        record.times.created_at = now;
    }
    if place.login {
        record.times.authenticated_at = Some(now);
    }
    record
}

fn ended_marker(now: UnixMillis) -> Marker {
    Marker {
        forgotten_at: now.saturating_add(limits::TOMBSTONE),
        forward: None,
    }
}

fn drop_entry(index: &str, entry: &[u8]) -> Command {
    let mut remove = wire::command("ZREM", [index]);
    remove.arg(entry);
    remove
}

/// Forgets entries whose sessions reached their absolute limit; the lowest scores come first.
fn tidy(index: &str, entries: &[Reply], now: UnixMillis, writes: &mut Vec<Command>) {
    for pair in entries.chunks_exact(2).take(TIDY) {
        let over = match &pair[1] {
            Reply::Double(score) => *score <= now.as_millis() as f64,
            score => wire::integer(score).is_ok_and(|score| score <= now.as_millis().cast_signed()),
        };
        if let (true, Reply::BulkString(entry)) = (over, &pair[0]) {
            writes.push(drop_entry(index, entry));
        }
    }
}

//! Sessions that change nodes: whoever misses one at the new owner of its tag looks once at the old
//! owner, and carries it over. Each step may be taken again by anybody; a request that is given up does
//! not stop them, and a process that ends half-way leaves a session that the next request carries:
//!
//! 1. what the new owner says of the tag's epoch is noted;
//! 2. the session is *leaving*: the old owner keeps it beneath a marker that leads to its own key,
//!    which ends it for whoever still asks there, and lets nobody write to it;
//! 3. the new owner gets it, unless it has something under the key, and only if the epoch is still the
//!    noted one and the tag is not closing: what was revoked between 1 and 3 does not come along;
//! 4. the old owner keeps the marker alone.
//!
//! What is left after step 2 goes by itself after a minute: before the marker of whatever ends the
//! session at its new owner goes, so that it cannot be carried again.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::limits;
use cloakroom_core::record::Subject;
use cloakroom_core::{Error, ErrorKind, Record, UnixMillis};

use super::RedisStore;
use crate::epoch::{self, Epoch};
use crate::failure::{Class, Failure};
use crate::head::Marker;
use crate::keys::{self, Entry};
use crate::layout::{Kept, Present};
use crate::route::Route;
use crate::settings::LayoutName;
use crate::steps::time;
use crate::wire::{self, Command, Exclusive, Lane, Reply, Wire};

/// Tries of one step before others are reported to be always faster.
const TRIES: usize = 64;
/// How often to see whether a mass revocation is over, which nothing may outrun.
const CLOSING: Duration = Duration::from_millis(20);

/// What it takes to carry a session, apart from the store.
struct Carrier {
    route: Arc<dyn Route>,
    layout: LayoutName,
}

/// What the old owner had.
enum Left {
    Nothing,
    Session(Box<Record>),
    /// A session that rotated, and until when its old id leads on.
    Forward(StoredKey, UnixMillis),
}

impl Left {
    fn index(&self) -> Option<String> {
        match self {
            Self::Session(record) => record.subject.as_ref().map(keys::index),
            Self::Nothing | Self::Forward(..) => None,
        }
    }
}

impl RedisStore {
    /// Runs an operation on a key. If it found nothing there and the session can be carried over,
    /// or if it met a session that somebody else carried, it is run again.
    pub(super) async fn following<T, F>(
        &self,
        key: &StoredKey,
        operation: impl Fn() -> F + Send,
        is_missed: impl Fn(&T) -> bool + Send,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send,
        T: Send,
    {
        // What is rare is apart, so that the future of what is usual stays small.
        let first = match operation().await {
            Err(error) if is_moving(&error) && self.route.begin() => Box::pin(operation()).await,
            first => first,
        }?;
        if !is_missed(&first) {
            return Ok(first);
        }
        Box::pin(async {
            let known_ahead = self.is_ahead(key.tag(), keys::session(key)).await?;
            if known_ahead || self.carry(key).await? {
                return operation().await;
            }
            Ok(first)
        })
        .await
    }

    /// As [`RedisStore::following`], for what concerns all sessions of a subject.
    pub(super) async fn following_all<T, F>(
        &self,
        subject: &Subject,
        operation: impl Fn() -> F + Send,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        self.is_ahead(SlotTag::of_subject(subject), keys::index(subject))
            .await?;
        self.carry_all(subject).await?;
        match operation().await {
            Err(error) if is_moving(&error) && self.route.begin() => {
                self.carry_all(subject).await?;
                operation().await
            }
            first => first,
        }
    }

    /// Shortly before the move begins by this process's clock: whether it has begun by another's, which
    /// shows by the key being with the new owner.
    async fn is_ahead(&self, tag: SlotTag, name: String) -> Result<bool, Error> {
        let Some(ahead) = self.route.ahead(tag) else {
            return Ok(false);
        };
        let look = vec![wire::command("EXISTS", [name])];
        let [known] = wire::exactly(ahead.send(Lane::Main, look).await?)?;
        if known == Reply::Int(0) {
            return Ok(false);
        }
        self.route.begin();
        Ok(true)
    }

    fn carrier(&self) -> Carrier {
        Carrier {
            route: Arc::clone(&self.route),
            layout: self.layout,
        }
    }

    /// Carries a session over, if the old owner of its tag has it. Says whether there may be more to
    /// find now.
    pub(super) async fn carry(&self, key: &StoredKey) -> Result<bool, Error> {
        let Some(before) = self.route.before(key.tag()) else {
            return Ok(false);
        };
        let left = self.carrier().finish(&before, key).await?;
        Ok(!matches!(left, Left::Nothing))
    }

    /// Carries over whatever sessions of a subject the old owner has.
    async fn carry_all(&self, subject: &Subject) -> Result<(), Error> {
        let tag = SlotTag::of_subject(subject);
        let Some(before) = self.route.before(tag) else {
            return Ok(());
        };
        let mut range = wire::command("ZRANGE", [keys::index(subject)]);
        range.arg(0).arg(-1);
        let [members] = wire::exactly(before.send(Lane::Main, vec![range]).await?)?;
        for member in wire::array(members)? {
            let member = wire::bytes(member)?.unwrap_or_default();
            if let Some(entry) = Entry::decode(subject, &member) {
                self.carrier().finish(&before, &entry.key).await?;
            }
        }
        Ok(())
    }
}

impl Carrier {
    /// Carries a session over, even if nobody waits for it any more.
    async fn finish(self, before: &Arc<dyn Wire>, key: &StoredKey) -> Result<Left, Error> {
        let (before, key) = (Arc::clone(before), *key);
        let carrying = tokio::spawn(async move { self.carry_one(&before, &key, 0).await });
        match carrying.await {
            Ok(left) => left,
            Err(_) => Err(Failure::new(Class::Unreachable, "the runtime is ending").into()),
        }
    }

    async fn carry_one(
        &self,
        before: &Arc<dyn Wire>,
        key: &StoredKey,
        hops: usize,
    ) -> Result<Left, Error> {
        for _ in 0..TRIES {
            let look = vec![self.layout.read(&keys::session(key))];
            let [raw] = wire::exactly(before.send(Lane::Main, look).await?)?;
            if self.layout.decode(raw)? == Kept::Nothing {
                return Ok(Left::Nothing);
            }
            let Some(epoch) = self.open_epoch(key.tag()).await? else {
                tokio::time::sleep(CLOSING).await;
                continue;
            };
            let (left, now) = self.take(&**before, key).await?;
            if matches!(left, Left::Nothing) {
                return Ok(left);
            }
            // Where it leads to must be there first: who is led to nothing, is signed out.
            if let Left::Forward(target, _) = &left
                && target.tag() == key.tag()
                && hops < limits::FORWARD_HOPS
            {
                Box::pin(self.carry_one(before, target, hops + 1)).await?;
            }
            if self.adopt(key, &left, epoch).await? {
                if let Left::Session(record) = &left {
                    self.forget_left(&**before, key, record, now).await?;
                }
                return Ok(left);
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// The epoch of a tag at its owner, unless the tag is closing.
    async fn open_epoch(&self, tag: SlotTag) -> Result<Option<Option<Epoch>>, Error> {
        let commands = vec![epoch::read(tag), epoch::is_closing(tag)];
        let replies = self.route.send(tag, Lane::Main, commands).await?;
        let [epoch, closing] = wire::exactly(replies)?;
        let epoch = epoch::decode(epoch)?;
        Ok((closing == Reply::Int(0)).then_some(epoch))
    }

    /// Makes a session leave, and reads it.
    async fn take(&self, before: &dyn Wire, key: &StoredKey) -> Result<(Left, UnixMillis), Error> {
        let name = keys::session(key);
        for _ in 0..TRIES {
            let mut connection = before.exclusive().await?;
            let mut watch = wire::command("WATCH", [&name]);
            watch.arg(keys::epoch(key.tag()));
            let commands = vec![
                watch,
                wire::command::<&str>("TIME", []),
                epoch::read(key.tag()),
                self.layout.read(&name),
            ];
            let [_, now, epoch, raw] = wire::exactly(connection.send(commands).await?)?;
            let (now, epoch) = (time(now)?, epoch::decode(epoch)?);
            let beneath = self.layout.beneath(raw.clone())?;
            let is_leaving = beneath.is_some();
            let kept = match beneath {
                Some(kept) => kept,
                None => self.layout.decode(raw.clone())?,
            };
            let forward = match &kept {
                Kept::Ended(marker) => marker.forward,
                Kept::Nothing | Kept::Record(..) => None,
            };
            let left = match (kept.judge(epoch, now), forward) {
                (Present::Alive(record), _) => Left::Session(record),
                (Present::Forward(target), Some((_, until))) if target != *key => {
                    Left::Forward(target, until)
                }
                _ => Left::Nothing,
            };
            if is_leaving || !matches!(left, Left::Session(_)) {
                give_back(connection).await?;
                return Ok((left, now));
            }
            let mut writes = vec![wire::command::<&str>("MULTI", [])];
            writes.extend(self.layout.leave(&name, raw, &leaving(key, now))?);
            // For the old owner it is an end: were it lost there, the session could be carried again
            // after it has ended elsewhere.
            if write(connection, Lane::Final, writes).await? {
                return Ok((left, now));
            }
        }
        Err(ErrorKind::Conflict.into())
    }

    /// Gives the owner what was left, unless it knows the key. `false`: something was revoked
    /// meanwhile, or somebody else was faster; all is to be done again.
    async fn adopt(
        &self,
        key: &StoredKey,
        left: &Left,
        noted: Option<Epoch>,
    ) -> Result<bool, Error> {
        let (tag, name) = (key.tag(), keys::session(key));
        let mut connection = self.route.exclusive(tag, None).await?;
        let mut watch = wire::command("WATCH", [&name]);
        watch.arg(keys::epoch(tag)).arg(keys::closing(tag));
        watch.arg(left.index());
        let commands = vec![
            watch,
            wire::command::<&str>("TIME", []),
            epoch::read(tag),
            epoch::is_closing(tag),
            self.layout.read(&name),
            wire::command("PTTL", [left.index().unwrap_or_else(|| name.clone())]),
        ];
        let [_, now, epoch, closing, raw, life] = wire::exactly(connection.send(commands).await?)?;
        let (now, epoch) = (time(now)?, epoch::decode(epoch)?);
        let index_ends = wire::integer(&life)?.saturating_add_unsigned(now.as_millis());
        if closing != Reply::Int(0) || epoch != noted {
            give_back(connection).await?;
            return Ok(false);
        }
        let is_known = match self.layout.decode(raw)? {
            Kept::Nothing => false,
            // It left here once, and comes back.
            Kept::Ended(marker) => marker.forward.is_none_or(|(target, _)| target != *key),
            Kept::Record(..) => true,
        };
        if is_known {
            give_back(connection).await?;
            return Ok(true);
        }
        let mut writes = vec![wire::command::<&str>("MULTI", [])];
        match left {
            Left::Nothing => {}
            Left::Forward(target, until) => {
                let forgotten_at = now.saturating_add(limits::TOMBSTONE);
                let forward = Some((*target, *until));
                let marker = Marker {
                    forgotten_at,
                    forward,
                };
                writes.extend(self.layout.end(&name, &marker));
            }
            Left::Session(record) => {
                let epoch = match epoch {
                    Some(epoch) => epoch,
                    None => {
                        let epoch = epoch::fresh()?;
                        writes.push(epoch::set(tag, epoch));
                        epoch
                    }
                };
                writes.extend(self.layout.write(&name, record, epoch));
                writes.extend(enter(key, record, index_ends));
            }
        }
        write(connection, Lane::Safe, writes).await
    }

    /// What is left at the old owner: nobody finds the session there, or writes it. Only what is still
    /// leaving is touched: two names may lead to one server, which then has the session again.
    async fn forget_left(
        &self,
        before: &dyn Wire,
        key: &StoredKey,
        record: &Record,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let name = keys::session(key);
        let mut connection = before.exclusive().await?;
        let look = vec![wire::command("WATCH", [&name]), self.layout.read(&name)];
        let [_, raw] = wire::exactly(connection.send(look).await?)?;
        if self.layout.beneath(raw)?.is_none() {
            return give_back(connection).await;
        }
        let mut writes = vec![wire::command::<&str>("MULTI", [])];
        writes.extend(self.layout.end(&name, &leaving(key, now)));
        if let Some(subject) = &record.subject {
            let mut remove = wire::command("ZREM", [keys::index(subject)]);
            remove.arg(&entry(key, record)[..]);
            writes.push(remove);
        }
        // If somebody was faster, they did the same.
        write(connection, Lane::Write, writes).await?;
        Ok(())
    }
}

/// The marker of a session that changes nodes leads to its own key.
fn leaving(key: &StoredKey, now: UnixMillis) -> Marker {
    let until = now.saturating_add(limits::TOMBSTONE);
    Marker {
        forgotten_at: until,
        forward: Some((*key, until)),
    }
}

fn is_moving(error: &Error) -> bool {
    Failure::class_of(error) == Some(Class::Moving)
}

/// Whoever is led from a key to the same key asks a node that the session has left.
pub(super) fn unless_left(at: &StoredKey, target: &StoredKey) -> Result<(), Failure> {
    if at == target {
        return Err(Failure::new(
            Class::Moving,
            "the session is with another shard already",
        ));
    }
    Ok(())
}

fn entry(key: &StoredKey, record: &Record) -> Vec<u8> {
    let entry = Entry {
        handle: record.handle,
        key: *key,
    };
    entry.encode()
}

/// Enters a session into its subject's index, which ends at `ends` now.
fn enter(key: &StoredKey, record: &Record, ends: i64) -> Vec<Command> {
    let Some(subject) = &record.subject else {
        return Vec::new();
    };
    let index = keys::index(subject);
    let deadline = record.times.absolute_deadline().as_millis();
    let mut add = wire::command("ZADD", [&index]);
    add.arg(deadline).arg(&entry(key, record)[..]);
    let mut commands = vec![add];
    if ends < deadline.cast_signed() {
        let mut expire = wire::command("PEXPIREAT", [&index]);
        expire.arg(deadline);
        commands.push(expire);
    }
    commands
}

/// Ends a transaction; says whether it was written.
async fn write(
    mut connection: Box<dyn Exclusive>,
    lane: Lane,
    mut commands: Vec<Command>,
) -> Result<bool, Error> {
    commands.push(wire::command::<&str>("EXEC", []));
    let replies = connection.send_safe(lane, commands).await?;
    connection.release();
    Ok(!matches!(replies.last(), None | Some(Reply::Nil)))
}

async fn give_back(mut connection: Box<dyn Exclusive>) -> Result<(), Error> {
    connection
        .send(vec![wire::command::<&str>("UNWATCH", [])])
        .await?;
    connection.release();
    Ok(())
}

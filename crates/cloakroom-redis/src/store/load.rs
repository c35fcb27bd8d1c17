//! Reading a session: one trip, one plain command. That the key is there says that it lives by the
//! server's clock; what is left of its life, and what becomes of a key that lost its own, is told from
//! the times inside by the server's time as it is reckoned here ([`crate::wire`]).

use std::time::Instant;

use cloakroom_core::expiry::{Verdict, decide};
use cloakroom_core::id::StoredKey;
use cloakroom_core::limits;
use cloakroom_core::store::{Absence, Loaded, Lookup};
use cloakroom_core::{Error, Record, UnixMillis};

use super::carry::unless_left;
use super::{AtOnce, RedisStore, Seen};
use crate::epoch;
use crate::failure::{Class, Failure};
use crate::keys;
use crate::layout::{Kept, Present};
use crate::settings::LayoutName;
use crate::steps::time;
use crate::wire::{self, Lane};

impl RedisStore {
    /// Reads a session if nothing has to be waited for but the answer.
    pub(super) async fn load_at_once(
        &self,
        key: &StoredKey,
        since: Instant,
    ) -> AtOnce<Lookup, Seen> {
        if self.moves.are_under_way() || self.layout == LayoutName::Plain {
            return AtOnce::Not;
        }
        let question = || self.layout.load(key);
        let Some(mut begun) = self.route.begin_read(key.tag(), &question, since) else {
            return AtOnce::Not;
        };
        let seen = match (&mut begun).await {
            Ok(Some(seen)) => seen,
            Err(failure) if !may_try_again(&failure) => return AtOnce::Done(Err(failure.into())),
            Ok(None) | Err(_) => return AtOnce::Not,
        };
        let kept = match self.layout.decode(seen.reply) {
            Ok(kept) => kept,
            Err(failure) => return AtOnce::Done(Err(failure.into())),
        };
        if kept.may_be_over(seen.now) {
            return AtOnce::Not;
        }
        if matches!(kept, Kept::Record(..)) {
            self.steps.saw(key.tag(), seen.epoch, seen.now_at_least);
        }
        match kept.judge(seen.epoch, seen.now) {
            Present::Alive(record) => AtOnce::Done(Ok(self.loaded(key, *record, seen.now, false))),
            present => AtOnce::Seen((present, seen.now)),
        }
    }

    /// Reads a session, and what it leads to. `first` is what is under its key, if that was seen already.
    pub(super) async fn load_one(
        &self,
        key: &StoredKey,
        mut first: Option<Seen>,
    ) -> Result<Lookup, Error> {
        let (mut at, mut forwarded) = (*key, false);
        for _ in 0..=limits::FORWARD_HOPS {
            let (present, now) = match first.take() {
                Some(seen) => self.noted(&at, seen)?,
                None => self.read(&at).await?,
            };
            match present {
                Present::Alive(record) => return Ok(self.loaded(&at, *record, now, forwarded)),
                Present::Absent(_) if forwarded => return Ok(Lookup::Absent(Absence::Ended)),
                Present::Absent(absence) => return Ok(Lookup::Absent(absence)),
                Present::Forward(target) => (at, forwarded) = (target, true),
            }
        }
        Ok(Lookup::Absent(Absence::Ended))
    }

    fn loaded(&self, key: &StoredKey, record: Record, now: UnixMillis, forwarded: bool) -> Lookup {
        let Verdict::Alive {
            remaining,
            touch_due,
        } = decide(&record.times, now)
        else {
            return Lookup::Absent(Absence::Unknown);
        };
        self.shared.recent.see(key, &record);
        Lookup::Found(Loaded {
            record,
            remaining,
            touch_due,
            forwarded,
        })
    }

    /// What is under a key, and the server's time. A load that found its connection broken tries
    /// once more: reading twice does no harm.
    pub(super) async fn read(&self, key: &StoredKey) -> Result<Seen, Error> {
        let read = self.read_once(key).await;
        if let (Err(failure), Some(script)) = (&read, self.layout.introduce())
            && failure.class() == Class::NoScript
        {
            self.route.send(key.tag(), Lane::Main, vec![script]).await?;
        }
        let retry = matches!(&read, Err(failure) if may_try_again(failure));
        let seen = if retry {
            Box::pin(self.read_once(key)).await?
        } else {
            read?
        };
        self.noted(key, seen)
    }

    /// What was seen, unless the session is leaving for another node. What is gone need not be remembered.
    fn noted(&self, key: &StoredKey, (present, now): Seen) -> Result<Seen, Error> {
        if matches!(present, Present::Absent(_) | Present::Forward(_)) {
            self.shared.recent.forget(key);
        }
        if let Present::Forward(target) = &present {
            unless_left(key, target)?;
        }
        Ok((present, now))
    }

    async fn read_once(&self, key: &StoredKey) -> Result<Seen, Failure> {
        let name = keys::session(key);
        let seen = self
            .route
            .read(key.tag(), &|| self.layout.read(&name))
            .await?;
        let (kept, told) = self.layout.decode_timed(seen.reply)?;
        if let Some(now) = told {
            return Ok((kept.judge(seen.epoch, now), now));
        }
        if kept.may_be_over(seen.now) {
            return Box::pin(self.read_surely(key, &name)).await;
        }
        if matches!(kept, Kept::Record(..)) {
            self.steps.saw(key.tag(), seen.epoch, seen.now_at_least);
        }
        Ok((kept.judge(seen.epoch, seen.now), seen.now))
    }

    /// As [`RedisStore::read_once`], for what is over if the time is reckoned right: the server has
    /// the last word.
    async fn read_surely(&self, key: &StoredKey, name: &str) -> Result<Seen, Failure> {
        let commands = vec![
            self.layout.read(name),
            wire::command::<&str>("TIME", []),
            epoch::read(key.tag()),
        ];
        let replies = self.route.send(key.tag(), Lane::Main, commands).await?;
        let [raw, now, epoch] = wire::exactly(replies)?;
        let now = time(now)?;
        let kept = self.layout.decode(raw)?;
        Ok((kept.judge(epoch::decode(epoch)?, now), now))
    }
}

/// Whether a read that failed so may be taken once more.
fn may_try_again(failure: &Failure) -> bool {
    matches!(failure.class(), Class::Unreachable | Class::NoScript)
}

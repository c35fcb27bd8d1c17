//! Reading a session: one trip of plain commands. The server's time comes from what is left of the
//! key's life, which is always the record's own deadline.

use cloakroom_core::expiry::{Verdict, decide};
use cloakroom_core::id::{SlotTag, StoredKey};
use cloakroom_core::limits;
use cloakroom_core::store::{Absence, Loaded, Lookup};
use cloakroom_core::{Error, Record, UnixMillis};

use super::RedisStore;
use crate::epoch;
use crate::failure::{Class, Failure};
use crate::keys;
use crate::layout::{Kept, Present};
use crate::steps::time;
use crate::wire::{self, Lane, Reply};

/// PTTL of a key that is not there.
const NO_KEY: i64 = -2;

impl RedisStore {
    pub(super) async fn load_one(&self, key: &StoredKey) -> Result<Lookup, Error> {
        let (mut at, mut forwarded) = (*key, false);
        for _ in 0..=limits::FORWARD_HOPS {
            let (present, now) = self.read(&at).await?;
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
        self.shared.recent.put(key, record.clone());
        Lookup::Found(Loaded {
            record,
            remaining,
            touch_due,
            forwarded,
        })
    }

    /// What is under a key, and the server's time. A load that found its connection broken tries
    /// once more: reading twice does no harm.
    pub(super) async fn read(&self, key: &StoredKey) -> Result<(Present, UnixMillis), Error> {
        let read = self.read_once(key).await;
        if let (Err(failure), Some(script)) = (&read, self.layout.introduce())
            && failure.class() == Class::NoScript
        {
            self.route.send(key.tag(), Lane::Main, vec![script]).await?;
        }
        let again = [Class::Unreachable, Class::NoScript];
        let retry = matches!(&read, Err(failure) if again.contains(&failure.class()));
        let (present, now) = if retry {
            self.read_once(key).await?
        } else {
            read?
        };
        if matches!(present, Present::Absent(_) | Present::Forward(_)) {
            self.shared.recent.forget(key);
        }
        Ok((present, now))
    }

    async fn read_once(&self, key: &StoredKey) -> Result<(Present, UnixMillis), Failure> {
        let name = keys::session(key);
        let commands = vec![
            self.layout.read(&name),
            wire::command("PTTL", [&name]),
            epoch::read(key.tag()),
        ];
        let replies = self.route.send(key.tag(), Lane::Main, commands).await?;
        let [raw, left, epoch] = wire::exactly(replies)?;
        let epoch = epoch::decode(epoch)?;
        let (kept, told) = self.layout.decode_timed(raw)?;
        if let Some(now) = told {
            return Ok((kept.judge(epoch, now), now));
        }
        let deadline = match &kept {
            Kept::Nothing => UnixMillis::default(),
            Kept::Record(record, _) => record.times.deadline(),
            Kept::Ended(marker) => marker.forgotten_at,
        };
        let now = match wire::integer(&left)? {
            _ if kept == Kept::Nothing => UnixMillis::default(),
            // It was there for the first command and is over for the second.
            NO_KEY => deadline,
            left if left >= 0 => {
                deadline.saturating_sub(std::time::Duration::from_millis(left.cast_unsigned()))
            }
            // The key lost its life; the times inside the record decide alone.
            _ => self.server_time(key.tag()).await?,
        };
        if matches!(kept, Kept::Record(..)) && now < deadline {
            self.steps.saw(key.tag(), epoch, now);
        }
        Ok((kept.judge(epoch, now), now))
    }

    async fn server_time(&self, tag: SlotTag) -> Result<UnixMillis, Failure> {
        let commands = vec![wire::command::<&str>("TIME", [])];
        let replies = self.route.send(tag, Lane::Main, commands).await?;
        let [reply]: [Reply; 1] = wire::exactly(replies)?;
        time(reply)
    }
}

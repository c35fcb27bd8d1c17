//! Any store of ours for applications that use tower-sessions: they swap the store and keep their code.
//!
//! ```
//! use cloakroom::embedded::EmbeddedStore;
//! use cloakroom::tower_sessions::TowerSessionsStore;
//! use tower_sessions::SessionManagerLayer;
//!
//! let store = TowerSessionsStore::new(EmbeddedStore::default());
//! let layer = SessionManagerLayer::new(store);
//! # let _ = layer;
//! ```
//!
//! # What it gives
//!
//! - Parallel requests that change different keys both keep their change. tower-sessions hands over
//!   whole records; what each request was given is known again when it saves, and only the difference
//!   is written. On the same key the last save wins.
//! - A request that saves after its session has ended gets an error, which the layer makes a 500
//!   without a cookie. The session stays ended.
//! - An id that a visitor brings is never made a session's: every new session gets a new one, also
//!   after `flush` and for a cookie that nobody knows.
//! - Ids are hashed at rest, and expiry is decided by the store's clock.
//!
//! # What it cannot give
//!
//! - `cycle_id` deletes before it creates, so a request that was in flight with the old id ends as
//!   above. [`Session`](crate::Session) forwards it.
//! - Nobody knows whose session it is: no list of a user's sessions, no "log out everywhere".
//! - `clear` keeps the id. For a visitor whose session is gone, a `clear` and what follows cannot be
//!   saved and is a 500; `flush` is right there.
//! - A session does not live longer than 400 days from its creation; and an expiry that is set longer
//!   than at its creation needs [`TowerSessionsStore::longest_expiry`].
//! - Names of keys have up to 64 bytes, and the other [`limits`] hold.

mod difference;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use cloakroom_core::codec;
use cloakroom_core::id::{Handle, SlotTag, StoredKey};
use cloakroom_core::record::{Changes, Condition, Fields, NewSession, Value};
use cloakroom_core::store::{Applied, Loaded, Lookup};
use cloakroom_core::{Entropy, Error, ErrorKind, Lifetimes, OsEntropy, Store, limits};
use sha2::{Digest, Sha256};
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{self, ExpiredDeletion, SessionStore};

use self::difference::{Base, LIFE};

const KEY_DOMAIN: &[u8] = b"cloakroom/tower-sessions/1:";
/// Tries to find an unused id. A second collision of 128 random bits means a broken generator.
const TRIES: u32 = 2;

/// A store of ours as tower-sessions wants it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TowerSessionsStore {
    store: Arc<dyn Store>,
    longest: Duration,
}

impl TowerSessionsStore {
    /// Sessions in `store`.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self::shared(Arc::new(store))
    }

    /// Sessions in a store that others hold too.
    #[must_use]
    pub const fn shared(store: Arc<dyn Store>) -> Self {
        let longest = Duration::ZERO;
        Self { store, longest }
    }

    /// The longest expiry that the application gives a session after it was created (by `set_expiry`,
    /// say for "remember me", without `cycle_id`). Each session's own expiry holds all the same; this
    /// is for how long the store keeps it at most.
    #[must_use]
    pub fn longest_expiry(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    async fn create_as(&self, record: &mut Record) -> Result<(), Error> {
        let life = life_of(record);
        let fields = difference::all(record, life)?;
        let idle = life.max(self.longest);
        let idle = idle.clamp(limits::LIFETIME_MIN, limits::LIFETIME);
        let new = NewSession {
            handle: Handle::generate(&OsEntropy)?,
            lifetimes: Lifetimes::sliding(idle)?,
            subject: None,
            label: None,
            max_sessions: None,
            fields: Fields::default().changed(&fields)?.0,
        };
        for _ in 0..TRIES {
            record.id = new_id()?;
            // One that is over already is nowhere.
            if life.is_zero() {
                return Ok(());
            }
            match self.store.create(&key(&record.id), &new).await {
                Err(error) if *error.kind() == ErrorKind::Collision => {}
                Ok(_) => return Base::of(record, life, idle)?.put(record),
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::Collision.into())
    }

    async fn save_as(&self, record: &Record) -> Result<(), Error> {
        let (key, life) = (key(&record.id), life_of(record));
        if life.is_zero() {
            self.store.destroy(&key).await?;
            return Ok(());
        }
        let changes = match Base::get(record) {
            Some(base) => base.changes_to(record, life)?,
            None => self.replace(&key, record, life).await?,
        };
        match self.store.apply(&key, &changes, &Condition::Always).await? {
            Applied::Done { .. } => Ok(()),
            Applied::Absent(_) => Err(ErrorKind::SessionEnded.into()),
            Applied::Conflict { .. } => Err(ErrorKind::Conflict.into()),
        }
    }

    /// What makes the session this record and nothing else: it was cleared.
    async fn replace(
        &self,
        key: &StoredKey,
        record: &Record,
        life: Duration,
    ) -> Result<Changes, Error> {
        let mut changes = difference::all(record, life)?;
        let Lookup::Found(loaded) = self.store.load(key).await? else {
            return Err(ErrorKind::SessionEnded.into());
        };
        for (name, _) in &loaded.record.fields {
            if changes.get(name).is_none() {
                changes.remove(name)?;
            }
        }
        Ok(changes)
    }

    async fn load_as(&self, id: &Id) -> Result<Option<Record>, Error> {
        let Lookup::Found(loaded) = self.store.load(&key(id)).await? else {
            return Ok(None);
        };
        let Some((life, left)) = what_is_left(&loaded)? else {
            return Ok(None);
        };
        let mut record = Record {
            id: *id,
            data: Default::default(),
            expiry_date: (SystemTime::now() + left).into(),
        };
        for (name, value) in &loaded.record.fields {
            if name != LIFE {
                record
                    .data
                    .insert(name.to_owned(), codec::decode(name, value)?);
            }
        }
        let idle = loaded.record.times.lifetimes.idle();
        Base::of(&record, life, idle.unwrap_or(limits::LIFETIME))?.put(&mut record)?;
        Ok(Some(record))
    }
}

#[async_trait]
impl SessionStore for TowerSessionsStore {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        self.create_as(record).await.map_err(|error| told(&error))
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        self.save_as(record).await.map_err(|error| told(&error))
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        self.load_as(id).await.map_err(|error| told(&error))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let deleted = self.store.destroy(&key(id)).await;
        deleted.map(drop).map_err(|error| told(&error))
    }
}

#[async_trait]
impl ExpiredDeletion for TowerSessionsStore {
    /// Does nothing: our stores let go of what expired by themselves.
    async fn delete_expired(&self) -> session_store::Result<()> {
        Ok(())
    }
}

/// The key of a session. The tag is taken from the hash: tower-sessions knows no users whose sessions
/// would have to lie together.
fn key(id: &Id) -> StoredKey {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(KEY_DOMAIN)
        .chain_update(id.0.to_le_bytes())
        .finalize()
        .into();
    let number = u16::from_be_bytes([hash[0], hash[1]]) >> 4;
    let tag = SlotTag::new(number).expect("12 bits are a tag");
    StoredKey::from_parts(tag, hash)
}

/// From the system's generator, like all ids of ours.
fn new_id() -> Result<Id, Error> {
    let mut bytes = [0; 16];
    OsEntropy.fill(&mut bytes)?;
    Ok(Id(i128::from_le_bytes(bytes)))
}

/// How long the session is to live from now on, in whole seconds. The application's clock is asked
/// twice and only the difference counts, so it may be as wrong as it likes.
fn life_of(record: &Record) -> Duration {
    let left = (record.expiry_date - SystemTime::now()).whole_milliseconds();
    let seconds = u64::try_from(left).unwrap_or_default().div_ceil(1000);
    Duration::from_secs(seconds).min(limits::LIFETIME)
}

/// The life that was said at the last save, and what is left of it; `None` if it is over. By the
/// store's clock: the store tells what is left until a deadline, and so the time.
fn what_is_left(loaded: &Loaded) -> Result<Option<(Duration, Duration)>, Error> {
    let record = &loaded.record;
    let now = record.times.deadline().saturating_sub(loaded.remaining);
    let Some(life) = record.fields.get(LIFE) else {
        return Err(ErrorKind::Undecodable {
            field: LIFE.to_owned(),
        }
        .into());
    };
    let life = Duration::from_millis(u64::try_from(life.as_integer(LIFE)?).unwrap_or_default());
    let left = record.times.seen_at.saturating_add(life).since(now);
    let left = left.min(loaded.remaining);
    Ok((!left.is_zero()).then_some((life, left)))
}

/// How long a session lives, as its field says it.
fn life_value(life: Duration) -> Value {
    Value::integer(i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
}

/// Our error as theirs. It holds no id and no payload.
fn told(error: &Error) -> session_store::Error {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    match error.kind() {
        ErrorKind::Undecodable { .. } | ErrorKind::NotAnInteger { .. } => {
            session_store::Error::Decode(words)
        }
        ErrorKind::Unencodable { .. } | ErrorKind::Limit { .. } | ErrorKind::Invalid { .. } => {
            session_store::Error::Encode(words)
        }
        _ => session_store::Error::Backend(words),
    }
}

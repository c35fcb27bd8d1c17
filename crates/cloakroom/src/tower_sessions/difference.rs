//! What a request changed. tower-sessions hands over whole records, so each record that goes out
//! carries what it was, as hashes of its values, under a name that is never stored: a save finds it
//! again and writes the difference, however many requests have the same session in their hands.

use std::collections::HashMap;
use std::time::Duration;

use cloakroom_core::codec::{self, Codec};
use cloakroom_core::record::{Changes, Value};
use cloakroom_core::{Error, ErrorKind};
use sha2::{Digest, Sha256};
use tower_sessions_core::session::Record;

use super::life_value;

/// The field that says how long the session lives from its last save on, in ms.
pub(super) const LIFE: &str = "tower-sessions.life";
/// Where a record carries what it was. Never stored, and no name that anybody writes.
const BASE: &str = "\0cloakroom";

/// What a record was when it went out.
pub(super) struct Base {
    life: u64,
    /// The longest life that the store keeps it for.
    idle: u64,
    fields: HashMap<String, u64>,
}

impl Base {
    /// What this record is now.
    pub(super) fn of(record: &Record, life: Duration, idle: Duration) -> Result<Self, Error> {
        let mut fields = HashMap::new();
        for (name, value) in values(record)? {
            fields.insert(name.to_owned(), hash(&value));
        }
        let [life, idle] = [life, idle].map(millis);
        Ok(Self { life, idle, fields })
    }

    /// What this record was; `None` if it was cleared since, or never went out.
    pub(super) fn get(record: &Record) -> Option<Self> {
        let value = codec::encode(Codec::Json, BASE, record.data.get(BASE)?).ok()?;
        let (life, idle, fields) = codec::decode(BASE, value.as_ref()).ok()?;
        Some(Self { life, idle, fields })
    }

    /// Lets the record carry it.
    pub(super) fn put(&self, record: &mut Record) -> Result<(), Error> {
        let parts = (self.life, self.idle, &self.fields);
        let value = codec::encode(Codec::Json, BASE, &parts)?;
        let value = codec::decode(BASE, value.as_ref())?;
        record.data.insert(BASE.to_owned(), value);
        Ok(())
    }

    /// What makes it this record.
    pub(super) fn changes_to(&self, record: &Record, life: Duration) -> Result<Changes, Error> {
        let mut changes = Changes::new();
        for (name, value) in values(record)? {
            if self.fields.get(name) != Some(&hash(&value)) {
                changes.set(name, value)?;
            }
        }
        for name in self.fields.keys() {
            if !record.data.contains_key(name) {
                changes.remove(name)?;
            }
        }
        if self.life != millis(life) {
            changes.set(LIFE, life_value(life))?;
        }
        if millis(life) > self.idle {
            tracing::warn!(
                asked_ms = millis(life),
                kept_ms = self.idle,
                "a session is to live longer than it was created for, and will end earlier: say \
                 TowerSessionsStore::longest_expiry, or cycle_id after set_expiry"
            );
        }
        Ok(changes)
    }
}

/// All of a record, as it is stored first.
pub(super) fn all(record: &Record, life: Duration) -> Result<Changes, Error> {
    let mut changes = Changes::new();
    for (name, value) in values(record)? {
        changes.set(name, value)?;
    }
    changes.set(LIFE, life_value(life))?;
    Ok(changes)
}

/// The application's values, by name, as they are stored.
fn values(record: &Record) -> Result<Vec<(&str, Value)>, Error> {
    if record.data.contains_key(LIFE) {
        let what = "the key tower-sessions.life is taken";
        return Err(ErrorKind::Invalid { what }.into());
    }
    let data = record.data.iter().filter(|(name, _)| *name != BASE);
    let values = data.map(|(name, value)| {
        let encoded = codec::encode(Codec::Json, name, value)?;
        Ok((name.as_str(), encoded))
    });
    values.collect()
}

fn hash(value: &Value) -> u64 {
    let digest = Sha256::digest(value.as_ref().bytes);
    let first = digest.iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

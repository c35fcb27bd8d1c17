//! Reading and changing the fields of a session.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Session;
use super::state::Ticket;
use crate::codec;
use crate::error::{Error, ErrorKind};
use crate::limits;
use crate::observe::Event;
use crate::record::{Change, Changes, Condition, FieldName, Value, ValueRef};
use crate::store::{Absence, Applied};

impl Session {
    /// The value of the field `name`, if there is one. Loads the session if that was not done.
    ///
    /// # Errors
    /// [`ErrorKind::Undecodable`] if the field is no `T`: the session and its other fields are not
    /// concerned. The store's errors.
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        self.read(name, |value| codec::decode(name, value)).await
    }

    /// The Protocol Buffers message in the field `name`, if there is one.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn get_message<M: prost::Message + Default>(
        &self,
        name: &str,
    ) -> Result<Option<M>, Error> {
        self.read(name, |value| codec::decode_message(name, value))
            .await
    }

    /// Whether there is a field `name`.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn contains(&self, name: &str) -> Result<bool, Error> {
        Ok(self.read(name, |_| Ok(())).await?.is_some())
    }

    /// The names of all fields, in no order.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        self.load().await?;
        Ok(self.lock().names())
    }

    /// The field `name` gets `value`. Written with everything else that is set, before the
    /// response; if no session exists yet, that creates one.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] with limit and size if it is too large, [`ErrorKind::Unencodable`],
    /// [`ErrorKind::Finished`].
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Error> {
        self.set_value(name, codec::encode(self.config().codec, name, value)?)
    }

    /// The field `name` gets this Protocol Buffers message.
    ///
    /// # Errors
    /// As [`Session::set`].
    pub fn set_message<M: prost::Message>(&self, name: &str, message: &M) -> Result<(), Error> {
        self.set_value(name, codec::encode_message(message))
    }

    /// The field `name` goes.
    ///
    /// # Errors
    /// As [`Session::set`].
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let mut state = self.lock();
        state.open_for_changes()?;
        state.overlay.remove(name)
    }

    /// Reads the field `name` and removes it, in one step: of many takers one gets it. For tokens
    /// that may be used once.
    ///
    /// # Errors
    /// As [`Session::update`]. A value that does not decode stays where it is.
    pub async fn take<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let mut taken = None;
        self.compare_and_set(name, |old| {
            taken = old.map(|value| codec::decode(name, value)).transpose()?;
            Ok(taken.is_some().then_some(Change::Remove))
        })
        .await?;
        Ok(taken)
    }

    /// Adds `by` to the integer in the field `name`, in one step, now; a missing field counts as 0.
    /// Returns the sum.
    ///
    /// # Errors
    /// [`ErrorKind::NotAnInteger`], [`ErrorKind::SessionEnded`], [`ErrorKind::Finished`], the
    /// store's errors.
    pub async fn increment(&self, name: &str, by: i64) -> Result<i64, Error> {
        let _gate = self.0.gate.lock().await;
        let key = {
            let mut state = self.lock();
            state.open_for_changes()?;
            if matches!(state.ticket, Ticket::Gone(Absence::Ended)) {
                return Err(ErrorKind::SessionEnded.into());
            }
            if state.is_local(name) {
                None
            } else {
                state.key()
            }
        };
        if let Some(key) = key
            && let Some(sum) = self.increment_stored(key, name, by).await?
        {
            return Ok(sum);
        }
        let mut state = self.lock();
        let old = state
            .value(name)
            .map_or(Ok(0), |value| value.as_integer(name))?;
        let sum = old.checked_add(by);
        let sum = sum.ok_or_else(|| ErrorKind::NotAnInteger {
            field: name.to_owned(),
        })?;
        state.overlay.set(name, Value::integer(sum))?;
        Ok(sum)
    }

    /// Replaces the value of the field `name` by what `change` makes of it, provided that nobody
    /// changed it in between; else `change` is asked again with the newer value. Returns what was
    /// stored. Writers of other fields do not disturb it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] after [`limits::UPDATE_TRIES`] tries, [`ErrorKind::SessionEnded`],
    /// [`ErrorKind::Finished`], as [`Session::get`] and [`Session::set`].
    pub async fn update<T, F>(&self, name: &str, mut change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> T,
    {
        let codec = self.config().codec;
        let mut stored = None;
        self.compare_and_set(name, |old| {
            let old = old.map(|value| codec::decode(name, value)).transpose()?;
            let new = change(old);
            let value = codec::encode(codec, name, &new)?;
            stored = Some(new);
            Ok(Some(Change::Set(value)))
        })
        .await?;
        stored.ok_or_else(|| ErrorKind::Conflict.into())
    }

    /// Leaves a message for the next page: it is there until [`Session::take_flash`] reads it.
    ///
    /// # Errors
    /// As [`Session::set`].
    pub fn flash<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Error> {
        self.set(&flash_field(name), value)
    }

    /// Reads and removes a message that an earlier request left; of parallel requests one gets it.
    ///
    /// # Errors
    /// As [`Session::take`].
    pub async fn take_flash<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        self.take(&flash_field(name)).await
    }

    fn set_value(&self, name: &str, value: Value) -> Result<(), Error> {
        let mut state = self.lock();
        state.open_for_changes()?;
        let set = state.overlay.set(name, value);
        drop(state);
        if let Err(error) = &set
            && let ErrorKind::Limit { what, .. } = error.kind()
        {
            self.observe(&Event::LimitExceeded(what));
        }
        set
    }

    async fn read<T>(
        &self,
        name: &str,
        decode: impl FnOnce(ValueRef<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let must_load = {
            let mut state = self.lock();
            state.accessed = true;
            state.must_load(name)
        };
        if must_load {
            self.load().await?;
        }
        let decoded = self.lock().value(name).map(decode).transpose();
        if let Err(error) = &decoded
            && matches!(error.kind(), ErrorKind::Undecodable { .. })
        {
            self.observe(&Event::Undecodable);
        }
        decoded
    }

    /// `None`: there is no stored session, so the field is local.
    async fn increment_stored(
        &self,
        key: crate::StoredKey,
        name: &str,
        by: i64,
    ) -> Result<Option<i64>, Error> {
        let mut changes = Changes::new();
        changes.increment(name, by)?;
        let was_live = self.lock().was_alive();
        let (_, applied) = self.apply(key, changes, Condition::Always).await;
        match applied? {
            Applied::Done {
                version,
                increments,
            } => {
                let sum = increments.first().copied();
                let sum = sum.ok_or(ErrorKind::StoreUnavailable)?;
                let mut state = self.lock();
                state.acknowledge_value(FieldName::new(name)?, Value::integer(sum), version);
                state.touch = None;
                Ok(Some(sum))
            }
            Applied::Absent(Absence::Unknown) if !was_live => {
                self.note_absence(Absence::Unknown);
                Ok(None)
            }
            Applied::Absent(_) => {
                self.note_absence(Absence::Ended);
                Err(ErrorKind::SessionEnded.into())
            }
            Applied::Conflict { .. } => Err(ErrorKind::Conflict.into()),
        }
    }

    /// Changes one field as long as it is what `decide` saw. `decide` gives `None` for no change.
    async fn compare_and_set(
        &self,
        name: &str,
        mut decide: impl FnMut(Option<ValueRef<'_>>) -> Result<Option<Change>, Error>,
    ) -> Result<(), Error> {
        self.lock().open_for_changes()?;
        self.load().await?;
        let _gate = self.0.gate.lock().await;
        let field = FieldName::new(name)?;
        for _ in 0..limits::UPDATE_TRIES {
            let (key, old) = {
                let state = self.lock();
                let old = state.value(name).map(ValueRef::to_value);
                (state.key().filter(|_| !state.is_local(name)), old)
            };
            // Without a lock: it is the application's, and may use this very session.
            let Some(change) = decide(old.as_ref().map(Value::as_ref))? else {
                return Ok(());
            };
            let key = {
                let mut state = self.lock();
                state.open_for_changes()?;
                if matches!(state.ticket, Ticket::Gone(Absence::Ended)) {
                    return Err(ErrorKind::SessionEnded.into());
                }
                let Some(key) = key else {
                    state.overlay.push(field, change);
                    return Ok(());
                };
                key
            };
            let condition = Condition::Field {
                name: field.clone(),
                expected: old,
            };
            let mut changes = Changes::new();
            changes.push(field.clone(), change);
            let (changes, applied) = self.apply(key, changes, condition).await;
            match applied? {
                Applied::Done { version, .. } => {
                    let mut state = self.lock();
                    state.acknowledge(changes, version);
                    state.touch = None;
                    return Ok(());
                }
                Applied::Conflict { .. } => self.reload(key).await?,
                Applied::Absent(_) => self.note_absence(Absence::Ended),
            }
        }
        Err(ErrorKind::Conflict.into())
    }
}

fn flash_field(name: &str) -> String {
    format!("flash.{name}")
}

//! What a case of the contract has in its hands: a fresh store, time, ids, and short words for what
//! cases do all the time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::clock::ManualClock;
use super::entropy::SeededEntropy;
use super::poll;
use crate::codec::Codec;
use crate::expiry::Lifetimes;
use crate::id::{Handle, PresentedId, SessionId, SlotTag, StoredKey};
use crate::record::{
    Changes, Condition, Fields, Keep, Login, NewSession, Record, Rotation, Subject, Value,
};
use crate::session::{BoxFuture, Sessions, Spawn};
use crate::store::{Absence, Applied, Loaded, Lookup, Rotated, Store};
use crate::{Error, ErrorKind};

/// Makes the stores under test. Whoever writes a store implements it.
pub trait StoreFactory: Send + Sync + 'static {
    /// An empty store that shares nothing with any other, and the time it lives in.
    fn fresh(&self) -> BoxFuture<Fresh>;

    /// Runs a case. Stores that need a runtime start one here.
    fn run(&self, case: BoxFuture<()>) {
        poll::block_on(case);
    }

    /// Where operations run that must be at the same time. A store that needs a runtime gives one
    /// that spawns on the runtime of [`StoreFactory::run`].
    fn spawn(&self) -> Arc<dyn Spawn> {
        Arc::new(poll::ThreadSpawn)
    }
}

/// A store to test.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The time it lives in.
    pub time: Time,
}

/// How time passes for a store.
#[derive(Clone)]
pub enum Time {
    /// The store asks this clock: all cases run.
    Driven(ManualClock),
    /// The store has a clock that nobody can move (a server's). Cases that would take minutes, or need
    /// the clock to jump, are left out.
    Real {
        /// The smallest step of time in a case, such as a second: longer than all that a case does
        /// between two waits.
        unit: Duration,
        /// How cases wait.
        wait: fn(Duration) -> BoxFuture<()>,
    },
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driven(clock) => write!(f, "Driven({clock:?})"),
            Self::Real { unit, .. } => write!(f, "Real({unit:?})"),
        }
    }
}

/// A promise that was not kept, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self(format!("an operation failed: {error} ({error:?})"))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of a case.
pub(super) type Checked<T = ()> = Result<T, Broken>;

/// Leaves a case if something does not hold.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err($crate::testkit::Broken(format!($($words)+)));
        }
    };
}

/// Leaves a case if two values differ.
macro_rules! ensure_eq {
    ($is:expr, $should:expr, $($words:tt)+) => {
        match (&$is, &$should) {
            (is, should) => if is != should {
                let words = format!($($words)+);
                let text = format!("{words}: it is {is:?}, it should be {should:?}");
                return Err($crate::testkit::Broken(text));
            },
        }
    };
}

pub(super) use {ensure, ensure_eq};

/// A fresh store and everything to try it with. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Kit {
    pub(super) store: Arc<dyn Store>,
    pub(super) time: Time,
    pub(super) spawn: Arc<dyn Spawn>,
    pub(super) entropy: Arc<SeededEntropy>,
}

impl Kit {
    pub(super) fn new(fresh: Fresh, spawn: Arc<dyn Spawn>) -> Self {
        Self {
            store: fresh.store,
            time: fresh.time,
            spawn,
            entropy: Arc::new(SeededEntropy::new(1)),
        }
    }

    /// The smallest step of time in a case: a minute, or what the store's time says.
    pub(super) fn unit(&self) -> Duration {
        match self.time {
            Time::Driven(_) => Duration::from_secs(60),
            Time::Real { unit, .. } => unit,
        }
    }

    /// Lets `time` pass.
    pub(super) async fn pass(&self, time: Duration) {
        match &self.time {
            Time::Driven(clock) => clock.advance(time),
            Time::Real { wait, .. } => wait(time).await,
        }
    }

    /// The clock, in cases that are marked `driven`.
    pub(super) fn clock(&self) -> Checked<&ManualClock> {
        match &self.time {
            Time::Driven(clock) => Ok(clock),
            Time::Real { .. } => Err(Broken(
                "this case needs a clock that it can move".to_owned(),
            )),
        }
    }

    pub(super) fn id(&self, subject: Option<&Subject>) -> Checked<SessionId> {
        let tag = match subject {
            Some(subject) => SlotTag::of_subject(subject),
            None => SlotTag::random(&*self.entropy).map_err(Error::from)?,
        };
        Ok(SessionId::generate(tag, &*self.entropy).map_err(Error::from)?)
    }

    /// A new key for a session without a subject.
    pub(super) fn key(&self) -> Checked<StoredKey> {
        Ok(self.id(None)?.key_as(self.store.key_form()))
    }

    /// A new key for a session of `subject`.
    pub(super) fn key_of(&self, subject: &Subject) -> Checked<StoredKey> {
        Ok(self.id(Some(subject))?.key_as(self.store.key_form()))
    }

    /// A session without a subject that lives for hours.
    pub(super) fn anonymous(&self) -> Checked<NewSession> {
        Ok(NewSession {
            handle: Handle::generate(&*self.entropy).map_err(Error::from)?,
            lifetimes: self.lifetimes(240, 2400)?,
            subject: None,
            label: None,
            max_sessions: None,
            fields: Fields::default(),
        })
    }

    /// Lifetimes in units.
    pub(super) fn lifetimes(&self, idle: u32, absolute: u32) -> Checked<Lifetimes> {
        Ok(Lifetimes::new(self.unit() * idle, self.unit() * absolute)?)
    }

    /// A session of `subject`, else like [`Kit::anonymous`].
    pub(super) fn of(&self, subject: &Subject) -> Checked<NewSession> {
        Ok(NewSession {
            subject: Some(subject.clone()),
            ..self.anonymous()?
        })
    }

    /// Creates `new` under a fitting key.
    pub(super) async fn begin(&self, new: &NewSession) -> Checked<(StoredKey, Record)> {
        let key = match &new.subject {
            Some(subject) => self.key_of(subject)?,
            None => self.key()?,
        };
        let record = self.store.create(&key, new).await?;
        Ok((key, record))
    }

    /// The session under `key`, which must be there.
    pub(super) async fn alive(&self, key: &StoredKey, when: &str) -> Checked<Loaded> {
        let loaded = match self.store.load(key).await? {
            Lookup::Found(loaded) => loaded,
            Lookup::Absent(absence) => {
                return Err(Broken(format!("{when}: no session ({absence:?})")));
            }
        };
        match self.store.load_at_once(key) {
            Some(Lookup::Absent(absence)) => Err(Broken(format!(
                "{when}: no session ({absence:?}), asked at once"
            ))),
            Some(Lookup::Found(at_once)) if at_once.record.version < loaded.record.version => {
                Err(Broken(format!("{when}: an old session, asked at once")))
            }
            _ => Ok(loaded),
        }
    }

    /// That there is no session under `key`, and why.
    pub(super) async fn gone(&self, key: &StoredKey, when: &str) -> Checked<Absence> {
        let absence = match self.store.load(key).await? {
            Lookup::Absent(absence) => absence,
            Lookup::Found(_) => return Err(Broken(format!("{when}: there is a session"))),
        };
        match self.store.load_at_once(key) {
            Some(Lookup::Found(_)) => {
                Err(Broken(format!("{when}: there is a session, asked at once")))
            }
            _ => Ok(absence),
        }
    }

    /// Changes a session, which must be there, and gives its new version.
    pub(super) async fn write(&self, key: &StoredKey, changes: &Changes) -> Checked<u64> {
        match self.store.apply(key, changes, &Condition::Always).await? {
            Applied::Done { version, .. } => Ok(version),
            other => Err(Broken(format!("a write to a live session gave {other:?}"))),
        }
    }

    /// Takes a session, which must be there, to a new key.
    pub(super) async fn turn(
        &self,
        old: &StoredKey,
        rotation: &Rotation,
    ) -> Checked<(StoredKey, Record)> {
        let new = match &rotation.login {
            Some(login) => self.key_of(&login.subject)?,
            None => {
                let id = SessionId::generate(old.tag(), &*self.entropy).map_err(Error::from)?;
                id.key_as(self.store.key_form())
            }
        };
        match self.store.rotate(old, &new, rotation).await? {
            Rotated::Done(record) => Ok((new, *record)),
            Rotated::Absent(absence) => Err(Broken(format!(
                "the rotation of a live session found none ({absence:?})"
            ))),
        }
    }

    /// A login of `subject` with this session's usual lifetimes.
    pub(super) fn login(&self, subject: &Subject) -> Checked<Rotation> {
        Ok(Rotation {
            changes: Changes::new(),
            login: Some(Login {
                subject: subject.clone(),
                label: None,
                lifetimes: self.lifetimes(240, 2400)?,
                max_sessions: None,
                keep: Keep::All,
            }),
            grace: Duration::ZERO,
        })
    }

    /// Sessions over this store, as an application has them.
    pub(super) fn sessions(&self) -> Sessions {
        let entropy: Arc<SeededEntropy> = Arc::clone(&self.entropy);
        Sessions::new(Arc::clone(&self.store), entropy, Arc::clone(&self.spawn))
    }

    /// Runs `futures` at the same time on threads (or whatever the factory spawns on).
    pub(super) fn in_parallel<T: Send + 'static, F>(
        &self,
        futures: impl IntoIterator<Item = F>,
    ) -> BoxFuture<Checked<Vec<T>>>
    where
        F: Future<Output = Checked<T>> + Send + 'static,
    {
        let boxed = |future| -> BoxFuture<Checked<T>> { Box::pin(future) };
        let boxed: Vec<_> = futures.into_iter().map(boxed).collect();
        let spawn = Arc::clone(&self.spawn);
        Box::pin(async move {
            let outputs = poll::spawn_all(&*spawn, boxed).await;
            let panicked = || Broken("an operation panicked".to_owned());
            outputs
                .into_iter()
                .map(|output| output.ok_or_else(panicked)?)
                .collect()
        })
    }

    /// Runs `futures` in turn, a step at a time.
    pub(super) fn in_turn<'a, T: Send + 'a, F>(
        &self,
        futures: impl IntoIterator<Item = F>,
    ) -> Pin<Box<dyn Future<Output = Checked<Vec<T>>> + Send + 'a>>
    where
        F: Future<Output = Checked<T>> + Send + 'a,
    {
        let futures: Vec<F> = futures.into_iter().collect();
        Box::pin(async move { poll::join_all(futures).await.into_iter().collect() })
    }
}

/// A rotation without a login whose old key forwards for `grace`.
pub(super) fn grace(grace: Duration) -> Rotation {
    Rotation {
        grace,
        ..Rotation::default()
    }
}

/// A subject with this name.
pub(super) fn subject(name: &str) -> Checked<Subject> {
    Ok(Subject::new(name)?)
}

/// Fields that get these texts.
pub(super) fn sets<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Checked<Changes> {
    let mut changes = Changes::new();
    for (name, text) in fields {
        changes.set(name, text_value(text))?;
    }
    Ok(changes)
}

/// A field that is incremented.
pub(super) fn adds(name: &str, by: i64) -> Checked<Changes> {
    let mut changes = Changes::new();
    changes.increment(name, by)?;
    Ok(changes)
}

pub(super) fn text_value(text: &str) -> Value {
    Value::new(Codec::Raw, text.as_bytes())
}

/// The text in a field.
pub(super) fn text(record: &Record, name: &str) -> Option<String> {
    let value = record.fields.get(name)?;
    Some(String::from_utf8_lossy(value.bytes).into_owned())
}

/// Whether `result` is an error of this kind.
pub(super) fn refused<T: fmt::Debug>(
    result: Result<T, Error>,
    kind: &ErrorKind,
    when: &str,
) -> Checked {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        other => Err(Broken(format!("{when}: {other:?}, it should be {kind:?}"))),
    }
}

/// The id as a browser sends it back.
pub(super) fn present(id: &SessionId) -> Checked<PresentedId> {
    PresentedId::parse(id.expose_secret().as_bytes())
        .map_err(|error| Broken(format!("an own id does not parse: {error}")))
}

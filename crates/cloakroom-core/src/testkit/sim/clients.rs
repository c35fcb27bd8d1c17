//! Who does things in a simulation: visitors with a browser, and programs that ask the store
//! directly. What they do is thrown with the dice of the seed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::watch::Watch;
use crate::expiry::Lifetimes;
use crate::id::{Handle, PresentedId, SessionId, SlotTag, StoredKey};
use crate::observe::Operation;
use crate::policy::{MaxSessions, OnExcess, Policy};
use crate::record::{
    Changes, Condition, Fields, Keep, Login, NewSession, Rotation, Subject, Value,
};
use crate::session::{BoxFuture, Cookie, Session, Sessions, Spawn};
use crate::store::{Rotated, Store};
use crate::testkit::around::{Around, Wrapped};
use crate::testkit::entropy::SeededEntropy;
use crate::testkit::poll::{cancel_after, yield_now};
use crate::{Error, ErrorKind};

/// How long a simulation in calm weather lasts at most: shorter than any session's life.
pub(super) const CALM: Duration = Duration::from_secs(60);

/// What each client does, in operations or requests.
const DEEDS: i64 = 40;

/// What the clients share.
#[derive(Debug)]
pub(super) struct World {
    /// The store as clients see it: slow, and sometimes failing.
    store: Arc<dyn Store>,
    dice: Arc<SeededEntropy>,
    sessions: Sessions,
    pub(super) subjects: Vec<Subject>,
    /// The limit on a subject's sessions, in half of the seeds.
    pub(super) cap: Option<usize>,
    /// Keys that somebody has.
    keys: Mutex<Vec<StoredKey>>,
    lifetimes: Lifetimes,
}

impl World {
    pub(super) fn new(
        watch: Arc<Watch>,
        dice: Arc<SeededEntropy>,
        spawn: Arc<dyn Spawn>,
        stormy: bool,
    ) -> Self {
        let weather = Weather {
            dice: Arc::clone(&dice),
        };
        let store: Arc<dyn Store> = Wrapped::new(watch, weather);
        let cap = (dice.below(2) == 0).then_some(3);
        let (idle, absolute) = match (stormy, dice.below(2)) {
            (true, 0) => (600, 1800),
            (true, _) => (1800, 2000),
            (false, _) => (1800, 28_800),
        };
        let lifetimes = Lifetimes::constant(Some(idle), absolute);
        let mut policy = Policy::new(lifetimes);
        if let Some(cap) = cap {
            policy = policy.max_sessions(cap, OnExcess::RevokeOldest);
        }
        let entropy: Arc<SeededEntropy> = Arc::clone(&dice);
        let sessions = Sessions::new(Arc::clone(&store), entropy, spawn).policy(policy);
        let subjects = ["alice", "bob", "carol"]
            .map(|name| Subject::new(name).expect("a short name is a subject"));
        Self {
            store,
            dice,
            sessions,
            subjects: subjects.into(),
            cap,
            keys: Mutex::default(),
            lifetimes,
        }
    }

    /// A client with a number of its own: even ones are visitors, odd ones programs.
    pub(super) fn client(world: Arc<Self>, number: i64) -> BoxFuture<()> {
        Box::pin(async move {
            let mut jar = None;
            for deed in 1..=DEEDS {
                // Numbers grow with every write of a client, so that an older one can be told.
                let value = number * 1000 + deed;
                let polls = match world.dice.below(4) {
                    0 => 1 + world.dice.below(12),
                    _ => usize::MAX,
                };
                if number % 2 == 0 {
                    cancel_after(polls, world.visit(&mut jar, number, value)).await;
                } else {
                    drop(cancel_after(polls, world.ask(number, value)).await);
                }
            }
        })
    }

    /// One request of a browser: opens its session, does something, gets its response.
    async fn visit(&self, jar: &mut Option<PresentedId>, number: i64, value: i64) {
        let session = self.sessions.open(jar.as_ref());
        for _ in 0..=self.dice.below(2) {
            drop(self.act(&session, number, value).await);
        }
        let outcome = session.finish().await;
        match outcome.cookie {
            Cookie::Keep => {}
            Cookie::Clear => *jar = None,
            Cookie::Set { id, .. } => {
                self.keys.lock().push(id.key());
                *jar = PresentedId::parse(id.expose_secret().as_bytes()).ok();
            }
        }
        if let Some(key) = outcome.touch {
            drop(self.store.touch(&[key]).await);
        }
    }

    async fn act(&self, session: &Session, number: i64, value: i64) -> Result<(), Error> {
        match self.dice.below(12) {
            0 | 1 => drop(session.get::<i64>(&format!("c{number}")).await?),
            2..=5 => session.set(&format!("c{number}"), &value)?,
            6 | 7 => drop(session.increment("count", 1).await?),
            8 => session.rotate()?,
            9 => session.login(self.subject().as_str()).await?,
            10 => session.logout().await?,
            _ => drop(session.logout_everywhere_else().await?),
        }
        Ok(())
    }

    /// One question of a program.
    async fn ask(&self, number: i64, value: i64) -> Result<(), Error> {
        let store = &self.store;
        let Some(key) = self.some_key() else {
            return self.create().await;
        };
        match self.dice.below(24) {
            0..=2 => self.create().await?,
            3..=6 => drop(store.load(&key).await?),
            7..=10 => {
                let mut changes = Changes::new();
                changes.set(&format!("c{number}"), Value::integer(value))?;
                drop(store.apply(&key, &changes, &Condition::Always).await?);
            }
            11..=14 => {
                let mut changes = Changes::new();
                changes.increment("count", 1)?;
                drop(store.apply(&key, &changes, &Condition::Always).await?);
            }
            15 => drop(store.touch(&[key]).await?),
            16 | 17 => self.turn(&key, None).await?,
            18 | 19 => self.turn(&key, Some(self.subject())).await?,
            20 => drop(store.destroy(&key).await?),
            21 => {
                let subject = self.subject();
                let listed = store.of_subject(&subject).await?;
                if let Some(info) = listed.last() {
                    store.revoke(&subject, &info.handle).await?;
                }
            }
            22 => drop(store.revoke_subject(&self.subject(), None).await?),
            _ if self.dice.below(8) == 0 => store.revoke_all().await?,
            _ => drop(store.of_subject(&self.subject()).await?),
        }
        Ok(())
    }

    async fn create(&self) -> Result<(), Error> {
        let subject = (self.dice.below(2) == 0).then(|| self.subject());
        let key = self.key(subject.as_ref())?;
        let new = NewSession {
            handle: Handle::generate(&*self.dice)?,
            lifetimes: self.lifetimes,
            subject,
            label: None,
            max_sessions: self.most(),
            fields: Fields::default(),
        };
        self.store.create(&key, &new).await?;
        self.keys.lock().push(key);
        Ok(())
    }

    async fn turn(&self, old: &StoredKey, subject: Option<Subject>) -> Result<(), Error> {
        let new = match &subject {
            Some(subject) => self.key(Some(subject))?,
            None => StoredKey::from_parts(old.tag(), *self.key(None)?.hash()),
        };
        let login = subject.map(|subject| Login {
            subject,
            label: None,
            lifetimes: self.lifetimes,
            max_sessions: self.most(),
            keep: Keep::All,
        });
        let rotation = Rotation {
            changes: Changes::new(),
            login,
            grace: Duration::from_secs(30 * self.dice.below(2) as u64),
        };
        if let Rotated::Done(_) = self.store.rotate(old, &new, &rotation).await? {
            self.keys.lock().push(new);
        }
        Ok(())
    }

    fn key(&self, subject: Option<&Subject>) -> Result<StoredKey, Error> {
        let tag = match subject {
            Some(subject) => SlotTag::of_subject(subject),
            None => SlotTag::random(&*self.dice)?,
        };
        Ok(SessionId::generate(tag, &*self.dice)?.key())
    }

    fn subject(&self) -> Subject {
        self.subjects[self.dice.below(self.subjects.len())].clone()
    }

    fn most(&self) -> Option<MaxSessions> {
        self.cap.map(|limit| MaxSessions {
            limit,
            on_excess: OnExcess::RevokeOldest,
        })
    }

    /// One of the last keys that somebody got: old ones are mostly dead.
    fn some_key(&self) -> Option<StoredKey> {
        let keys = self.keys.lock();
        let recent = keys.len().min(8);
        let back = self.dice.below(recent.max(1));
        keys.len().checked_sub(1 + back).map(|place| keys[place])
    }
}

/// The way to the store: everything takes a while, some questions and some answers get lost.
#[derive(Debug)]
struct Weather {
    dice: Arc<SeededEntropy>,
}

impl Weather {
    async fn pass(&self) -> Result<(), Error> {
        for _ in 0..self.dice.below(3) {
            yield_now().await;
        }
        if self.dice.below(30) == 0 {
            return Err(ErrorKind::StoreUnavailable.into());
        }
        Ok(())
    }
}

#[async_trait]
impl Around for Weather {
    async fn before(&self, _: Operation) -> Result<(), Error> {
        self.pass().await
    }

    async fn after(&self, _: Operation) -> Result<(), Error> {
        self.pass().await
    }
}

//! The task that asks the store about all watched sessions, round by round.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cloakroom_core::observe::{Event, Operation};
use cloakroom_core::record::Subject;
use cloakroom_core::store::Lookup;
use cloakroom_core::{Error, ErrorKind, Handle, Sessions, StoredKey, limits};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::End;

/// All watched sessions of an application.
#[derive(Default)]
pub(crate) struct Watches(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    by_key: HashMap<StoredKey, Weak<Watch>>,
    /// Whether a task looks after them.
    looked_after: bool,
}

/// One watched session, however many connections it has.
pub(super) struct Watch {
    pub(super) key: StoredKey,
    pub(super) who: (Handle, Option<Subject>),
    end: watch::Sender<Option<End>>,
    /// Whether activity is due to be recorded, as of the last round.
    touch_due: AtomicBool,
    answered_at: Mutex<Instant>,
}

impl Watches {
    /// Adds a session, and starts the task if there is none. An idle application has none.
    pub(super) fn add(
        self: &Arc<Self>,
        key: StoredKey,
        who: (Handle, Option<Subject>),
        sessions: &Sessions,
        interval: Duration,
    ) -> Result<Arc<Watch>, Error> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ErrorKind::Invalid {
            what: "a session is watched outside a tokio runtime",
        })?;
        let mut registry = self.0.lock();
        let watch = registry.watch(key, who)?;
        if !std::mem::replace(&mut registry.looked_after, true) {
            drop(registry);
            let watcher = Watcher {
                watches: Arc::clone(self),
                sessions: sessions.clone(),
                interval,
                is_over: false,
            };
            runtime.spawn(watcher.run());
        }
        Ok(watch)
    }

    /// Those that somebody still holds; `None` if there are none, and the task is to end.
    fn held(&self) -> Option<Vec<Arc<Watch>>> {
        let mut registry = self.0.lock();
        let mut held = Vec::with_capacity(registry.by_key.len());
        registry.by_key.retain(|_, watch| {
            let watch = watch.upgrade().filter(|watch| !watch.has_ended());
            held.extend(watch.clone());
            watch.is_some()
        });
        if held.is_empty() {
            // Still under the lock: who adds next has to start another task.
            registry.looked_after = false;
            return None;
        }
        Some(held)
    }
}

impl Registry {
    fn watch(
        &mut self,
        key: StoredKey,
        who: (Handle, Option<Subject>),
    ) -> Result<Arc<Watch>, Error> {
        let watched = self.by_key.len();
        let place = self.by_key.entry(key);
        if let Entry::Occupied(there) = &place
            && let Some(watch) = there.get().upgrade().filter(|watch| !watch.has_ended())
        {
            return Ok(watch);
        }
        if matches!(place, Entry::Vacant(_)) && watched >= limits::WATCHED {
            return Err(Error::new(ErrorKind::Limit {
                what: "watched sessions",
                limit: limits::WATCHED,
                size: watched + 1,
            }));
        }
        let watch = Watch::new(key, who);
        place.insert_entry(Arc::downgrade(&watch));
        Ok(watch)
    }
}

impl Watch {
    pub(super) async fn ended(&self) -> End {
        let mut told = self.end.subscribe();
        let end = told.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).unwrap_or(End::Unknown)
    }

    /// Whether activity is due to be recorded; says so once.
    pub(super) fn take_touch(&self) -> bool {
        self.touch_due.swap(false, Ordering::Relaxed)
    }

    fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    fn new(key: StoredKey, who: (Handle, Option<Subject>)) -> Arc<Self> {
        Arc::new(Self {
            key,
            who,
            end: watch::Sender::new(None),
            touch_due: AtomicBool::new(false),
            answered_at: Mutex::new(Instant::now()),
        })
    }

    pub(super) fn tell(&self, end: End) {
        self.end.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert(end);
            first
        });
    }

    /// Asks the store whether the session lives.
    async fn look(&self, sessions: &Sessions, patience: Duration) -> Result<(), Error> {
        let load = sessions.store().load(&self.key);
        let answer = tokio::time::timeout(patience, load).await;
        let answer = answer.unwrap_or_else(|_| Err(ErrorKind::DeadlineExceeded.into()));
        match answer {
            Ok(Lookup::Found(loaded)) => {
                *self.answered_at.lock() = Instant::now();
                if (loaded.record.handle, &loaded.record.subject) != (self.who.0, &self.who.1) {
                    self.tell(End::Gone);
                }
                // Activity under a superseded id is recorded by who has the newer one.
                let due = loaded.touch_due && !loaded.forwarded;
                self.touch_due.store(due, Ordering::Relaxed);
                Ok(())
            }
            Ok(Lookup::Absent(_)) => {
                self.tell(End::Gone);
                Ok(())
            }
            Err(error) => {
                self.remain_unanswered();
                Err(error)
            }
        }
    }

    /// Nobody can say whether the session lives. That is borne for a while.
    fn remain_unanswered(&self) {
        if self.answered_at.lock().elapsed() >= limits::WATCH_BLIND {
            self.tell(End::Unknown);
        }
    }
}

/// The task that looks after all of them; it ends when nobody holds any.
struct Watcher {
    watches: Arc<Watches>,
    sessions: Sessions,
    interval: Duration,
    is_over: bool,
}

impl Watcher {
    async fn run(mut self) {
        let first = Instant::now() + self.interval;
        let mut ticks = tokio::time::interval_at(first, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(held) = self.watches.held() else {
                self.is_over = true;
                return;
            };
            self.look_at(held).await;
        }
    }

    async fn look_at(&self, held: Vec<Arc<Watch>>) {
        let patience = self.interval.max(limits::WATCH_PATIENCE);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let all = futures_util::stream::iter(held);
        all.for_each_concurrent(limits::WATCH_TOGETHER, |watch| {
            let failed = &failed;
            async move {
                // The others would wait as long for as little, and the round would never end.
                if failed.lock().as_ref().is_some_and(is_away) {
                    watch.remain_unanswered();
                } else if let Err(error) = watch.look(&self.sessions, patience).await {
                    failed.lock().get_or_insert(error);
                }
            }
        })
        .await;
        // Once a round: a store that is away must not fill a log with every session there is.
        if let Some(error) = failed.into_inner() {
            let event = Event::StoreFailed(Operation::Load, error.kind().clone());
            self.sessions.observed_by().observe(&event);
        }
    }
}

fn is_away(error: &Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        ErrorKind::StoreUnavailable | ErrorKind::DeadlineExceeded
    )
}

/// A runtime that ends takes its tasks along. Nobody looks after these sessions then, so none of
/// them counts as alive; the next one that is added starts another task elsewhere.
impl Drop for Watcher {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut registry = self.watches.0.lock();
        for (_, watch) in registry.by_key.drain() {
            if let Some(watch) = watch.upgrade() {
                watch.tell(End::Unknown);
            }
        }
        registry.looked_after = false;
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watches({})", self.0.lock().by_key.len())
    }
}

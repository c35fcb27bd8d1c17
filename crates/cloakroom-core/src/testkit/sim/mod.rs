//! A day in the life of a store, by seed: many visitors and operators at once, a clock that jumps,
//! answers that get lost, callers who go away. One thread, one order for one seed: what went wrong
//! goes wrong again when the seed is given again.
//!
//! ```
//! use cloakroom_core::testkit::{ReferenceFactory, sim};
//!
//! sim::check(&ReferenceFactory, 20);
//! ```
//!
//! `CLOAKROOM_SIM_SEEDS=5000` tries more seeds; `CLOAKROOM_SIM_SEED=42` replays one.

mod call;
mod clients;
mod truth;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::around::{Around, Wrapped};
use super::clock::ManualClock;
use super::entropy::SeededEntropy;
use super::kit::{StoreFactory, Time};
use super::poll;
use crate::Error;
use crate::observe::Operation;
use crate::session::{BoxFuture, Spawn};
use crate::time::{Clock, UnixMillis};
use clients::World;
use watch::Watch;

/// Steps after which a simulation should be over long ago.
const MOST_STEPS: usize = 1_000_000;

/// A promise that was broken in a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What brings it back.
    pub seed: u64,
    /// What was seen.
    pub words: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, words } = self;
        write!(f, "{words}\n  replay it with CLOAKROOM_SIM_SEED={seed}")
    }
}

/// What happened in a simulation, so that one that did nothing does not pass for a good one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Operations that reached the store.
    pub operations: usize,
    /// Operations whose caller went away while the store was at work.
    pub dropped: usize,
    /// Sessions that were created.
    pub created: usize,
    /// Ends (logout, revocation) that were acknowledged.
    pub ended: usize,
    /// Times that the clock jumped.
    pub jumps: usize,
}

/// Simulates `seeds` seeds, or what `CLOAKROOM_SIM_SEEDS` or `CLOAKROOM_SIM_SEED` say.
///
/// # Panics
/// If a promise is broken: with the seed that replays it.
pub fn check(factory: &dyn StoreFactory, seeds: u64) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        let number = text.parse::<u64>();
        Some(number.unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
    };
    let seeds = match number("CLOAKROOM_SIM_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("CLOAKROOM_SIM_SEEDS").unwrap_or(seeds),
    };
    for seed in seeds {
        if let Err(violation) = run(factory, seed) {
            panic!("a simulation broke a promise: {violation}");
        }
    }
}

/// Simulates one seed.
///
/// # Errors
/// The promise that was broken first.
///
/// # Panics
/// If the store's clock cannot be moved.
pub fn run(factory: &dyn StoreFactory, seed: u64) -> Result<Summary, Violation> {
    let fresh = poll::block_on(factory.fresh());
    let Time::Driven(clock) = fresh.time else {
        panic!("a simulation needs a store whose clock it can move");
    };
    let dice = Arc::new(SeededEntropy::new(seed));
    let slow = Wrapped::new(fresh.store, Lag(Arc::clone(&dice)));
    let watch = Watch::new(slow, clock.clone());
    let waiting = Arc::new(Waiting::default());
    let stormy = seed.is_multiple_of(2);
    let spawn: Arc<dyn Spawn> = Arc::<Waiting>::clone(&waiting);
    let world = Arc::new(World::new(
        Arc::clone(&watch),
        Arc::clone(&dice),
        spawn,
        stormy,
    ));
    for number in 0..6 {
        waiting.spawn(World::client(Arc::clone(&world), number));
    }
    let mut summary = Summary::default();
    let outcome = schedule(&waiting, &watch, &dice, &clock, &mut summary, stormy)
        .and_then(|()| poll::block_on(watch.check_at_rest(&world.subjects, world.cap, stormy)));
    let broken = watch.broken().map_or(outcome, Err);
    watch.count(&mut summary);
    match broken {
        Ok(()) => Ok(summary),
        Err(words) => Err(Violation { seed, words }),
    }
}

/// Lets a task that the dice choose go one step, until all are done; now and then moves the clock.
fn schedule(
    waiting: &Waiting,
    watch: &Watch,
    dice: &SeededEntropy,
    clock: &ManualClock,
    summary: &mut Summary,
    stormy: bool,
) -> Result<(), String> {
    let mut running: Vec<BoxFuture<()>> = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..MOST_STEPS {
        running.append(&mut waiting.0.lock());
        if running.is_empty() || watch.broken().is_some() {
            return Ok(());
        }
        let chosen = dice.below(running.len());
        if running[chosen].as_mut().poll(&mut context) == Poll::Ready(()) {
            drop(running.swap_remove(chosen));
        }
        if dice.below(15) == 0 {
            move_clock(dice, clock, stormy);
            watch.clock_moved();
            summary.jumps += 1;
        }
    }
    Err("the simulation does not come to an end".to_owned())
}

/// In calm weather the clock creeps on; in a storm it leaps, both ways.
fn move_clock(dice: &SeededEntropy, clock: &ManualClock, stormy: bool) {
    let seconds = Duration::from_secs(dice.below(20) as u64);
    if !stormy {
        let limit = ManualClock::START.saturating_add(clients::CALM);
        clock.set(clock.now().saturating_add(seconds / 10).min(limit));
        return;
    }
    match dice.below(6) {
        0 => clock.advance(seconds * 60),
        1 => clock.rewind(seconds * 30),
        _ => clock.advance(seconds),
    }
    clock.set(clock.now().max(UnixMillis::new(1)));
}

/// The store takes its time: before it does something, and before it says so.
#[derive(Debug)]
struct Lag(Arc<SeededEntropy>);

impl Lag {
    async fn pass(&self) -> Result<(), Error> {
        for _ in 0..self.0.below(3) {
            poll::yield_now().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Around for Lag {
    async fn before(&self, _: Operation) -> Result<(), Error> {
        self.pass().await
    }

    async fn after(&self, _: Operation) -> Result<(), Error> {
        self.pass().await
    }
}

/// Tasks that were spawned and wait for the scheduler.
#[derive(Default)]
struct Waiting(Mutex<Vec<BoxFuture<()>>>);

impl Spawn for Waiting {
    fn spawn(&self, rest: BoxFuture<()>) {
        self.0.lock().push(rest);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiting({})", self.0.lock().len())
    }
}

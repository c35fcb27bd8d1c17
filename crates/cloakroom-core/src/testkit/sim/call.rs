//! One operation under watch: what it may do while it is on its way, and what its answer, or the lack
//! of one, says.

use std::collections::BTreeMap;

use super::truth::{Flight, Span, Truth};
use super::watch::Watch;
use crate::Lifetimes;
use crate::id::Handle;
use crate::record::Changes;
use crate::time::{Clock, UnixMillis};

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) truth: Truth,
    /// All that the clock ever said.
    pub(super) times: Vec<UnixMillis>,
    /// Activity on its way, by when it began.
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) broken: Option<String>,
    pub(super) operations: usize,
    pub(super) finished: usize,
    pub(super) ended: usize,
}

/// An operation that has begun. Dropped without an answer, it counts as one that may have happened.
pub(super) struct Call<'a> {
    pub(super) watch: &'a Watch,
    pub(super) began: u64,
    /// The clock's words before this operation.
    pub(super) times: usize,
    /// Whether it ends many sessions.
    pub(super) mass_end: bool,
    /// What it writes, and to whom.
    pub(super) write: Option<(Handle, Changes)>,
}

impl Call<'_> {
    /// Says that this operation is activity of a session, and may restart its limits.
    pub(super) fn makes_active(&self, owner: Option<Handle>, restarts: Option<Lifetimes>) {
        let Some(owner) = owner else { return };
        let flight = Flight { owner, restarts };
        let now = self.watch.clock.now();
        let mut seen = self.watch.seen.lock();
        seen.truth.may_happen_now(&flight, now);
        seen.flights.insert(self.began, flight);
    }

    /// Says that this operation ends many sessions.
    pub(super) fn ends_many(&mut self) {
        self.mass_end = true;
        self.watch.seen.lock().truth.mass_end_began();
    }

    /// Says what this operation writes, and to whom.
    pub(super) fn writes(&mut self, owner: Handle, changes: &Changes) {
        self.write = Some((owner, changes.clone()));
        let mut seen = self.watch.seen.lock();
        if let Some(known) = seen.truth.sessions.get_mut(&owner) {
            Truth::write_began(known, changes);
        }
    }

    /// The write was acknowledged.
    pub(super) fn wrote(&mut self) {
        let Some((owner, changes)) = self.write.take() else {
            return;
        };
        let mut seen = self.watch.seen.lock();
        let now = seen.truth.tick();
        if let Some(known) = seen.truth.sessions.get_mut(&owner) {
            Truth::write_done(known, &changes, self.began, now);
        }
    }

    /// Takes the answer in.
    pub(super) fn answered(self, check: impl FnOnce(&mut Truth, &Span) -> Result<(), String>) {
        let span = self.span();
        let mut seen = self.watch.seen.lock();
        seen.finished += 1;
        seen.truth.tick();
        if let Err(words) = check(&mut seen.truth, &span)
            && seen.broken.is_none()
        {
            seen.broken = Some(words);
        }
    }

    fn span(&self) -> Span {
        let seen = self.watch.seen.lock();
        let times = &seen.times[self.times..];
        let now = UnixMillis::default();
        Span {
            began: self.began,
            earliest: times.iter().copied().min().unwrap_or(now),
            latest: times.iter().copied().max().unwrap_or(now),
        }
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Truth)) {
        note(&mut self.watch.seen.lock().truth);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut seen = self.watch.seen.lock();
        let now = seen.truth.tick();
        seen.flights.remove(&self.began);
        seen.truth.mass_ends -= usize::from(self.mass_end);
        if let Some((owner, changes)) = self.write.take()
            && let Some(known) = seen.truth.sessions.get_mut(&owner)
        {
            Truth::write_dropped(known, &changes, now);
        }
    }
}

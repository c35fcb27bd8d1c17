//! What a step did to a shard, noted under its lock for the journal. Without a journal nothing is
//! noted.

use cloakroom_core::UnixMillis;

use crate::journal::{Effect, Step};

/// The effects of the present step.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    on: bool,
    /// What comes in front of the rest.
    first: Step,
    step: Step,
    timed: bool,
    whole: bool,
}

impl Notes {
    /// From now on effects are noted.
    pub(crate) const fn start(&mut self) {
        self.on = true;
    }

    /// Whether they are.
    #[inline]
    pub(crate) const fn on(&self) -> bool {
        self.on
    }

    /// Whether whoever moves a session notes all of it.
    pub(crate) const fn whole(&self) -> bool {
        self.whole
    }

    /// Says so.
    pub(crate) const fn note_whole(&mut self, whole: bool) {
        self.whole = whole;
    }

    /// Notes an effect.
    #[inline]
    pub(crate) fn push(&mut self, effect: &Effect<'_>) {
        if self.on {
            self.step.push(effect);
        }
    }

    /// Notes an effect in front of all that is not noted so, and behind what is: several of these stay in
    /// their order.
    pub(crate) fn push_first(&mut self, effect: &Effect<'_>) {
        if self.on {
            self.first.push(effect);
        }
    }

    /// Notes that something expired, once for the step: so that it stays so if the clock is put
    /// back while the store is down.
    pub(crate) fn expired(&mut self, now: UnixMillis) {
        if self.on && !self.timed {
            self.timed = true;
            self.step.push(&Effect::Time(now));
        }
    }

    /// What was noted since this was last cleared.
    #[inline]
    pub(crate) fn step(&mut self) -> &Step {
        if !self.first.is_empty() {
            self.first.join(&self.step);
            std::mem::swap(&mut self.first, &mut self.step);
            self.first.clear();
        }
        &self.step
    }

    pub(crate) fn clear(&mut self) {
        self.step.clear();
        self.timed = false;
    }
}

//! Whether the store answers and takes writes, told once: an outage is a line in the log when it begins, one now and
//! then while it lasts, and one when it is over - not one for each request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What an operation shows of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It does not answer, or refuses whatever it is asked.
    Lost,
    /// It answers, and refuses what changes something.
    RefusesWrites,
    /// It answers.
    Answers,
    /// It has written something.
    TakesWrites,
}

/// Watches a store. One that refuses writes is asked to read between them, and is not well because it does that.
#[derive(Debug, Default)]
pub(crate) struct Health {
    answers: Availability,
    takes_writes: Availability,
}

impl Health {
    /// What there is to tell: of whether it answers, and of whether it takes writes.
    pub(crate) fn shown(&self, shown: Shown, now: Instant) -> [Option<News>; 2] {
        let answers = match shown {
            Shown::Lost => self.answers.failed(now),
            Shown::RefusesWrites | Shown::Answers | Shown::TakesWrites => {
                self.answers.answered(now)
            }
        };
        let takes_writes = match shown {
            Shown::RefusesWrites => self.takes_writes.failed(now),
            Shown::TakesWrites => self.takes_writes.answered(now),
            Shown::Lost | Shown::Answers => None,
        };
        [answers, takes_writes]
    }

    /// Whether nothing is amiss.
    pub(crate) fn is_well(&self) -> bool {
        let is_away = |watched: &Availability| watched.away.load(Ordering::Relaxed);
        !is_away(&self.answers) && !is_away(&self.takes_writes)
    }
}

/// Watches one thing that may fail.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    /// Whether an outage is told of: most operations look at this alone.
    away: AtomicBool,
    outage: Mutex<Option<Outage>>,
}

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It failed, and had not before.
    Lost,
    /// It fails for so long, and failed so often.
    StillLost(Duration, u64),
    /// It answers again after so long; it failed so often.
    Back(Duration, u64),
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    began: Instant,
    failed_last: Instant,
    told_last: Instant,
    failures: u64,
}

/// How long it must not have failed to be well again. It bounds the lines of a store that fails now
/// and then: two a second.
const QUIET: Duration = Duration::from_secs(1);
/// How often an outage that lasts is told of.
const REMIND: Duration = Duration::from_secs(30);

impl Availability {
    /// An operation failed.
    pub(crate) fn failed(&self, now: Instant) -> Option<News> {
        let mut outage = self.outage();
        let Some(known) = &mut *outage else {
            *outage = Some(Outage {
                began: now,
                failed_last: now,
                told_last: now,
                failures: 1,
            });
            self.away.store(true, Ordering::Relaxed);
            return Some(News::Lost);
        };
        known.failures += 1;
        known.failed_last = known.failed_last.max(now);
        if now.duration_since(known.told_last) < REMIND {
            return None;
        }
        known.told_last = now;
        Some(News::StillLost(
            now.duration_since(known.began),
            known.failures,
        ))
    }

    /// An operation succeeded.
    pub(crate) fn answered(&self, now: Instant) -> Option<News> {
        if !self.away.load(Ordering::Relaxed) {
            return None;
        }
        let mut outage = self.outage();
        let known = (*outage)?;
        if now.duration_since(known.failed_last) < QUIET {
            return None;
        }
        *outage = None;
        self.away.store(false, Ordering::Relaxed);
        Some(News::Back(now.duration_since(known.began), known.failures))
    }

    fn outage(&self) -> MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Availability, Health, News, Shown};
    use std::time::{Duration, Instant};

    #[test]
    fn an_outage_is_told_when_it_begins_now_and_then_and_when_it_is_over() {
        let (store, began) = (Availability::default(), Instant::now());
        let at = |millis| began + Duration::from_millis(millis);
        assert_eq!(store.answered(at(0)), None);
        assert_eq!(store.failed(at(0)), Some(News::Lost));
        for millis in 1..100 {
            assert_eq!(store.failed(at(millis)), None);
        }
        let lasted = Duration::from_secs(31);
        assert_eq!(store.failed(at(31_000)), Some(News::StillLost(lasted, 101)));
        assert_eq!(store.failed(at(31_001)), None);
        assert_eq!(store.answered(at(31_500)), None, "it may be chance");
        let lasted = Duration::from_millis(32_001);
        assert_eq!(store.answered(at(32_001)), Some(News::Back(lasted, 102)));
        assert_eq!(store.answered(at(32_002)), None);
        assert_eq!(store.failed(at(32_003)), Some(News::Lost));
    }

    #[test]
    fn a_store_that_fails_now_and_then_tells_twice_a_second_at_most() {
        let (store, began) = (Availability::default(), Instant::now());
        let mut told = 0;
        for millis in 0..10_000 {
            let now = began + Duration::from_millis(millis);
            let news = match millis % 10 {
                0 => store.failed(now),
                _ => store.answered(now),
            };
            told += usize::from(news.is_some());
        }
        assert_eq!(told, 1, "it never was well");
    }

    /// Few requests: one in two seconds, by turns a write and a read.
    #[test]
    fn a_store_that_refuses_writes_is_not_back_because_it_reads() {
        let (store, began) = (Health::default(), Instant::now());
        let mut second = 0;
        let mut shown = |shown| {
            second += 2;
            store.shown(shown, began + Duration::from_secs(second))
        };
        assert_eq!(shown(Shown::TakesWrites), [None, None]);
        let mut told = Vec::new();
        for _ in 0..7 {
            told.extend(shown(Shown::RefusesWrites));
            told.extend(shown(Shown::Answers));
        }
        told.retain(Option::is_some);
        assert_eq!(told, [Some(News::Lost)]);
        assert!(!store.is_well());
        let lasted = Duration::from_secs(28);
        let back = Some(News::Back(lasted, 7));
        assert_eq!(shown(Shown::TakesWrites), [None, back]);
        assert!(store.is_well());
    }

    #[test]
    fn a_lost_store_that_comes_back_and_refuses_writes_tells_both() {
        let (store, began) = (Health::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let lost = [Some(News::Lost), None];
        assert_eq!(store.shown(Shown::Lost, at(0)), lost);
        let back = Some(News::Back(Duration::from_secs(2), 1));
        let refuses = store.shown(Shown::RefusesWrites, at(2));
        assert_eq!(refuses, [back, Some(News::Lost)]);
        assert!(!store.is_well());
    }
}

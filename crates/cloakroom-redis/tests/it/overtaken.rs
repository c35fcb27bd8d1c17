//! The contract on a clock that nobody can move. What a case does between two waits may take longer than the limits
//! that it has set, on a machine that is busy with other things; then it fails for nothing that the store did. So a
//! case that failed, and that the clock shows to have been overtaken, is tried again with longer units, in an empty
//! store. One that failed in time is not: it found something.

use std::cell::Cell;
use std::time::Duration;

use cloakroom_core::session::BoxFuture;
use cloakroom_core::testkit::{Case, StoreFactory, Verdict};
use tokio::time::{Instant, sleep, timeout};

/// The units of one try after another. The first is enough unless something takes half a second more than it should.
pub(crate) const UNITS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(16),
];

/// A case that takes longer hangs. It bounds a test run that would not end, and nothing else: on a busy
/// machine a case of many steps may take minutes.
const HANGS: Duration = Duration::from_secs(600);

tokio::task_local! {
    /// When the case began, and how long it has waited since.
    static WAITED: Cell<(Instant, Duration)>;
}

/// Waits as a case asks for it.
pub(crate) fn wait(time: Duration) -> BoxFuture<()> {
    Box::pin(async move {
        sleep(time).await;
        WAITED.with(|waited| {
            let (began, so_far) = waited.get();
            waited.set((began, so_far + time));
        });
    })
}

/// The store is open: from now on the time is the case's.
pub(crate) fn begins() {
    WAITED.with(|waited| waited.set((Instant::now(), Duration::ZERO)));
}

/// What comes of a case in the stores that `factory` makes for a unit.
pub(crate) async fn judge<F: StoreFactory>(
    case: &Case,
    factory: impl Fn(Duration) -> F,
) -> Verdict {
    let mut verdict = Verdict::LeftOut;
    for unit in UNITS {
        let factory = factory(unit);
        let waited = Cell::new((Instant::now(), Duration::ZERO));
        let checked = WAITED.scope(waited, async {
            let checked = timeout(HANGS, case.check(&factory)).await;
            (checked, WAITED.with(Cell::get))
        });
        let (checked, (began, waited)) = checked.await;
        let Ok(checked) = checked else {
            return Verdict::Broken("it hangs".to_owned());
        };
        verdict = checked;
        let besides = began.elapsed().saturating_sub(waited);
        let overtaken = !waited.is_zero() && besides > unit / 2;
        let Verdict::Broken(words) = &verdict else {
            return verdict;
        };
        if !overtaken {
            return verdict;
        }
        eprintln!(
            "{}: {words}, {besides:?} late with units of {unit:?}",
            case.name
        );
    }
    verdict
}

mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use cloakroom_core::testkit::{CASES, Fresh, ReferenceStore, Time};
    use cloakroom_core::{Clock, UnixMillis};

    use super::*;

    /// The time of a runtime that stands still while nobody waits.
    #[derive(Debug)]
    struct Paused(Instant, fn(Duration) -> Duration);

    impl Clock for Paused {
        fn now(&self) -> UnixMillis {
            let since = (self.1)(self.0.elapsed());
            UnixMillis::new(1_767_225_600_000).saturating_add(since)
        }
    }

    /// Stores on such a clock, each wait of which takes `late` more.
    struct Late {
        unit: Duration,
        wait: fn(Duration) -> BoxFuture<()>,
        tells: fn(Duration) -> Duration,
        tries: Arc<AtomicUsize>,
    }

    impl StoreFactory for Late {
        fn fresh(&self) -> BoxFuture<Fresh> {
            self.tries.fetch_add(1, Ordering::SeqCst);
            let store = ReferenceStore::new(Arc::new(Paused(Instant::now(), self.tells)));
            let (unit, wait) = (self.unit, self.wait);
            Box::pin(async move {
                begins();
                Fresh {
                    store: Arc::new(store),
                    time: Time::Real { unit, wait },
                }
            })
        }
    }

    /// What comes of a case that ends a session by waiting, and in how many tries.
    async fn of(
        wait: fn(Duration) -> BoxFuture<()>,
        tells: fn(Duration) -> Duration,
    ) -> (Verdict, usize) {
        let name = "expiry::an_idle_session_ends";
        let case = CASES
            .iter()
            .find(|case| case.name == name)
            .expect("it is there");
        let tries = Arc::new(AtomicUsize::new(0));
        let verdict = judge(case, |unit| Late {
            unit,
            wait,
            tells,
            tries: Arc::clone(&tries),
        });
        (verdict.await, tries.load(Ordering::SeqCst))
    }

    fn late_by_a_second_and_a_half(time: Duration) -> BoxFuture<()> {
        Box::pin(async move {
            wait(time).await;
            sleep(Duration::from_millis(1_500)).await;
        })
    }

    fn late_by_a_minute(time: Duration) -> BoxFuture<()> {
        Box::pin(async move {
            wait(time).await;
            sleep(Duration::from_secs(60)).await;
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_case_in_time_is_tried_once() {
        assert_eq!(of(wait, |time| time).await, (Verdict::Kept, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_case_that_is_overtaken_is_tried_with_longer_units() {
        let of = of(late_by_a_second_and_a_half, |time| time).await;
        assert_eq!(of, (Verdict::Kept, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_case_that_is_always_overtaken_is_broken_in_the_end() {
        let (verdict, tries) = of(late_by_a_minute, |time| time).await;
        assert!(matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
        assert_eq!(tries, UNITS.len());
    }

    /// A store that lets sessions live too long or too short is not saved by another try.
    #[tokio::test(start_paused = true)]
    async fn a_case_that_fails_in_time_is_broken_at_once() {
        for tells in [|time| time / 2, |time| time * 3] as [fn(Duration) -> Duration; 2] {
            let (verdict, tries) = of(wait, tells).await;
            assert!(matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
            assert_eq!(tries, 1);
        }
    }
}

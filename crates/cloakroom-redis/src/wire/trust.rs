//! Whom to believe behind Sentinel: the server that a majority of the sentinels calls the primary, for
//! as long as their word is fresh. An old primary that was cut off, hung or was told to step down goes
//! on answering for a while; what it says is refused here.
//!
//! It rests on majorities: a failover needs one, and a word needs one, so two words share a sentinel.
//! Once a majority knows the new primary, nobody gets a fresh word for the old one, and words that were
//! given before are over a [`LEASE`] later. Until then nothing is called ended for good ([`Trust::settled`]).

mod word;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::failure::{Class, Failure};
use crate::settings::Address;
pub(super) use word::Word;
use word::{Words, failure, judge};

/// A call that takes longer may be waiting for a server that is primary no more.
pub(crate) const PROMPT: Duration = Duration::from_millis(20);

/// How long a word holds. All processes must think the same of it, so it is no setting.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// What the sentinels say, and what follows from it.
#[derive(Debug)]
pub(super) struct Trust {
    words: Mutex<Words>,
    /// There are no sentinels.
    is_alone: bool,
    view: watch::Sender<View>,
    /// Copies of the view for the hot path; its end in ms since `origin`.
    failing_over: AtomicBool,
    number: AtomicU64,
    until: AtomicU64,
    replicas: AtomicU64,
    last_resort: AtomicU64,
    origin: Instant,
}

/// What a majority says.
#[derive(Clone, Debug)]
struct View {
    /// Counts primaries; 0 before the first.
    number: u64,
    primary: Option<(Address, u64)>,
    until: Instant,
    /// When no other process believes an older primary any more.
    settled: Instant,
    failing_over: bool,
    /// Why there is no primary, once all were asked.
    failure: Option<Failure>,
}

impl Trust {
    /// `sentinels`: how many there are; 0 for a server without, which is believed always.
    pub(super) fn new(sentinels: usize) -> Self {
        let origin = Instant::now();
        let view = View {
            number: 0,
            primary: None,
            until: origin,
            settled: origin,
            failing_over: false,
            failure: None,
        };
        Self {
            words: Mutex::new(vec![None; sentinels]),
            is_alone: sentinels == 0,
            view: watch::channel(view).0,
            failing_over: AtomicBool::new(false),
            number: AtomicU64::new(0),
            until: AtomicU64::new(if sentinels == 0 { u64::MAX } else { 0 }),
            replicas: AtomicU64::new(0),
            last_resort: AtomicU64::new(0),
            origin,
        }
    }

    /// Whether there are no sentinels: the server is believed always.
    pub(super) const fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Takes the word of a sentinel, or that it has none.
    pub(super) fn hear(&self, sentinel: usize, said: Result<Word, Failure>) {
        let mut words = self.words.lock();
        let said = match (&words[sentinel], said) {
            (Some(Ok(before)), Ok(mut word)) => {
                if (&before.primary, before.epoch) == (&word.primary, word.epoch) {
                    word.since = word.since.min(before.since);
                }
                Ok(word)
            }
            // One that does not answer has still said what it said.
            (Some(Ok(before)), Err(_)) if before.asked.elapsed() < LEASE => Ok(before.clone()),
            (_, said) => said,
        };
        words[sentinel] = Some(said);
        let all = words.len();
        let heard: Vec<&Word> = words.iter().flatten().flatten().collect();
        let verdict = judge(all, &heard);
        let failing_over = heard.iter().any(|word| word.failing_over);
        self.failing_over.store(failing_over, Ordering::Release);
        let failure = failure(&words);
        self.view.send_modify(|view| {
            view.failing_over = failing_over;
            view.failure = failure;
            let Some(verdict) = verdict else {
                // Words contradict each other: a new primary is becoming known.
                if heard_another(view, &heard) {
                    view.until = view.until.min(Instant::now());
                }
                return;
            };
            let now = Some((verdict.primary, verdict.epoch));
            if view.primary != now {
                view.primary = now;
                view.number += 1;
            }
            view.until = verdict.asked + LEASE;
            view.settled = verdict.since + LEASE;
            self.replicas.store(verdict.replicas, Ordering::Release);
            let last_resort = verdict.last_resort;
            self.last_resort.store(last_resort, Ordering::Release);
        });
        let view = self.view.borrow();
        let until = view.until.saturating_duration_since(self.origin);
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.number.store(view.number, Ordering::Release);
        self.until.store(until, Ordering::Release);
    }

    /// The number of the primary that is believed now.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Replicas that could be promoted, and must have what may not be lost.
    pub(super) fn replicas(&self) -> u64 {
        self.replicas.load(Ordering::Acquire)
    }

    /// Replicas that could be promoted if none keeps up, and must have it then.
    pub(super) fn last_resort(&self) -> u64 {
        self.last_resort.load(Ordering::Acquire)
    }

    /// Says how many replicas could be promoted, where that is not the sentinels' to say.
    pub(super) fn set_replicas(&self, count: u64) {
        self.replicas.store(count, Ordering::Release);
    }

    /// Whether what primary `number` has said may be believed. If nobody has vouched for it lately, it
    /// waits until somebody does, unless it is known that too few can. Bounded by the caller.
    pub(super) async fn confirm(&self, number: u64) -> Result<(), Failure> {
        let now = || u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let until = self.until.load(Ordering::Acquire);
        // Without sentinels there is no clock to read.
        if self.number() == number && (until == u64::MAX || now() < until) {
            return Ok(());
        }
        Box::pin(self.wait_for_word(number)).await
    }

    async fn wait_for_word(&self, number: u64) -> Result<(), Failure> {
        let mut view = self.view.subscribe();
        let known = |view: &View| {
            view.number != number || view.failure.is_some() || Instant::now() < view.until
        };
        let gone = || Failure::new(Class::Down, GONE);
        let view = view.wait_for(known).await.map_err(|_| gone())?;
        match &view.failure {
            _ if view.number != number => Err(gone()),
            Some(failure) if Instant::now() >= view.until => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// As [`Trust::confirm`], for what primary `number` was told to write. While a failover runs it
    /// takes writes that its successor will not have.
    pub(super) async fn confirm_write(&self, number: u64) -> Result<(), Failure> {
        if self.failing_over.load(Ordering::Acquire) {
            return Err(under_way());
        }
        self.confirm(number).await
    }

    /// The primary and its number. While a failover runs there is none: the old one still takes
    /// writes then, and they will be lost.
    pub(super) async fn primary(&self) -> Result<(u64, Address), Failure> {
        let mut view = self.view.subscribe();
        let known = |view: &View| {
            view.failing_over || view.failure.is_some() || Instant::now() < view.until
        };
        let view = view.wait_for(known).await;
        let gone = |_| Failure::new(Class::Unreachable, "nobody asks the sentinels any more");
        let view = view.map_err(gone)?;
        if view.failing_over {
            return Err(under_way());
        }
        match (&view.primary, &view.failure) {
            (Some((primary, _)), _) if Instant::now() < view.until => {
                Ok((view.number, primary.clone()))
            }
            (_, Some(failure)) => Err(failure.clone()),
            _ => Err(Failure::new(Class::Down, "the sentinels do not agree")),
        }
    }

    /// The primary that was believed last.
    pub(super) fn server(&self) -> Option<Address> {
        let view = self.view.borrow();
        view.primary.as_ref().map(|(primary, _)| primary.clone())
    }

    /// Waits until no process believes an older primary. Bounded by the caller.
    pub(super) async fn settled(&self) {
        let settled = self.view.borrow().settled;
        tokio::time::sleep_until(settled.into()).await;
    }

    /// Waits until another primary than `number` is believed.
    pub(super) async fn changed(&self, number: u64) {
        let mut view = self.view.subscribe();
        if view.wait_for(|view| view.number != number).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for a call to primary `number` until another is primary: then it may never be answered.
    pub(super) async fn while_primary<T>(
        &self,
        number: u64,
        call: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let mut call = pin!(call);
        if self.is_alone {
            return Ok(call.await);
        }
        if let Ok(done) = tokio::time::timeout(PROMPT, &mut call).await {
            return Ok(done);
        }
        tokio::select! {
            done = call => Ok(done),
            () = self.changed(number) => Err(Failure::new(Class::Unreachable, GONE)),
        }
    }

    /// Whether somebody has to look closely: nobody is believed, or soon somebody else.
    pub(super) fn is_unsettled(&self) -> bool {
        let view = self.view.borrow();
        view.failing_over || Instant::now() + LEASE / 2 > view.until
    }
}

/// What became of a server that was believed.
const GONE: &str = "the server is primary no more";

fn under_way() -> Failure {
    Failure::new(Class::Down, "a failover is under way")
}

fn heard_another(view: &View, heard: &[&Word]) -> bool {
    let known = view.primary.as_ref().map_or(0, |(_, epoch)| *epoch);
    heard.iter().any(|word| word.epoch > known)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::word::tests::word;
    use super::*;

    /// Others may have been told of the old primary up to the moment in which a majority knew the new
    /// one, and believe it for a lease.
    #[tokio::test]
    async fn an_end_waits_for_who_believes_an_older_primary() {
        let trust = Trust::new(3);
        let now = Instant::now();
        for sentinel in 0..2 {
            trust.hear(sentinel, Ok(word(2, 1, now)));
        }
        assert!(trust.settled().now_or_never().is_none(), "it is new");
        let long_ago = now.checked_sub(LEASE * 2).expect("the machine is up");
        for sentinel in 0..2 {
            let since = long_ago;
            trust.hear(
                sentinel,
                Ok(Word {
                    since,
                    ..word(3, 2, now)
                }),
            );
        }
        assert!(trust.settled().now_or_never().is_some(), "all know it");
    }

    #[tokio::test]
    async fn a_call_to_an_old_primary_is_given_up() {
        let trust = Trust::new(1);
        trust.hear(0, Ok(word(1, 0, Instant::now())));
        let call = trust.while_primary(trust.number(), std::future::pending::<()>());
        let change = async { trust.hear(0, Ok(word(2, 1, Instant::now()))) };
        let (given_up, ()) = tokio::join!(call, change);
        let failure = given_up.expect_err("another is primary");
        assert_eq!(failure.class(), Class::Unreachable);
    }

    #[tokio::test]
    async fn nothing_is_written_while_a_failover_runs() {
        let trust = Trust::new(1);
        let failing_over = true;
        trust.hear(
            0,
            Ok(Word {
                failing_over,
                ..word(1, 0, Instant::now())
            }),
        );
        let number = trust.number();
        trust.confirm(number).await.expect("what it says is true");
        trust
            .confirm_write(number)
            .await
            .expect_err("it will be lost");
        trust.primary().await.expect_err("nor does anybody begin");
        trust.hear(0, Ok(word(1, 0, Instant::now())));
        trust
            .confirm_write(number)
            .await
            .expect("it was called off");
    }

    #[tokio::test]
    async fn an_old_primary_is_not_believed() {
        let trust = Trust::new(3);
        for sentinel in 0..2 {
            trust.hear(sentinel, Ok(word(1, 0, Instant::now())));
        }
        let (old, _) = trust.primary().await.expect("two say it");
        trust.confirm(old).await.expect("it is fresh");
        trust.hear(2, Ok(word(2, 1, Instant::now())));
        let waiting = trust.confirm(old).now_or_never();
        assert!(
            waiting.is_none(),
            "one has said something later: nobody is believed"
        );
        trust.hear(0, Ok(word(2, 1, Instant::now())));
        assert_eq!(
            trust.confirm(old).await.expect_err("another is").class(),
            Class::Down
        );
        let (new, _) = trust.primary().await.expect("two say it");
        trust.confirm(new).await.expect("it is fresh");
    }
}

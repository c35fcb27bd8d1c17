//! What a connection knows of its server, so that a load is one command: the time there, and the
//! epochs of tags for as long as the server promises to tell when one changes.
//!
//! # Why a load may trust an epoch that it did not ask for
//!
//! The epoch was read on this very connection after `CLIENT CACHING YES` (`CLIENT TRACKING ON OPTIN`),
//! so the server writes an invalidation to this connection in the step that changes the key, before
//! it answers whoever changed it. A load that is sent after that answer runs later still, and one
//! connection carries what the server wrote in its order: the invalidation, then the load's reply. The
//! client hands pushes over while it reads that stream, so [`Known::hear`] has run when the load's
//! caller gets its reply, and [`Known::is_still`] says no. So no load that began after a `revoke_all`
//! was acknowledged is judged by the epoch from before it.
//!
//! This holds for changes by commands, transactions and scripts alike, for deletion, eviction and
//! `FLUSHALL` (a push without keys), and when the server's table of keys is full (it says that it
//! forgets, before it does). A connection that breaks takes its knowledge along. What was learned is
//! kept only if nothing was heard of the tag since it was asked for.
//!
//! # The time
//!
//! The server's time is asked for once a second, along with a load. In between it is reckoned from the
//! moment at which it was asked, so that the reckoning is never behind the server: who lives by it
//! lives. That somebody's time is over is confirmed by the server ([`crate::store`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom_core::UnixMillis;
use cloakroom_core::id::SlotTag;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};

use crate::epoch::Epoch;
use crate::keys;

/// How long the time is reckoned before it is asked for again.
const RECKONED: Duration = Duration::from_secs(1);

/// Two roundings to milliseconds, and what a clock that is slewed gains meanwhile.
const ROUNDED: Duration = Duration::from_millis(3);

/// What a connection knows.
pub(super) struct Known {
    tracks: AtomicBool,
    facts: Mutex<Facts>,
}

struct Facts {
    /// For each tag how often something was heard of it, and its epoch.
    tags: Vec<(u32, Option<Epoch>)>,
    time: Option<Told>,
}

/// The time that the server told: somewhere between these two moments.
#[derive(Clone, Copy)]
struct Told {
    asked: Instant,
    answered: Instant,
    time: UnixMillis,
}

/// What a load has to ask for besides its session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) tag: SlotTag,
    /// The epoch, if it is known.
    pub(super) epoch: Option<Epoch>,
    heard: u32,
    pub(super) time: bool,
    pub(super) at: Instant,
}

impl Ask {
    /// The same, with the epoch to be asked for.
    pub(super) fn again(self) -> Self {
        Self {
            epoch: None,
            time: false,
            ..self
        }
    }
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            tracks: AtomicBool::new(false),
            facts: Mutex::new(Facts {
                tags: vec![(0, None); SlotTag::COUNT],
                time: None,
            }),
        }
    }

    /// From now on the server tells of changes of keys that were read after `CLIENT CACHING YES`.
    pub(super) fn set_tracking(&self) {
        self.tracks.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_tracking(&self) -> bool {
        self.tracks.load(Ordering::Relaxed)
    }

    /// What a load under this tag has to ask for, at this moment.
    pub(super) fn ask(&self, tag: SlotTag, at: Instant) -> Ask {
        let facts = self.facts.lock();
        let (heard, epoch) = facts.tags[usize::from(tag.number())];
        let fresh = |told: &Told| at.duration_since(told.asked) < RECKONED;
        Ask {
            tag,
            epoch,
            heard,
            time: !facts.time.as_ref().is_some_and(fresh),
            at,
        }
    }

    /// Whether nothing was heard of the tag since.
    pub(super) fn is_still(&self, ask: &Ask) -> bool {
        self.facts.lock().tags[usize::from(ask.tag.number())].0 == ask.heard
    }

    /// Keeps an epoch that was asked for, unless something was heard of it since.
    pub(super) fn learn(&self, ask: &Ask, epoch: Option<Epoch>) {
        if !self.is_tracking() {
            return;
        }
        let mut facts = self.facts.lock();
        let (heard, known) = &mut facts.tags[usize::from(ask.tag.number())];
        if *heard == ask.heard {
            *known = epoch;
        }
    }

    /// Keeps the time that the server told.
    pub(super) fn learn_time(&self, ask: &Ask, time: UnixMillis) {
        self.facts.lock().time = Some(Told {
            asked: ask.at,
            answered: Instant::now(),
            time,
        });
    }

    /// The time at the server: at least, and at most. `None` if it never told.
    pub(super) fn now(&self) -> Option<(UnixMillis, UnixMillis)> {
        let told = self.facts.lock().time?;
        let now = Instant::now();
        let since = |then| told.time.saturating_add(now.duration_since(then));
        let at_most = since(told.asked).saturating_add(ROUNDED);
        Some((since(told.answered), at_most))
    }

    /// What the server, or the client itself, says without being asked.
    pub(super) fn hear(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => {}
            PushKind::Disconnection => return self.forget_all(),
            _ => return,
        }
        for told in &push.data {
            match told {
                Value::Array(names) if !names.is_empty() => {
                    for name in names {
                        self.forget(name);
                    }
                }
                // All keys are gone.
                _ => self.forget_all(),
            }
        }
    }

    fn forget(&self, name: &Value) {
        let tag = match name {
            Value::BulkString(name) => keys::parse_epoch(name),
            Value::SimpleString(name) => keys::parse_epoch(name.as_bytes()),
            _ => None,
        };
        match tag {
            Some(tag) => forget(&mut self.facts.lock().tags[usize::from(tag.number())]),
            // It is no epoch that this connection asked for, so what it is cannot be told.
            None => self.forget_all(),
        }
    }

    fn forget_all(&self) {
        self.facts.lock().tags.iter_mut().for_each(forget);
    }
}

fn forget((heard, epoch): &mut (u32, Option<Epoch>)) {
    *heard = heard.wrapping_add(1);
    *epoch = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(kind: PushKind, data: Value) -> PushInfo {
        let data = vec![data];
        PushInfo { kind, data }
    }

    fn tag(number: u16) -> SlotTag {
        SlotTag::new(number).expect("a tag")
    }

    fn knowing() -> Known {
        let known = Known::new();
        known.set_tracking();
        for number in [1, 2] {
            known.learn(&known.ask(tag(number), Instant::now()), Some([7; 8]));
        }
        known
    }

    #[test]
    fn what_is_invalidated_is_forgotten_and_nothing_else() {
        let known = knowing();
        let before = known.ask(tag(1), Instant::now());
        let name = Value::BulkString(keys::epoch(tag(1)).into_bytes());
        known.hear(&push(PushKind::Invalidate, Value::Array(vec![name])));
        assert!(!known.is_still(&before), "a load on its way is told");
        assert_eq!(known.ask(tag(1), Instant::now()).epoch, None);
        assert_eq!(known.ask(tag(2), Instant::now()).epoch, Some([7; 8]));
    }

    #[test]
    fn everything_is_forgotten_when_all_keys_go_or_the_connection_does() {
        for told in [
            push(PushKind::Invalidate, Value::Nil),
            push(PushKind::Disconnection, Value::Nil),
            push(
                PushKind::Invalidate,
                Value::Array(vec![Value::BulkString(b"another".to_vec())]),
            ),
        ] {
            let known = knowing();
            known.hear(&told);
            assert_eq!(known.ask(tag(1), Instant::now()).epoch, None, "{told:?}");
            assert_eq!(known.ask(tag(2), Instant::now()).epoch, None, "{told:?}");
        }
    }

    #[test]
    fn an_answer_from_before_a_change_is_not_learned_after_it() {
        let known = knowing();
        let asked = known.ask(tag(1), Instant::now());
        known.hear(&push(PushKind::Invalidate, Value::Nil));
        known.learn(&asked, Some([7; 8]));
        assert_eq!(known.ask(tag(1), Instant::now()).epoch, None);
    }

    #[test]
    fn without_tracking_nothing_is_learned() {
        let known = Known::new();
        known.learn(&known.ask(tag(1), Instant::now()), Some([7; 8]));
        assert_eq!(known.ask(tag(1), Instant::now()).epoch, None);
    }
}

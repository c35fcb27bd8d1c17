//! What clients saw while servers failed, and the judgement over it: acknowledged creates that are
//! gone, acknowledged revocations that were undone, writes that were lost, calls that came too late.
//! It knows nothing of servers, so every topology is judged alike. `visitors.rs` makes the calls.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use cloakroom_core::StoredKey;
use cloakroom_core::id::SlotTag;
use parking_lot::Mutex;

use crate::lateness::Lateness;

/// A call may outlive its deadline by this; more is counted.
const LATE: Duration = Duration::from_millis(50);

/// A session that lasts longer than this may be from before a fault.
const OLD: Duration = Duration::from_millis(500);

/// What all clients were told.
#[derive(Debug)]
pub(crate) struct History {
    deadline: Duration,
    /// The tags whose server the fault is about: only calls about these tell of an outage.
    concerned: HashSet<SlotTag>,
    /// How late a thread was by itself, and a timer of the runtime.
    pub(crate) thread: Lateness,
    pub(crate) timer: Lateness,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    sessions: HashMap<StoredKey, Life>,
    /// Keys to read, for whoever wants to: kept, and ended.
    kept: Vec<StoredKey>,
    ended: Vec<StoredKey>,
    /// Ended by somebody after they had lasted for a while: a server that was left behind has them.
    old: Vec<StoredKey>,
    /// When ends of all sessions were asked for, and acknowledged.
    all: Vec<(Instant, Option<Instant>)>,
    announced: Option<Instant>,
    /// Clients that are cut off, so that no announcement reaches them, and until when.
    cut_off: Vec<usize>,
    healed: Option<Instant>,
    last: HashMap<usize, Instant>,
    back: HashSet<usize>,
    /// Clients that have created a session since.
    creating: HashSet<usize>,
    /// Until when calls should have been over that were too late, and when they were.
    late: Vec<(Instant, Instant)>,
    undone: HashSet<StoredKey>,
    superseded: HashSet<StoredKey>,
    report: Report,
}

/// What is known of one session under one key.
#[derive(Clone, Copy, Debug)]
struct Life {
    created: Instant,
    /// From when on it may be gone, because somebody asked for it.
    may_end: Option<Instant>,
    ended: Option<(Instant, How)>,
    written: u64,
}

/// How a key came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By a logout or a revocation.
    Revoked,
    /// The session has a new id.
    Superseded,
}

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) creates: usize,
    pub(crate) creates_lost: usize,
    /// Reads that did not find a session that is there.
    pub(crate) creates_missed: usize,
    pub(crate) revocations: usize,
    /// Sessions that a read found after the end of them was acknowledged.
    pub(crate) revocations_undone: usize,
    /// Ids that a rotation or login had replaced, and that a read found again.
    pub(crate) superseded_undone: usize,
    pub(crate) writes: usize,
    pub(crate) writes_lost: usize,
    pub(crate) reads: usize,
    pub(crate) refused: usize,
    pub(crate) late: usize,
    /// Those of them that were too late even without what a thread that only sleeps overslept meanwhile.
    pub(crate) late_alone: usize,
    /// The same without what a timer of their runtime did.
    pub(crate) late_for_themselves: usize,
    /// The most by which a call outlived its deadline.
    pub(crate) worst_overshoot: Duration,
    /// From the announcement of a new primary to the first success of the slowest client.
    pub(crate) worst_gap: Duration,
    /// The same to the first session that it creates.
    pub(crate) worst_create: Duration,
    /// From the end of a cut to the first success of the slowest client that was cut off.
    pub(crate) worst_return: Duration,
    /// The most by which a thread that does nothing else overslept, meanwhile.
    pub(crate) machine: Duration,
    /// The most by which a timer was late, on the runtime of the calls.
    pub(crate) runtime: Duration,
    /// The longest that a client was without any success.
    pub(crate) longest_outage: Duration,
}

impl History {
    /// `deadline`: what every call promises to keep; `concerned`: the tags that the fault is about.
    pub(crate) fn new(deadline: Duration, concerned: HashSet<SlotTag>) -> Self {
        Self {
            deadline,
            concerned,
            thread: Lateness::default(),
            timer: Lateness::default(),
            seen: Mutex::default(),
        }
    }

    /// A call of a client about a key or a subject with one of these tags is over.
    pub(crate) fn called(&self, client: usize, tags: &[SlotTag], began: Instant, succeeded: bool) {
        let now = Instant::now();
        let mut seen = self.seen.lock();
        let over = (now - began).saturating_sub(self.deadline);
        if over > LATE {
            seen.late.push((began + self.deadline, now));
        }
        seen.report.worst_overshoot = seen.report.worst_overshoot.max(over);
        if !succeeded {
            seen.report.refused += 1;
            return;
        }
        if !tags.iter().any(|tag| self.concerned.contains(tag)) {
            return;
        }
        let last = seen.last.insert(client, now).unwrap_or(now);
        seen.report.longest_outage = seen.report.longest_outage.max(now - last);
        let Some((told, cut_off)) = seen.told(client, began) else {
            return;
        };
        if seen.back.insert(client) {
            let gap = match cut_off {
                true => &mut seen.report.worst_return,
                false => &mut seen.report.worst_gap,
            };
            *gap = (now - told).max(*gap);
        }
    }

    /// Some tag that the fault is about.
    pub(crate) fn concerned_tag(&self, random: usize) -> SlotTag {
        let mut tags = self.concerned.iter();
        let tag = tags.nth(random % self.concerned.len().max(1));
        *tag.expect("it is about something")
    }

    /// A client has just created a session, of its own calls.
    pub(crate) fn creates(&self, client: usize, tag: SlotTag, began: Instant) {
        let mut seen = self.seen.lock();
        let told = seen.told(client, began).filter(|(_, cut_off)| !cut_off);
        if let Some((told, _)) = told
            && self.concerned.contains(&tag)
            && seen.creating.insert(client)
        {
            let worst = &mut seen.report.worst_create;
            *worst = told.elapsed().max(*worst);
        }
    }

    /// A new primary was announced; the first announcement counts.
    pub(crate) fn announced(&self) {
        self.seen.lock().announced.get_or_insert(Instant::now());
    }

    /// Every one of so many clients was served since then: nobody still waits for the old primary.
    pub(crate) fn assert_all_are_back(&self, clients: usize) {
        let back = self.seen.lock().back.clone();
        assert_eq!(back.len(), clients, "only these are back: {back:?}");
    }

    /// From now on these clients hear no announcement.
    pub(crate) fn cut_off(&self, clients: &[usize]) {
        self.seen.lock().cut_off = clients.to_vec();
    }

    /// They do again.
    pub(crate) fn healed(&self) {
        self.seen.lock().healed = Some(Instant::now());
    }

    /// A session was created, or got this key.
    pub(crate) fn created(&self, key: StoredKey) {
        let mut seen = self.seen.lock();
        seen.report.creates += 1;
        seen.kept.push(key);
        let life = Life {
            created: Instant::now(),
            may_end: None,
            ended: None,
            written: 0,
        };
        let before = seen.sessions.insert(key, life);
        assert!(before.is_none(), "a key was made twice");
    }

    /// Somebody is about to end it: from now on it may be gone.
    pub(crate) fn ending(&self, key: StoredKey) {
        let mut seen = self.seen.lock();
        let now = Instant::now();
        let life = seen.sessions.get_mut(&key).expect("it was created");
        life.may_end.get_or_insert(now);
    }

    /// Its end was acknowledged.
    pub(crate) fn ended(&self, key: StoredKey, how: How) {
        let mut seen = self.seen.lock();
        seen.report.revocations += usize::from(how == How::Revoked);
        seen.ended.push(key);
        let now = Instant::now();
        let life = seen.sessions.get_mut(&key).expect("it was created");
        life.ended.get_or_insert((now, how));
        if how == How::Revoked && now - life.created > OLD {
            seen.old.push(key);
        }
    }

    /// Somebody is about to end all sessions.
    pub(crate) fn ending_all(&self) {
        self.seen.lock().all.push((Instant::now(), None));
    }

    /// The end of all sessions was acknowledged.
    pub(crate) fn ended_all(&self) {
        let mut seen = self.seen.lock();
        seen.report.revocations += 1;
        let last = seen.all.last_mut().expect("it was about to");
        last.1 = Some(Instant::now());
    }

    /// The `number`th write of a session was acknowledged.
    pub(crate) fn wrote(&self, key: StoredKey, number: u64) {
        let mut seen = self.seen.lock();
        seen.report.writes += 1;
        let life = seen.sessions.get_mut(&key).expect("it was created");
        life.written = number;
    }

    /// A read that began at `began` found a session with so many writes, or none.
    pub(crate) fn read(&self, key: StoredKey, began: Instant, found: Option<u64>) {
        let mut seen = self.seen.lock();
        seen.report.reads += 1;
        let life = seen.sessions[&key];
        if found.is_some() {
            match life.ended {
                Some((ended, How::Revoked)) if ended < began => drop(seen.undone.insert(key)),
                Some((ended, How::Superseded)) if ended < began => {
                    seen.superseded.insert(key);
                }
                _ => {}
            }
            let all = |all: &(Instant, Option<Instant>)| {
                life.created < all.0 && all.1.is_some_and(|ended| ended < began)
            };
            if seen.all.iter().any(all) {
                seen.undone.insert(key);
            }
        } else if life.created < began && life.must_be_there(&seen.all) {
            seen.report.creates_missed += 1;
        }
    }

    /// Some key to read: one that is kept, or one whose end was acknowledged.
    pub(crate) fn some(&self, ended: bool, random: usize) -> Option<StoredKey> {
        let seen = self.seen.lock();
        let keys = if ended { &seen.ended } else { &seen.kept };
        // Mostly the last ones: what was just acknowledged is what a failover loses.
        let recent = keys.len().min(if random.is_multiple_of(4) {
            keys.len()
        } else {
            50
        });
        let place = keys.len().checked_sub(1 + random % recent.max(1))?;
        Some(keys[place])
    }

    /// One of the last sessions that were ended after a while.
    pub(crate) fn some_old(&self, random: usize) -> Option<StoredKey> {
        let seen = self.seen.lock();
        let recent = seen.old.len().min(100);
        let place = seen.old.len().checked_sub(1 + random % recent.max(1))?;
        Some(seen.old[place])
    }

    /// All keys, for the last look.
    pub(crate) fn keys(&self) -> Vec<StoredKey> {
        self.seen.lock().sessions.keys().copied().collect()
    }

    /// The judgement. `found`: what is there when all servers are back, in one client's eyes.
    pub(crate) fn judge(&self, found: &HashMap<StoredKey, Option<u64>>) -> Report {
        let seen = self.seen.lock();
        let mut report = seen.report.clone();
        for (key, life) in &seen.sessions {
            match found[key] {
                None if life.must_be_there(&seen.all) => {
                    report.creates_lost += 1;
                    report.writes_lost += usize::try_from(life.written).unwrap_or_default();
                }
                Some(number) if life.ended.is_none() && number < life.written => {
                    report.writes_lost +=
                        usize::try_from(life.written - number).unwrap_or_default();
                }
                _ => {}
            }
        }
        report.late = seen.late.len();
        let beyond = |slept: &Lateness| {
            let is_late = |(due, over): &&(Instant, Instant)| {
                (*over - *due).saturating_sub(slept.between(*due, *over)) > LATE
            };
            seen.late.iter().filter(is_late).count()
        };
        report.late_alone = beyond(&self.thread);
        report.late_for_themselves = beyond(&self.timer);
        report.machine = self.thread.worst();
        report.runtime = self.timer.worst();
        report.revocations_undone = seen.undone.len();
        report.superseded_undone = seen.superseded.len();
        report
    }
}

impl Report {
    /// Another run of the same.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.creates, other.creates),
            (&mut self.creates_lost, other.creates_lost),
            (&mut self.creates_missed, other.creates_missed),
            (&mut self.revocations, other.revocations),
            (&mut self.revocations_undone, other.revocations_undone),
            (&mut self.superseded_undone, other.superseded_undone),
            (&mut self.writes, other.writes),
            (&mut self.writes_lost, other.writes_lost),
            (&mut self.reads, other.reads),
            (&mut self.refused, other.refused),
            (&mut self.late, other.late),
            (&mut self.late_alone, other.late_alone),
            (&mut self.late_for_themselves, other.late_for_themselves),
        ] {
            *sum += more;
        }
        for (worst, other) in [
            (&mut self.worst_overshoot, other.worst_overshoot),
            (&mut self.worst_gap, other.worst_gap),
            (&mut self.worst_create, other.worst_create),
            (&mut self.worst_return, other.worst_return),
            (&mut self.machine, other.machine),
            (&mut self.runtime, other.runtime),
            (&mut self.longest_outage, other.longest_outage),
        ] {
            *worst = other.max(*worst);
        }
    }

    /// Its row of the table in docs/operate/failover.md.
    pub(crate) fn row(&self, mode: &str, fault: &str) -> String {
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        let cells = [
            mode.to_owned(),
            fault.to_owned(),
            format!("{} of {}", self.creates_lost, self.creates),
            format!("{} of {}", self.revocations_undone, self.revocations),
            self.superseded_undone.to_string(),
            format!("{} of {}", self.writes_lost, self.writes),
            ms(self.longest_outage),
            ms(self.worst_gap),
            ms(self.worst_create),
            ms(self.worst_return),
            format!(
                "{} ({}, {}, {})",
                ms(self.worst_overshoot),
                self.late,
                self.late_alone,
                self.late_for_themselves
            ),
            ms(self.machine),
            ms(self.runtime),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

impl Seen {
    /// When a client was told that all is well again, and whether that is by the end of a cut, if the call began
    /// after it.
    fn told(&self, client: usize, began: Instant) -> Option<(Instant, bool)> {
        let cut_off = self.cut_off.contains(&client);
        let told = if cut_off { self.healed } else { self.announced };
        let told = told.filter(|told| *told <= began)?;
        Some((told, cut_off))
    }
}

impl Life {
    fn must_be_there(&self, all: &[(Instant, Option<Instant>)]) -> bool {
        // Who was being created while all were ended may be on either side.
        self.may_end.is_none()
            && all
                .iter()
                .all(|(_, end)| end.is_some_and(|end| end < self.created))
    }
}

/// The checker can tell: each kind of loss, told to it, is in its figures.
#[test]
fn each_loss_is_counted() {
    let history = History::new(Duration::from_millis(1), HashSet::new());
    let ids = crate::kit::Ids::new();
    let [lost, undone, replaced, written, all] = [(); 5].map(|()| ids.key(None));
    let earlier = Instant::now();
    history.created(all);
    history.ending_all();
    history.ended_all();
    for key in [lost, undone, replaced, written] {
        history.created(key);
    }
    history.wrote(written, 2);
    history.ending(undone);
    history.ended(undone, How::Revoked);
    history.ending(replaced);
    history.ended(replaced, How::Superseded);
    // What began before it was acknowledged may find it.
    for key in [undone, replaced, all] {
        history.read(key, earlier, Some(0));
    }
    let nothing = history.judge(&found(&history, |key| (key != all).then_some(2)));
    assert_eq!((nothing.revocations_undone, nothing.creates_lost), (0, 0));
    let later = Instant::now();
    for key in [undone, replaced, all] {
        history.read(key, later, Some(0));
    }
    history.read(lost, later, None);
    let long_ago = earlier.checked_sub(2 * LATE).expect("the machine is up");
    history.called(0, &[lost.tag()], long_ago, true);
    let report = history.judge(&found(&history, |key| (key != lost).then_some(1)));
    assert_eq!(report.creates_lost, 1);
    assert_eq!(report.creates_missed, 1);
    assert_eq!(report.revocations_undone, 2);
    assert_eq!(report.superseded_undone, 1);
    assert_eq!(report.writes_lost, 1);
    let late = (report.late, report.late_alone, report.late_for_themselves);
    assert_eq!(late, (1, 1, 1));
    assert_eq!(report.worst_gap, Duration::ZERO, "it concerns nobody");
}

#[cfg(test)]
fn found(
    history: &History,
    of: impl Fn(StoredKey) -> Option<u64>,
) -> HashMap<StoredKey, Option<u64>> {
    let keys = history.keys().into_iter();
    keys.map(|key| (key, of(key))).collect()
}

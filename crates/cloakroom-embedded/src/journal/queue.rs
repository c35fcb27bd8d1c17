//! What those who append and the thread that writes share: the records that wait to be written, the
//! callers that wait for a sync, and whether the journal takes more.
//!
//! Appending is a copy under a short lock. The clock is read once per batch, and under `everysec` a coarse
//! one once per record, to hold up writers when the disk is more than a second behind: so a crash never
//! takes more than a second of acknowledged writes along, however slow the disk is.

mod wait;
mod waiters;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::format::{self, FRAME, RECORD};
use super::{Durability, JournalError, JournalState, PATIENCE};
use crate::clock::Tick;

pub use wait::Wait;
use waiters::Waiters;

/// Bytes that wait to be written before writers are held up: what a disk of 100 MB/s takes in a
/// third of a second.
const PENDING: usize = 32 << 20;
/// Bytes from which on the thread is woken before its tick.
const WRITE_AT: usize = 128 << 10;
/// The longest that a record waits to be written, where nobody waits for its sync.
const TICK: Duration = Duration::from_millis(100);
/// The oldest that an unsynced record gets before a sync begins, under `everysec`; a usual sync
/// takes a few milliseconds, and a second is promised.
const SYNC_AFTER: Duration = Duration::from_millis(800);
/// The oldest that an unsynced record gets before writers are held up, under `everysec`: a second, less
/// two ticks of the slowest kernel, by which the clock may be wrong.
const SECOND: Duration = Duration::from_millis(980);
/// How long the journal rests before it notes that all is synced.
const IDLE: Duration = Duration::from_secs(1);
/// How long the one that was woken after a sync has for waking the others, where nothing else comes.
const LINGER: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) durability: Durability,
    queue: Mutex<Queue>,
    work: Condvar,
    done: Condvar,
    /// Records before this one are on the disk.
    durable: AtomicU64,
    /// The number of the last record; noted under the lock of whoever appended it.
    appended: AtomicU64,
    state: AtomicU8,
    fault: Mutex<Option<JournalError>>,
    /// Since when the thread is at what it is at, on the disk.
    busy: Mutex<Option<Instant>>,
    waiters: Waiters,
    pub(crate) written: AtomicU64,
    pub(crate) syncs: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    /// Room for a frame's head, then unsealed records.
    bytes: Vec<u8>,
    next_seq: u64,
    /// When the first of them came, and the first that is not synced.
    oldest: Option<Since>,
    unsynced: Option<Since>,
    /// Somebody waits for the sync of the records before this one.
    wanted: u64,
    asleep: bool,
    closing: bool,
    /// How many new segments were asked for, and made.
    turns_wanted: u64,
    turns_made: u64,
    /// The segment that the last of them began, and its first record.
    last_turn: (u64, u64),
}

/// When something came, for those who sleep until a time and for those who only ask whether it is long ago.
#[derive(Clone, Copy, Debug)]
struct Since {
    at: Instant,
    tick: Tick,
}

impl Since {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            tick: Tick::now(),
        }
    }
}

/// What the thread does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) sync: bool,
    pub(crate) turn: bool,
    pub(crate) claim: bool,
    pub(crate) close: bool,
}

impl Shared {
    pub(crate) fn new(durability: Durability, first_seq: u64) -> Self {
        Self {
            durability,
            queue: Mutex::new(Queue {
                bytes: vec![0; FRAME],
                next_seq: first_seq,
                oldest: None,
                unsynced: None,
                wanted: 0,
                asleep: false,
                closing: false,
                turns_wanted: 0,
                turns_made: 0,
                last_turn: (0, 0),
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            durable: AtomicU64::new(first_seq),
            appended: AtomicU64::new(first_seq),
            state: AtomicU8::new(JournalState::Open as u8),
            fault: Mutex::new(None),
            busy: Mutex::new(None),
            waiters: Waiters::default(),
            written: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        }
    }

    /// Appends a record. Returns the number that a sync has to pass for it to be durable.
    pub(crate) fn append(&self, payload: &[u8]) -> u64 {
        let mut queue = self.queue.lock();
        queue.next_seq += 1;
        let seq = queue.next_seq;
        self.appended.store(seq, Ordering::Release);
        let len = queue.bytes.len() + RECORD + payload.len();
        if queue.closing || self.state() == JournalState::Broken {
            // Whoever waits for this record's sync is told so.
            return seq;
        }
        if len > 2 * PENDING.max(payload.len()) {
            drop(queue);
            self.break_down(JournalError::Behind);
            return seq;
        }
        format::push_unsealed(&mut queue.bytes, payload);
        let mut behind = len > PENDING;
        if self.durability != Durability::Always {
            let oldest = *queue.oldest.get_or_insert_with(Since::now);
            let unsynced = *queue.unsynced.get_or_insert(oldest);
            behind |= self.is_timed() && unsynced.tick.elapsed() > SECOND;
        }
        if behind {
            self.shift(JournalState::Open, JournalState::Behind);
        }
        let wake = queue.asleep && (self.durability == Durability::Always || len > WRITE_AT);
        queue.asleep &= !wake;
        let first = queue.asleep && queue.bytes.len() == FRAME + RECORD + payload.len();
        drop(queue);
        if wake || first {
            self.work.notify_one();
        }
        seq
    }

    fn is_timed(&self) -> bool {
        self.durability == Durability::Everysec
    }

    pub(crate) fn state(&self) -> JournalState {
        JournalState::from_number(self.state.load(Ordering::Acquire))
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// Whether writes are taken now.
    pub(crate) fn admits(&self) -> Poll<Result<(), JournalError>> {
        match self.state() {
            JournalState::Open => Poll::Ready(Ok(())),
            JournalState::Behind => Poll::Pending,
            JournalState::Full | JournalState::Broken | JournalState::Stalled => {
                Poll::Ready(Err(self.fault()))
            }
        }
    }

    /// Moves on if the state still is `from`.
    fn shift(&self, from: JournalState, to: JournalState) {
        let (from, to) = (from as u8, to as u8);
        let _ = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    fn fault(&self) -> JournalError {
        let fault = self.fault.lock();
        fault.clone().unwrap_or(JournalError::Closed)
    }

    /// Nothing is taken any more, and nobody waits any longer.
    pub(crate) fn break_down(&self, fault: JournalError) {
        self.refuse(JournalState::Broken, fault);
    }

    /// The disk has no room: what waits is told so, and what was appended is kept for later.
    pub(crate) fn fill_up(&self, fault: JournalError) {
        self.refuse(JournalState::Full, fault);
    }

    /// As [`super::Journal::watch`].
    pub(crate) fn watch(&self, now: Instant) {
        let busy = *self.busy.lock();
        self.waiters.pass_on();
        let stalls = busy.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE);
        if stalls && matches!(self.state(), JournalState::Open | JournalState::Behind) {
            self.refuse(JournalState::Stalled, JournalError::Stalled);
        }
    }

    /// Does something on the disk that may take its time. If it took too long, writes are taken again.
    pub(crate) fn while_busy<T>(&self, work: impl FnOnce() -> T) -> T {
        *self.busy.lock() = Some(Instant::now());
        let done = work();
        *self.busy.lock() = None;
        self.shift(JournalState::Stalled, JournalState::Open);
        done
    }

    /// Tells whoever waits, and whoever comes, until the state is another.
    fn refuse(&self, state: JournalState, fault: JournalError) {
        {
            let mut known = self.fault.lock();
            if self.state() != JournalState::Broken {
                *known = Some(fault);
                self.state.store(state as u8, Ordering::Release);
            }
        }
        // Under the lock, so that nobody begins to wait between a look and a sleep.
        drop(self.queue.lock());
        self.done.notify_all();
        self.waiters.wake(u64::MAX);
        self.waiters.pass_on();
    }

    /// What waited is written; writes are taken again.
    pub(crate) fn open_again(&self) {
        self.shift(JournalState::Full, JournalState::Open);
        self.waiters.wake(0);
        self.waiters.pass_on();
    }

    /// Waits for something to do and takes what is to be written into `batch`, which is empty.
    pub(crate) fn next(&self, batch: &mut Vec<u8>, rests: bool) -> Task {
        let mut queue = self.queue.lock();
        let (mut rested, mut yielded, mut lingers) = (None, false, None);
        loop {
            let now = Instant::now();
            let (mut task, mut until) = self.judge(&queue, now);
            if task.is_none() && !rests {
                let at = *rested.get_or_insert(now + IDLE);
                let claim = Task {
                    claim: true,
                    ..Task::default()
                };
                task = (at <= now).then_some(claim);
                until = until.map(|until| until.min(at)).or(Some(at));
            }
            if let Some(task) = task {
                // Whoever else is ready to run on this processor may have something for the same sync. Where
                // others are idle that is over at once.
                if task.sync && !task.close && !std::mem::replace(&mut yielded, true) {
                    MutexGuard::unlocked(&mut queue, thread::yield_now);
                    continue;
                }
                if queue.bytes.len() > FRAME {
                    std::mem::swap(&mut queue.bytes, batch);
                    queue.bytes.resize(FRAME, 0);
                    queue.oldest = None;
                }
                return task;
            }
            if !self.waiters.are_passed_on() {
                let at = *lingers.get_or_insert(now + LINGER);
                if at <= now {
                    MutexGuard::unlocked(&mut queue, || self.waiters.pass_on());
                    continue;
                }
                until = until.map(|until| until.min(at)).or(Some(at));
            }
            queue.asleep = true;
            match until {
                Some(until) => {
                    self.work.wait_until(&mut queue, until);
                }
                None => self.work.wait(&mut queue),
            }
            queue.asleep = false;
        }
    }

    /// What is to be done now, or when to look again.
    fn judge(&self, queue: &Queue, now: Instant) -> (Option<Task>, Option<Instant>) {
        let pending = queue.bytes.len() > FRAME;
        let sync_at = match self.durability {
            Durability::Everysec => queue.unsynced.map(|since| since.at + SYNC_AFTER),
            Durability::Always | Durability::No => None,
        };
        let task = Task {
            sync: queue.wanted > self.durable()
                || (pending && self.durability == Durability::Always)
                || sync_at.is_some_and(|at| at <= now)
                || self.state() == JournalState::Behind
                || queue.closing,
            turn: queue.turns_wanted > queue.turns_made,
            claim: queue.closing,
            close: queue.closing,
        };
        let write_at = queue.oldest.map(|since| since.at + TICK);
        let write = queue.bytes.len() > WRITE_AT || write_at.is_some_and(|at| at <= now);
        if task != Task::default() || (pending && write) {
            return (Some(task), None);
        }
        (None, [sync_at, write_at].into_iter().flatten().min())
    }

    /// Tells that all records before `seq` are on the disk.
    pub(crate) fn synced(&self, seq: u64) {
        {
            let mut queue = self.queue.lock();
            queue.unsynced = queue.oldest;
            self.durable.store(seq, Ordering::Release);
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.done.notify_all();
        self.shift(JournalState::Behind, JournalState::Open);
        self.waiters.wake(seq);
    }

    /// Tells that a new segment began.
    pub(crate) fn turned(&self, number: u64, first_seq: u64) {
        {
            let mut queue = self.queue.lock();
            queue.turns_made += 1;
            queue.last_turn = (number, first_seq);
        }
        self.done.notify_all();
    }

    /// Has a new segment begun, and waits for it. Returns its number and that of its first record.
    pub(crate) fn turn(&self) -> Result<(u64, u64), JournalError> {
        let mut queue = self.queue.lock();
        queue.turns_wanted += 1;
        let turn = queue.turns_wanted;
        self.work.notify_one();
        while queue.turns_made < turn {
            if self.state() == JournalState::Broken {
                drop(queue);
                return Err(self.fault());
            }
            self.done.wait(&mut queue);
        }
        Ok(queue.last_turn)
    }

    /// Waits for the sync of a record, on the calling thread.
    pub(crate) fn wait_here(&self, seq: u64) -> Result<(), JournalError> {
        self.want(seq);
        let mut queue = self.queue.lock();
        while self.durable() < seq {
            if !matches!(self.state(), JournalState::Open | JournalState::Behind) {
                drop(queue);
                return Err(self.fault());
            }
            self.done.wait(&mut queue);
        }
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.queue.lock().closing = true;
        self.work.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.queue.lock().closing
    }

    /// Sleeps while the disk is full, unless the journal is closed.
    pub(crate) fn rest(&self, pause: Duration) {
        let mut queue = self.queue.lock();
        if !queue.closing {
            self.work.wait_for(&mut queue, pause);
        }
    }

    fn want(&self, seq: u64) {
        let mut queue = self.queue.lock();
        if queue.wanted < seq {
            queue.wanted = seq;
            if queue.asleep {
                queue.asleep = false;
                self.work.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record that a sync does not take along is as old as when it came, not as the next sync.
    #[test]
    fn what_comes_during_a_sync_is_synced_in_its_own_second() {
        let shared = Shared::new(Durability::Everysec, 0);
        let first = shared.append(b"first");
        let mut batch = Vec::new();
        let task = shared.next(&mut batch, true);
        assert!(!task.sync && batch.len() > FRAME, "it was only written");
        shared.append(b"second");
        let came = Instant::now();
        shared.synced(first);
        let due = |at| shared.judge(&shared.queue.lock(), at).0;
        assert!(!due(came).is_some_and(|task| task.sync));
        assert!(due(came + SYNC_AFTER).is_some_and(|task| task.sync));
    }
}

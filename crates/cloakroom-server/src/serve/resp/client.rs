//! What all others may know of a connection, and its letter box: messages for it are put there by whoever
//! has them, in its own protocol, and its task takes them out when it writes.

use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::task::Waker;
use std::time::Instant;

use parking_lot::Mutex;

use super::gate::Looks;
use super::limits;
use super::reply::Out;

/// A connection, as others see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    /// Where it comes from, and where it came to.
    pub(crate) address: String,
    pub(crate) local: String,
    pub(crate) unix: bool,
    pub(crate) since: Instant,
    pub(crate) told: Mutex<Told>,
    pub(crate) resp3: AtomicBool,
    pub(crate) db: AtomicU8,
    pub(crate) channels: AtomicU32,
    pub(crate) patterns: AtomicU32,
    /// Commands that its transaction has queued; -1: it has none.
    pub(crate) queued: AtomicI32,
    pub(crate) watching: AtomicU32,
    pub(crate) tracking: AtomicBool,
    /// The number of its last command, and when it was in seconds since it came.
    pub(crate) last: AtomicU16,
    pub(crate) active: AtomicU64,
    /// Keys that it looked up and found, and did not find.
    hits: AtomicU64,
    misses: AtomicU64,
    /// A key that it watches has changed.
    pub(crate) dirty: AtomicBool,
    has_mail: AtomicBool,
    mail: Mutex<Mail>,
    /// Bytes of messages that its task took out of the box and has not sent. Nobody else changes it.
    on_the_way: AtomicUsize,
}

/// What it said of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) library: String,
    pub(crate) version: String,
    pub(crate) user: String,
}

#[derive(Debug, Default)]
struct Mail {
    messages: Out,
    /// Since when more waits than [`limits::PUSH_SOFT_BYTES`].
    heavy_since: Option<Instant>,
    waker: Option<Waker>,
    ended: Option<&'static str>,
}

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    Tcp { peer: SocketAddr, local: SocketAddr },
    Unix(String),
}

impl Client {
    pub(crate) fn new(id: u64, peer: &Peer) -> Self {
        let (address, local, unix) = match peer {
            Peer::Tcp { peer, local } => (peer.to_string(), local.to_string(), false),
            Peer::Unix(path) => (format!("{path}:0"), format!("{path}:0"), true),
        };
        Self {
            id,
            address,
            local,
            unix,
            since: Instant::now(),
            told: Mutex::default(),
            resp3: AtomicBool::new(false),
            db: AtomicU8::new(0),
            channels: AtomicU32::new(0),
            patterns: AtomicU32::new(0),
            queued: AtomicI32::new(-1),
            watching: AtomicU32::new(0),
            tracking: AtomicBool::new(false),
            last: AtomicU16::new(u16::MAX),
            active: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            dirty: AtomicBool::new(false),
            has_mail: AtomicBool::new(false),
            mail: Mutex::default(),
            on_the_way: AtomicUsize::new(0),
        }
    }

    /// Puts a message into the box and wakes whoever reads it. Too many unread ones end the connection.
    pub(crate) fn push(&self, message: impl FnOnce(&mut Out)) {
        let mut mail = self.mail.lock();
        if mail.ended.is_some() {
            return;
        }
        mail.messages.resp3 = self.resp3.load(Ordering::Relaxed);
        message(&mut mail.messages);
        let waits = mail.messages.bytes.len() + self.on_the_way.load(Ordering::Relaxed);
        if is_too_much(waits, &mut mail.heavy_since, Instant::now) {
            mail.messages.bytes = Vec::new();
            mail.ended = Some("it does not read what it subscribed to");
        }
        self.has_mail.store(true, Ordering::Release);
        if let Some(waker) = mail.waker.take() {
            drop(mail);
            waker.wake();
        }
    }

    /// Ends the connection, and says why to the log.
    pub(crate) fn end(&self, why: &'static str) {
        let mut mail = self.mail.lock();
        mail.ended.get_or_insert(why);
        self.has_mail.store(true, Ordering::Release);
        if let Some(waker) = mail.waker.take() {
            drop(mail);
            waker.wake();
        }
    }

    /// Has its task look around.
    pub(crate) fn wake(&self) {
        let waker = self.mail.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the messages out, behind what is in `into`, unless there is no room for them. Fails if the
    /// connection is to end.
    pub(crate) fn take(&self, into: &mut Vec<u8>, room: bool) -> Result<(), &'static str> {
        if !self.has_mail.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut mail = self.mail.lock();
        if let Some(why) = mail.ended {
            return Err(why);
        }
        if !room {
            return Ok(());
        }
        self.has_mail.store(false, Ordering::Release);
        self.on_the_way
            .fetch_add(mail.messages.bytes.len(), Ordering::Relaxed);
        into.append(&mut mail.messages.bytes);
        mail.messages.bytes = Vec::new();
        Ok(())
    }

    /// No more than so many bytes of what it took out are unsent.
    pub(crate) fn has_sent_but(&self, unsent: usize) {
        if self.on_the_way.load(Ordering::Relaxed) > unsent {
            self.on_the_way.store(unsent, Ordering::Relaxed);
        }
    }

    /// Has `waker` woken by the next message. Returns whether there is one already that can be taken.
    pub(crate) fn wait(&self, waker: &Waker, room: bool) -> bool {
        let mut mail = self.mail.lock();
        let waits = self.has_mail.load(Ordering::Acquire);
        if mail.ended.is_some() || room && waits {
            return true;
        }
        match &mail.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => mail.waker = Some(waker.clone()),
        }
        false
    }

    /// It looked keys up. Only its own task says so: others read the sums, so that no two ever write the same.
    #[inline]
    pub(crate) fn has_looked(&self, looks: Looks) {
        for (sum, more) in [(&self.hits, looks.hits), (&self.misses, looks.misses)] {
            if more > 0 {
                let sum_so_far = sum.load(Ordering::Relaxed);
                sum.store(sum_so_far + u64::from(more), Ordering::Relaxed);
            }
        }
    }

    /// Keys that it looked up so far and found, and did not find.
    pub(crate) fn looked(&self) -> (u64, u64) {
        let [hits, misses] = [&self.hits, &self.misses].map(|sum| sum.load(Ordering::Relaxed));
        (hits, misses)
    }

    /// It did something.
    pub(crate) fn was_active(&self) {
        let seconds = self.since.elapsed().as_secs();
        self.active.store(seconds, Ordering::Relaxed);
    }
}

/// Whether so many bytes are more than may wait for a subscriber, or have been for too long.
fn is_too_much(
    waits: usize,
    heavy_since: &mut Option<Instant>,
    now: impl FnOnce() -> Instant,
) -> bool {
    if waits <= limits::PUSH_SOFT_BYTES {
        *heavy_since = None;
        return false;
    }
    let now = now();
    let since = *heavy_since.get_or_insert(now);
    waits > limits::PUSH_BYTES || now - since >= limits::PUSH_SOFT_TIME
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn much_may_wait_for_a_while_and_too_much_not_at_all() {
        const MIB: usize = 1 << 20;
        let (start, mut since) = (Instant::now(), None);
        for (seconds, waits, expected) in [
            (0, 9 * MIB, false),
            (59, 31 * MIB, false),
            // It read some, so the time begins anew.
            (59, 8 * MIB, false),
            (60, 9 * MIB, false),
            (119, 9 * MIB, false),
            (120, 9 * MIB, true),
            (121, MIB, false),
            (121, 33 * MIB, true),
        ] {
            let now = start + Duration::from_secs(seconds);
            let found = is_too_much(waits, &mut since, || now);
            assert_eq!(found, expected, "{waits} bytes at {seconds} s");
        }
    }

    #[test]
    fn what_was_taken_out_and_is_not_sent_waits_as_well() {
        let client = Client::new(1, &Peer::Unix(String::new()));
        let letter = |out: &mut Out| out.bulk(&vec![0; 20 << 20]);
        let mut taken = Vec::new();
        client.push(letter);
        client.take(&mut taken, true).unwrap();
        client.has_sent_but(1 << 20);
        client.push(letter);
        client.take(&mut taken, true).unwrap();
        client.push(letter);
        client.take(&mut taken, true).expect_err("41 MiB wait");
    }
}

//! The bytes of a connection: what comes is read into a buffer that all connections of a thread share, run
//! from there, and answered with one write. A connection that waits holds no buffer at all.

mod scratch;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cloakroom_embedded::Foreign;
use cloakroom_embedded::journal::Wait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use self::scratch::Scratch;
use super::ahead::Ahead;
use super::args::Args;
use super::conn::Conn;
use super::decode::{Broken, Decoder};
use super::limits;
use super::reply::Out;
use crate::logs::often;

/// A connection that runs until one side ends it.
#[derive(Debug)]
pub(crate) struct Pump<S> {
    stream: S,
    conn: Conn,
    decoder: Decoder,
    /// What was read and is not run yet: the beginning of a command, or what was put off.
    rest: Vec<u8>,
    /// Whether `rest` may hold a whole command.
    put_off: bool,
    /// What was answered and is not sent yet, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// Answers that may be sent once `promise` is kept.
    held: Vec<u8>,
    /// What the journal has to do first: take writes at all, or have them on the disk.
    promise: Option<Promise>,
    /// Whether something was written that is not on its way.
    unflushed: bool,
    /// Since the reader takes nothing: when that was too long.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Why it ends, once it does.
    end: Option<End>,
}

/// Something that the journal will have done, or not.
enum Promise {
    /// What was written is on the disk.
    Synced(Wait),
    /// Writes are taken, or refused; which of them is asked again.
    Admitted(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Promise {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        match self {
            // Nobody knows what a restart will find, so nobody is told that it was done.
            Self::Synced(wait) => Pin::new(wait)
                .poll(cx)
                .map_err(|_| End::Cut("the journal failed while it wrote")),
            Self::Admitted(admitted) => admitted.as_mut().poll(cx).map(Ok),
        }
    }
}

impl std::fmt::Debug for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Promise")
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The other side went, or was asked to.
    Gone,
    /// It is cut off for this reason, which the log is told.
    Cut(&'static str),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    pub(crate) fn new(stream: S, conn: Conn) -> Self {
        Self {
            stream,
            conn,
            decoder: Decoder::default(),
            rest: Vec::new(),
            put_off: false,
            unsent: Vec::new(),
            sent: 0,
            held: Vec::new(),
            promise: None,
            unflushed: false,
            stalled: None,
            end: None,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<Poll<()>, End> {
        loop {
            let room = self.has_room();
            let taken = self.conn.me.take(&mut self.unsent, room);
            taken.map_err(End::Cut)?;
            self.send(cx)?;
            if self.conn.closing {
                if self.promise.is_some() && !self.is_kept(cx)? {
                    return self.rests(cx);
                }
                if self.sent < self.unsent.len() || self.unflushed {
                    return self.rests(cx);
                }
                // What it says changes nothing: the connection is over.
                let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                return Ok(Poll::Ready(()));
            }
            if !self.has_room() || !self.is_kept(cx)? || self.gives_way(cx) {
                return self.rests(cx);
            }
            if !self.admits(cx) {
                continue;
            }
            if self.put_off {
                self.run_rest(&[], scratch);
                self.answer(cx, scratch)?;
                continue;
            }
            let mut buffer = ReadBuf::new(&mut scratch.read);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending if self.conn.server.draining.load(Ordering::SeqCst) => {
                    self.conn.closing = true;
                    continue;
                }
                Poll::Pending if self.conn.me.wait(cx.waker(), true) => continue,
                // The end may have begun between the look and the wait.
                Poll::Pending if self.conn.server.draining.load(Ordering::SeqCst) => continue,
                Poll::Pending => return self.rests(cx),
                Poll::Ready(Err(_)) => return Err(End::Gone),
                Poll::Ready(Ok(())) => {}
            }
            let count = buffer.filled().len();
            if count == 0 {
                return Err(End::Gone);
            }
            let counts = &self.conn.server.counts;
            counts.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
            // What happened before these commands were sent is told before they are answered.
            let taken = self.conn.me.take(&mut self.unsent, true);
            taken.map_err(End::Cut)?;
            let read = std::mem::take(&mut scratch.read);
            if self.rest.is_empty() {
                let ran = self.run(&read[..count], scratch);
                if ran < count {
                    self.rest.extend_from_slice(&read[ran..count]);
                }
            } else {
                self.run_rest(&read[..count], scratch);
            }
            scratch.read = read;
            self.answer(cx, scratch)?;
            if self.promise.is_some() {
                // It was asked just now.
                return self.rests(cx);
            }
        }
    }

    /// Whether so little waits for its reader that more may.
    fn has_room(&self) -> bool {
        self.unsent.len() - self.sent <= limits::OUTPUT_PAUSE_BYTES
    }

    /// Whether it is the others' turn, because what was run took long.
    fn gives_way(&mut self, cx: &mut Context<'_>) -> bool {
        let ends = self.put_off && std::mem::take(&mut self.conn.busy) > limits::TURN;
        if ends {
            give_way(cx);
        }
        ends
    }

    /// Whether the journal takes writes, or for now says no to them. If it is to be waited for, that is
    /// a promise.
    fn admits(&mut self, cx: &mut Context<'_>) -> bool {
        let engine = &self.conn.server.engine;
        match pin!(engine.admitted()).poll(cx) {
            Poll::Ready(admitted) => {
                self.conn.read_only = admitted.is_err();
                true
            }
            Poll::Pending => {
                let engine = engine.clone();
                let admitted = async move { drop(engine.admitted().await) };
                self.promise = Some(Promise::Admitted(Box::pin(admitted)));
                false
            }
        }
    }

    /// Whether the journal has done what is waited for; then the answers may go.
    fn is_kept(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Some(promise) = &mut self.promise else {
            return Ok(true);
        };
        if promise.poll(cx)?.is_pending() {
            return Ok(false);
        }
        self.promise = None;
        if self.unsent.is_empty() {
            self.unsent = std::mem::take(&mut self.held);
        } else {
            self.unsent.append(&mut self.held);
            self.held = Vec::new();
        }
        self.send(cx)?;
        Ok(true)
    }

    /// Runs what was left, with `more` behind it.
    fn run_rest(&mut self, more: &[u8], scratch: &mut Scratch) {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(more);
        let ran = self.run(&rest, scratch);
        if ran < rest.len() {
            rest.drain(..ran);
            self.rest = rest;
        }
    }

    /// Runs all commands that are whole, as long as there is room for their answers.
    /// Returns how many bytes are done with.
    fn run(&mut self, buffer: &[u8], scratch: &mut Scratch) -> usize {
        let mut out = Out {
            bytes: std::mem::take(&mut scratch.out),
            resp3: self.conn.me.resp3.load(Ordering::Relaxed),
        };
        let mut at = 0;
        self.put_off = false;
        self.conn.busy = Duration::ZERO;
        let ends = Foreign::ends_here();
        self.decoder.borrow(&mut scratch.words);
        while !self.conn.closing && !self.put_off {
            let ahead = &mut scratch.ahead;
            let broken = ahead.look(&mut self.decoder, &self.conn, &buffer[at..]);
            if ahead.is_empty() && broken.is_none() {
                break;
            }
            at = self.run_ahead(ahead, buffer, at, &mut out);
            if let Some(broken) = broken
                && !self.put_off
                && !self.conn.closing
            {
                self.refuse(&broken, &mut out);
            }
        }
        self.decoder.give_back(&mut scratch.words);
        if Foreign::ends_here() != ends {
            self.conn.ended.set(true);
        }
        self.conn.settle_counts();
        scratch.out = out.bytes;
        if self.conn.closing {
            return buffer.len();
        }
        at
    }

    /// Runs the commands that were found, which begin at `at`; returns where the first begins that was not run.
    fn run_ahead(&mut self, ahead: &Ahead, buffer: &[u8], at: usize, out: &mut Out) -> usize {
        let mut at = at;
        for (frame, meant) in ahead.iter() {
            if self.conn.closing {
                return at;
            }
            if out.bytes.len() > limits::WRITE_BYTES || self.conn.busy > limits::TURN {
                self.put_off = true;
                self.decoder.go_back();
                return at;
            }
            let (bytes, words) = self.decoder.words(frame, &buffer[at..]);
            at += frame.taken;
            if !words.is_empty() {
                self.conn.run(Args::new(bytes, words), *meant, out);
            }
        }
        self.decoder.forget();
        at
    }

    fn refuse(&mut self, broken: &Broken, out: &mut Out) {
        out.error(&format!("ERR Protocol error: {broken}"));
        let client = self.conn.me.id;
        if often::PROTOCOL.has_a_line() {
            tracing::info!(client, error = %broken, "RESP connection closed: it breaks the protocol");
        }
        self.conn.closing = true;
    }

    /// Sends what was answered: at once if nothing waits, else behind it.
    fn answer(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<(), End> {
        let answered = scratch.out.len();
        let counts = &self.conn.server.counts;
        counts
            .bytes_out
            .fetch_add(answered as u64, Ordering::Relaxed);
        if self.conn.wrote.take() {
            let ends = self.conn.ended.take();
            if let Some(wait) = self.conn.server.engine.promise(ends) {
                let mut promise = Promise::Synced(wait);
                if promise.poll(cx)?.is_pending() {
                    self.promise = Some(promise);
                    self.held.extend_from_slice(&scratch.out);
                    scratch.forget_answers();
                    return Ok(());
                }
            }
        }
        let mut at = 0;
        if self.unsent.is_empty() {
            while at < answered {
                match Pin::new(&mut self.stream).poll_write(cx, &scratch.out[at..]) {
                    Poll::Ready(Ok(0) | Err(_)) => return Err(End::Gone),
                    Poll::Ready(Ok(count)) => at += count,
                    Poll::Pending => break,
                }
            }
        }
        if at < answered {
            self.unsent.extend_from_slice(&scratch.out[at..]);
        } else {
            self.flush(cx)?;
        }
        scratch.forget_answers();
        if self.unsent.len() - self.sent > limits::OUTPUT_BYTES {
            return Err(End::Cut("its replies are more than it reads"));
        }
        Ok(())
    }

    /// Sends what waits, as far as it is taken.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while self.sent < self.unsent.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent[self.sent..]) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Gone),
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    self.stalled = None;
                }
                Poll::Pending => {
                    if self.sent > limits::WRITE_BYTES {
                        self.unsent.drain(..self.sent);
                        self.sent = 0;
                    }
                    self.conn.me.has_sent_but(self.unsent.len() - self.sent);
                    return Ok(());
                }
            }
        }
        if !self.unsent.is_empty() {
            self.unsent = Vec::new();
            self.sent = 0;
            self.conn.me.has_sent_but(0);
            self.stalled = None;
            self.unflushed = true;
        }
        if self.unflushed {
            self.flush(cx)?;
        }
        Ok(())
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.unflushed = false,
            Poll::Ready(Err(_)) => return Err(End::Gone),
            Poll::Pending => self.unflushed = true,
        }
        Ok(())
    }

    /// Waits for whatever comes first; not for ever for a reader that takes nothing.
    fn rests(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        if self.conn.me.wait(cx.waker(), self.has_room()) {
            cx.waker().wake_by_ref();
        }
        if self.sent < self.unsent.len() || self.unflushed {
            let stalled = self
                .stalled
                .get_or_insert_with(|| Box::pin(sleep(limits::SLOW_READER)));
            if stalled.as_mut().poll(cx).is_ready() {
                return Err(End::Cut("it does not read what it asked for"));
            }
        }
        Ok(Poll::Pending)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    /// Runs until one side ends it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut scratch = Scratch::of_this_thread();
        let turned = self.turn(cx, &mut scratch);
        match turned {
            Ok(turned) => {
                // Not that of a connection that failed: replies that it did not get may be in there, and are
                // nobody else's.
                scratch.give_back();
                ready!(turned);
                Poll::Ready(End::Gone)
            }
            Err(end) => {
                if let End::Cut(why) = end {
                    let counts = &self.conn.server.counts;
                    counts.slow_readers.fetch_add(1, Ordering::Relaxed);
                    let (client, address) = (self.conn.me.id, &self.conn.me.address);
                    if often::CUT.has_a_line() {
                        tracing::warn!(client, address, why, "RESP connection cut off");
                    }
                }
                Poll::Ready(end)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Pump<S> {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = self.get_mut();
        let end = match this.end {
            Some(end) => end,
            None => {
                let end = ready!(this.poll_end(cx));
                // What it would hear is kept for nobody.
                this.conn.me.end("it is over");
                *this.end.insert(end)
            }
        };
        if !this.conn.stops_listening(limits::LET_GO) {
            give_way(cx);
            return Poll::Pending;
        }
        Poll::Ready(end)
    }
}

/// Has all others have their turn first, also those for whom the system has something by now.
fn give_way(cx: &mut Context<'_>) {
    let waits = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert!(waits.is_pending(), "it is asked for the first time");
}

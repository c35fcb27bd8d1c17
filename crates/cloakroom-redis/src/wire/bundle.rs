//! One message for what many callers ask in one moment. The client takes each message through two
//! queues and two wake-ups, which costs several times what the command in it does. So callers put their
//! commands down here; one task for each connection sends what came together as one pipeline, and
//! gives each its replies. It waits for nobody: what is there when its turn comes, goes.
//!
//! A reply belongs to the caller whose place the bundle holds at its position. A caller that leaves
//! before its commands were sent takes them along; one that leaves later leaves its place empty, and
//! nobody gets it before the replies came.
//!
//! Callers need no timer of their own: the sending task has one for all, and tells whose time is over.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::RedisError;
use redis::aio::MultiplexedConnection;

use super::{Command, Reply};

mod sending;
#[cfg(test)]
mod tests;

/// The most commands in one bundle: replies are given out when all came. Who has more goes alone, so that
/// nobody waits for thousands of replies to somebody else.
const COMMANDS: usize = 128;
/// Bundles on their way at the same time; then callers wait for their turn.
const ON_THE_WAY: usize = 16;
/// Callers that are called at once when replies come. What these ask next is sent before the others are
/// called, so that the server works while this process does; else the two would wait for each other.
const CALLED: usize = 16;

/// What one caller asks.
#[derive(Debug)]
pub(super) enum Asked {
    One(Command),
    Many(Vec<Command>),
}

impl Asked {
    const fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(commands) => commands.len(),
        }
    }
}

/// What it was answered.
#[derive(Debug)]
pub(super) enum Answered {
    One(Reply),
    Many(Vec<Reply>),
}

impl Answered {
    /// All replies.
    pub(super) fn all(self) -> Vec<Reply> {
        match self {
            Self::One(reply) => vec![reply],
            Self::Many(replies) => replies,
        }
    }
}

/// Where callers of one connection put their commands. Dropped, it lets what is on its way arrive, and
/// then the connection closes.
pub(super) struct Bundler(Arc<Desk>);

/// What callers and the sending task share.
#[derive(Default)]
struct Desk(Mutex<State>);

#[derive(Default)]
struct State {
    places: Vec<Place>,
    /// For each place when its caller's time is over, if that is to be told here.
    until: Vec<Option<Instant>>,
    /// Nobody's is over before.
    due: Option<Instant>,
    free: Vec<usize>,
    waiting: VecDeque<Waiting>,
    /// How many have left the front of the queue, so that a place can say where its commands are.
    gone: usize,
    sender: Option<Waker>,
    /// No caller comes any more.
    is_left: bool,
    /// Nobody sends any more.
    is_closed: bool,
}

/// Commands that were not sent yet.
struct Waiting {
    place: usize,
    asked: Asked,
}

/// Where a caller waits.
enum Place {
    Free,
    /// Its commands are the so-manieth since the beginning.
    Waiting(Waker, usize),
    Sent(Waker),
    /// As sent, but the time is over, and the caller was called.
    Late,
    /// The caller is gone; the replies are not.
    Left,
    Answered(Result<Answered, RedisError>),
}

/// Commands on their way: whose they are, and how many.
struct Bundle {
    places: Vec<(usize, usize)>,
    commands: Vec<Command>,
}

/// A bundle that came back.
type Delivery = (Vec<(usize, usize)>, Result<Vec<Reply>, RedisError>);

impl Bundler {
    /// Sends over `connection` from a task of this runtime. A bundle that is not answered within
    /// `timeout` is given up.
    pub(super) fn new(connection: MultiplexedConnection, timeout: Duration) -> Self {
        let desk = Arc::new(Desk::default());
        tokio::spawn(sending::send_all(Arc::clone(&desk), connection, timeout));
        Self(desk)
    }

    /// Sends commands; as many replies, errors of the server among them. At `until` the caller is told
    /// that its time is over, if it does not look at the time itself.
    pub(super) fn ask(&self, asked: Asked, until: Option<Instant>) -> Asking {
        Asking {
            desk: Arc::clone(&self.0),
            asked: Some(asked),
            place: None,
            until,
        }
    }
}

impl Drop for Bundler {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.is_left = true;
        let sender = state.sender.take();
        drop(state);
        sender.into_iter().for_each(Waker::wake);
    }
}

/// A caller that waits.
pub(super) struct Asking {
    desk: Arc<Desk>,
    asked: Option<Asked>,
    place: Option<usize>,
    until: Option<Instant>,
}

impl Future for Asking {
    type Output = Result<Answered, RedisError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.desk.0.lock();
        let Some(place) = this.place else {
            let Some(asked) = this.asked.take() else {
                return Poll::Pending;
            };
            // The client takes an empty message for a fault of the connection.
            if asked.len() == 0 {
                return Poll::Ready(Ok(Answered::Many(Vec::new())));
            }
            if state.is_closed {
                return Poll::Ready(Err(closed()));
            }
            let sender = state.sender.take();
            this.place = Some(state.put_down(asked, cx.waker(), this.until));
            drop(state);
            sender.into_iter().for_each(Waker::wake);
            return Poll::Pending;
        };
        match &mut state.places[place] {
            Place::Waiting(waker, _) | Place::Sent(waker) => {
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            there @ Place::Late => {
                *there = Place::Left;
                this.place = None;
                return Poll::Ready(Err(late()));
            }
            Place::Free | Place::Left | Place::Answered(_) => {}
        }
        let answered = state.leave(place);
        drop(state);
        this.place = None;
        match answered {
            Place::Answered(answer) => Poll::Ready(answer),
            _ => Poll::Ready(Err(closed())),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let Some(place) = self.place else {
            return;
        };
        let mut state = self.desk.0.lock();
        let left = match &state.places[place] {
            Place::Sent(_) | Place::Late => {
                std::mem::replace(&mut state.places[place], Place::Left)
            }
            Place::Waiting(_, at) => {
                let at = *at;
                state.take_back(at);
                state.leave(place)
            }
            Place::Free | Place::Left | Place::Answered(_) => state.leave(place),
        };
        // A reply may be large, and a waker is somebody else's code.
        drop(state);
        drop(left);
    }
}

impl State {
    fn put_down(&mut self, asked: Asked, waker: &Waker, until: Option<Instant>) -> usize {
        let at = self.gone + self.waiting.len();
        let there = Place::Waiting(waker.clone(), at);
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place] = there;
                place
            }
            None => {
                self.places.push(there);
                self.until.push(None);
                self.places.len() - 1
            }
        };
        self.until[place] = until;
        self.due = earlier(self.due, until);
        self.waiting.push_back(Waiting { place, asked });
        place
    }

    /// Takes commands back that were not sent; the last of the queue go in their stead.
    fn take_back(&mut self, at: usize) {
        let index = at - self.gone;
        self.waiting.swap_remove_back(index);
        if let Some(moved) = self.waiting.get(index)
            && let Place::Waiting(_, now) = &mut self.places[moved.place]
        {
            *now = at;
        }
    }

    /// Tells those whose time is over. Commands that were not sent are not sent any more.
    fn give_up(&mut self, now: Instant, called: &mut VecDeque<Waker>) {
        self.due = None;
        for place in 0..self.places.len() {
            let there = &mut self.places[place];
            let waits = matches!(there, Place::Waiting(..) | Place::Sent(_));
            let Some(until) = self.until[place].filter(|_| waits) else {
                continue;
            };
            if now < until {
                self.due = earlier(self.due, Some(until));
                continue;
            }
            match std::mem::replace(there, Place::Late) {
                Place::Waiting(waker, at) => {
                    self.take_back(at);
                    self.places[place] = Place::Answered(Err(late()));
                    called.push_back(waker);
                }
                Place::Sent(waker) => called.push_back(waker),
                Place::Free | Place::Late | Place::Left | Place::Answered(_) => {}
            }
        }
    }

    /// Frees a place; gives what was there.
    fn leave(&mut self, place: usize) -> Place {
        self.free.push(place);
        std::mem::replace(&mut self.places[place], Place::Free)
    }

    /// What goes next.
    fn next(&mut self) -> Option<Bundle> {
        let count = self.waiting.len().min(COMMANDS);
        let mut bundle = Bundle {
            places: Vec::with_capacity(count),
            commands: Vec::with_capacity(count),
        };
        while let Some(next) = self.waiting.front()
            && (bundle.places.is_empty() || bundle.commands.len() + next.asked.len() <= COMMANDS)
            && let Some(Waiting { place, asked }) = self.waiting.pop_front()
        {
            self.gone += 1;
            bundle.places.push((place, asked.len()));
            match asked {
                Asked::One(command) => bundle.commands.push(command),
                Asked::Many(commands) => bundle.commands.extend(commands),
            }
            let there = &mut self.places[place];
            if let Place::Waiting(waker, _) = std::mem::replace(there, Place::Left) {
                *there = Place::Sent(waker);
            }
        }
        (!bundle.places.is_empty()).then_some(bundle)
    }
}

impl Desk {
    /// What goes next, if anything does and may; else nothing, and the sender is called when it does: and
    /// when somebody's time may be over.
    fn next(&self, may: bool, cx: &Context<'_>) -> Result<Bundle, Option<Instant>> {
        let mut state = self.0.lock();
        if may && let Some(next) = state.next() {
            return Ok(next);
        }
        match &mut state.sender {
            Some(sender) => sender.clone_from(cx.waker()),
            sender => *sender = Some(cx.waker().clone()),
        }
        Err(state.due)
    }

    /// As [`State::give_up`]; gives the time to look again.
    fn give_up(&self, called: &mut VecDeque<Waker>) -> Option<Instant> {
        let mut state = self.0.lock();
        state.give_up(Instant::now(), called);
        state.due
    }

    fn is_left(&self) -> bool {
        let state = self.0.lock();
        state.is_left && state.waiting.is_empty()
    }

    /// Gives replies to those who wait for them.
    fn deliver(&self, (places, answer): Delivery, called: &mut VecDeque<Waker>) {
        let commands: usize = places.iter().map(|(_, count)| count).sum();
        let (mut replies, failed) = match answer {
            // Whose the others are is not sure then.
            Ok(replies) if replies.len() != commands => (Vec::new().into_iter(), Some(closed())),
            Ok(replies) => (replies.into_iter(), None),
            Err(error) => (Vec::new().into_iter(), Some(error)),
        };
        let mut state = self.0.lock();
        for (place, count) in places {
            let answer = match &failed {
                Some(error) => Err(error.clone()),
                None => Ok(take(&mut replies, count)),
            };
            let there = &mut state.places[place];
            match std::mem::replace(there, Place::Answered(answer)) {
                Place::Sent(waker) => called.push_back(waker),
                // It was called already.
                Place::Late => {}
                _ => drop(state.leave(place)),
            }
        }
    }

    /// Nobody sends any more: who waits is told.
    fn close(&self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        state.waiting.clear();
        let mut wakers = Vec::new();
        for place in &mut state.places {
            let was = std::mem::replace(place, Place::Free);
            *place = match was {
                Place::Waiting(waker, _) | Place::Sent(waker) => {
                    wakers.push(waker);
                    Place::Answered(Err(closed()))
                }
                Place::Late => Place::Answered(Err(closed())),
                other => other,
            };
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The replies of one caller, and not one more: the next one is somebody else's.
fn take(replies: &mut impl Iterator<Item = Reply>, count: usize) -> Answered {
    let mut own = replies.take(count);
    if count == 1
        && let Some(reply) = own.next()
    {
        return Answered::One(reply);
    }
    Answered::Many(own.collect())
}

fn closed() -> RedisError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

fn late() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// The earlier of two moments that may not be.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

//! Sends, waits and counts, in one thread: so that the generator takes one processor and no more, and the
//! server has the others.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, PATIENCE, READ_BYTES};
use super::generate::Generator;
use super::mix::Op;
use super::options::Options;

use super::random::Random;
use super::replies::Reply;
use crate::process::CpuTime;

/// The longest time that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Commands under way in a connection while sessions are loaded.
const LOAD_PIPELINE: usize = 64;

/// Below this the kernel's timer is too coarse, and the next moment is waited for awake.
const AWAKE: Duration = Duration::from_millis(2);

/// What came of a run.
pub(super) struct Measured {
    pub(super) rows: BTreeMap<Op, Row>,
    /// How long it was measured.
    pub(super) took: Duration,
    /// CPU time of the server in that time.
    pub(super) cpu: Option<Duration>,
    /// What had no answer when the run was given up; it counts with the time that it had waited.
    pub(super) unanswered: u64,
    pub(super) first_error: Option<String>,
}

/// What is known of one kind of operation.
pub(super) struct Row {
    /// In nanoseconds.
    pub(super) times: Histogram<u64>,
    /// Answers that the session is not there.
    pub(super) missing: u64,
    pub(super) errors: u64,
}

impl Default for Row {
    fn default() -> Self {
        let bounds = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, 3);
        Self {
            times: bounds.expect("three digits up to an hour"),
            missing: 0,
            errors: 0,
        }
    }
}

/// Loads the sessions.
///
/// # Errors
/// If the server stops answering.
pub(super) fn load(
    connections: &mut [Connection],
    generator: &mut Generator,
    options: &Options,
) -> Result<Measured, Box<dyn Error>> {
    let mut step = 0;
    let mut make = |into: &mut Vec<u8>| {
        let op = generator.load(options.mix, options.sessions, step, into);
        step += 1;
        op
    };
    let run = Run::new(connections, options, LOAD_PIPELINE, None)?;
    run.closed(Duration::ZERO, Duration::MAX, &mut make)
}

/// Lets the mix run for as long as is asked for.
///
/// # Errors
/// If the server stops answering.
pub(super) fn measure(
    connections: &mut [Connection],
    generator: &mut Generator,
    options: &Options,
) -> Result<Measured, Box<dyn Error>> {
    let (from, until) = (options.warm_up, options.warm_up + options.time);
    let mut make = |into: &mut Vec<u8>| Some(generator.next(into));
    let run = Run::new(
        connections,
        options,
        options.pipeline,
        options.server_process,
    )?;
    if options.time.is_zero() {
        return Ok(run.over(Duration::ZERO));
    }
    match options.rate {
        None => run.closed(from, until, &mut make),
        Some(rate) => run.open(rate, from, until, &mut make),
    }
}

/// What makes commands, until there are no more.
type Make<'a> = &'a mut dyn FnMut(&mut Vec<u8>) -> Option<Op>;

struct Run<'a> {
    connections: &'a mut [Connection],
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    pipeline: usize,
    begun: Instant,
    meter: Meter,
}

/// What is counted, from a moment on.
struct Meter {
    from: u64,
    measured: Measured,
    process: Option<u32>,
    cpu_before: Option<Duration>,
}

impl<'a> Run<'a> {
    fn new(
        connections: &'a mut [Connection],
        options: &Options,
        pipeline: usize,
        process: Option<u32>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (number, connection) in connections.iter_mut().enumerate() {
            let both = Interest::READABLE | Interest::WRITABLE;
            let stream = &mut connection.stream;
            poll.registry().register(stream, Token(number), both)?;
        }
        Ok(Self {
            connections,
            poll,
            events: Events::with_capacity(options.connections.min(1_024)),
            buffer: vec![0; READ_BYTES],
            pipeline,
            begun: Instant::now(),
            meter: Meter::new(process),
        })
    }

    /// Each connection asks for as much as its pipeline holds, and for more when all of that is answered.
    fn closed(
        mut self,
        from: Duration,
        until: Duration,
        make: Make<'_>,
    ) -> Result<Measured, Box<dyn Error>> {
        self.meter.begin(from)?;
        let until_nanos = nanos(until);
        for number in 0..self.connections.len() {
            self.refill(number, make)?;
        }
        while self.is_busy() {
            self.wait(PATIENCE)?;
            if self.events.is_empty() {
                return Err(silent());
            }
            let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
            for number in ready {
                self.connections[number].flush()?;
                let now = self.receive(number)?;
                self.meter.notice(now)?;
                let idle = self.connections[number].flying.is_empty();
                if idle && now < until_nanos {
                    self.refill(number, make)?;
                }
            }
        }
        let took = until.min(self.begun.elapsed()) - from;
        self.meter.end()?;
        Ok(self.over(took))
    }

    /// Commands become due at random, so many a second, whether or not others are answered.
    fn open(
        mut self,
        rate: f64,
        from: Duration,
        until: Duration,
        make: Make<'_>,
    ) -> Result<Measured, Box<dyn Error>> {
        self.meter.begin(from)?;
        let mut arrivals = Arrivals::new(rate);
        let (mut next, until_nanos) = (arrivals.next(), nanos(until));
        let mut turn = 0;
        let mut last_answer = Instant::now();
        loop {
            let now = self.now();
            self.meter.notice(now)?;
            while next <= now.min(until_nanos) {
                self.connections[turn].waiting.push_back(next);
                self.dispatch(turn, make)?;
                turn = (turn + 1) % self.connections.len();
                next = arrivals.next();
            }
            if next > until_nanos {
                self.meter.end()?;
                if !self.is_busy() {
                    break;
                }
            }
            let sleep = Duration::from_nanos(next.min(until_nanos).saturating_sub(now));
            self.wait(if next > until_nanos { AWAKE } else { sleep })?;
            let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
            for number in ready {
                self.connections[number].flush()?;
                self.receive(number)?;
                self.dispatch(number, make)?;
                last_answer = Instant::now();
            }
            let late = self.begun.elapsed() > until + PATIENCE;
            if late || last_answer.elapsed() > PATIENCE && self.is_busy() {
                self.give_up();
                break;
            }
        }
        self.meter.end()?;
        Ok(self.over(until - from))
    }

    fn refill(&mut self, number: usize, make: Make<'_>) -> io::Result<()> {
        let now = self.now();
        let connection = &mut self.connections[number];
        for _ in 0..self.pipeline {
            match make(&mut connection.out) {
                Some(op) => connection.flying.push_back((op, now)),
                None => break,
            }
        }
        connection.flush()
    }

    /// Sends what waits, as far as the pipeline holds it.
    fn dispatch(&mut self, number: usize, make: Make<'_>) -> io::Result<()> {
        let connection = &mut self.connections[number];
        while connection.flying.len() < self.pipeline {
            let Some(due) = connection.waiting.pop_front() else {
                break;
            };
            if let Some(op) = make(&mut connection.out) {
                connection.flying.push_back((op, due));
            }
        }
        connection.flush()
    }

    /// Reads all that is there of a connection, and says when that was.
    fn receive(&mut self, number: usize) -> io::Result<u64> {
        loop {
            let (meter, begun) = (&mut self.meter, self.begun);
            let mut now = None;
            let connection = &mut self.connections[number];
            let more = connection.receive(&mut self.buffer, |op, sent, reply| {
                let now = *now.get_or_insert_with(|| nanos(begun.elapsed()));
                meter.count(op, sent, now, reply);
            })?;
            if !more {
                return Ok(now.unwrap_or_else(|| nanos(begun.elapsed())));
            }
        }
    }

    fn wait(&mut self, time: Duration) -> io::Result<()> {
        let time = if time < AWAKE {
            Duration::ZERO
        } else {
            time - AWAKE / 2
        };
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    fn is_busy(&self) -> bool {
        let is_busy = |it: &Connection| !it.flying.is_empty() || !it.waiting.is_empty();
        self.connections.iter().any(is_busy)
    }

    fn now(&self) -> u64 {
        nanos(self.begun.elapsed())
    }

    fn give_up(&mut self) {
        let now = self.now();
        for connection in &mut *self.connections {
            let waiting = connection.waiting.drain(..).map(|due| (Op::Read, due));
            for (op, due) in connection.flying.drain(..).chain(waiting) {
                self.meter.measured.unanswered += 1;
                self.meter.count(op, due, now, Reply::Some);
            }
        }
    }

    fn over(self, took: Duration) -> Measured {
        let mut measured = self.meter.measured;
        measured.took = took;
        // The next run has a poll of its own.
        for connection in self.connections {
            drop(self.poll.registry().deregister(&mut connection.stream));
        }
        measured
    }
}

impl Meter {
    fn new(process: Option<u32>) -> Self {
        Self {
            from: 0,
            process,
            cpu_before: None,
            measured: Measured {
                rows: BTreeMap::new(),
                took: Duration::ZERO,
                cpu: None,
                unanswered: 0,
                first_error: None,
            },
        }
    }

    fn begin(&mut self, from: Duration) -> io::Result<()> {
        self.from = nanos(from);
        self.notice(0)
    }

    /// Reads the server's CPU time once the moment has come.
    fn notice(&mut self, now: u64) -> io::Result<()> {
        if let (Some(process), None) = (self.process, self.cpu_before)
            && now >= self.from
        {
            self.cpu_before = Some(CpuTime::of(process)?.sum());
        }
        Ok(())
    }

    /// Reads it again; only the first time counts.
    fn end(&mut self) -> io::Result<()> {
        if let (Some(process), Some(before), None) =
            (self.process, self.cpu_before, self.measured.cpu)
        {
            self.measured.cpu = Some(CpuTime::of(process)?.sum().saturating_sub(before));
        }
        Ok(())
    }

    fn count(&mut self, op: Op, sent: u64, now: u64, reply: Reply<'_>) {
        if let Reply::Error(text) = reply {
            let text = || String::from_utf8_lossy(text).into_owned();
            self.measured.first_error.get_or_insert_with(text);
        }
        if sent < self.from {
            return;
        }
        let row = self.measured.rows.entry(op).or_default();
        row.times.saturating_record(now.saturating_sub(sent));
        match reply {
            Reply::Error(_) => row.errors += 1,
            Reply::Nothing if can_miss(op) => row.missing += 1,
            Reply::Nothing | Reply::Some => {}
        }
    }
}

/// Whether an empty answer says that the session is not there. An update of a field that was there is 0.
fn can_miss(op: Op) -> bool {
    !matches!(op, Op::Unknown | Op::UpdateField | Op::CreateFields)
}

/// The moments at which commands become due: the times between them are random, as those of visitors who know
/// nothing of each other.
struct Arrivals {
    random: Random,
    mean: f64,
    at: f64,
}

impl Arrivals {
    fn new(rate: f64) -> Self {
        Self {
            random: Random::new(0xa881_7a15),
            mean: 1e9 / rate,
            at: 0.0,
        }
    }

    /// In nanoseconds of the run.
    fn next(&mut self) -> u64 {
        self.at -= self.random.unit().ln() * self.mean;
        self.at as u64
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn silent() -> Box<dyn Error> {
    format!("the server has not answered for {} s", PATIENCE.as_secs()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_due_at_the_rate_and_at_random() {
        let mut arrivals = Arrivals::new(1_000.0);
        let times: Vec<u64> = (0..100_000).map(|_| arrivals.next()).collect();
        let seconds = *times.last().unwrap() as f64 / 1e9;
        assert!((99.0..101.0).contains(&seconds), "{seconds}");
        // Of random times between two, 1 of e is above the mean.
        let above = times
            .windows(2)
            .filter(|two| two[1] - two[0] > 1_000_000)
            .count();
        assert!((36_000..37_600).contains(&above), "{above}");
    }

    #[test]
    fn what_was_sent_before_the_moment_does_not_count_and_its_error_does() {
        let mut meter = Meter::new(None);
        meter.begin(Duration::from_nanos(100)).unwrap();
        meter.count(Op::Read, 99, 200, Reply::Error(b"ERR early"));
        assert!(meter.measured.rows.is_empty());
        meter.count(Op::Read, 100, 1_100, Reply::Nothing);
        meter.count(Op::Unknown, 100, 200, Reply::Nothing);
        let read = &meter.measured.rows[&Op::Read];
        assert_eq!((read.missing, read.errors, read.times.max()), (1, 0, 1_000));
        assert_eq!(meter.measured.rows[&Op::Unknown].missing, 0);
        assert_eq!(meter.measured.first_error.as_deref(), Some("ERR early"));
    }
}

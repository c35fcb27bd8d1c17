//! A connection: who speaks, what it has begun, and how one command after another is looked up, allowed and
//! run. It knows no socket: bytes come and go in `pump`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cloakroom_embedded::{Db, KeyHash, Tx};

use super::admission::{is_http, unknown};
use super::ahead::Meant;
use super::args::{Args, Owned};
use super::call::Call;
use super::client::Client;
use super::fail::Fail;
use super::gate::Gate;
use super::hub;
use super::reply::Out;
use super::server::{Server, USER_CHANGED};
use super::table::{AT_ONCE, Command, FAST, Group, NO_MULTI, READ, Run, WRITE};
use super::tracking::Reader;
use super::transaction::Transaction;
use super::users::User;
use crate::logs::often::SPEAKS_HTTP;

pub(crate) type Bytes = Box<[u8]>;

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) server: Arc<Server>,
    pub(crate) me: Arc<Client>,
    pub(crate) db: Db,
    /// Who speaks; nobody before signing in.
    pub(crate) user: Option<Arc<User>>,
    /// Whether `user` may do everything: then nothing is looked up.
    pub(super) unlimited: bool,
    pub(crate) transaction: Option<Box<Transaction>>,
    pub(crate) watching: BTreeSet<(Db, Bytes)>,
    pub(crate) channels: BTreeSet<Bytes>,
    pub(crate) patterns: BTreeSet<Bytes>,
    pub(crate) tracked: Option<Box<Tracked>>,
    pub(crate) answers: Answers,
    /// Whether something was written since this was asked last.
    pub(crate) wrote: Cell<bool>,
    /// Whether sessions of other frameworks were ended since this was asked last.
    pub(super) ended: Cell<bool>,
    /// Whether the journal takes nothing: then no command may write.
    pub(crate) read_only: bool,
    /// It ends when what is written was sent.
    pub(crate) closing: bool,
    /// Wrong passwords that it named since it last knew one.
    pub(crate) wrong_passwords: u8,
    /// How long the commands took that were timed, in this turn.
    pub(crate) busy: Duration,
    /// What is left of the time that scripts may take, of one command or a transaction.
    script_time: Cell<Duration>,
    /// The number of the latest command, and how often it was run and is not counted yet.
    counted: (usize, u64),
}

/// What `CLIENT TRACKING` was told.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    pub(crate) reader: Reader,
    pub(crate) broadcast: bool,
    pub(crate) opt_in: bool,
    pub(crate) opt_out: bool,
    pub(crate) prefixes: Vec<Bytes>,
    /// `CLIENT CACHING` was said: for the next command.
    pub(crate) caching: bool,
    /// It is over after this command.
    pub(crate) caching_ends: bool,
}

/// Whether commands are answered (`CLIENT REPLY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    On,
    Off,
    /// Not this command and not the next.
    SkipNext,
    /// Not this command.
    Skip,
}

impl Conn {
    pub(crate) fn new(server: Arc<Server>, me: Arc<Client>) -> Self {
        let mut conn = Self {
            server,
            me,
            db: 0,
            user: None,
            unlimited: false,
            transaction: None,
            watching: BTreeSet::new(),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            tracked: None,
            answers: Answers::On,
            wrote: Cell::new(false),
            ended: Cell::new(false),
            read_only: false,
            closing: false,
            wrong_passwords: 0,
            busy: Duration::ZERO,
            script_time: Cell::default(),
            counted: (0, 0),
        };
        let initial = conn.server.users.initial();
        conn.becomes(initial);
        conn
    }

    /// Whether it has not signed in.
    pub(crate) fn is_stranger(&self) -> bool {
        self.user.is_none()
    }

    /// From now on this is who speaks.
    pub(crate) fn becomes(&mut self, user: Option<Arc<User>>) {
        self.unlimited = user.as_ref().is_some_and(|user| user.may_everything());
        let name = user.as_ref().map(|user| user.name.clone());
        self.me.told.lock().user = name.unwrap_or_else(|| "default".to_owned());
        // Who cuts off those whose user was changed meanwhile may have looked before the name was said.
        let users = &self.server.users;
        if user.as_ref().is_some_and(|user| !users.has(user)) {
            self.me.end(USER_CHANGED);
        }
        self.user = user;
    }

    /// Whose sight of keys is limited to some forms; nobody's, if all may be seen. A name is an id, so who may
    /// not use a key is not told of it.
    pub(crate) fn short_sighted(&self) -> Option<Arc<User>> {
        let user = self.user.as_ref().filter(|_| !self.unlimited)?;
        (!user.may_all_keys()).then(|| Arc::clone(user))
    }

    /// Runs one command and answers it.
    pub(crate) fn run(&mut self, args: Args<'_>, meant: Meant, out: &mut Out) {
        let mark = out.bytes.len();
        if let Err(fail) = self.attempt(args, meant, out) {
            out.bytes.truncate(mark);
            out.error(&fail.to_string());
            self.server.counts.errors.fetch_add(1, Ordering::Relaxed);
        }
        match self.answers {
            Answers::On => {}
            Answers::Off => out.bytes.truncate(mark),
            Answers::SkipNext => {
                out.bytes.truncate(mark);
                self.answers = Answers::Skip;
            }
            Answers::Skip => {
                out.bytes.truncate(mark);
                self.answers = Answers::On;
            }
        }
    }

    fn attempt(&mut self, args: Args<'_>, meant: Meant, out: &mut Out) -> Result<(), Fail> {
        if meant.command.is_none() && is_http(args) {
            let client = self.me.id;
            if SPEAKS_HTTP.has_a_line() {
                tracing::warn!(client, "RESP connection closed: it speaks HTTP");
            }
            self.closing = true;
            return Ok(());
        }
        let looked_up = self.look_up(args, meant.command);
        let (number, command) = match looked_up {
            Ok(found) => found,
            Err(fail) => {
                self.spoil();
                return Err(fail);
            }
        };
        let renamed = self.by_kept_names(command, args);
        // The hash that is known is that of the name which was sent.
        let hash = meant.key.filter(|_| renamed.is_none());
        let args = renamed.as_ref().map_or(args, Owned::args);
        if let Some(transaction) = &mut self.transaction
            && !command.is(AT_ONCE)
        {
            if command.is(NO_MULTI) {
                transaction.spoiled = true;
                return Err(Fail::say("ERR Command not allowed inside a transaction"));
            }
            transaction.queue(command, args)?;
            let queued = i32::try_from(transaction.len()).unwrap_or(i32::MAX);
            self.me.queued.store(queued, Ordering::Relaxed);
            out.simple("QUEUED");
            return Ok(());
        }
        // What takes constant time is not timed, because the clock would take a good part of it.
        let quick = command.is(FAST) || command.group == Group::String;
        if !quick || args.len() > QUICK_WORDS || self.server.times_all() {
            return self.timed(number, command, args, hash, out);
        }
        self.count(number);
        self.perform(command, args, hash, out)
    }

    fn timed(
        &mut self,
        number: usize,
        command: &'static Command,
        args: Args<'_>,
        hash: Option<KeyHash>,
        out: &mut Out,
    ) -> Result<(), Fail> {
        let began = Instant::now();
        self.count(number);
        let done = self.perform(command, args, hash, out);
        let took = began.elapsed();
        self.busy += took;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.server.counts.micros[number].fetch_add(micros, Ordering::Relaxed);
        if self.server.is_slow(took) && command.name != "exec" {
            self.server.slowlog.add(&self.me, args, took);
        }
        done
    }

    /// Runs a command now. `hash` is that of its only key, if it is known.
    pub(crate) fn perform(
        &mut self,
        command: &'static Command,
        args: Args<'_>,
        hash: Option<KeyHash>,
        out: &mut Out,
    ) -> Result<(), Fail> {
        self.script_time.set(self.server.script_time);
        let done = match command.run {
            Run::Conn(run) | Run::Whole(run) => run(self, args, out),
            Run::Keys(_) => self.step(command, args, hash, out),
            Run::All(_) => {
                let engine = &self.server.engine;
                engine.with_all(|tx| self.on_keys(tx, command, args, out))
            }
            Run::Family => Err(unknown(args)),
        };
        if self.tracked.is_some() {
            self.caching_passes();
        }
        done
    }

    /// Runs a command on keys as a step of its own.
    fn step(
        &self,
        command: &'static Command,
        args: Args<'_>,
        hash: Option<KeyHash>,
        out: &mut Out,
    ) -> Result<(), Fail> {
        let engine = &self.server.engine;
        let places = command.key_places(args)?;
        if let Some(at) = places.only() {
            let key = args.get(at);
            let hash = hash.unwrap_or_else(|| engine.hash_of(key));
            let work = |tx: &mut Tx<'_>| self.on_keys(tx, command, args, out);
            return engine.with_hashed(self.db, key, hash, work);
        }
        let keys = places.iter().map(|at| (self.db, args.get(at)));
        let keys: Vec<(Db, &[u8])> = keys.collect();
        engine.with_keys(&keys, |tx| self.on_keys(tx, command, args, out))
    }

    /// Runs a command on keys whose shards are locked.
    pub(crate) fn on_keys(
        &self,
        tx: &mut Tx<'_>,
        command: &'static Command,
        args: Args<'_>,
        out: &mut Out,
    ) -> Result<(), Fail> {
        let (Run::Keys(run) | Run::All(run)) = command.run else {
            return Err(unknown(args));
        };
        if command.is(WRITE) {
            self.wrote.set(true);
        }
        let hub = &*self.server.hub;
        let tracks = hub.tracking.anybody();
        if tracks {
            hub::set_current(self.me.id);
        }
        let mut call = Call {
            args,
            keys: Gate::new(tx, hub, self.db),
            out,
            server: &self.server,
            name: command.name,
            script_time: &self.script_time,
        };
        let done = run(&mut call);
        self.me.has_looked(call.keys.looks(command, args));
        if tracks {
            hub::set_current(0);
            self.remember_reading(command, args);
        }
        done
    }

    /// What was read here is told when it changes, if the client asked for it.
    fn remember_reading(&self, command: &Command, args: Args<'_>) {
        let Some(tracked) = self.tracked.as_deref() else {
            return;
        };
        let wanted = !tracked.broadcast
            && (!tracked.opt_in || tracked.caching)
            && (!tracked.opt_out || !tracked.caching);
        if wanted
            && command.is(READ)
            && let Ok(places) = command.key_places(args)
        {
            let hub = &self.server.hub;
            for at in places.iter() {
                hub.tracking.read(hub, args.get(at), tracked.reader);
            }
        }
    }

    /// `CLIENT CACHING` is for one command, or one transaction, after it.
    fn caching_passes(&mut self) {
        let in_transaction = self.transaction.is_some();
        if let Some(tracked) = self.tracked.as_deref_mut()
            && tracked.caching
            && !in_transaction
        {
            if tracked.caching_ends {
                tracked.caching = false;
            }
            tracked.caching_ends = !tracked.caching_ends;
        }
    }

    fn spoil(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.spoiled = true;
        }
    }

    fn count(&mut self, number: usize) {
        if self.counted.0 != number {
            self.settle_counts();
            self.counted.0 = number;
        }
        self.counted.1 += 1;
    }

    /// Adds what was run to what all connections count.
    pub(crate) fn settle_counts(&mut self) {
        let (number, calls) = self.counted;
        if calls > 0 {
            self.server.counts.calls[number].fetch_add(calls, Ordering::Relaxed);
            self.counted.1 = 0;
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            self.me.last.store(number, Ordering::Relaxed);
            self.me.was_active();
        }
    }

    /// Ends some of what it listens to; says whether that was all.
    pub(crate) fn stops_listening(&mut self, most: usize) -> bool {
        for (names, pattern) in [(&mut self.channels, false), (&mut self.patterns, true)] {
            let some = std::iter::from_fn(|| names.pop_first()).take(most);
            some.for_each(|name| self.server.hub.unsubscribe(&self.me, &name, pattern));
        }
        self.channels.is_empty() && self.patterns.is_empty()
    }

    /// Ends what it has begun: transaction, watches, subscriptions, tracking.
    pub(crate) fn lets_go(&mut self) {
        self.end_transaction();
        self.stops_listening(usize::MAX);
        self.me.channels.store(0, Ordering::Relaxed);
        self.me.patterns.store(0, Ordering::Relaxed);
        if let Some(tracked) = self.tracked.take() {
            self.me.tracking.store(false, Ordering::Relaxed);
            self.server.hub.tracking.end(self.me.id, &tracked.prefixes);
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.settle_counts();
        self.lets_go();
        self.server.leave(&self.me);
    }
}

/// Words of a command that takes constant time at most.
const QUICK_WORDS: usize = 8;

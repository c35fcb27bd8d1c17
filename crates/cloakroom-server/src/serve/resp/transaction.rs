//! `MULTI`: commands that are queued, and run as one atomic step if no watched key changed.

use std::sync::atomic::Ordering;

use cloakroom_embedded::{Db, Tx};

use super::args::{Args, Owned};
use super::conn::Conn;
use super::fail::Fail;
use super::limits;
use super::reply::Out;
use super::table::{Command, Run};

/// What was queued.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    queue: Vec<(&'static Command, Owned)>,
    bytes: usize,
    /// A command was refused when it was queued: then none is run.
    pub(crate) spoiled: bool,
}

impl Transaction {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Puts a command behind the others.
    pub(crate) fn queue(&mut self, command: &'static Command, args: Args<'_>) -> Result<(), Fail> {
        let owned = args.to_owned();
        self.bytes += owned.size();
        if self.queue.len() >= limits::QUEUED_COMMANDS || self.bytes > limits::COMMAND_BYTES {
            self.spoiled = true;
            return Err(Fail::say("ERR the transaction has too many commands"));
        }
        self.queue.push((command, owned));
        Ok(())
    }
}

impl Conn {
    /// `MULTI`
    pub(crate) fn multi(&mut self, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
        if self.transaction.is_some() {
            return Err(Fail::say("ERR MULTI calls can not be nested"));
        }
        self.transaction = Some(Box::default());
        self.me.queued.store(0, Ordering::Relaxed);
        out.ok();
        Ok(())
    }

    /// `DISCARD`
    pub(crate) fn discard(&mut self, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
        if self.transaction.is_none() {
            return Err(Fail::say("ERR DISCARD without MULTI"));
        }
        self.end_transaction();
        out.ok();
        Ok(())
    }

    /// `WATCH`
    pub(crate) fn watch(&mut self, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
        if self.transaction.is_some() {
            return Err(Fail::say("ERR WATCH inside MULTI is not allowed"));
        }
        for key in args.from(1) {
            let name = (self.db, Box::from(key));
            if self.watching.contains(&name) {
                continue;
            }
            if self.watching.len() >= limits::SUBSCRIPTIONS {
                return Err(Fail::say("ERR too many keys are watched"));
            }
            // What is over already is removed before it is watched: that is no change.
            let (engine, hub) = (&self.server.engine, &self.server.hub);
            engine.with_key(self.db, key, |tx| {
                tx.kind(self.db, key);
                hub.watch(&self.me, self.db, key);
            });
            self.watching.insert(name);
        }
        let watching = u32::try_from(self.watching.len()).unwrap_or(u32::MAX);
        self.me.watching.store(watching, Ordering::Relaxed);
        out.ok();
        Ok(())
    }

    /// `UNWATCH`
    pub(crate) fn unwatch(&mut self, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
        self.forgets_watches();
        out.ok();
        Ok(())
    }

    /// `EXEC`
    pub(crate) fn exec(&mut self, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
        let Some(transaction) = self.transaction.take() else {
            return Err(Fail::say("ERR EXEC without MULTI"));
        };
        self.me.queued.store(-1, Ordering::Relaxed);
        if transaction.spoiled {
            self.forgets_watches();
            return Err(Fail::say(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        let queue = &transaction.queue;
        let ran = self.run_queue(queue, out);
        self.forgets_watches();
        if !ran {
            out.nil_array();
        }
        Ok(())
    }

    /// Runs all commands as one step, and says whether no watched key has changed. Commands on the
    /// whole engine end a step: they go over it in portions, and could not with its locks held.
    fn run_queue(&mut self, queue: &[(&'static Command, Owned)], out: &mut Out) -> bool {
        let engine = self.server.engine.clone();
        let watching = std::mem::take(&mut self.watching);
        let mut rest = queue;
        let mut first = true;
        loop {
            let whole = |(command, _): &&(&Command, Owned)| matches!(command.run, Run::Whole(_));
            let step = rest.iter().take_while(|queued| !whole(queued)).count();
            let (now, later) = rest.split_at(step);
            let mut keys = self.keys_of(now);
            keys.extend(watching.iter().map(|(db, key)| (*db, &**key)));
            let everything = now
                .iter()
                .any(|(command, _)| matches!(command.run, Run::All(_)));
            let mut work = |tx: &mut Tx<'_>| {
                if first {
                    for (db, key) in &watching {
                        // Whether it is over is noticed by looking, and told as a change.
                        tx.kind(*db, key);
                    }
                    if self.me.dirty.load(Ordering::SeqCst) {
                        return false;
                    }
                    out.array(queue.len());
                }
                for (command, owned) in now {
                    self.run_queued(tx, command, owned.args(), out);
                }
                true
            };
            let ran = match (everything, keys.is_empty()) {
                (true, _) => engine.with_all(&mut work),
                (false, _) => engine.with_keys(&keys, &mut work),
            };
            if !ran {
                self.watching = watching;
                return false;
            }
            first = false;
            let Some(((command, owned), after)) = later.split_first() else {
                self.watching = watching;
                return true;
            };
            self.run_whole(command, owned.args(), out);
            rest = after;
        }
    }

    fn run_queued(
        &mut self,
        tx: &mut Tx<'_>,
        command: &'static Command,
        args: Args<'_>,
        out: &mut Out,
    ) {
        let mark = out.bytes.len();
        let done = match command.run {
            Run::Keys(_) | Run::All(_) => self.on_keys(tx, command, args, out),
            Run::Conn(run) | Run::Whole(run) => run(self, args, out),
            Run::Family => Ok(()),
        };
        self.answer_queued(done, mark, out);
    }

    fn run_whole(&mut self, command: &'static Command, args: Args<'_>, out: &mut Out) {
        let mark = out.bytes.len();
        if let Run::Whole(run) = command.run {
            let done = run(self, args, out);
            self.answer_queued(done, mark, out);
        }
    }

    fn answer_queued(&self, done: Result<(), Fail>, mark: usize, out: &mut Out) {
        if let Err(fail) = done {
            out.bytes.truncate(mark);
            out.error(&fail.to_string());
            self.server.counts.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The keys of queued commands, each in the keyspace that is chosen by then.
    fn keys_of<'q>(&self, queue: &'q [(&'static Command, Owned)]) -> Vec<(Db, &'q [u8])> {
        let mut db = self.db;
        let mut keys = Vec::new();
        for (command, owned) in queue {
            let args = owned.args();
            if command.name == "select"
                && let Ok(chosen) = args.integer(1)
                && let Ok(chosen) = Db::try_from(chosen)
                && chosen < cloakroom_embedded::DATABASES
            {
                db = chosen;
            }
            if let Ok(places) = command.key_places(args) {
                keys.extend(places.iter().map(|at| (db, args.get(at))));
            }
        }
        keys
    }

    /// Forgets what was queued and watched.
    pub(crate) fn end_transaction(&mut self) {
        self.transaction = None;
        self.me.queued.store(-1, Ordering::Relaxed);
        self.forgets_watches();
    }

    fn forgets_watches(&mut self) {
        for (db, key) in std::mem::take(&mut self.watching) {
            self.server.hub.unwatch(&self.me, db, &key);
        }
        self.me.watching.store(0, Ordering::Relaxed);
        self.me.dirty.store(false, Ordering::SeqCst);
    }
}

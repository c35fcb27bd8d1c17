//! Says at the start, and not at the first visitor, that the user may not do what visitors need, or that the
//! server is a replica. What is asked changes nothing: it is about keys that nobody has, or the server only says whether
//! it would do it.

use cloakroom_core::id::SlotTag;

use crate::failure::{Class, Failure};
use crate::keys;
use crate::route::{Batch, Route};
use crate::scripts;
use crate::settings::LayoutName;
use crate::wire::{self, Command, Lane};

/// Words of commands that change nothing; `session`, `index`, `epoch` and `closing` stand for keys.
const ALWAYS: &[&str] = &[
    "SET session probe XX",
    "HDEL session probe",
    "EXISTS session",
    "PTTL index",
    "PEXPIRE session 1",
    "PEXPIREAT session 1",
    "ZADD index XX 0 probe",
    "ZRANGE index 0 0",
    "ZREM index probe",
];
/// Commands that would write.
const ALWAYS_WRITING: &[&str] = &[
    "SET epoch probe",
    "SADD closing probe",
    "SREM closing probe",
];
/// The same where steps are scripts.
const BY_SCRIPTS: &[&str] = &[
    "EVALSHA probe 1 session",
    "ZCARD index",
    "ZSCORE index probe",
    "ZRANGEBYSCORE index 0 0",
];
const PACKED_BY_SCRIPTS: &[&str] = &["GETRANGE session 0 0"];
const PACKED_BY_SCRIPTS_WRITING: &[&str] = &["SETRANGE session 0 probe"];
/// The same where steps are transactions, in an order in which they are one.
const BY_TRANSACTIONS: &[&str] = &[
    "WATCH session",
    "UNWATCH",
    "MULTI",
    "EXISTS session",
    "EXEC",
];
/// The same of the layout `fields`.
const FIELDS: &[&str] = &[
    "HGETALL session",
    "HMGET session probe",
    "HGET session probe",
    "HLEN session",
    "HEXISTS session probe",
    "DEL session",
];
const FIELDS_WRITING: &[&str] = &["HSET session probe 1", "HINCRBY session probe 1"];

/// Fails if rights are missing, naming all that are found, or if the server takes no writes for good. Whatever else it
/// answers may be over soon, and those who are signed in are served meanwhile.
pub(super) async fn check(
    route: &dyn Route,
    layout: LayoutName,
    scripts: bool,
) -> Result<(), Failure> {
    let (mut needed, mut writing) = (ALWAYS.to_vec(), ALWAYS_WRITING.to_vec());
    if scripts {
        needed.extend(BY_SCRIPTS);
    }
    match layout {
        LayoutName::Packed if scripts => {
            needed.extend(PACKED_BY_SCRIPTS);
            writing.extend(PACKED_BY_SCRIPTS_WRITING);
        }
        LayoutName::Packed => {}
        LayoutName::Fields | LayoutName::Plain => {
            needed.extend(FIELDS);
            writing.extend(FIELDS_WRITING);
        }
    }
    let Some(tag) = keys::tags().next() else {
        return Ok(());
    };
    let mut missing = Missing::default();
    if scripts {
        let all = needed.iter().chain(&writing).copied();
        missing.note(
            route.send(tag, Lane::Main, vec![asking(tag, all)]).await,
            "",
        );
        missing.none()?;
    }
    let batches = needed.iter().map(|line| Batch {
        tag,
        commands: vec![command(tag, line)],
    });
    let answers = route.send_each(Lane::Main, batches.collect()).await;
    let mut refused = None;
    for (answer, line) in answers.into_iter().zip(needed) {
        match missing.note(answer, line) {
            Some(failure) if failure.class() == Class::ReadOnly => return Err(failure),
            Some(failure) if failure.class() != Class::NoScript => refused = Some(failure),
            _ => {}
        }
    }
    if !scripts && refused.is_none() {
        ask_transactions(route, tag, &writing, &mut missing).await?;
    }
    missing.none()?;
    if let Some(failure) = refused {
        tracing::warn!(%failure, "the server refuses writes");
    }
    Ok(())
}

/// Asks by a transaction that does nothing, then by one that is never ended: the server refuses what the user may not do
/// when it is queued.
async fn ask_transactions(
    route: &dyn Route,
    tag: SlotTag,
    writing: &[&str],
    missing: &mut Missing,
) -> Result<(), Failure> {
    let mut connection = route.exclusive(tag, None).await?;
    for line in BY_TRANSACTIONS {
        let answer = connection.send(vec![command(tag, line)]).await;
        let failed = answer.is_err();
        missing.note(answer, line);
        if failed {
            // What follows would be done, and not queued.
            return Ok(());
        }
    }
    connection.send(vec![command(tag, "MULTI")]).await?;
    for line in writing {
        missing.note(connection.send(vec![command(tag, line)]).await, line);
    }
    Ok(())
}

/// The rights that were found missing.
#[derive(Default)]
struct Missing(Option<Failure>);

impl Missing {
    /// Notes what was answered to this command. Gives why it failed, if that is something else.
    fn note<T>(&mut self, answer: Result<T, Failure>, line: &str) -> Option<Failure> {
        let failure = answer.err()?;
        if failure.class() != Class::Permission {
            return Some(failure);
        }
        self.0 = Some(match self.0.take() {
            None => failure,
            Some(first) => {
                let name = line.split(' ').next().unwrap_or_default();
                let name = name.to_ascii_lowercase();
                let words = format!("{}, {name:?}", first.detail());
                Failure::naming(Class::Permission, words)
            }
        });
        None
    }

    fn none(&mut self) -> Result<(), Failure> {
        self.0.take().map_or(Ok(()), Err)
    }
}

/// The command that asks by script whether the user may do all that.
fn asking<'a>(tag: SlotTag, lines: impl Iterator<Item = &'a str>) -> Command {
    let keys = [
        keys::probe(tag),
        keys::probe_index(tag),
        keys::epoch(tag),
        keys::closing(tag),
    ];
    let mut ask = wire::command("EVAL", [scripts::RIGHTS]);
    ask.arg(keys.len()).arg(&keys[..]);
    for line in lines {
        ask.arg(line);
    }
    ask
}

fn command(tag: SlotTag, line: &str) -> Command {
    let words = line.split(' ').map(|word| match word {
        "session" => keys::probe(tag),
        "index" => keys::probe_index(tag),
        "epoch" => keys::epoch(tag),
        "closing" => keys::closing(tag),
        word => word.to_owned(),
    });
    let words: Vec<String> = words.collect();
    wire::command(&words[0], &words[1..])
}

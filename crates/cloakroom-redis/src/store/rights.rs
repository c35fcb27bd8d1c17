//! Says at the start, and not at the first visitor, that the user may not do what visitors need, or that the
//! server is a replica. What is asked changes nothing, because it is about keys that nobody has.

use cloakroom_core::id::SlotTag;

use crate::failure::{Class, Failure};
use crate::keys;
use crate::route::{Batch, Route};
use crate::settings::LayoutName;
use crate::wire::{self, Command, Lane};

/// Words of commands; `session` and `index` stand for keys. What can only be asked by doing it is not here.
const ALWAYS: &[&str] = &[
    "SET session probe XX",
    "HDEL session probe",
    "EXISTS session",
    "PTTL index",
    "PEXPIREAT session 1",
    "ZADD index XX 0 probe",
    "ZRANGE index 0 0",
    "ZREM index probe",
];
/// The same where steps are scripts.
const BY_SCRIPTS: &[&str] = &[
    "EVALSHA probe 1 session",
    "ZCARD index",
    "ZSCORE index probe",
    "ZRANGEBYSCORE index 0 0",
];
const PACKED_BY_SCRIPTS: &[&str] = &["GETRANGE session 0 0"];
/// The same of the layout `fields`.
const FIELDS: &[&str] = &[
    "HGETALL session",
    "HMGET session probe",
    "HGET session probe",
    "HLEN session",
    "HEXISTS session probe",
    "DEL session",
    "PEXPIRE session 1",
];

/// Fails if a right is missing or the server takes no writes for good. Whatever else it answers may be over soon, and
/// those who are signed in are served meanwhile.
pub(super) async fn check(
    route: &dyn Route,
    layout: LayoutName,
    scripts: bool,
) -> Result<(), Failure> {
    let mut needed = vec![ALWAYS];
    if scripts {
        needed.push(BY_SCRIPTS);
    }
    match layout {
        LayoutName::Packed if scripts => needed.push(PACKED_BY_SCRIPTS),
        LayoutName::Packed => {}
        LayoutName::Fields | LayoutName::Plain => needed.push(FIELDS),
    }
    let batches = keys::tags().take(1).flat_map(|tag| {
        let lines = needed.iter().flat_map(|lines| lines.iter());
        lines.map(move |line| Batch {
            tag,
            commands: vec![command(tag, line)],
        })
    });
    let answers = route.send_each(Lane::Main, batches.collect()).await;
    let mut refused = None;
    for answer in answers {
        match answer {
            Err(failure) if matches!(failure.class(), Class::Permission | Class::ReadOnly) => {
                return Err(failure);
            }
            Err(failure) if failure.class() != Class::NoScript => refused = Some(failure),
            _ => {}
        }
    }
    if let Some(failure) = refused {
        tracing::warn!(%failure, "the server refuses writes");
    }
    Ok(())
}

fn command(tag: SlotTag, line: &str) -> Command {
    let words = line.split(' ').map(|word| match word {
        "session" => keys::probe(tag),
        "index" => keys::probe_index(tag),
        word => word.to_owned(),
    });
    let words: Vec<String> = words.collect();
    wire::command(&words[0], &words[1..])
}

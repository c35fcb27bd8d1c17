//! `CLIENT`: who is connected, what a connection is called, and what it wants to be told.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::serve::resp::args::Args;
use crate::serve::resp::client::Client;
use crate::serve::resp::conn::{Answers, Conn};
use crate::serve::resp::fail::Fail;
use crate::serve::resp::limits;
use crate::serve::resp::reply::Out;
use crate::serve::resp::table::{
    self, ADMIN, Command, DANGEROUS, Done, Group::Connection, LOADING, NO_SCRIPT, NONE, Run, STALE,
};

const OWN: u16 = NO_SCRIPT | LOADING | STALE;

#[rustfmt::skip]
pub(super) static ROWS: [Command; 20] = [
    Command::new("client", -2, 0, NONE, Connection, "2.4.0", "Connections.", Run::Family),
    Command::new("client|id", 2, OWN, NONE, Connection, "5.0.0", "Returns the connection's number.", Run::Conn(id)),
    Command::new("client|setname", 3, OWN, NONE, Connection, "2.6.9", "Gives the connection a name.", Run::Conn(setname)),
    Command::new("client|getname", 2, OWN, NONE, Connection, "2.6.9", "Returns the connection's name.", Run::Conn(getname)),
    Command::new("client|setinfo", 4, OWN, NONE, Connection, "7.2.0", "Says which library is at the other end.", Run::Conn(setinfo)),
    Command::new("client|info", 2, OWN, NONE, Connection, "6.2.0", "Describes the connection.", Run::Conn(info)),
    Command::new("client|list", -2, OWN | ADMIN | DANGEROUS, NONE, Connection, "2.4.0", "Describes all connections.", Run::Conn(list)),
    Command::new("client|kill", -3, OWN | ADMIN | DANGEROUS, NONE, Connection, "2.4.0", "Ends connections.", Run::Conn(kill)),
    Command::new("client|reply", 3, OWN, NONE, Connection, "3.2.0", "Has commands answered or not.", Run::Conn(reply)),
    Command::new("client|no-evict", 3, OWN | ADMIN | DANGEROUS, NONE, Connection, "7.0.0", "Keeps the connection when memory is short.", Run::Conn(no_evict))
        .differs("changes nothing: connections are not ended to save memory"),
    Command::new("client|no-touch", 3, OWN, NONE, Connection, "7.2.0", "Has reads not count as use.", Run::Conn(no_evict))
        .differs("changes nothing: reads count as use"),
    Command::new("client|tracking", -3, OWN, NONE, Connection, "6.0.0", "Has the connection told when what it read changes.", Run::Conn(super::client_tracking::tracking))
        .differs("keys of all keyspaces are one, as in Redis; which key is forgotten first when there are too many is not said; 1024 prefixes at most"),
    Command::new("client|caching", 3, OWN, NONE, Connection, "6.0.0", "Tracks the next command, or does not.", Run::Conn(super::client_tracking::caching)),
    Command::new("client|trackinginfo", 2, OWN, NONE, Connection, "6.2.0", "Says what is tracked.", Run::Conn(super::client_tracking::trackinginfo)),
    Command::new("client|getredir", 2, OWN, NONE, Connection, "6.0.0", "Says who is told of changes.", Run::Conn(super::client_tracking::getredir)),
    Command::new("client|unblock", -3, OWN | ADMIN | DANGEROUS, NONE, Connection, "5.0.0", "Ends a wait.", Run::Conn(unblock))
        .differs("0: nothing waits"),
    Command::new("client|pause", -3, OWN | ADMIN | DANGEROUS, NONE, Connection, "3.0.0", "Stops commands for a time.", Run::Conn(pause))
        .differs("refused: there are no replicas to hand over to"),
    Command::new("client|unpause", 2, OWN | ADMIN | DANGEROUS, NONE, Connection, "6.2.0", "Ends a pause.", Run::Conn(unpause)),
    Command::new("client|maint_notifications", -2, OWN, NONE, Connection, "8.2.0", "Asks to be told of maintenance.", Run::Conn(maintenance))
        .differs("refused, as Redis refuses what it does not know: nothing would be told"),
    Command::new("client|help", 2, LOADING | STALE, NONE, Connection, "5.0.0", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
];

fn id(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.integer(i64::try_from(conn.me.id).unwrap_or(i64::MAX));
    Ok(())
}

/// A name that can stand in a list: printable, without blanks.
fn plain(text: &[u8], what: &'static str) -> Result<String, Fail> {
    let plain = text.iter().all(|byte| (b'!'..=b'~').contains(byte));
    if !plain || text.len() > limits::NAME_BYTES {
        return Err(Fail::say(what));
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

pub(super) fn set_name(conn: &Conn, name: &[u8]) -> Done {
    let wrong = "ERR Client names cannot contain spaces, newlines or special characters.";
    conn.me.told.lock().name = plain(name, wrong)?;
    Ok(())
}

fn setname(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    set_name(conn, args.get(2))?;
    out.ok();
    Ok(())
}

fn getname(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let name = conn.me.told.lock().name.clone();
    out.maybe(Some(name.as_bytes()).filter(|name| !name.is_empty()));
    Ok(())
}

fn setinfo(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let value = args.get(3);
    if args.is(2, "lib-name") {
        let wrong = "ERR lib-name cannot contain spaces, newlines or special characters.";
        conn.me.told.lock().library = plain(value, wrong)?;
    } else if args.is(2, "lib-ver") {
        let wrong = "ERR lib-ver cannot contain spaces, newlines or special characters.";
        conn.me.told.lock().version = plain(value, wrong)?;
    } else {
        let option = String::from_utf8_lossy(args.get(2)).into_owned();
        return Err(Fail::from(format!("ERR Unrecognized option '{option}'")));
    }
    out.ok();
    Ok(())
}

fn describe(client: &Client) -> String {
    let told = client.told.lock().clone();
    let last = usize::from(client.last.load(Ordering::Relaxed));
    let command = table::all()
        .nth(last)
        .map_or("NULL", |command| command.name);
    let age = client.since.elapsed().as_secs();
    let idle = age.saturating_sub(client.active.load(Ordering::Relaxed));
    let number = |value: &std::sync::atomic::AtomicU32| value.load(Ordering::Relaxed);
    let (channels, patterns) = (number(&client.channels), number(&client.patterns));
    let mut flags = String::new();
    let mut flag = |on: bool, letter: char| on.then(|| flags.push(letter));
    flag(channels + patterns > 0, 'P');
    flag(client.queued.load(Ordering::Relaxed) >= 0, 'x');
    flag(client.tracking.load(Ordering::Relaxed), 't');
    flag(client.unix, 'U');
    if flags.is_empty() {
        flags.push('N');
    }
    format!(
        "id={} addr={} laddr={} fd=0 name={} age={age} idle={idle} flags={flags} db={} \
         sub={channels} psub={patterns} ssub=0 multi={} qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 \
         rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={command} user={} redir=-1 resp={} \
         lib-name={} lib-ver={}",
        client.id,
        client.address,
        client.local,
        told.name,
        client.db.load(Ordering::Relaxed),
        client.queued.load(Ordering::Relaxed),
        told.user,
        if client.resp3.load(Ordering::Relaxed) {
            3
        } else {
            2
        },
        told.library,
        told.version,
    )
}

fn info(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.verbatim(&(describe(&conn.me) + "\n"));
    Ok(())
}

fn everybody(conn: &Conn) -> Vec<Arc<Client>> {
    conn.server.hub.clients.lock().values().cloned().collect()
}

fn list(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let mut clients = everybody(conn);
    if args.is(2, "type") && args.len() == 4 {
        let subscribers = match () {
            () if args.is(3, "normal") => Some(false),
            () if args.is(3, "pubsub") => Some(true),
            () if args.is(3, "master") || args.is(3, "replica") || args.is(3, "slave") => None,
            () => {
                let kind = String::from_utf8_lossy(args.get(3)).into_owned();
                return Err(Fail::from(format!("ERR Unknown client type '{kind}'")));
            }
        };
        clients.retain(|client| Some(listens(client)) == subscribers);
    } else if args.is(2, "id") && args.len() > 3 {
        let ids: Result<Vec<i64>, Fail> = (3..args.len())
            .map(|at| {
                args.integer(at)
                    .map_err(|_| Fail::say("ERR Invalid client ID"))
            })
            .collect();
        let ids = ids?;
        clients.retain(|client| ids.iter().any(|id| u64::try_from(*id) == Ok(client.id)));
    } else if args.len() > 2 {
        return Err(Fail::Syntax);
    }
    let mut text = String::new();
    for client in clients {
        let _ = writeln!(text, "{}", describe(&client));
    }
    out.verbatim(&text);
    Ok(())
}

fn listens(client: &Client) -> bool {
    let channels = client.channels.load(Ordering::Relaxed);
    channels + client.patterns.load(Ordering::Relaxed) > 0
}

fn kill(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() == 3 {
        let address = args.get(2);
        let found = everybody(conn)
            .into_iter()
            .find(|client| client.address.as_bytes() == address);
        let found = found.ok_or(Fail::say("ERR No such client"))?;
        end(conn, &found);
        out.ok();
        return Ok(());
    }
    let mut chosen = everybody(conn);
    let (mut skip_me, mut at) = (true, 2);
    while at + 1 < args.len() {
        let value = args.get(at + 1);
        match () {
            () if args.is(at, "id") => {
                let id = args
                    .integer(at + 1)
                    .ok()
                    .and_then(|id| u64::try_from(id).ok());
                let id = id.ok_or(Fail::say("ERR client-id should be greater than 0"))?;
                chosen.retain(|client| client.id == id);
            }
            () if args.is(at, "addr") => {
                chosen.retain(|client| client.address.as_bytes() == value);
            }
            () if args.is(at, "laddr") => chosen.retain(|client| client.local.as_bytes() == value),
            () if args.is(at, "user") => {
                if conn.server.users.named(value).is_none() {
                    let user = String::from_utf8_lossy(value).into_owned();
                    return Err(Fail::from(format!("ERR No such user '{user}'")));
                }
                chosen.retain(|client| client.told.lock().user.as_bytes() == value);
            }
            () if args.is(at, "type") => {
                let subscribers = args.is(at + 1, "pubsub");
                chosen.retain(|client| listens(client) == subscribers);
            }
            () if args.is(at, "skipme") && args.is(at + 1, "yes") => skip_me = true,
            () if args.is(at, "skipme") && args.is(at + 1, "no") => skip_me = false,
            () => return Err(Fail::Syntax),
        }
        at += 2;
    }
    if at < args.len() {
        return Err(Fail::Syntax);
    }
    chosen.retain(|client| !(skip_me && client.id == conn.me.id));
    chosen.iter().for_each(|client| end(conn, client));
    out.count(chosen.len());
    Ok(())
}

fn end(conn: &mut Conn, client: &Client) {
    if client.id == conn.me.id {
        // Who ends itself still gets the answer.
        conn.closing = true;
    } else {
        client.end("CLIENT KILL");
    }
}

fn reply(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    match () {
        () if args.is(2, "on") => {
            conn.answers = Answers::On;
            out.ok();
        }
        () if args.is(2, "off") => conn.answers = Answers::Off,
        () if args.is(2, "skip") => {
            if conn.answers == Answers::On {
                conn.answers = Answers::SkipNext;
            }
        }
        () => return Err(Fail::Syntax),
    }
    Ok(())
}

fn no_evict(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if !args.is(2, "on") && !args.is(2, "off") {
        return Err(Fail::Syntax);
    }
    out.ok();
    Ok(())
}

fn unblock(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    args.integer(2)?;
    out.integer(0);
    Ok(())
}

fn pause(_: &mut Conn, _: Args<'_>, _: &mut Out) -> Done {
    Err(Fail::say(
        "ERR CLIENT PAUSE is not supported: there are no replicas to hand over to",
    ))
}

fn unpause(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.ok();
    Ok(())
}

fn maintenance(_: &mut Conn, _: Args<'_>, _: &mut Out) -> Done {
    Err(Fail::say(
        "ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.",
    ))
}

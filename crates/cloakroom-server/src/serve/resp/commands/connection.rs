//! How a connection begins: protocol, user, keyspace, and whether anybody is there.

use std::sync::atomic::Ordering;

use crate::logs::often::PASSWORDS;
use crate::serve::resp::args::Args;
use crate::serve::resp::conn::{Answers, Conn};
use crate::serve::resp::fail::Fail;
use crate::serve::resp::limits;
use crate::serve::resp::reply::Out;
use crate::serve::resp::table::{
    AT_ONCE, Command, Done, FAST, Group::Connection, LOADING, NO_AUTH, NO_SCRIPT, NONE, Run, STALE,
    SUBSCRIBED,
};

const OPEN: u16 = NO_SCRIPT | LOADING | STALE | FAST | NO_AUTH;

#[rustfmt::skip]
pub(super) static ROWS: [Command; 7] = [
    Command::new("hello", -1, OPEN, NONE, Connection, "6.0.0", "Chooses the protocol, signs in, gives a name.", Run::Conn(hello)),
    Command::new("auth", -2, OPEN, NONE, Connection, "1.0.0", "Signs in.", Run::Conn(auth)),
    Command::new("select", 2, LOADING | STALE | FAST, NONE, Connection, "1.0.0", "Chooses a keyspace, 0 to 15.", Run::Conn(select)),
    Command::new("ping", -1, FAST | SUBSCRIBED, NONE, Connection, "1.0.0", "Says PONG, or what it is given.", Run::Conn(ping)),
    Command::new("echo", 2, FAST, NONE, Connection, "1.0.0", "Says what it is given.", Run::Conn(echo)),
    Command::new("quit", -1, OPEN | AT_ONCE | SUBSCRIBED, NONE, Connection, "1.0.0", "Ends the connection.", Run::Conn(quit)),
    Command::new("reset", 1, OPEN | AT_ONCE | SUBSCRIBED, NONE, Connection, "6.2.0", "Begins again as if just connected.", Run::Conn(reset)),
];

/// The version of Redis that clients are told: what they take for granted of it, they find here.
pub(super) const VERSION: &str = "7.0.15";

fn hello(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let mut resp3 = out.resp3;
    if args.len() > 1 {
        let wrong = Fail::say("ERR Protocol version is not an integer or out of range");
        resp3 = match args.integer(1).map_err(|_| wrong)? {
            2 => false,
            3 => true,
            _ => return Err(Fail::say("NOPROTO unsupported protocol version")),
        };
    }
    let (mut user, mut name, mut at) = (None, None, 2);
    while at < args.len() {
        let more = args.len() - at - 1;
        if args.is(at, "auth") && more >= 2 {
            user = Some((args.get(at + 1), args.get(at + 2)));
            at += 3;
        } else if args.is(at, "setname") && more >= 1 {
            name = Some(args.get(at + 1));
            at += 2;
        } else {
            let word = String::from_utf8_lossy(args.get(at));
            return Err(Fail::from(format!(
                "ERR Syntax error in HELLO option '{word}'"
            )));
        }
    }
    if let Some((user, password)) = user {
        sign_in(conn, user, password)?;
    }
    if conn.is_stranger() {
        return Err(Fail::say(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        super::client::set_name(conn, name)?;
    }
    out.resp3 = resp3;
    conn.me.resp3.store(resp3, Ordering::Relaxed);
    let id = i64::try_from(conn.me.id).unwrap_or(i64::MAX);
    out.map(7);
    for (key, value) in [("server", Ok("redis")), ("version", Ok(VERSION))] {
        pair(out, key, value);
    }
    pair(out, "proto", Err(if resp3 { 3 } else { 2 }));
    pair(out, "id", Err(id));
    pair(out, "mode", Ok("standalone"));
    pair(out, "role", Ok("master"));
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}

/// A word with a text or a number.
fn pair(out: &mut Out, key: &str, value: Result<&str, i64>) {
    out.bulk(key.as_bytes());
    match value {
        Ok(text) => out.bulk(text.as_bytes()),
        Err(number) => out.integer(number),
    }
}

fn auth(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let (user, password): (&[u8], &[u8]) = match args.len() {
        2 => (b"default", args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return Err(Fail::Syntax),
    };
    if args.len() == 2 && conn.server.users.initial().is_some() {
        return Err(Fail::say(
            "ERR AUTH <password> called without any password configured for the default user. Are \
             you sure your configuration is correct?",
        ));
    }
    sign_in(conn, user, password)?;
    out.ok();
    Ok(())
}

fn sign_in(conn: &mut Conn, user: &[u8], password: &[u8]) -> Done {
    let Some(user) = conn.server.users.sign_in(user, password) else {
        let (client, address) = (conn.me.id, &conn.me.address);
        if PASSWORDS.has_a_line() {
            tracing::warn!(client, address, "RESP: a wrong user name or password");
        }
        conn.wrong_passwords += 1;
        conn.closing = conn.wrong_passwords >= limits::WRONG_PASSWORDS;
        return Err(Fail::say(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ));
    };
    conn.wrong_passwords = 0;
    conn.becomes(Some(user));
    Ok(())
}

fn select(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    conn.db = super::keys::database(args.get(1), "ERR value is not an integer or out of range")?;
    conn.me.db.store(conn.db, Ordering::Relaxed);
    out.ok();
    Ok(())
}

fn ping(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() > 2 {
        return Err(Fail::Arity("ping".into()));
    }
    let listening = !conn.channels.is_empty() || !conn.patterns.is_empty();
    if listening && !out.resp3 {
        out.array(2);
        out.bulk(b"pong");
        out.bulk(args.get(1));
    } else if args.len() == 2 {
        out.bulk(args.get(1));
    } else {
        out.simple("PONG");
    }
    Ok(())
}

fn echo(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    out.bulk(args.get(1));
    Ok(())
}

fn quit(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    conn.closing = true;
    out.ok();
    Ok(())
}

fn reset(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    conn.lets_go();
    conn.answers = Answers::On;
    conn.db = 0;
    conn.me.db.store(0, Ordering::Relaxed);
    conn.me.resp3.store(false, Ordering::Relaxed);
    out.resp3 = false;
    conn.me.told.lock().name.clear();
    let initial = conn.server.users.initial();
    conn.becomes(initial);
    out.simple("RESET");
    Ok(())
}

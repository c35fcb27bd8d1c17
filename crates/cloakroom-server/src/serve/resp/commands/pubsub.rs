//! Messages to whoever subscribed; keyspace events come the same way.

use std::sync::atomic::Ordering;

use crate::serve::resp::args::Args;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::limits;
use crate::serve::resp::reply::Out;
use crate::serve::resp::table::{
    Command, Done, FAST, Group::PubSub, LOADING, NO_SCRIPT, NONE, PUBSUB, Run, STALE, SUBSCRIBED,
};

const LISTEN: u16 = PUBSUB | NO_SCRIPT | LOADING | STALE | SUBSCRIBED;
const ASK: u16 = PUBSUB | LOADING | STALE;

#[rustfmt::skip]
pub(super) static ROWS: [Command; 10] = [
    Command::new("subscribe", -2, LISTEN, NONE, PubSub, "2.0.0", "Listens to channels.", Run::Conn(|conn, args, out| subscribe(conn, args, out, false))),
    Command::new("psubscribe", -2, LISTEN, NONE, PubSub, "2.0.0", "Listens to all channels of a form.", Run::Conn(|conn, args, out| subscribe(conn, args, out, true))),
    Command::new("unsubscribe", -1, LISTEN, NONE, PubSub, "2.0.0", "Listens to channels no longer.", Run::Conn(|conn, args, out| unsubscribe(conn, args, out, false))),
    Command::new("punsubscribe", -1, LISTEN, NONE, PubSub, "2.0.0", "Listens to channels of a form no longer.", Run::Conn(|conn, args, out| unsubscribe(conn, args, out, true))),
    Command::new("publish", 3, PUBSUB | LOADING | STALE | FAST, NONE, PubSub, "2.0.0", "Sends a message to all who listen.", Run::Conn(publish)),
    Command::new("pubsub", -2, 0, NONE, PubSub, "2.8.0", "Who listens to what.", Run::Family),
    Command::new("pubsub|channels", -2, ASK, NONE, PubSub, "2.8.0", "Returns the channels that somebody listens to.", Run::Conn(channels)),
    Command::new("pubsub|numsub", -2, ASK, NONE, PubSub, "2.8.0", "Counts who listens to channels.", Run::Conn(numsub)),
    Command::new("pubsub|numpat", 2, ASK, NONE, PubSub, "2.8.0", "Counts the forms that somebody listens to.", Run::Conn(numpat)),
    Command::new("pubsub|help", 2, LOADING | STALE, NONE, PubSub, "6.2.0", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
];

fn subscribe(conn: &mut Conn, args: Args<'_>, out: &mut Out, pattern: bool) -> Done {
    if conn.channels.len() + conn.patterns.len() + args.len() > limits::SUBSCRIPTIONS {
        return Err(Fail::say("ERR too many subscriptions"));
    }
    for name in args.from(1) {
        let names = if pattern {
            &mut conn.patterns
        } else {
            &mut conn.channels
        };
        if names.insert(name.into()) {
            conn.server.hub.subscribe(&conn.me, name, pattern);
        }
        let word = if pattern { "psubscribe" } else { "subscribe" };
        confirm(conn, out, word, Some(name));
    }
    Ok(())
}

fn unsubscribe(conn: &mut Conn, args: Args<'_>, out: &mut Out, pattern: bool) -> Done {
    let word = if pattern {
        "punsubscribe"
    } else {
        "unsubscribe"
    };
    let names = if pattern {
        &conn.patterns
    } else {
        &conn.channels
    };
    let chosen: Vec<Box<[u8]>> = match args.len() {
        1 => names.iter().cloned().collect(),
        _ => args.from(1).map(Into::into).collect(),
    };
    if chosen.is_empty() {
        confirm(conn, out, word, None);
    }
    for name in chosen {
        let names = if pattern {
            &mut conn.patterns
        } else {
            &mut conn.channels
        };
        if names.remove(&name) {
            conn.server.hub.unsubscribe(&conn.me, &name, pattern);
        }
        confirm(conn, out, word, Some(&name));
    }
    Ok(())
}

/// Says what it listens to now: how many channels and patterns.
fn confirm(conn: &Conn, out: &mut Out, word: &str, name: Option<&[u8]>) {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (channels, patterns) = (conn.channels.len(), conn.patterns.len());
    conn.me.channels.store(count(channels), Ordering::Relaxed);
    conn.me.patterns.store(count(patterns), Ordering::Relaxed);
    out.push(3);
    out.bulk(word.as_bytes());
    out.maybe(name);
    out.count(channels + patterns);
}

fn publish(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let heard = conn.server.hub.publish(args.get(1), args.get(2));
    out.count(heard);
    Ok(())
}

fn channels(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() > 3 {
        return Err(Fail::Arity("pubsub|channels".into()));
    }
    let pattern = (args.len() == 3).then(|| args.get(2));
    let channels = conn.server.hub.active_channels(pattern);
    out.array(channels.len());
    channels.iter().for_each(|channel| out.bulk(channel));
    Ok(())
}

fn numsub(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    out.array(2 * (args.len() - 2));
    for channel in args.from(2) {
        out.bulk(channel);
        out.count(conn.server.hub.subscribers(channel));
    }
    Ok(())
}

fn numpat(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.count(conn.server.hub.subscribed(true));
    Ok(())
}

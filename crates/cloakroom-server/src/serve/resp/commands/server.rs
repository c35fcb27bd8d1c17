//! The server itself: what it is, how it does, and what is done to all keys at once.

use std::sync::atomic::Ordering;

use crate::serve::resp::args::Args;
use crate::serve::resp::call::Call;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::reply::Out;
use crate::serve::resp::server::micros_now;
use crate::serve::resp::table::{
    ADMIN, Command, DANGEROUS, Done, FAST, Group::Server, LOADING, NO_SCRIPT, NONE, READ, Run,
    STALE, WRITE,
};

const MANAGE: u16 = ADMIN | NO_SCRIPT | LOADING | STALE | DANGEROUS;

#[rustfmt::skip]
pub(super) static ROWS: [Command; 38] = [
    Command::new("flushdb", -1, WRITE | DANGEROUS, NONE, Server, "1.0.0", "Removes all keys of the keyspace.", Run::All(flushdb)),
    Command::new("flushall", -1, WRITE | DANGEROUS, NONE, Server, "1.0.0", "Removes all keys of all keyspaces.", Run::All(flushall))
        .differs("sessions that came in by HTTP are no keys, and stay"),
    Command::new("swapdb", 3, WRITE | FAST | DANGEROUS, NONE, Server, "4.0.0", "Has two keyspaces change places.", Run::All(swapdb))
        .differs("what is known of ended sessions goes along: a late write to the one finds what ended in the other"),
    Command::new("time", 1, LOADING | STALE | FAST, NONE, Server, "2.6.0", "Returns the time.", Run::Conn(time)),
    Command::new("info", -1, LOADING | STALE | DANGEROUS, NONE, Server, "1.0.0", "Describes the server.", Run::Whole(super::info::info)),
    Command::new("lastsave", 1, LOADING | STALE | FAST | DANGEROUS, NONE, Server, "1.0.0", "Says when all was saved last.", Run::Conn(lastsave)),
    Command::new("save", 1, MANAGE, NONE, Server, "1.0.0", "Saves all keys.", Run::Conn(save))
        .differs("as BGSAVE"),
    Command::new("bgsave", -1, MANAGE, NONE, Server, "1.0.0", "Saves all keys meanwhile.", Run::Conn(save))
        .differs("has the journal rewritten: there is no other file"),
    Command::new("bgrewriteaof", 1, MANAGE, NONE, Server, "1.0.0", "Writes the journal anew.", Run::Conn(rewrite)),
    Command::new("shutdown", -1, MANAGE, NONE, Server, "1.0.0", "Ends the server.", Run::Conn(shutdown))
        .differs("ends well, as SIGTERM does; whether to save is no choice"),
    Command::new("role", 1, NO_SCRIPT | LOADING | STALE | FAST | ADMIN | DANGEROUS, NONE, Server, "2.8.12", "Says what the server is among others.", Run::Conn(role)),
    Command::new("replicaof", 3, MANAGE, NONE, Server, "5.0.0", "Makes the server a copy of another.", Run::Conn(refused))
        .differs("refused: there is no replication"),
    Command::new("monitor", 1, MANAGE, NONE, Server, "1.0.0", "Shows all commands as they come.", Run::Conn(refused))
        .differs("refused: it would show session ids"),
    Command::new("debug", -2, MANAGE, NONE, Server, "1.0.0", "Helps developers of Redis.", Run::Conn(refused))
        .differs("refused"),
    Command::new("slowlog", -2, 0, NONE, Server, "2.2.12", "Slow commands.", Run::Family),
    Command::new("slowlog|get", -2, MANAGE, NONE, Server, "2.2.12", "Returns the latest slow commands.", Run::Conn(slowlog_get))
        .differs("in place of arguments, which are ids and secrets, it has their lengths"),
    Command::new("slowlog|len", 2, MANAGE, NONE, Server, "2.2.12", "Counts the slow commands.", Run::Conn(slowlog_len)),
    Command::new("slowlog|reset", 2, MANAGE, NONE, Server, "2.2.12", "Forgets the slow commands.", Run::Conn(slowlog_reset)),
    Command::new("slowlog|help", 2, LOADING | STALE, NONE, Server, "6.2.0", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
    Command::new("latency", -2, 0, NONE, Server, "2.8.13", "Pauses.", Run::Family),
    Command::new("latency|latest", 2, MANAGE, NONE, Server, "2.8.13", "Returns the latest pauses.", Run::Conn(nothing))
        .differs("always empty: pauses are not watched"),
    Command::new("latency|history", 3, MANAGE, NONE, Server, "2.8.13", "Returns the pauses of a kind.", Run::Conn(nothing))
        .differs("always empty"),
    Command::new("latency|reset", -2, MANAGE, NONE, Server, "2.8.13", "Forgets pauses.", Run::Conn(zero)),
    Command::new("latency|doctor", 2, MANAGE, NONE, Server, "2.8.13", "Says what the pauses mean.", Run::Conn(doctor))
        .differs("says that pauses are not watched"),
    Command::new("latency|help", 2, LOADING | STALE, NONE, Server, "2.8.13", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
    Command::new("memory", -2, 0, NONE, Server, "4.0.0", "Memory.", Run::Family),
    Command::new("memory|usage", -3, READ, super::introspection::SECOND, Server, "4.0.0", "Says how many bytes a key takes.", Run::Keys(usage))
        .differs("the bytes it takes here"),
    Command::new("memory|stats", 2, 0, NONE, Server, "4.0.0", "Says what takes memory.", Run::Whole(stats))
        .differs("has fewer figures"),
    Command::new("memory|doctor", 2, 0, NONE, Server, "4.0.0", "Says how the memory does.", Run::Conn(memory_doctor)),
    Command::new("memory|purge", 2, 0, NONE, Server, "4.0.0", "Gives memory back.", Run::Conn(ok))
        .differs("changes nothing: memory is given back all the time"),
    Command::new("memory|help", 2, LOADING | STALE, NONE, Server, "4.0.0", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
    Command::new("lolwut", -1, READ | FAST, NONE, Server, "5.0.0", "Shows the version.", Run::Conn(version)),
    Command::new("module", -2, 0, NONE, Server, "4.0.0", "Modules.", Run::Family),
    Command::new("module|list", 2, ADMIN | NO_SCRIPT, NONE, Server, "4.0.0", "Lists the modules.", Run::Conn(nothing))
        .differs("always empty: there are no modules"),
    Command::new("module|help", 2, LOADING | STALE, NONE, Server, "5.0.0", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
    Command::new("cluster", -2, LOADING | STALE, NONE, Server, "3.0.0", "Describes the cluster.", Run::Conn(no_cluster))
        .differs("refused, as Redis does where it is no cluster"),
    Command::new("readonly", 1, LOADING | STALE | FAST, NONE, Server, "3.0.0", "Reads from a replica of a cluster.", Run::Conn(ok))
        .differs("changes nothing"),
    Command::new("readwrite", 1, LOADING | STALE | FAST, NONE, Server, "3.0.0", "Reads from a primary of a cluster.", Run::Conn(ok))
        .differs("changes nothing"),
];

fn how(args: Args<'_>) -> Done {
    match args.len() {
        1 => Ok(()),
        2 if args.is(1, "sync") || args.is(1, "async") => Ok(()),
        _ => Err(Fail::Syntax),
    }
}

fn flushdb(call: &mut Call<'_, '_, '_>) -> Done {
    how(call.args)?;
    let db = call.keys.db;
    call.keys.flush(Some(db));
    call.out.ok();
    Ok(())
}

fn flushall(call: &mut Call<'_, '_, '_>) -> Done {
    how(call.args)?;
    call.keys.flush(None);
    call.out.ok();
    Ok(())
}

fn swapdb(call: &mut Call<'_, '_, '_>) -> Done {
    let one = super::keys::database(call.args.get(1), "ERR invalid first DB index")?;
    let other = super::keys::database(call.args.get(2), "ERR invalid second DB index")?;
    call.keys.swap(one, other);
    call.out.ok();
    Ok(())
}

fn time(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let now = micros_now();
    out.array(2);
    out.bulk((now / 1_000_000).to_string().as_bytes());
    out.bulk((now % 1_000_000).to_string().as_bytes());
    Ok(())
}

fn lastsave(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let began = micros_now() / 1_000_000 - u128::from(conn.server.started.elapsed().as_secs());
    out.integer(i64::try_from(began).unwrap_or(0));
    Ok(())
}

fn save(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() > 2 || args.len() == 2 && !args.is(1, "schedule") {
        return Err(Fail::Syntax);
    }
    begin_rewrite(conn)?;
    match args.get(0).eq_ignore_ascii_case(b"save") {
        true => out.ok(),
        false => out.simple("Background saving started"),
    }
    Ok(())
}

fn rewrite(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    begin_rewrite(conn)?;
    out.simple("Background append only file rewriting started");
    Ok(())
}

/// Has the journal rewritten, unless that is under way.
fn begin_rewrite(conn: &Conn) -> Done {
    let store = conn.server.engine.store();
    if store.journal().is_none() {
        return Err(Fail::say(
            "ERR there is no journal: keys are in memory alone",
        ));
    }
    // If one is under way, that one does it.
    let _ = store.rewrite_in_background();
    Ok(())
}

fn shutdown(conn: &mut Conn, args: Args<'_>, _: &mut Out) -> Done {
    let known = ["nosave", "save", "now", "force"];
    let mut words = args.from(1);
    let means = |word: &[u8]| {
        known
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
    };
    if !words.all(means) {
        return Err(Fail::Syntax);
    }
    tracing::info!(client = conn.me.id, "RESP: SHUTDOWN");
    conn.server.shutdown.begin();
    conn.closing = true;
    Ok(())
}

fn role(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.array(3);
    out.bulk(b"master");
    out.integer(0);
    out.array(0);
    Ok(())
}

fn refused(_: &mut Conn, args: Args<'_>, _: &mut Out) -> Done {
    let name = String::from_utf8_lossy(args.get(0)).to_uppercase();
    Err(Fail::from(format!(
        "ERR {name} is not supported: see docs/commands.md"
    )))
}

fn no_cluster(_: &mut Conn, _: Args<'_>, _: &mut Out) -> Done {
    Err(Fail::say("ERR This instance has cluster support disabled"))
}

fn slowlog_get(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let count = match args.len() {
        2 => 10,
        3 => match args.integer(2)? {
            -1 => usize::MAX,
            count => usize::try_from(count)
                .map_err(|_| Fail::say("ERR count should be greater than or equal to -1"))?,
        },
        _ => return Err(Fail::Arity("slowlog|get".into())),
    };
    let entries = conn.server.slowlog.latest(count);
    out.array(entries.len());
    for entry in entries {
        out.array(6);
        out.integer(i64::try_from(entry.id).unwrap_or(i64::MAX));
        out.integer(entry.at);
        out.integer(entry.micros);
        out.array(entry.words.len());
        entry.words.iter().for_each(|word| out.bulk(word));
        out.bulk(entry.address.as_bytes());
        out.bulk(entry.name.as_bytes());
    }
    Ok(())
}

fn slowlog_len(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.count(conn.server.slowlog.len());
    Ok(())
}

fn slowlog_reset(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    conn.server.slowlog.clear();
    out.ok();
    Ok(())
}

fn nothing(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.array(0);
    Ok(())
}

fn zero(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.integer(0);
    Ok(())
}

fn ok(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.ok();
    Ok(())
}

fn doctor(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.verbatim("Pauses are not watched here; SLOWLOG has the slow commands.\n");
    Ok(())
}

fn usage(call: &mut Call<'_, '_, '_>) -> Done {
    let counts = call.args.len() == 5 && call.args.is(3, "samples");
    if call.args.len() > 3 && !counts {
        return Err(Fail::Syntax);
    }
    match call.keys.bytes_of(call.args.get(2)) {
        Some(bytes) => call.out.count(bytes),
        None => call.out.nil(),
    }
    Ok(())
}

fn stats(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let stats = conn.server.engine.stats();
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let keys: usize = (0..cloakroom_embedded::DATABASES)
        .map(|db| conn.server.engine.len(db))
        .sum();
    let figures = [
        ("total.allocated", count(stats.bytes)),
        ("dataset.bytes", count(stats.bytes)),
        ("keys.count", i64::try_from(keys).unwrap_or(i64::MAX)),
        ("sessions.count", count(stats.sessions)),
        ("maxmemory", count(stats.bytes_limit.unwrap_or(0))),
    ];
    out.map(figures.len());
    for (name, value) in figures {
        out.bulk(name.as_bytes());
        out.integer(value);
    }
    Ok(())
}

fn memory_doctor(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let (bytes, clients) = (
        conn.server.engine.stats().bytes,
        conn.server.counts.open.load(Ordering::Relaxed),
    );
    out.verbatim(&format!(
        "{bytes} bytes hold what is here, and {clients} connections hold no buffer while they wait.\n"
    ));
    Ok(())
}

fn version(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.verbatim(concat!("Cloakroom ver. ", env!("CARGO_PKG_VERSION"), "\n"));
    Ok(())
}

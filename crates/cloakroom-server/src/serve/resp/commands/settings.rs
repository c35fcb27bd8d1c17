//! `CONFIG`: what clients of Redis ask about, and the few things that can be changed while it runs.

use std::sync::atomic::Ordering;

use crate::serve::resp::args::Args;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::events;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::reply::Out;
use crate::serve::resp::server::Server;
use crate::serve::resp::table::{
    ADMIN, Command, DANGEROUS, Done, Group, LOADING, NO_SCRIPT, NONE, Run, STALE,
};
use crate::serve::resp::{glob, limits};

const MANAGE: u16 = ADMIN | NO_SCRIPT | LOADING | STALE | DANGEROUS;

#[rustfmt::skip]
pub(super) static ROWS: [Command; 6] = [
    Command::new("config", -2, 0, NONE, Group::Server, "2.0.0", "Settings.", Run::Family),
    Command::new("config|get", -3, MANAGE, NONE, Group::Server, "2.0.0", "Returns settings of a form.", Run::Conn(get))
        .differs("has the settings that mean something here"),
    Command::new("config|set", -4, MANAGE, NONE, Group::Server, "2.0.0", "Changes settings while the server runs.", Run::Conn(set))
        .differs("changes notify-keyspace-events, slowlog-log-slower-than and slowlog-max-len; the others are settings of Cloakroom"),
    Command::new("config|resetstat", 2, MANAGE, NONE, Group::Server, "2.0.0", "Begins to count anew.", Run::Conn(resetstat)),
    Command::new("config|rewrite", 2, MANAGE, NONE, Group::Server, "2.8.0", "Writes settings to their file.", Run::Conn(rewrite))
        .differs("refused, as Redis does without a file: settings are Cloakroom's own"),
    Command::new("config|help", 2, LOADING | STALE, NONE, Group::Server, "5.0.0", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
];

/// How a setting is changed; the error says what is wrong.
type Change = fn(&Server, &str) -> Result<(), &'static str>;

/// A setting: its name, what it is, and how it is changed if it can be.
struct Row {
    name: &'static str,
    get: fn(&Server) -> String,
    set: Option<Change>,
}

const fn fixed(name: &'static str, get: fn(&Server) -> String) -> Row {
    Row {
        name,
        get,
        set: None,
    }
}

const ROWS_OF_SETTINGS: [Row; 19] = [
    Row {
        name: "notify-keyspace-events",
        get: |server| events::letters(server.hub.events.load(Ordering::Relaxed)),
        set: Some(|server, text| {
            let flags = events::parse(text)
                .ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
            server.hub.events.store(flags, Ordering::Relaxed);
            Ok(())
        }),
    },
    Row {
        name: "slowlog-log-slower-than",
        get: |server| server.slower_than.load(Ordering::Relaxed).to_string(),
        set: Some(|server, text| {
            let micros = text
                .parse()
                .map_err(|_| "argument couldn't be parsed into an integer")?;
            server.slower_than.store(micros, Ordering::Relaxed);
            Ok(())
        }),
    },
    Row {
        name: "slowlog-max-len",
        get: |server| server.slowlog.most.load(Ordering::Relaxed).to_string(),
        set: Some(|server, text| {
            let most: usize = text
                .parse()
                .map_err(|_| "argument couldn't be parsed into an integer")?;
            if most > MOST_SLOW {
                return Err("argument must be between 0 and 65536 inclusive");
            }
            server.slowlog.most.store(most, Ordering::Relaxed);
            Ok(())
        }),
    },
    fixed("maxmemory", |server| {
        server.max_memory.unwrap_or(0).to_string()
    }),
    fixed("maxmemory-policy", |server| server.eviction.to_owned()),
    fixed("maxclients", |server| server.max_clients.to_string()),
    fixed("databases", |_| cloakroom_embedded::DATABASES.to_string()),
    fixed("port", |server| server.port.to_string()),
    fixed("proto-max-bulk-len", |_| limits::BULK_BYTES.to_string()),
    fixed("client-query-buffer-limit", |_| {
        limits::COMMAND_BYTES.to_string()
    }),
    fixed("tracking-table-max-keys", |_| {
        limits::TRACKED_KEYS.to_string()
    }),
    fixed("timeout", |_| "0".to_owned()),
    fixed("save", |_| String::new()),
    fixed("appendonly", |server| {
        let journal = server.engine.store().journal().is_some();
        if journal { "yes" } else { "no" }.to_owned()
    }),
    fixed("requirepass", |_| String::new()),
    fixed("replica-read-only", |_| "yes".to_owned()),
    fixed("cluster-enabled", |_| "no".to_owned()),
    fixed("latency-monitor-threshold", |_| "0".to_owned()),
    fixed("lfu-decay-time", |_| "1".to_owned()),
];

/// Slow commands that may be kept.
const MOST_SLOW: usize = 1 << 16;

fn get(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let wanted: Vec<Vec<u8>> = args.from(2).map(<[u8]>::to_ascii_lowercase).collect();
    let asked = |row: &&Row| {
        let mut patterns = wanted.iter();
        patterns.any(|pattern| glob::matches(pattern, row.name.as_bytes()))
    };
    let rows: Vec<&Row> = ROWS_OF_SETTINGS.iter().filter(asked).collect();
    out.map(rows.len());
    for row in rows {
        out.bulk(row.name.as_bytes());
        out.bulk((row.get)(&conn.server).as_bytes());
    }
    Ok(())
}

fn set(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() % 2 == 1 {
        return Err(Fail::Arity("config|set".into()));
    }
    for at in (2..args.len()).step_by(2) {
        let name = String::from_utf8_lossy(args.get(at)).to_lowercase();
        let row = ROWS_OF_SETTINGS.iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| {
            Fail::from(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            ))
        })?;
        let failed = |why: &str| {
            Fail::from(format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
            ))
        };
        let set = row
            .set
            .ok_or_else(|| failed("can't set immutable config"))?;
        let text = String::from_utf8_lossy(args.get(at + 1));
        set(&conn.server, &text).map_err(failed)?;
    }
    out.ok();
    Ok(())
}

fn resetstat(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    conn.server.forget_looked();
    let counts = &conn.server.counts;
    for count in counts.calls.iter().chain(&counts.micros) {
        count.store(0, Ordering::Relaxed);
    }
    for count in [
        &counts.connections,
        &counts.refused,
        &counts.errors,
        &counts.bytes_in,
        &counts.bytes_out,
        &conn.server.hub.expired,
        &conn.server.hub.evicted,
    ] {
        count.store(0, Ordering::Relaxed);
    }
    out.ok();
    Ok(())
}

fn rewrite(_: &mut Conn, _: Args<'_>, _: &mut Out) -> Done {
    Err(Fail::say("ERR The server is running without a config file"))
}

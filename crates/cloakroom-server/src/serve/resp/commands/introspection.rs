//! What tools ask before they ask anything: `INFO` in Redis' shape, and `COMMAND` from the table.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::connection::VERSION;
use crate::serve::resp::args::Args;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::reply::Out;
use crate::serve::resp::server::{Server, micros_now};
use crate::serve::resp::table::{
    self, Category, Command, Done, FLAG_NAMES, Group, Keys, LOADING, NONE, Run, STALE,
};

pub(super) const SECOND: Keys = Keys::Range(2, 2, 1);
const FLAGS: u16 = LOADING | STALE;

#[rustfmt::skip]
pub(super) static ROWS: [Command; 6] = [
    Command::new("command", -1, FLAGS, NONE, Group::Server, "2.8.13", "Describes all commands.", Run::Conn(command)),
    Command::new("command|count", 2, FLAGS, NONE, Group::Server, "2.8.13", "Counts the commands.", Run::Conn(count)),
    Command::new("command|info", -2, FLAGS, NONE, Group::Server, "2.8.13", "Describes commands.", Run::Conn(command_info)),
    Command::new("command|docs", -2, FLAGS, NONE, Group::Server, "7.0.0", "Documents commands.", Run::Conn(docs))
        .differs("has the summary, not the arguments"),
    Command::new("command|list", -2, FLAGS, NONE, Group::Server, "7.0.0", "Names all commands.", Run::Conn(list))
        .differs("takes no filter"),
    Command::new("command|getkeys", -3, FLAGS, NONE, Group::Server, "2.8.13", "Says which words of a command are keys.", Run::Conn(getkeys)),
];

/// The commands that are no subcommands.
fn top() -> impl Iterator<Item = &'static Command> {
    table::all().filter(|command| !command.name.contains('|'))
}

/// The subcommands of a family.
fn below(command: &'static Command) -> impl Iterator<Item = &'static Command> {
    let family = matches!(command.run, Run::Family) || command.name == "command";
    table::all().filter(move |sub| {
        let rest = sub.name.strip_prefix(command.name);
        family && rest.is_some_and(|rest| rest.starts_with('|'))
    })
}

fn command(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() > 1 {
        // The only family that is a command itself.
        let (_, family) = table::find(b"command").ok_or(Fail::Syntax)?;
        let Some((_, sub)) = table::find_in(family, args.get(1)) else {
            let sub = String::from_utf8_lossy(args.get(1)).into_owned();
            return Err(Fail::from(format!(
                "ERR unknown subcommand '{sub}'. Try COMMAND HELP."
            )));
        };
        if !sub.takes(args.len()) {
            return Err(Fail::Arity(sub.name.into()));
        }
        return conn.perform(sub, args, out);
    }
    out.array(top().count());
    top().for_each(|command| describe(command, out));
    Ok(())
}

fn describe(command: &'static Command, out: &mut Out) {
    out.array(10);
    out.bulk(command.name.as_bytes());
    out.integer(i64::from(command.arity));
    let mut flags: Vec<&str> = FLAG_NAMES
        .iter()
        .filter(|(flag, _)| command.is(*flag))
        .map(|(_, name)| *name)
        .collect();
    if let Keys::Counted(..) = command.keys {
        flags.push("movablekeys");
    }
    out.set(flags.len());
    flags.iter().for_each(|flag| out.simple(flag));
    let (first, last, step) = match command.keys {
        Keys::Range(first, last, step) => (first, last, step),
        Keys::Counted(_, true) => (1, 1, 1),
        Keys::None | Keys::Counted(..) => (0, 0, 0),
    };
    for place in [first, last, step] {
        out.integer(i64::from(place));
    }
    let categories: Vec<String> = Category::ALL
        .iter()
        .filter(|category| category.has(command))
        .map(|category| format!("@{}", category.name))
        .collect();
    out.set(categories.len());
    categories.iter().for_each(|name| out.simple(name));
    out.array(0);
    out.array(0);
    let subs: Vec<_> = below(command).collect();
    out.array(subs.len());
    subs.into_iter().for_each(|sub| describe(sub, out));
}

fn count(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.count(top().count());
    Ok(())
}

fn command_info(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() == 2 {
        out.array(top().count());
        top().for_each(|command| describe(command, out));
        return Ok(());
    }
    out.array(args.len() - 2);
    for name in args.from(2) {
        match table::find(name) {
            Some((_, command)) => describe(command, out),
            None => out.nil_array(),
        }
    }
    Ok(())
}

fn docs(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let chosen: Vec<&'static Command> = match args.len() {
        2 => top().collect(),
        _ => args
            .from(2)
            .filter_map(|name| Some(table::find(name)?.1))
            .collect(),
    };
    out.map(chosen.len());
    chosen
        .into_iter()
        .for_each(|command| document(command, out));
    Ok(())
}

fn document(command: &'static Command, out: &mut Out) {
    let subs: Vec<_> = below(command).collect();
    out.bulk(command.name.as_bytes());
    out.map(if subs.is_empty() { 3 } else { 4 });
    for (name, text) in [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group.name()),
    ] {
        out.bulk(name.as_bytes());
        out.bulk(text.as_bytes());
    }
    if !subs.is_empty() {
        out.bulk(b"subcommands");
        out.map(subs.len());
        subs.into_iter().for_each(|sub| document(sub, out));
    }
}

fn list(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() > 2 {
        return Err(Fail::Syntax);
    }
    out.set(top().count());
    top().for_each(|command| out.bulk(command.name.as_bytes()));
    Ok(())
}

fn getkeys(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let words = args.skip(2);
    let Some((_, command)) = table::find(words.get(0)) else {
        return Err(Fail::say("ERR Invalid command specified"));
    };
    let command = match command.run {
        Run::Family => table::find_in(command, words.get(1)).map_or(command, |(_, sub)| sub),
        _ => command,
    };
    if command.keys == Keys::None {
        return Err(Fail::say("ERR The command has no key arguments"));
    }
    if !command.takes(words.len()) {
        return Err(Fail::say(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let places: Vec<usize> = command.key_places(words)?.iter().collect();
    if places.is_empty() {
        return Err(Fail::say("ERR Invalid arguments specified for command"));
    }
    out.array(places.len());
    places.into_iter().for_each(|at| out.bulk(words.get(at)));
    Ok(())
}

/// The lines of a family's `HELP`.
pub(super) fn help(family: &str, out: &mut Out) {
    let subs: Vec<_> = table::all()
        .filter_map(|command| {
            Some((
                command.name.strip_prefix(family)?.strip_prefix('|')?,
                command,
            ))
        })
        .collect();
    out.array(subs.len() + 1);
    out.simple(&format!("{} <subcommand> [...]:", family.to_uppercase()));
    for (name, command) in subs {
        out.simple(&format!("{}: {}", name.to_uppercase(), command.summary));
    }
}

/// A section of `INFO`.
type Section = (&'static str, fn(&Server, &mut String));

const SECTIONS: [Section; 9] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Commandstats", commandstats),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
];

pub(super) fn info(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let wanted: Vec<String> = args
        .from(1)
        .map(|word| String::from_utf8_lossy(word).to_lowercase())
        .collect();
    let everything = wanted
        .iter()
        .any(|word| word == "all" || word == "everything");
    let default = wanted.is_empty() || wanted.iter().any(|word| word == "default");
    let mut text = String::new();
    for (name, write) in SECTIONS {
        let usual = default && name != "Commandstats";
        if everything || usual || wanted.contains(&name.to_lowercase()) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let _ = write!(text, "# {name}\r\n");
            write(&conn.server, &mut text);
        }
    }
    out.verbatim(&text);
    Ok(())
}

fn lines(text: &mut String, lines: &[(&str, String)]) {
    for (name, value) in lines {
        let _ = write!(text, "{name}:{value}\r\n");
    }
}

fn server(server: &Server, text: &mut String) {
    let up = server.started.elapsed().as_secs();
    let row = |name, value: &str| (name, value.to_owned());
    lines(
        text,
        &[
            row("redis_version", VERSION),
            row("redis_mode", "standalone"),
            row("cloakroom_version", env!("CARGO_PKG_VERSION")),
            row("os", std::env::consts::OS),
            row("arch_bits", "64"),
            row("multiplexing_api", "epoll"),
            ("process_id", std::process::id().to_string()),
            ("run_id", server.run_id.clone()),
            ("tcp_port", server.port.to_string()),
            ("server_time_usec", micros_now().to_string()),
            ("uptime_in_seconds", up.to_string()),
            ("uptime_in_days", (up / 86_400).to_string()),
            row("hz", "4"),
            row("executable", "cloakroom"),
            row("config_file", ""),
            row("io_threads_active", "0"),
        ],
    );
}

fn clients(server: &Server, text: &mut String) {
    let listening = |client: &std::sync::Arc<crate::serve::resp::client::Client>| {
        client.channels.load(Ordering::Relaxed) + client.patterns.load(Ordering::Relaxed) > 0
    };
    let listeners = server
        .hub
        .clients
        .lock()
        .values()
        .filter(|client| listening(client))
        .count();
    lines(
        text,
        &[
            (
                "connected_clients",
                server.counts.open.load(Ordering::Relaxed).to_string(),
            ),
            ("cluster_connections", "0".to_owned()),
            ("maxclients", server.max_clients.to_string()),
            ("client_recent_max_input_buffer", "0".to_owned()),
            ("client_recent_max_output_buffer", "0".to_owned()),
            ("blocked_clients", "0".to_owned()),
            (
                "tracking_clients",
                server.hub.tracking.clients().to_string(),
            ),
            ("pubsub_clients", listeners.to_string()),
            ("clients_in_timeout_table", "0".to_owned()),
        ],
    );
}

fn memory(server: &Server, text: &mut String) {
    let used = server.engine.stats().bytes;
    let most = server.max_memory.unwrap_or(0);
    lines(
        text,
        &[
            ("used_memory", used.to_string()),
            ("used_memory_human", human(used)),
            ("used_memory_peak", used.to_string()),
            ("used_memory_dataset", used.to_string()),
            ("total_system_memory", "0".to_owned()),
            ("used_memory_lua", "0".to_owned()),
            ("maxmemory", most.to_string()),
            ("maxmemory_human", human(most)),
            ("maxmemory_policy", server.eviction.to_owned()),
            ("mem_fragmentation_ratio", "1.00".to_owned()),
            ("mem_allocator", "cloakroom-pages".to_owned()),
            ("lazyfree_pending_objects", "0".to_owned()),
        ],
    );
}

fn human(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes}B"),
        1_024..1_048_576 => format!("{:.2}K", bytes as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.2}M", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2}G", bytes as f64 / 1_073_741_824.0),
    }
}

fn persistence(server: &Server, text: &mut String) {
    let began = micros_now() / 1_000_000 - u128::from(server.started.elapsed().as_secs());
    let row = |name, value: &str| (name, value.to_owned());
    lines(
        text,
        &[
            row("loading", "0"),
            row("async_loading", "0"),
            row("rdb_changes_since_last_save", "0"),
            row("rdb_bgsave_in_progress", "0"),
            ("rdb_last_save_time", began.to_string()),
            row("rdb_last_bgsave_status", "ok"),
            row("aof_enabled", "0"),
            row("aof_rewrite_in_progress", "0"),
            row("aof_last_bgrewrite_status", "ok"),
            row("aof_last_write_status", "ok"),
        ],
    );
}

fn stats(server: &Server, text: &mut String) {
    let counts = &server.counts;
    let row = |name, count: &AtomicU64| (name, count.load(Ordering::Relaxed).to_string());
    let (tracked, prefixes) = server.hub.tracking.sizes();
    lines(
        text,
        &[
            row("total_connections_received", &counts.connections),
            ("total_commands_processed", counts.commands().to_string()),
            ("instantaneous_ops_per_sec", "0".to_owned()),
            row("total_net_input_bytes", &counts.bytes_in),
            row("total_net_output_bytes", &counts.bytes_out),
            row("rejected_connections", &counts.refused),
            row("expired_keys", &server.hub.expired),
            row("evicted_keys", &server.hub.evicted),
            ("keyspace_hits", "0".to_owned()),
            ("keyspace_misses", "0".to_owned()),
            ("pubsub_channels", server.hub.subscribed(false).to_string()),
            ("pubsub_patterns", server.hub.subscribed(true).to_string()),
            ("latest_fork_usec", "0".to_owned()),
            ("tracking_total_keys", tracked.to_string()),
            ("tracking_total_prefixes", prefixes.to_string()),
            row("total_error_replies", &counts.errors),
            row(
                "client_output_buffer_limit_disconnections",
                &counts.slow_readers,
            ),
        ],
    );
}

fn replication(server: &Server, text: &mut String) {
    let row = |name, value: &str| (name, value.to_owned());
    lines(
        text,
        &[
            row("role", "master"),
            row("connected_slaves", "0"),
            row("master_failover_state", "no-failover"),
            ("master_replid", server.run_id.clone()),
            row("master_repl_offset", "0"),
            row("repl_backlog_active", "0"),
        ],
    );
}

fn commandstats(server: &Server, text: &mut String) {
    for (number, command) in table::all().enumerate() {
        let calls = server.counts.calls[number].load(Ordering::Relaxed);
        let micros = server.counts.micros[number].load(Ordering::Relaxed);
        if calls > 0 {
            let each = micros as f64 / calls as f64;
            let _ = write!(
                text,
                "cmdstat_{}:calls={calls},usec={micros},usec_per_call={each:.2},\
                 rejected_calls=0,failed_calls=0\r\n",
                command.name
            );
        }
    }
}

fn cluster(_: &Server, text: &mut String) {
    lines(text, &[("cluster_enabled", "0".to_owned())]);
}

fn keyspace(server: &Server, text: &mut String) {
    for db in 0..cloakroom_embedded::DATABASES {
        let stats = server.engine.keyspace(db);
        if stats.keys > 0 {
            let _ = write!(
                text,
                "db{db}:keys={},expires={},avg_ttl=0\r\n",
                stats.keys, stats.expires
            );
        }
    }
}

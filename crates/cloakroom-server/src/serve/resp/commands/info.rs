//! `INFO` in Redis' shape, because monitors and clients read it before they do anything.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use cloakroom_embedded::journal::JournalState;

use super::connection::VERSION;
use crate::process::{self, CpuTime};
use crate::serve::resp::args::Args;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::reply::Out;
use crate::serve::resp::server::{Server, micros_now};
use crate::serve::resp::table::{self, Done};

/// A section of `INFO`.
type Section = (&'static str, fn(&Server, &mut String));

const SECTIONS: [Section; 10] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("CPU", cpu),
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
    let peak = server.pace.lock().most_bytes.max(used);
    let most = server.max_memory.unwrap_or(0);
    let (resident, _) = process::resident();
    let machine = process::machine();
    lines(
        text,
        &[
            ("used_memory", used.to_string()),
            ("used_memory_human", human(used)),
            ("used_memory_rss", resident.to_string()),
            ("used_memory_rss_human", human(resident)),
            ("used_memory_peak", peak.to_string()),
            ("used_memory_peak_human", human(peak)),
            ("used_memory_dataset", used.to_string()),
            ("total_system_memory", machine.to_string()),
            ("total_system_memory_human", human(machine)),
            ("used_memory_lua", "0".to_owned()),
            ("maxmemory", most.to_string()),
            ("maxmemory_human", human(most)),
            ("maxmemory_policy", server.eviction.to_owned()),
            (
                "mem_fragmentation_ratio",
                format!("{:.2}", resident as f64 / used.max(1) as f64),
            ),
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
    let store = server.engine.store();
    let journal = store.journal();
    let writes = journal
        .is_none_or(|journal| matches!(journal.state(), JournalState::Open | JournalState::Behind));
    let rewrites = store.rewrites();
    let running = if rewrites.running { "1" } else { "0" };
    let last = if rewrites.failed.is_some() {
        "err"
    } else {
        "ok"
    };
    lines(
        text,
        &[
            row("loading", "0"),
            row("async_loading", "0"),
            row("rdb_changes_since_last_save", "0"),
            row("rdb_bgsave_in_progress", running),
            ("rdb_last_save_time", began.to_string()),
            row("rdb_last_bgsave_status", last),
            row("aof_enabled", if journal.is_some() { "1" } else { "0" }),
            row("aof_rewrite_in_progress", running),
            row("aof_last_bgrewrite_status", last),
            row("aof_last_write_status", if writes { "ok" } else { "err" }),
        ],
    );
}

fn stats(server: &Server, text: &mut String) {
    let counts = &server.counts;
    let row = |name, count: &AtomicU64| (name, count.load(Ordering::Relaxed).to_string());
    let (tracked, prefixes) = server.hub.tracking.sizes();
    let (hits, misses) = server.looked();
    let pace = *server.pace.lock();
    let kilobytes = |bytes: f64| format!("{:.2}", bytes / 1_024.0);
    lines(
        text,
        &[
            row("total_connections_received", &counts.connections),
            ("total_commands_processed", counts.commands().to_string()),
            ("instantaneous_ops_per_sec", format!("{:.0}", pace.commands)),
            row("total_net_input_bytes", &counts.bytes_in),
            row("total_net_output_bytes", &counts.bytes_out),
            ("instantaneous_input_kbps", kilobytes(pace.bytes_in)),
            ("instantaneous_output_kbps", kilobytes(pace.bytes_out)),
            row("rejected_connections", &counts.refused),
            row("expired_keys", &server.hub.expired),
            row("evicted_keys", &server.hub.evicted),
            ("keyspace_hits", hits.to_string()),
            ("keyspace_misses", misses.to_string()),
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

fn cpu(_: &Server, text: &mut String) {
    // Where the system does not say it, it is no figure.
    let Ok(time) = CpuTime::of(std::process::id()) else {
        return;
    };
    let seconds = |time: std::time::Duration| format!("{:.6}", time.as_secs_f64());
    lines(
        text,
        &[
            ("used_cpu_sys", seconds(time.system)),
            ("used_cpu_user", seconds(time.user)),
            ("used_cpu_sys_children", seconds(time.children_system)),
            ("used_cpu_user_children", seconds(time.children_user)),
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

//! The numbers that the server shows at `/metrics`, in OpenMetrics text, which Prometheus reads.
//! Which there are says one table, `metrics_table`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cloakroom_core::observe::Operation;
use cloakroom_core::store::Stats;
use cloakroom_embedded::journal::{JournalState, JournalStats};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::metrics_table::TABLE;
use crate::serve::resp::Counts;

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    request_seconds: Family<Route, Histogram>,
    connections: Gauge,
    operations: Family<StoreOperation, Counter>,
    operation_seconds: Family<OperationName, Histogram>,
    events: Family<EventName, Counter>,
    up: Gauge,
    sessions: Gauge,
    of_frameworks: Gauge,
    bytes: Gauge,
    bytes_limit: Gauge,
    expired: Counter,
    evicted: Counter,
    journal_up: Gauge,
    journal_records: Counter,
    journal_unsynced: Gauge,
    journal_bytes: Counter,
    journal_syncs: Counter,
    resp: Resp,
}

/// What the RESP front counts, where it is shown.
#[derive(Debug, Default)]
struct Resp {
    counts: OnceLock<Arc<Counts>>,
    connections: Gauge,
    accepted: Counter,
    refused: Counter,
    commands: Counter,
    errors: Counter,
    cut: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StoreOperation {
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationName {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EventName {
    event: &'static str,
}

impl Metrics {
    /// All metrics, at zero.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("cloakroom"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_buckets),
            connections: Gauge::default(),
            operations: Family::default(),
            operation_seconds: Family::new_with_constructor(operation_buckets),
            events: Family::default(),
            up: Gauge::default(),
            sessions: Gauge::default(),
            of_frameworks: Gauge::default(),
            bytes: Gauge::default(),
            bytes_limit: Gauge::default(),
            expired: Counter::default(),
            evicted: Counter::default(),
            resp: Resp::default(),
            journal_up: Gauge::default(),
            journal_records: Counter::default(),
            journal_unsynced: Gauge::default(),
            journal_bytes: Counter::default(),
            journal_syncs: Counter::default(),
        };
        metrics.add("http_requests", metrics.requests.clone());
        metrics.add(
            "http_request_duration_seconds",
            metrics.request_seconds.clone(),
        );
        metrics.add("http_connections", metrics.connections.clone());
        metrics.add("store_operations", metrics.operations.clone());
        metrics.add(
            "store_operation_duration_seconds",
            metrics.operation_seconds.clone(),
        );
        metrics.add("events", metrics.events.clone());
        metrics.up.set(1);
        metrics.add("store_up", metrics.up.clone());
        metrics.add("sessions", metrics.sessions.clone());
        metrics.add("sessions_of_frameworks", metrics.of_frameworks.clone());
        metrics.add("store_bytes", metrics.bytes.clone());
        metrics.add("store_bytes_limit", metrics.bytes_limit.clone());
        metrics.add("store_expired_sessions", metrics.expired.clone());
        metrics.add("store_evicted_sessions", metrics.evicted.clone());
        metrics.add("resp_connections", metrics.resp.connections.clone());
        metrics.add("resp_accepted_connections", metrics.resp.accepted.clone());
        metrics.add("resp_refused_connections", metrics.resp.refused.clone());
        metrics.add("resp_commands", metrics.resp.commands.clone());
        metrics.add("resp_errors", metrics.resp.errors.clone());
        metrics.add("resp_cut_connections", metrics.resp.cut.clone());
        metrics.journal_up.set(1);
        metrics.add("journal_up", metrics.journal_up.clone());
        metrics.add("journal_records", metrics.journal_records.clone());
        metrics.add("journal_unsynced_records", metrics.journal_unsynced.clone());
        metrics.add("journal_bytes", metrics.journal_bytes.clone());
        metrics.add("journal_syncs", metrics.journal_syncs.clone());
        metrics.add("build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        metrics
    }

    /// A request was answered.
    pub(crate) fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        let labels = Route {
            route: route.clone(),
        };
        self.request_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let labels = Request {
            method,
            route,
            status,
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// An operation of the store ended.
    pub(crate) fn store_operation(
        &self,
        operation: Operation,
        result: &'static str,
        took: Duration,
    ) {
        let operation = operation.name();
        self.operation_seconds
            .get_or_create(&OperationName { operation })
            .observe(took.as_secs_f64());
        self.operations
            .get_or_create(&StoreOperation { operation, result })
            .inc();
    }

    /// An event of this name happened.
    pub(crate) fn event(&self, event: &'static str) {
        self.events.get_or_create(&EventName { event }).inc();
    }

    /// The store answers and takes writes, or not.
    pub(crate) fn store_up(&self, up: bool) {
        self.up.set(i64::from(up));
    }

    /// A connection was accepted.
    pub(crate) fn connection_began(&self) {
        self.connections.inc();
    }

    /// A connection ended.
    pub(crate) fn connection_ended(&self) {
        self.connections.dec();
    }

    /// Connections open now.
    pub(crate) fn connections_open(&self) -> usize {
        usize::try_from(self.connections.get()).unwrap_or(0)
    }

    /// Takes over what the store says of itself.
    pub(crate) fn store_stats(&self, stats: &Stats) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.sessions.set(gauge(stats.sessions));
        self.of_frameworks.set(gauge(stats.of_frameworks));
        self.bytes.set(gauge(stats.bytes));
        self.bytes_limit.set(gauge(stats.bytes_limit.unwrap_or(0)));
        // These count in the store; here they are shown.
        self.expired.inner().store(stats.expired, Ordering::Relaxed);
        self.evicted.inner().store(stats.evicted, Ordering::Relaxed);
    }

    /// Shows what the RESP front counts from now on.
    pub(crate) fn watch_resp(&self, counts: Arc<Counts>) {
        // There is one front; a second would be ignored.
        let _ = self.resp.counts.set(counts);
    }

    /// Takes over what the RESP front counts.
    fn gather_resp(&self) {
        let Some(counts) = self.resp.counts.get() else {
            return;
        };
        let open = counts.open.load(Ordering::Relaxed);
        let open = i64::try_from(open).unwrap_or(i64::MAX);
        self.resp.connections.set(open);
        for (shown, count) in [
            (
                &self.resp.accepted,
                counts.connections.load(Ordering::Relaxed),
            ),
            (&self.resp.refused, counts.refused.load(Ordering::Relaxed)),
            (&self.resp.commands, counts.commands()),
            (&self.resp.errors, counts.errors.load(Ordering::Relaxed)),
            (&self.resp.cut, counts.slow_readers.load(Ordering::Relaxed)),
        ] {
            shown.inner().store(count, Ordering::Relaxed);
        }
    }

    /// Takes over what the journal says of itself.
    pub(crate) fn journal_stats(&self, stats: &JournalStats) {
        let takes = matches!(stats.state, JournalState::Open | JournalState::Behind);
        self.journal_up.set(i64::from(takes));
        let unsynced = stats.appended.saturating_sub(stats.durable);
        self.journal_unsynced
            .set(i64::try_from(unsynced).unwrap_or(i64::MAX));
        for (counter, number) in [
            (&self.journal_records, stats.appended),
            (&self.journal_bytes, stats.written),
            (&self.journal_syncs, stats.syncs),
        ] {
            counter.inner().store(number, Ordering::Relaxed);
        }
    }

    /// All of them as OpenMetrics text.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        self.gather_resp();
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }

    fn add(&mut self, name: &str, metric: impl Metric) {
        let row = TABLE.iter().find(|row| row.name == name);
        let row = row.expect("every metric has a row in the table");
        self.registry.register(row.name, row.doc, metric);
    }
}

/// From a tenth of a millisecond, which is a read from memory, to the request timeout.
fn request_buckets() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0,
    ])
}

/// From a microsecond, which is the embedded store, to its deadline.
fn operation_buckets() -> Histogram {
    Histogram::new([
        0.000_001,
        0.000_002_5,
        0.000_005,
        0.000_01,
        0.000_05,
        0.000_1,
        0.000_5,
        0.001,
        0.005,
        0.01,
        0.05,
        0.1,
        1.0,
    ])
}

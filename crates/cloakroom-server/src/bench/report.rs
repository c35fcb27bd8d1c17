//! What people and programs read of a run.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::mix::OPS;
use super::options::Options;
use super::run::{Measured, Row};

/// A run, as `--json` prints it. Times of operations are in microseconds.
#[derive(Serialize)]
pub(super) struct Report {
    mix: &'static str,
    about: &'static str,
    /// `open` or `closed`.
    r#loop: &'static str,
    rate: Option<f64>,
    connections: usize,
    pipeline: usize,
    sessions: u32,
    seconds: f64,
    /// How long it took to load them.
    load_seconds: Option<f64>,
    unanswered: u64,
    /// CPU time of the server for each operation.
    server_cpu_us: Option<f64>,
    /// All operations, then each kind.
    rows: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    operation: &'static str,
    count: u64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    longest_us: f64,
    missing: u64,
    errors: u64,
}

impl Report {
    pub(super) fn new(options: &Options, loaded: Option<&Measured>, measured: &Measured) -> Self {
        let mut all = Row::default();
        let mut rows = Vec::new();
        for (op, name) in OPS {
            if let Some(row) = measured.rows.get(&op) {
                rows.push(Line::new(name, row, measured.took));
                all.times.add(&row.times).expect("the same bounds");
                all.missing += row.missing;
                all.errors += row.errors;
            }
        }
        rows.insert(0, Line::new("all", &all, measured.took));
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / all.times.len().max(1) as f64;
        Self {
            mix: options.mix.name,
            about: options.mix.doc,
            r#loop: options.rate.map_or("closed", |_| "open"),
            rate: options.rate,
            connections: options.connections,
            pipeline: options.pipeline,
            sessions: options.sessions,
            seconds: measured.took.as_secs_f64(),
            load_seconds: loaded.map(|loaded| loaded.took.as_secs_f64()),
            unanswered: measured.unanswered,
            server_cpu_us: measured.cpu.map(each),
            rows,
        }
    }

    /// # Errors
    /// None that can be: numbers and names are JSON.
    pub(super) fn text(&self, json: bool) -> Result<String, serde_json::Error> {
        if json {
            return Ok(serde_json::to_string_pretty(self)? + "\n");
        }
        let mut text = self.heading();
        if self.seconds > 0.0 {
            self.table(&mut text);
        }
        Ok(text)
    }

    fn heading(&self) -> String {
        let mut text = String::new();
        if let Some(seconds) = self.load_seconds {
            let _ = writeln!(text, "{} sessions loaded in {seconds:.1} s", self.sessions);
        }
        if self.seconds > 0.0 {
            let rate = match self.rate {
                Some(rate) => format!("open loop at {rate} a second"),
                None => "closed loop".to_owned(),
            };
            let _ = writeln!(
                text,
                "{} ({}): {} sessions, {} connections, pipeline {}, {rate}, {} s",
                self.mix, self.about, self.sessions, self.connections, self.pipeline, self.seconds
            );
        }
        text
    }

    fn table(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n{:<17}{:>11}{:>11}{:>10}{:>10}{:>10}{:>11}{:>9}{:>8}",
            "operation",
            "count",
            "a second",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "longest",
            "missing",
            "errors"
        );
        for line in &self.rows {
            let _ = writeln!(
                text,
                "{:<17}{:>11}{:>11.0}{:>10.1}{:>10.1}{:>10.1}{:>11.1}{:>9}{:>8}",
                line.operation,
                line.count,
                line.per_second,
                line.p50_us,
                line.p99_us,
                line.p999_us,
                line.longest_us,
                line.missing,
                line.errors
            );
        }
        if self.unanswered > 0 {
            let _ = writeln!(
                text,
                "\n{} had no answer; their times are those until the end",
                self.unanswered
            );
        }
        if let Some(cpu) = self.server_cpu_us {
            let _ = writeln!(text, "\nserver CPU: {cpu:.2} us an operation");
        }
    }
}

impl Line {
    fn new(operation: &'static str, row: &Row, took: Duration) -> Self {
        let times: &Histogram<u64> = &row.times;
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            operation,
            count: times.len(),
            per_second: times.len() as f64 / took.as_secs_f64().max(1e-9),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            longest_us: at(1.0),
            missing: row.missing,
            errors: row.errors,
        }
    }
}

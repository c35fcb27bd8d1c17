//! `cloakroom bench` as a program, and what it says.

use std::process::{Child, Stdio};

use serde::Deserialize;

use super::servers::{Programs, Server, on_processors};

/// What is asked of the load generator.
#[derive(Clone, Debug)]
pub struct Load {
    /// A mix of its table.
    pub mix: &'static str,
    /// Commands under way in a connection.
    pub pipeline: u32,
    /// Sessions that there are.
    pub sessions: u64,
    /// How long it measures; 0 loads and nothing else.
    pub seconds: f64,
    /// Before that.
    pub warm_up: f64,
    /// Commands a second in an open loop.
    pub rate: Option<f64>,
    /// Whether it loads the sessions first.
    pub load: bool,
    /// Which sessions.
    pub seed: u64,
    /// In which order commands come.
    pub order: u64,
    /// Where the generator runs.
    pub processors: &'static str,
}

/// What came of it.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    /// CPU time of the server for an operation, in microseconds.
    pub server_cpu_us: f64,
    /// What had no answer when the run was over.
    pub unanswered: u64,
    rows: Vec<Row>,
}

/// All operations, or one kind.
#[derive(Debug, Deserialize)]
pub struct Row {
    /// How many.
    pub count: u64,
    /// How many a second.
    pub per_second: f64,
    /// Half of them took less, in microseconds.
    pub p50_us: f64,
    /// Of a hundred, 99 took less.
    pub p99_us: f64,
    /// Of a thousand, 999 took less.
    pub p999_us: f64,
    /// Answers that the session was not there.
    pub missing: u64,
}

impl Outcome {
    /// All operations together.
    #[must_use]
    pub fn all(&self) -> &Row {
        self.rows.first().expect("the first row is all operations")
    }
}

impl Load {
    /// Runs it to its end.
    ///
    /// # Panics
    /// If it fails, or did nothing though it was asked to.
    #[must_use]
    pub fn run(&self, programs: &Programs, server: &Server) -> Outcome {
        outcome(self.begin(programs, server), self.seconds > 0.0)
    }

    /// Starts it.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn begin(&self, programs: &Programs, server: &Server) -> Child {
        let number = |number: u64| number.to_string();
        let mut command = on_processors(self.processors, &programs.cloakroom);
        command
            .arg("bench")
            .args(["--url", &format!("redis://127.0.0.1:{}", server.port)])
            .args(["--mix", self.mix, "--json"])
            .args(["--pipeline", &number(self.pipeline.into())])
            .args(["--sessions", &number(self.sessions)])
            .args(["--seconds", &self.seconds.to_string()])
            .args(["--warm-up", &self.warm_up.to_string()])
            .args(["--seed", &number(self.seed)])
            .args(["--order", &number(self.order)])
            .args(["--prefix", server.setup.prefix()])
            .args(["--server-pid", &number(server.id().into())]);
        if let Some(rate) = self.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        if !self.load {
            command.arg("--no-load");
        }
        let piped = command.stdout(Stdio::piped()).stdin(Stdio::null());
        piped.spawn().expect("the load generator starts")
    }
}

/// What a run said at its end.
///
/// # Panics
/// If it failed, or did nothing though it was asked to.
#[must_use]
pub fn outcome(run: Child, measures: bool) -> Outcome {
    let output = run.wait_with_output().expect("the load generator ends");
    assert!(output.status.success(), "the load generator failed");
    let mut outcome: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("it prints JSON");
    if outcome["server_cpu_us"].is_null() {
        assert!(!measures, "the server's CPU time is not told");
        outcome["server_cpu_us"] = 0.0.into();
    }
    let outcome: Outcome = serde_json::from_value(outcome).expect("it has these fields");
    assert!(!measures || outcome.all().count > 0, "nothing was done");
    outcome
}

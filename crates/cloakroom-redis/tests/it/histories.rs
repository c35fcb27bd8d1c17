//! Histories of failures, whatever the topology: clients at work, a fault in the middle, the judgement. In
//! either mode no acknowledged revocation is undone, in `safe` no acknowledged create is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::id::SlotTag;

use crate::history::{History, Report};
use crate::kit;
use crate::visitors::Load;

/// The longest that one call may take.
const TIMEOUT: Duration = Duration::from_millis(500);
/// How many clients there are in each.
pub(crate) const CLIENTS: usize = 4;
pub(crate) const HANG: Duration = Duration::from_secs(20);
pub(crate) const CUT: Duration = Duration::from_secs(10);

/// The parameters of the URL that are run in each mode; layouts and ways to write are mixed in.
pub(crate) const SAFE: [&str; 4] = ["", "&scripts=never", "&layout=fields", ""];
pub(crate) const FAST: [&str; 4] = [
    "&durability=fast",
    "&durability=fast&layout=fields",
    "&durability=fast",
    "&durability=fast&scripts=never",
];

pub(crate) fn safe(fault: &str, run: impl Fn() -> Report) {
    let report = repeat("safe", fault, run);
    assert_eq!(report.creates_lost, 0, "{report:?}");
    assert_eq!(report.superseded_undone, 0, "{report:?}");
}

pub(crate) fn fast(fault: &str, run: impl Fn() -> Report) {
    repeat("fast", fault, run);
}

/// Once, or as often as `CLOAKROOM_HISTORIES` says; prints a row of the table.
fn repeat(mode: &str, fault: &str, run: impl Fn() -> Report) -> Report {
    let mut report = Report::default();
    for _ in 0..rounds().unwrap_or(1) {
        report.add(&run());
    }
    eprintln!("{}", report.row(mode, fault));
    assert_eq!(report.revocations_undone, 0, "{report:?}");
    assert!(
        report.creates > 200 && report.revocations > 50,
        "hardly anything was tried: {report:?}"
    );
    // Generous: this is about calls that hang, and the machine may be busy.
    assert!(
        report.worst_overshoot < Duration::from_secs(2),
        "{report:?}"
    );
    report
}

/// How often each history is wanted by who wants figures.
fn rounds() -> Option<usize> {
    let rounds = std::env::var("CLOAKROOM_HISTORIES").ok()?;
    Some(rounds.parse().expect("CLOAKROOM_HISTORIES is a number"))
}

pub(crate) fn timeout(parameters: &str) -> String {
    format!("timeout={}{parameters}", TIMEOUT.as_millis())
}

/// Runs histories side by side, because most of their time is waiting; where figures are wanted one after
/// another, because each takes a part of the machine.
pub(crate) fn side_by_side(histories: &[fn()]) {
    if rounds().is_some() {
        return histories.iter().for_each(|history| history());
    }
    std::thread::scope(|scope| {
        for history in histories {
            scope.spawn(history);
        }
    });
}

/// Clients at work.
pub(crate) struct Run<Ears> {
    pub(crate) history: Arc<History>,
    runtime: tokio::runtime::Runtime,
    load: Load,
    ears: Ears,
}

impl<Ears> Run<Ears> {
    /// `concerned`: the tags whose server the fault is about; `listen`: tells the history of a new primary.
    pub(crate) fn start(
        concerned: HashSet<SlotTag>,
        listen: impl FnOnce(&Arc<History>) -> Ears,
        urls: &[&str],
    ) -> Self {
        let history = Arc::new(History::new(TIMEOUT, concerned));
        let ears = listen(&history);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime starts");
        // It has all the time that it needs, on a busy machine as well.
        let patient = format!("{}&timeout=10000", urls[1]);
        let load = runtime.block_on(async {
            let mut stores = Vec::new();
            for url in urls {
                stores.push(Arc::new(kit::open_patiently(url).await));
            }
            let mut load = Load::start(&history, &stores);
            let operator = kit::open_patiently(&patient).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            load.revoke_all(operator).await;
            load
        });
        std::thread::sleep(Duration::from_millis(700));
        Self {
            history,
            runtime,
            load,
            ears,
        }
    }

    pub(crate) fn end(self) -> Report {
        std::thread::sleep(Duration::from_secs(3));
        let report = self.runtime.block_on(self.load.finish());
        drop(self.ears);
        report
    }
}

//! `cloakroom-clients [--redis | --cloakroom | --at-rest] [WORD...]`: the matrix of applications, checks and servers.
//! `--at-rest` is Cloakroom with ids hashed and values sealed: to a client all is the same. Words choose the cells
//! whose name contains all of them; a word may be several with commas between, of which one must be in it. Ends with 1 if anything came out otherwise than the table says.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use cloakroom_clients::{Cell, Fault, Kind, Outcome, Places, observed, prepare, run};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many cells run at once: they mostly wait for limits to pass.
const AT_ONCE: usize = 6;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match all(&words).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            say(&format!("the run could not be made: {fault}"));
            ExitCode::FAILURE
        }
    }
}

async fn all(words: &[String]) -> Result<bool, Fault> {
    let cells: Vec<Cell> = Cell::all()
        .into_iter()
        .filter(|cell| is_wanted(cell, words))
        .filter_map(|cell| match words.iter().any(|word| word == "--at-rest") {
            true => cell.at_rest(),
            false => Some(cell),
        })
        .collect();
    if cells.is_empty() {
        return Err(Fault::new(format!("no cell is called {words:?}")));
    }
    let places = places()?;
    let built = build(&cells, &places).await?;
    let begun = Instant::now();
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for cell in cells {
        let (places, at_once) = (places.clone(), Arc::clone(&at_once));
        let built = built[cell.app.folder].clone();
        running.spawn(async move {
            let _permit = at_once.acquire().await;
            let begun = Instant::now();
            let outcomes = run(cell, &built, &places).await;
            say(&format!("{} ({:.1?})", cell.name(), begun.elapsed()));
            outcomes
        });
    }
    let mut outcomes = Vec::new();
    while let Some(done) = running.join_next().await {
        outcomes.extend(done.map_err(|error| Fault::new(error.to_string()))?);
    }
    let removed = std::fs::remove_dir_all(&places.scratch);
    removed.map_err(|error| Fault::from(error).at(places.scratch.display()))?;
    Ok(report(&outcomes, begun))
}

fn report(outcomes: &[Outcome], begun: Instant) -> bool {
    let wrong: Vec<&Outcome> = outcomes.iter().filter(|it| !it.is_expected()).collect();
    for outcome in &wrong {
        let (cell, check) = (outcome.cell, outcome.check);
        let expected = cell.expected(check);
        let found = match &outcome.result {
            Ok(verdict) => format!("came out as `{verdict}`"),
            Err(fault) => fault.to_string(),
        };
        let (cell, check) = (cell.name(), check.name());
        say(&format!(
            "\n{cell}, {check}: must come out as `{expected}`: {found}"
        ));
    }
    say(&format!("\n{}", observed(outcomes)));
    let (good, bad) = (outcomes.len() - wrong.len(), wrong.len());
    let verdict = if bad == 0 { "ok" } else { "FAILED" };
    // As cargo's tests say it, so that `./test` counts.
    say(&format!(
        "test result: {verdict}. {good} passed; {bad} failed; finished in {:.1?}",
        begun.elapsed()
    ));
    bad == 0
}

/// One after another: package managers do not gain by company.
async fn build(cells: &[Cell], places: &Places) -> Result<BTreeMap<&'static str, PathBuf>, Fault> {
    let mut built = BTreeMap::new();
    for cell in cells {
        let folder = cell.app.folder;
        if !built.contains_key(folder) {
            let begun = Instant::now();
            built.insert(folder, prepare(cell.app, places).await?);
            say(&format!("{folder} is built ({:.1?})", begun.elapsed()));
        }
    }
    Ok(built)
}

fn places() -> Result<Places, Fault> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2);
    let (Some(sources), Some(target)) = (sources, target) else {
        return Err(Fault::new("this program is not in a target directory"));
    };
    let scratch = format!("cloakroom-clients-{}", std::process::id());
    Ok(Places {
        sources: sources.to_owned(),
        built: target.join("clients"),
        scratch: std::env::temp_dir().join(scratch),
    })
}

fn is_wanted(cell: &Cell, words: &[String]) -> bool {
    words.iter().all(|word| match word.as_str() {
        "--redis" => cell.server == Kind::Redis,
        "--cloakroom" => cell.server == Kind::Cloakroom,
        "--at-rest" => true,
        words => words.split(',').any(|word| cell.name().contains(word)),
    })
}

fn say(text: &str) {
    // Nobody reads it if this fails.
    let _ = writeln!(std::io::stdout(), "{text}");
}

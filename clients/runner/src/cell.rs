//! One cell of the matrix: one application with one store on one server, through all checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::application::{Application, build};
use crate::apps::{App, Late, Variant};
use crate::checks::{Check, Scene, Verdict};
use crate::fault::Fault;
use crate::server::{Kind, Limits, Server};
use crate::wire::Wire;

/// Limits that nothing in a run reaches.
const ORDINARY: Limits = Limits {
    idle: Duration::from_secs(3600),
    absolute: Duration::from_secs(24 * 3600),
};

/// Limits to wait for. Stores count in seconds, so these are some.
const SHORT: Limits = Limits {
    idle: Duration::from_secs(4),
    absolute: Duration::from_secs(9),
};

/// Which cell.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The application.
    pub app: &'static App,
    /// Its store.
    pub variant: &'static Variant,
    /// What is behind the URL.
    pub server: Kind,
    /// Whether ids are hashed and values sealed in it, which only Cloakroom can.
    pub at_rest: bool,
}

/// How a check came out in a cell.
#[derive(Debug)]
pub struct Outcome {
    /// The cell.
    pub cell: Cell,
    /// The check.
    pub check: Check,
    /// The verdict, or what prevented one.
    pub result: Result<Verdict, Fault>,
}

/// Where a run finds and leaves things.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder with the applications' folders.
    pub sources: PathBuf,
    /// Where applications are built; what is built there is used again.
    pub built: PathBuf,
    /// Where servers and applications keep their data.
    pub scratch: PathBuf,
}

impl Cell {
    /// All cells, in the order of the matrix.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for app in crate::ALL.iter().copied().flatten() {
            for variant in app.variants {
                cells.extend(Kind::ALL.map(|server| Self {
                    app,
                    variant,
                    server,
                    at_rest: false,
                }));
            }
        }
        cells
    }

    /// The same with ids hashed and values sealed, if the server can.
    #[must_use]
    pub fn at_rest(self) -> Option<Self> {
        (self.server == Kind::Cloakroom).then_some(Self {
            at_rest: true,
            ..self
        })
    }

    /// What people call it: `express node-redis on Redis`.
    #[must_use]
    pub fn name(&self) -> String {
        let (app, variant, server) = (self.app.folder, self.variant.name, self.server.title());
        format!("{app} {variant} on {server}")
    }

    /// How a check must come out here.
    #[must_use]
    pub fn expected(&self, check: Check) -> Verdict {
        // It lists by reading what a scan names, and names with hashes open nothing (docs/layouts.md).
        if self.at_rest && self.app.folder == "scs" && check == Check::Many {
            return Verdict::NoCall;
        }
        self.app.expected(self.variant, check, self.server)
    }

    fn directory(&self, places: &Places, name: &str) -> Result<PathBuf, Fault> {
        let cell = self.name().replace(' ', "-");
        let directory = places.scratch.join(cell).join(name);
        fs::create_dir_all(&directory)?;
        Ok(directory)
    }
}

impl Outcome {
    /// Whether it came out as the application's row says.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        let expected = self.cell.expected(self.check);
        self.result
            .as_ref()
            .is_ok_and(|verdict| *verdict == expected)
    }
}

/// Builds an application, if it has to be.
///
/// # Errors
/// If one of its commands fails, with what it said.
pub async fn prepare(app: &App, places: &Places) -> Result<PathBuf, Fault> {
    let built = build(app, &places.sources, &places.built).await;
    built.map_err(|fault| fault.at(app.folder))
}

/// Runs a cell, with the application that was built in that directory: all its checks, each with an outcome.
pub async fn run(cell: Cell, built: &Path, places: &Places) -> Vec<Outcome> {
    let (ordinary, short) = tokio::join!(
        phase(cell, built, places, ORDINARY, &Check::ORDINARY),
        phase(cell, built, places, SHORT, &Check::SHORT),
    );
    let mut outcomes: Vec<Outcome> = Vec::new();
    for (checks, results) in [(&Check::ORDINARY[..], ordinary), (&Check::SHORT[..], short)] {
        match results {
            Ok(results) => outcomes.extend(results),
            // Nothing could be asked, so each check says why.
            Err(fault) => outcomes.extend(checks.iter().map(|check| Outcome {
                cell,
                check: *check,
                result: Err(Fault::new(fault.to_string())),
            })),
        }
    }
    outcomes
}

async fn phase(
    cell: Cell,
    built: &Path,
    places: &Places,
    limits: Limits,
    checks: &[Check],
) -> Result<Vec<Outcome>, Fault> {
    let name = format!("idle-{}", limits.idle.as_secs());
    let server = Server::start(
        cell.server,
        &cell.directory(places, &format!("{name}-server"))?,
        limits,
        cell.app.layouts,
        cell.at_rest,
    )
    .await?;
    let wire = Wire::to(server.port).await?;
    let port = match cell.app.late {
        Late::InTheHandler | Late::Refused => server.port,
        Late::OnTheWire(_) => wire.port,
    };
    let data = cell.directory(places, &format!("{name}-app"))?;
    let application = Application::start(cell.app, cell.variant, built, &data, port, limits);
    let application = application.await.map_err(|fault| {
        let said = server.log();
        fault.at(format!("the server said {said}\nthe application"))
    })?;
    let scene = Scene {
        app: cell.app,
        variant: cell.variant,
        server: &server,
        application: &application,
        wire: &wire,
        limits,
        at_rest: cell.at_rest,
    };
    let outcomes = outcomes(cell, &scene, checks).await;
    application.end().await?;
    Ok(outcomes)
}

/// The ones that wait do so at once.
async fn outcomes(cell: Cell, scene: &Scene<'_>, checks: &[Check]) -> Vec<Outcome> {
    let one = async |check: Check| {
        let result = check.run(scene).await;
        let result = result.map_err(|fault| {
            let said = (scene.application.log(), scene.server.log());
            Fault::new(format!(
                "{fault}\n--- the application:\n{}\n--- the server:\n{}",
                said.0, said.1
            ))
        });
        Outcome {
            cell,
            check,
            result,
        }
    };
    if let [first, second] = checks {
        let (first, second) = tokio::join!(one(*first), one(*second));
        return vec![first, second];
    }
    let mut outcomes = Vec::new();
    for check in checks.iter().filter(|check| check.concerns(cell.app)) {
        outcomes.push(one(*check).await);
    }
    outcomes
}

//! An application that runs: built once, started as often as needed, on free ports of loopback.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::apps::{App, Variant};
use crate::fault::{Fault, must};
use crate::server::{Limits, START, free_port, tail};
use crate::visitor::Visitor;

/// What marks a build that is complete: the manifests it was made of.
const STAMP: &str = ".built";

/// The secret that applications sign their cookies with; it signs nothing but tests.
const SECRET: &str = "tests-tests-tests-tests-tests-tests-tests-tests-tests-tests-test";

/// How long an application may take to end when it is asked to.
const END: Duration = Duration::from_secs(10);

/// A running application.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) port: u16,
    child: Child,
    log: PathBuf,
}

/// Copies the application out of the sources and installs what it needs, unless that was done for the same
/// manifests before. Gives the directory.
pub(crate) async fn build(app: &App, sources: &Path, target: &Path) -> Result<PathBuf, Fault> {
    let (from, to) = (sources.join(app.folder), target.join(app.folder));
    // What Python installs names the directory that it was installed in.
    let mut wanted = format!("{}\n{:?}\n", to.display(), app.build);
    for manifest in app.manifests {
        wanted += &fs::read_to_string(from.join(manifest))
            .map_err(|error| Fault::from(error).at(from.join(manifest).display()))?;
    }
    let built = fs::read_to_string(to.join(STAMP)).is_ok_and(|built| built == wanted);
    if !built && to.exists() {
        fs::remove_dir_all(&to)?;
    }
    copy(&from, &to)?;
    if built {
        return Ok(to);
    }
    for command in app.build {
        let output = command_in(command, &to).output().await;
        let output = output.map_err(|error| Fault::from(error).at(command.join(" ")))?;
        must(output.status.success(), || {
            let (out, err) = (&output.stdout, &output.stderr);
            let said = [out, err].map(|said| String::from_utf8_lossy(said).into_owned());
            format!("{}: {}", command.join(" "), said.concat())
        })?;
    }
    fs::write(to.join(STAMP), wanted)?;
    Ok(to)
}

impl Application {
    /// Starts the application and waits until it serves. `directory` is where it was built, `data` is its own.
    pub(crate) async fn start(
        app: &App,
        variant: &Variant,
        directory: &Path,
        data: &Path,
        redis: u16,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let (port, log) = (free_port()?, data.join("app.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let args: Vec<String> = app
            .start
            .iter()
            .map(|arg| arg.replace("{port}", &port.to_string()))
            .collect();
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let child = command_in(&words, directory)
            .env("PORT", port.to_string())
            .env("REDIS_URL", format!("redis://127.0.0.1:{redis}/0"))
            .env("VARIANT", variant.name)
            .env("IDLE_SECONDS", limits.idle.as_secs().to_string())
            .env("ABSOLUTE_SECONDS", limits.absolute.as_secs().to_string())
            .env("SESSION_SECRET", SECRET)
            .env("DATA_DIR", data)
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn();
        let child = child.map_err(|error| Fault::from(error).at(args.join(" ")))?;
        let mut application = Self { port, child, log };
        application.wait_until_it_serves().await?;
        Ok(application)
    }

    /// Asks it to end, and its children with it.
    pub(crate) async fn end(mut self) -> Result<(), Fault> {
        if let Some(pid) = self.child.id() {
            let asked = Command::new("kill").arg(pid.to_string()).status().await?;
            must(asked.success(), || format!("process {pid} is gone"))?;
        }
        let ended = timeout(END, self.child.wait()).await;
        ended.map_err(|_| Fault::new(format!("it does not end on SIGTERM: {}", self.log())))??;
        Ok(())
    }

    /// What it said, for a fault.
    pub(crate) fn log(&self) -> String {
        tail(&self.log)
    }

    async fn wait_until_it_serves(&mut self) -> Result<(), Fault> {
        let mut somebody = Visitor::new(self.port)?;
        let begun = Instant::now();
        loop {
            let answer = somebody.send(Method::GET, "/healthz").await;
            if answer.is_ok_and(|answer| answer.status == StatusCode::OK) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(Fault::new(format!("it ended ({status}): {}", self.log())));
            }
            must(begun.elapsed() < START, || {
                format!("it does not serve: {}", self.log())
            })?;
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn command_in(words: &[&str], directory: &Path) -> Command {
    let (program, args) = words.split_first().unwrap_or((&"", &[]));
    // A program of the application's own, such as one of its environment, is named from its directory.
    let program = if program.contains('/') {
        directory.join(program)
    } else {
        PathBuf::from(program)
    };
    let mut command = Command::new(program);
    command.args(args).current_dir(directory);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn copy(from: &Path, to: &Path) -> Result<(), Fault> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).map_err(|error| Fault::from(error).at(from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

//! The real server, on a free port of loopback, ended when it is dropped.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// What the server logs, in its directory. A file, because a pipe that nobody reads fills up.
const LOG: &str = "server.log";

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, `127.0.0.1:port`.
    pub address: String,
    child: Child,
    /// Kept open for as long as the server may write to it.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts `binary` in `dir`, with its data below it, and waits until it says where it listens.
    ///
    /// # Errors
    /// If it does not start; the error holds what it said.
    pub fn start(binary: &Path, dir: &Path, args: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(binary)
            .args([
                "serve",
                "--http",
                "127.0.0.1:0",
                "--resp",
                "none",
                "--data",
                "cloakroom-data",
            ])
            .args(args)
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join(LOG))?)
            .spawn()?;
        let mut stdout = child.stdout.take().map(BufReader::new);
        let lines = stdout.iter_mut().flat_map(BufRead::lines);
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| address_in(&line));
        let Some(address) = address else {
            child.wait()?;
            return Err(io::Error::other(fs::read_to_string(dir.join(LOG))?));
        };
        Ok(Self {
            address,
            child,
            _stdout: stdout,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already if this fails, and then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `binary` with these settings in a TOML file, and ends it.
///
/// # Errors
/// If it refuses them; the error holds what it said.
pub fn try_settings(binary: &Path, dir: &Path, settings: &str) -> io::Result<()> {
    fs::write(dir.join("settings.toml"), settings)?;
    Server::start(binary, dir, &["--config", "settings.toml"]).map(drop)
}

/// The server that was built beside this test.
///
/// # Panics
/// If it was not built, naming the command that does.
#[must_use]
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let built = test.ancestors().nth(2).map(|dir| dir.join("cloakroom"));
    let built = built.filter(|file| file.is_file());
    built.expect("the server is not built: cargo build --bin cloakroom")
}

fn address_in(line: &str) -> Option<String> {
    let (_, after) = line.split_once("http://127.0.0.1:")?;
    let port: String = after.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("127.0.0.1:{port}"))
}

//! A server for sessions, of one cell's own: Debian's Redis, or Cloakroom. Both keep every acknowledged write
//! through a crash, so that the same can be asked of both.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener as StdListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::fault::{Fault, must};

/// Below what Linux gives to outgoing connections (32768 and up).
const PORTS: std::ops::Range<u16> = 11_000..32_000;

/// How long a server or an application may take to start on a machine that does much else.
pub(crate) const START: Duration = Duration::from_secs(90);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's `redis-server`.
    Redis,
    /// `cloakroom serve`.
    Cloakroom,
}

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    kind: Kind,
    program: PathBuf,
    args: Vec<String>,
    directory: PathBuf,
    pub(crate) port: u16,
    http: u16,
    child: Mutex<Child>,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cloakroom, Self::Redis];

    /// What people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Cloakroom => "Cloakroom",
        }
    }

    fn program(self) -> Result<PathBuf, Fault> {
        match self {
            Self::Redis => Ok(PathBuf::from("redis-server")),
            Self::Cloakroom => {
                let built = std::env::current_exe()?.with_file_name("cloakroom");
                must(built.is_file(), || {
                    "cloakroom is not built: cargo build --bin cloakroom".to_owned()
                })?;
                Ok(built)
            }
        }
    }

    fn args(
        self,
        port: u16,
        http: u16,
        limits: Limits,
        layouts: &str,
        at_rest: bool,
    ) -> Vec<String> {
        let text = match self {
            Self::Redis => format!(
                "--port {port} --bind 127.0.0.1 --save  --appendonly yes --appendfsync always"
            ),
            Self::Cloakroom => format!(
                "serve --http 127.0.0.1:{http} --resp 127.0.0.1:{port} --data data \
                 --durability always --layout-idle {}s --layout-absolute {}s",
                limits.idle.as_secs(),
                limits.absolute.as_secs()
            ),
        };
        // An argument may be empty (`--save ""`), so this splits at every single space.
        let mut args: Vec<String> = text.split(' ').map(str::to_owned).collect();
        if self == Self::Cloakroom {
            args.extend(["--layouts", layouts].map(str::to_owned));
        }
        if at_rest {
            let both = [
                "--layout-hash-ids",
                "yes",
                "--layout-seal-key-file",
                SEAL_KEYS,
            ];
            args.extend(both.map(str::to_owned));
        }
        args
    }
}

impl Server {
    /// Starts a server in that directory. Cloakroom is told of `layouts` that it does not know, and whether to hash
    /// ids and to seal values.
    pub(crate) async fn start(
        kind: Kind,
        directory: &Path,
        limits: Limits,
        layouts: &str,
        at_rest: bool,
    ) -> Result<Self, Fault> {
        if at_rest {
            write_seal_keys(&directory.join(SEAL_KEYS))?;
        }
        let (program, port, http) = (kind.program()?, free_port()?, free_port()?);
        let args = kind.args(port, http, limits, layouts, at_rest);
        let server = Self {
            kind,
            child: Mutex::new(spawn(&program, &args, directory)?),
            program,
            args,
            directory: directory.to_owned(),
            port,
            http,
        };
        server.wait_until_it_answers().await?;
        Ok(server)
    }

    /// Ends the server as a power cut does, and starts it again on what it has kept.
    pub(crate) async fn crash(&self) -> Result<(), Fault> {
        {
            let mut child = self.child.lock().await;
            child.kill().await?;
            *child = spawn(&self.program, &self.args, &self.directory)?;
        }
        self.wait_until_it_answers().await
    }

    /// Asks the HTTP API, for the answer's object; `None` if the server has none.
    pub(crate) async fn api(&self, method: Method, path: &str) -> Result<Option<Value>, Fault> {
        if self.kind == Kind::Redis {
            return Ok(None);
        }
        let key = std::fs::read_to_string(self.directory.join("data/api-key"))?;
        let url = format!("http://127.0.0.1:{}{path}", self.http);
        let client = Client::builder().no_proxy().build()?;
        let request = client.request(method.clone(), url).bearer_auth(key.trim());
        let response = request.send().await?;
        let (status, text) = (response.status(), response.text().await?);
        must(status.is_success(), || {
            format!("{method} {path}: {status} {text}")
        })?;
        Ok(serde_json::from_str(&text).ok())
    }

    /// Runs redis-cli with these lines as its input, and gives the lines that it printed.
    pub(crate) async fn cli(&self, args: &[&str], lines: &str) -> Result<Vec<String>, Fault> {
        let mut child = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Fault::from(error).at("redis-cli (apt-get install redis-tools)"))?;
        let mut input = child.stdin.take();
        if let Some(input) = &mut input {
            input.write_all(lines.as_bytes()).await?;
        }
        drop(input);
        let output = child.wait_with_output().await?;
        must(output.status.success(), || {
            format!("redis-cli {args:?}: {output:?}")
        })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// All keys of that pattern.
    pub(crate) async fn keys(&self, pattern: &str) -> Result<Vec<String>, Fault> {
        let args = ["--scan", "--pattern", pattern];
        let mut keys = self.cli(&args, "").await?;
        keys.retain(|key| !key.is_empty());
        // A scan may show a key twice.
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    /// What the server said, for a fault.
    pub(crate) fn log(&self) -> String {
        tail(&self.directory.join("server.log"))
    }

    async fn wait_until_it_answers(&self) -> Result<(), Fault> {
        let begun = Instant::now();
        while !answers(self.port).await {
            if let Some(status) = self.child.lock().await.try_wait()? {
                let said = self.log();
                return Err(Fault::new(format!(
                    "{} ended ({status}): {said}",
                    self.kind.title()
                )));
            }
            must(begun.elapsed() < START, || {
                format!("{} does not answer: {}", self.kind.title(), self.log())
            })?;
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// The file of the keys that seal values, in the server's directory.
const SEAL_KEYS: &str = "seal-keys";

/// One key, in a file that nobody else may read. It is no secret: what it seals is made up.
fn write_seal_keys(file: &Path) -> Result<(), Fault> {
    let mut options = File::options();
    let opened = options.write(true).create(true).mode(0o600).open(file);
    let mut opened = opened.map_err(|error| Fault::from(error).at(file.display()))?;
    Ok(writeln!(opened, "{}", "0123456789abcdef".repeat(4))?)
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// A port that nobody listens on. Not one that the system gives to outgoing connections: of those, any could be
/// taken before the server has it.
pub(crate) fn free_port() -> Result<u16, Fault> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS.len() {
        let next = std::process::id() * 97 + NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = next as usize % PORTS.len();
        if let Some(port) = PORTS.clone().nth(offset)
            && StdListener::bind(("127.0.0.1", port)).is_ok()
        {
            return Ok(port);
        }
    }
    Err(Fault::new(format!("no loopback port of {PORTS:?} is free")))
}

fn spawn(program: &Path, args: &[String], directory: &Path) -> Result<Child, Fault> {
    let log = directory.join("server.log");
    let mut log = File::options().create(true).append(true).open(log)?;
    writeln!(log, "--- {} {}", program.display(), args.join(" "))?;
    let started = Command::new(program)
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn();
    started.map_err(|error| Fault::from(error).at(program.display()))
}

/// Whether the server takes commands: not while it still reads what it has kept.
async fn answers(port: u16) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer == *b"+PONG\r\n")
    };
    ping.await.unwrap_or(false)
}

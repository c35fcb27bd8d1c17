//! Starts Cloakroom, Debian's Redis, and the newest Valkey and Redis that the tests have, each alone, on a free
//! loopback port, with its files in a directory that goes with it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{cpu_of, resident};

/// Connections that every server is told to take.
const CONNECTIONS: &str = "12000";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours; keys are those of a framework, so each is held to what a session promises.
    Sessions,
    /// Ours; keys are keys of Redis and no more.
    Keys,
    /// Debian's `redis-server`.
    Redis,
    /// The newest Redis that `./test tools` finds.
    NewestRedis,
    /// The newest Valkey that `./test tools` finds.
    Valkey,
}

/// A server and what it does with its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Which server.
    pub kind: Kind,
    /// Whether writes are in a journal that is synced once a second; Cloakroom has no other way.
    pub journal: bool,
}

impl Setup {
    /// Every server with a journal, Cloakroom first and Debian's Redis next.
    pub const JOURNALED: [Self; 5] = {
        const fn of(kind: Kind) -> Setup {
            Setup {
                kind,
                journal: true,
            }
        }
        [
            of(Kind::Sessions),
            of(Kind::Keys),
            of(Kind::Redis),
            of(Kind::NewestRedis),
            of(Kind::Valkey),
        ]
    };

    /// These, and those that can do without one.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let others = [Kind::Redis, Kind::NewestRedis, Kind::Valkey];
        let bare = others.map(|kind| Self {
            kind,
            journal: false,
        });
        Self::JOURNALED.into_iter().chain(bare).collect()
    }

    /// As tables say it.
    #[must_use]
    pub fn journal(self) -> &'static str {
        if self.journal { "everysec" } else { "none" }
    }

    /// How keys begin: of 43 bytes in all.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self.kind {
            Kind::Keys => "key::",
            _ => "sess:",
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The binary of this repository, which is the load generator as well.
    pub cloakroom: PathBuf,
    newer: PathBuf,
}

impl Programs {
    /// Builds Cloakroom as this program was built, or takes the one that `CLOAKROOM_BINARY` names.
    ///
    /// # Panics
    /// If it does not compile.
    #[must_use]
    pub fn find() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        let target = root.join(target);
        let cloakroom = std::env::var_os("CLOAKROOM_BINARY").map(PathBuf::from);
        Self {
            cloakroom: cloakroom.unwrap_or_else(|| built(&root, &target)),
            newer: target.join("tests/servers"),
        }
    }

    fn of(&self, kind: Kind) -> PathBuf {
        match kind {
            Kind::Sessions | Kind::Keys => self.cloakroom.clone(),
            Kind::Redis => "redis-server".into(),
            Kind::NewestRedis => self.newer.join("redis-server"),
            Kind::Valkey => self.newer.join("valkey-server"),
        }
    }
}

fn built(root: &Path, target: &Path) -> PathBuf {
    let (profile, flags) = if cfg!(debug_assertions) {
        ("debug", &["--quiet", "--locked"][..])
    } else {
        ("release", &["--quiet", "--locked", "--release"][..])
    };
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let status = Command::new(cargo)
        .arg("build")
        .args(flags)
        .args(["--package", "cloakroom-server", "--bin", "cloakroom"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", target)
        // `./test` sets it for the benchmarks; here it would compile everything again.
        .env_remove("CARGO_PROFILE_DEV_DEBUG")
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "the server does not compile");
    target.join(profile).join("cloakroom")
}

/// A program that runs on one processor, or on as many as are named (`0,1`), if there are two at all.
#[must_use]
pub fn on_processors(processors: &str, program: &Path) -> Command {
    if std::thread::available_parallelism().is_ok_and(|count| count.get() < 2) {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", processors]).arg(program);
    command
}

/// A server that runs; it ends when this is dropped.
pub struct Server {
    process: Child,
    directory: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// As tables call it, with its version.
    pub name: String,
    /// What it was started as.
    pub setup: Setup,
}

impl Server {
    /// Starts one on these processors.
    ///
    /// # Panics
    /// If it is not there or does not answer within ten seconds, with what installs it.
    #[must_use]
    pub fn start(programs: &Programs, setup: Setup, processors: &str) -> Self {
        Self::start_with(programs, setup, processors, &[])
    }

    /// As [`Server::start`], with more arguments.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn start_with(
        programs: &Programs,
        setup: Setup,
        processors: &str,
        arguments: &[&str],
    ) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free loopback port")
            .port();
        let name = format!("cloakroom-bench-resp-{}-{port}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory for the server");
        Self::start_in(programs, setup, processors, arguments, (port, directory))
    }

    /// Kills it as a crash would, and starts it again where it was.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn crash(mut self, programs: &Programs, processors: &str) -> Self {
        self.end();
        let directory = std::mem::take(&mut self.directory);
        Self::start_in(
            programs,
            self.setup,
            processors,
            &[],
            (self.port, directory),
        )
    }

    fn start_in(
        programs: &Programs,
        setup: Setup,
        processors: &str,
        arguments: &[&str],
        (port, directory): (u16, PathBuf),
    ) -> Self {
        let program = programs.of(setup.kind);
        let mut command = on_processors(processors, &program);
        match setup.kind {
            Kind::Sessions | Kind::Keys => ours(&mut command, port, &directory),
            _ => theirs(&mut command, port, &directory, setup.journal),
        }
        let log = File::create(directory.join("log")).expect("a file for the log");
        let process = command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} ({error}): run `./test tools`", program.display()));
        let mut server = Self {
            process,
            directory,
            port,
            name: String::new(),
            setup,
        };
        server.name = server.named(&program);
        server
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// CPU time that it has used.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        cpu_of(self.id())
    }

    /// Its resident memory, in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        resident(self.id())
    }

    /// Waits until it is done with what was asked of it: it takes no twentieth of a processor any more.
    ///
    /// # Panics
    /// If it is at something for a minute.
    pub fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let pause = Duration::from_millis(400);
        loop {
            let before = self.cpu();
            std::thread::sleep(pause);
            if self.cpu().saturating_sub(before) <= pause / 20 {
                return;
            }
            assert!(Instant::now() < deadline, "it is busy with nothing");
        }
    }

    /// Ends all sessions.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn empty(&self) {
        let emptied = redis::cmd("FLUSHALL").query::<()>(&mut self.connect());
        emptied.expect("it empties itself");
    }

    /// Has Cloakroom write a snapshot of all it has, and waits for that.
    ///
    /// # Panics
    /// If it has none within a minute.
    pub fn snapshot(&self) {
        let begun = redis::cmd("BGSAVE").query::<String>(&mut self.connect());
        begun.expect("it begins");
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_there = || {
            let names = std::fs::read_dir(self.directory.join("data/journal"));
            let mut names = names.expect("its journal").flatten();
            names.any(|file| file.path().extension().is_some_and(|it| it == "snapshot"))
        };
        while !is_there() {
            std::thread::sleep(Duration::from_millis(20));
            assert!(Instant::now() < deadline, "the snapshot takes too long");
        }
    }

    /// The keys that it has.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn keys(&self) -> u64 {
        let count = redis::cmd("DBSIZE").query(&mut self.connect());
        count.expect("it counts its keys")
    }

    fn named(&self, program: &Path) -> String {
        let info = redis::cmd("INFO")
            .arg("server")
            .query(&mut self.wait(program));
        let info: String = info.expect("it says what it is");
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
        if field("cloakroom_version:").is_some() {
            let keys = if self.setup.kind == Kind::Sessions {
                "sessions"
            } else {
                "plain keys"
            };
            return format!("Cloakroom, {keys}");
        }
        match (field("valkey_version:"), field("redis_version:")) {
            (Some(version), _) => format!("Valkey {version}"),
            (None, Some(version)) => format!("Redis {version}"),
            (None, None) => "unknown".to_owned(),
        }
    }

    fn connect(&self) -> redis::Connection {
        self.try_connect().expect("it answers")
    }

    fn try_connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?.get_connection()
    }

    fn wait(&self, program: &Path) -> redis::Connection {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.try_connect() {
                Ok(connection) => return connection,
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20))
                }
                Err(error) => {
                    let log = std::fs::read_to_string(self.directory.join("log"));
                    let (program, log) = (program.display(), log.unwrap_or_default());
                    panic!("{program} does not answer: {error}\n{log}run `./test tools`")
                }
            }
        }
    }
}

/// With the settings of `cloakroom serve`, but for where things are.
fn ours(command: &mut Command, port: u16, directory: &Path) {
    let resp = format!("127.0.0.1:{port}");
    command
        .args(["serve", "--http", "127.0.0.1:0", "--resp", &resp, "--data"])
        .arg(directory.join("data"))
        .args(["--resp-max-connections", CONNECTIONS, "--log", "warn"]);
}

/// A rewrite of their journal is another process's work, which the figures would not show; so they make none.
fn theirs(command: &mut Command, port: u16, directory: &Path, journal: bool) {
    let appends = if journal { "yes" } else { "no" };
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--daemonize", "no", "--dir"])
        .arg(directory)
        .args(["--appendonly", appends, "--appendfsync", "everysec"])
        .args(["--auto-aof-rewrite-percentage", "0"])
        .args(["--maxclients", CONNECTIONS]);
}

impl Server {
    fn end(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("the server did not end: {error}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Unless another one has it by now.
        if self.directory != PathBuf::new() {
            self.end();
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}

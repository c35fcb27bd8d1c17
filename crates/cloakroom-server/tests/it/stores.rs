//! The stores that a server can have: what holds on one has to hold on all. And a redis-server of a
//! test's own, on a free loopback port, with a password.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Process, TempDir, program};

/// Where a server keeps its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Embedded,
    Redis,
}

/// Makes one test for each store of functions that take [`On`].
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::stores::On::Embedded).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::stores::On::Redis).await;
            })*
        }
    };
}
pub(crate) use on_every_store;

/// A Redis that runs.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    pub(crate) port: u16,
    dir: TempDir,
}

/// What no log, error, banner, page or metric may show.
pub(crate) const PASSWORD: &str = "hush-a-bye/50%";
/// The same in a URL.
const PASSWORD_IN_URL: &str = "hush-a-bye%2F50%25";

impl Redis {
    pub(crate) fn start() -> Self {
        let (dir, port) = (TempDir::new(), free_port());
        let redis = Self {
            process: spawn(&dir, port),
            port,
            dir,
        };
        redis.wait_until_it_answers();
        redis
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "redis://default:{PASSWORD_IN_URL}@127.0.0.1:{}/0",
            self.port
        )
    }

    /// The URL as people may see it.
    pub(crate) fn masked_url(&self) -> String {
        format!("redis://default:***@127.0.0.1:{}/0", self.port)
    }

    /// Kills it as a power cut does; what it kept is gone.
    pub(crate) fn kill(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.dir, self.port);
        self.wait_until_it_answers();
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// From now on no snapshot can be written: a directory is in its place.
    pub(crate) fn cannot_save(&self) {
        std::fs::create_dir(self.dir.path().join("dump.rdb")).unwrap();
    }

    /// What redis-cli prints for this command.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        self.cli_with(PASSWORD, args)
    }

    /// The same with another password.
    pub(crate) fn cli_with(&self, password: &str, args: &[&str]) -> String {
        let output = Command::new(program("redis-cli", "redis-tools"))
            .args(["-p", &self.port.to_string()])
            .args(args)
            .env("REDISCLI_AUTH", password)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn wait_until_it_answers(&self) {
        while self.cli(&["PING"]) != "PONG" {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn spawn(dir: &TempDir, port: u16) -> Process {
    let child = Command::new(program("redis-server", "redis-server"))
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(["--requirepass", PASSWORD])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Process(child.unwrap())
}

/// A loopback port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

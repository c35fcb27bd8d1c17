//! A Redis of a benchmark's own: on a free loopback port, with nothing on disk, ended by its process
//! id.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `redis-server`; it ends when this is dropped.
pub struct RedisServer {
    process: Child,
    port: u16,
}

impl RedisServer {
    /// Starts one, on the processor that this thread is on if it is tied to one.
    ///
    /// # Panics
    /// If it is not installed, or does not answer within ten seconds.
    #[must_use]
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free loopback port")
            .port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .stdout(Stdio::null())
            .spawn();
        let process = process.unwrap_or_else(|error| {
            panic!(
                "redis-server does not start ({error}); install it: apt-get install -y redis-server"
            )
        });
        let server = Self { process, port };
        drop(server.connect());
        server
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection to it.
    ///
    /// # Panics
    /// If it does not answer within ten seconds.
    #[must_use]
    pub fn connect(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port));
        let client = client.expect("a URL of redis");
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match client.get_connection() {
                Ok(connection) => return connection,
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50))
                }
                Err(error) => panic!("redis-server does not answer: {error}"),
            }
        }
    }

    /// CPU time that it has used, user and system.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let text = self.info("cpu");
        let seconds = |name| number(&text, name).expect("INFO cpu has it");
        Duration::from_secs_f64(seconds("used_cpu_user:") + seconds("used_cpu_sys:"))
    }

    /// A section of INFO.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn info(&self, section: &str) -> String {
        let asked = redis::cmd("INFO").arg(section).query(&mut self.connect());
        asked.expect("redis answers")
    }
}

/// The number after `name` at the beginning of a line of INFO.
#[must_use]
pub fn number(info: &str, name: &str) -> Option<f64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    line.split(',').next()?.trim().parse().ok()
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("redis-server did not end: {error}");
        }
    }
}

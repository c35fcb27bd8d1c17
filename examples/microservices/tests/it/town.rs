//! Everything that runs, started by the test and ended by its own process id.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const CONFIG: &str = include_str!("../../nginx.conf");

/// A part of the town: what it is called, its port in `nginx.conf`.
const PARTS: [(&str, u16); 5] = [
    ("nginx", 8000),
    ("cloakroom", 8080),
    ("accounts", 3001),
    ("orders", 3002),
    ("profile", 3003),
];

/// All of it. Parts end in the order of their start, backwards.
pub(crate) struct Town {
    running: Vec<(&'static str, Child)>,
    ports: Vec<(&'static str, u16)>,
    redis_port: u16,
    dir: PathBuf,
}

impl Town {
    pub(crate) fn open() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cloakroom-town-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        // All are held until the last is found, so that they differ.
        let held: Vec<_> = (0..=PARTS.len())
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let ports: Vec<_> = held
            .into_iter()
            .map(|held| held.local_addr().unwrap().port())
            .collect();
        let mut ports = ports.into_iter();
        let mut town = Self {
            running: Vec::new(),
            redis_port: ports.next().unwrap(),
            ports: PARTS.iter().map(|(name, _)| *name).zip(ports).collect(),
            dir,
        };
        for part in [
            "redis",
            "cloakroom",
            "accounts",
            "orders",
            "profile",
            "nginx",
        ] {
            town.start(part);
        }
        town
    }

    /// Where visitors come in.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port("nginx"))
    }

    pub(crate) fn port(&self, part: &str) -> u16 {
        let port = self.ports.iter().find(|(name, _)| *name == part);
        port.map_or(self.redis_port, |(_, port)| *port)
    }

    /// Starts a part, at its port, and waits until it takes connections.
    pub(crate) fn start(&mut self, part: &'static str) {
        let mut command = self.command(part);
        let log = self.dir.join(format!("{part}.log"));
        let child = command
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        while TcpStream::connect(("127.0.0.1", self.port(part))).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                let said = fs::read_to_string(log).unwrap();
                panic!("{part} did not start ({status}): {said}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.running.push((part, child));
    }

    /// Kills a part.
    pub(crate) fn kill(&mut self, part: &str) {
        let at = self.running.iter().position(|(name, _)| *name == part);
        let (_, mut child) = self.running.remove(at.unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn command(&self, part: &str) -> Command {
        let address = format!("127.0.0.1:{}", self.port(part));
        let store = format!("redis://127.0.0.1:{}/0", self.redis_port);
        let mut command = match part {
            "redis" => {
                let mut redis = Command::new(program("redis-server", "redis-server"));
                redis.args(["--bind", "127.0.0.1", "--save", ""]);
                redis.args(["--port", &self.redis_port.to_string()]);
                redis
            }
            "nginx" => {
                let config = self.nginx_conf();
                fs::write(self.dir.join("nginx.conf"), config).unwrap();
                let mut nginx = Command::new(program("nginx", "nginx-light"));
                nginx.arg("-p").arg(&self.dir).args(["-c", "nginx.conf"]);
                nginx.args(["-g", "daemon off; master_process off;"]);
                nginx
            }
            "cloakroom" => {
                let mut server = Command::new(session_server());
                server.args(["serve", "--http", &address, "--resp", "none"]);
                server
            }
            "accounts" => Command::new(env!("CARGO_BIN_EXE_accounts")),
            "orders" => Command::new(env!("CARGO_BIN_EXE_orders")),
            "profile" => Command::new(env!("CARGO_BIN_EXE_profile")),
            part => panic!("there is no {part}"),
        };
        if ["accounts", "orders", "profile"].contains(&part) {
            command.arg(&address);
        }
        command.env("CLOAKROOM_STORE", store);
        command
    }

    /// The example's configuration, at the ports of this town.
    fn nginx_conf(&self) -> String {
        let mut config = CONFIG.to_owned();
        for (part, written) in PARTS {
            let (from, to) = (format!("127.0.0.1:{written}"), self.port(part));
            assert!(config.contains(&from), "{from} is not in nginx.conf");
            config = config.replace(&from, &format!("127.0.0.1:{to}"));
        }
        config
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        for (_, mut child) in self.running.drain(..).rev() {
            // One that has ended already needs no end.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The session server, which cargo builds beside the test.
fn session_server() -> PathBuf {
    let orders = Path::new(env!("CARGO_BIN_EXE_orders"));
    let server = orders.with_file_name("cloakroom");
    assert!(
        server.is_file(),
        "the session server is missing: cargo build --package cloakroom-server"
    );
    server
}

/// A program of the system, or a failure that says how to get it.
fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = places
        .map(|place| place.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: apt-get install -y {package}"))
}

//! A server of a test's own, on a free loopback port, stopped when the test is over: Redis as Debian
//! has it, the newest Redis, or Valkey.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brand {
    /// The `redis-server` of this machine: 6.2 or newer.
    Redis,
    /// 8.4 or newer, which has `SET .. IFEQ`.
    NewestRedis,
    /// 8.1 or newer, which has it as well.
    Valkey,
}

/// Below what Linux gives to outgoing connections (32768 and up).
const PORTS: std::ops::Range<u16> = 11_000..32_000;

/// What the server says, in its directory.
const LOG: &str = "server.log";

/// A running server.
pub(crate) struct Server {
    brand: Brand,
    child: Child,
    pub(crate) port: u16,
    pub(crate) tls_port: Option<u16>,
    pub(crate) directory: PathBuf,
    settings: Vec<String>,
}

impl Server {
    /// Starts a server with these settings besides the usual ones.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_brand(Brand::Redis, settings)
    }

    /// Starts a server of that brand with these settings besides the usual ones.
    pub(crate) fn start_brand(brand: Brand, settings: &[&str]) -> Self {
        Self::start_in(brand, new_directory(), None, settings)
    }

    /// Starts a server that speaks TLS as well, with a certificate for 127.0.0.1 in `ca.pem`.
    pub(crate) fn start_tls(settings: &[&str]) -> Self {
        Self::start_tls_with(None, settings)
    }

    /// The same, with the certificate of another, which is in this directory.
    pub(crate) fn start_tls_with(certificate: Option<&Path>, settings: &[&str]) -> Self {
        let directory = new_directory();
        if certificate.is_none() {
            certify(&directory, &names(&["127.0.0.1", "localhost"]));
        }
        let port = free_port();
        let certificate = certificate.unwrap_or(&directory);
        let path = |name: &str| certificate.join(name).display().to_string();
        let (cert, key) = (path("ca.pem"), path("key.pem"));
        let port_text = port.to_string();
        let mut all = vec!["--tls-port", &port_text, "--tls-cert-file", &cert];
        all.extend(["--tls-key-file", &key, "--tls-ca-cert-file", &cert]);
        all.extend(["--tls-auth-clients", "no"]);
        all.extend(settings);
        Self::start_in(Brand::Redis, directory.clone(), Some(port), &all)
    }

    /// The same, with a certificate that is made from these parameters.
    pub(crate) fn start_tls_as(parameters: &CertificateParams) -> Self {
        let directory = new_directory();
        certify(&directory, parameters);
        let server = Self::start_tls_with(Some(&directory), &[]);
        let copied = std::fs::copy(directory.join("ca.pem"), server.directory.join("ca.pem"));
        copied.expect("both directories are ours");
        std::fs::remove_dir_all(&directory).expect("the server has read it");
        server
    }

    fn start_in(
        brand: Brand,
        directory: PathBuf,
        tls_port: Option<u16>,
        settings: &[&str],
    ) -> Self {
        let (child, port, settings) = brought_up(brand, &directory, |port| {
            let port = port.to_string();
            let mut all = vec!["--port", &port, "--bind", "127.0.0.1"];
            all.extend(["--save", "", "--appendonly", "no", "--databases", "512"]);
            all.extend(["--unixsocket", "redis.sock"]);
            all.extend(settings);
            all.iter().map(|setting| (*setting).to_owned()).collect()
        });
        Self {
            brand,
            child,
            port,
            tls_port,
            directory,
            settings,
        }
    }

    /// Starts a server as a replica of this one.
    pub(crate) fn replica(&self) -> Self {
        let port = self.port.to_string();
        let primary = format!("127.0.0.1 {port}");
        let settings = ["--replicaof", &primary, "--repl-diskless-sync-delay", "0"];
        Self::start_brand(self.brand, &settings)
    }

    /// Starts a sentinel that watches this server as `shop`.
    pub(crate) fn sentinel(&self) -> Self {
        Self::sentinel_of(self.port, "")
    }

    /// Starts a sentinel that watches whoever is behind `primary`, with these lines besides.
    pub(crate) fn sentinel_of(primary: u16, more: &str) -> Self {
        let directory = new_directory();
        let (child, port, settings) = brought_up(Brand::Redis, &directory, |port| {
            let text = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 6000\n\
                 sentinel parallel-syncs shop 2\n{more}"
            );
            std::fs::write(directory.join("sentinel.conf"), text).expect("the directory is ours");
            ["sentinel.conf", "--sentinel"].map(str::to_owned).to_vec()
        });
        Self {
            brand: Brand::Redis,
            child,
            port,
            tls_port: None,
            directory,
            settings,
        }
    }

    /// Kills the server and starts it again on what it last saved.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill_and_restart_as(self.brand);
    }

    /// The same, but it is another program afterwards.
    pub(crate) fn kill_and_restart_as(&mut self, brand: Brand) {
        self.kill();
        self.brand = brand;
        self.child = spawn(self.brand, &self.directory, &self.settings);
        self.wait_until_it_answers();
    }

    /// Waits for what keeps a running server from answering to be over.
    pub(crate) fn wait_until_it_answers(&mut self) {
        let answers = wait_until_it_answers(&mut self.child, self.port, &self.directory);
        answers.unwrap_or_else(|said| panic!("{:?} does not answer: {said}", self.brand));
    }

    /// Kills the server as a power cut does.
    pub(crate) fn kill(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait().map(drop));
        killed.expect("the server is ours");
    }

    /// The port of the cluster's bus, in a cluster.
    pub(crate) fn bus(&self) -> u16 {
        let mut settings = self.settings.iter();
        let bus = settings.find(|setting| *setting == "--cluster-port");
        let port = bus.and_then(|_| settings.next());
        port.and_then(|port| port.parse().ok())
            .expect("it is a node")
    }

    /// Its URL with these parameters.
    pub(crate) fn url(&self, database: usize, parameters: &str) -> String {
        format!(
            "redis://127.0.0.1:{}/{database}?timeout=30000{parameters}",
            self.port
        )
    }

    /// Waits until this replica has what its primary has.
    pub(crate) fn wait_for_its_primary(&self) {
        for _ in 0..500 {
            let info = self.cli(&["INFO", "replication"]);
            if info.contains("master_link_status:up") {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the replica does not find its primary");
    }

    /// Runs redis-cli, and gives what it printed.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        cli(self.port, args)
    }

    /// Runs redis-cli on one connection for all these lines, and gives what it printed.
    pub(crate) fn cli_lines(&self, lines: &str) -> String {
        let mut child = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-cli is missing: apt-get install -y redis-tools");
        let mut input = child.stdin.take().expect("it is a pipe");
        input.write_all(lines.as_bytes()).expect("it reads");
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Sends the server a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the server can be signalled"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        let removed = std::fs::remove_dir_all(&self.directory);
        if let (Err(error), _) | (_, Err(error)) = (killed.map(|_| ()), removed) {
            eprintln!("a test server was not cleaned up: {error}");
        }
    }
}

/// The parameters of a certificate for these names.
pub(crate) fn names(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("the names are allowed")
}

/// Makes a certificate that is its own CA, and its key.
fn certify(directory: &Path, parameters: &CertificateParams) {
    let key = KeyPair::generate().expect("a key can be made");
    let made = parameters
        .self_signed(&key)
        .expect("a certificate can be made");
    for (name, text) in [("ca.pem", made.pem()), ("key.pem", key.serialize_pem())] {
        std::fs::write(directory.join(name), text).expect("the directory is ours");
    }
}

/// Starts a server that listens on a free port, which its settings are made for. What was free a moment ago can be
/// somebody's by now, the port of a cluster's bus as well: then another one is tried.
fn brought_up(
    brand: Brand,
    directory: &Path,
    settings_for: impl Fn(u16) -> Vec<String>,
) -> (Child, u16, Vec<String>) {
    let mut said = String::new();
    for _ in 0..5 {
        let port = free_port();
        let settings = settings_for(port);
        let mut child = spawn(brand, directory, &settings);
        match wait_until_it_answers(&mut child, port, directory) {
            Ok(()) => return (child, port, settings),
            Err(why) => said = why,
        }
    }
    panic!("{brand:?} does not start: {said}");
}

/// Returns what the server said instead, when it ended or does not answer.
fn wait_until_it_answers(child: &mut Child, port: u16, directory: &Path) -> Result<(), String> {
    for _ in 0..1_500 {
        // Who answers may be another server, whose port this one asked for and did not get.
        let answer = cli(port, &["PING"]);
        std::thread::sleep(Duration::from_millis(20));
        let ended = child.try_wait().expect("the server is ours");
        if ended.is_none() && (answer == "PONG" || answer.contains("NOAUTH")) {
            return Ok(());
        }
        if ended.is_some() {
            break;
        }
    }
    let killed = child.kill().and_then(|()| child.wait());
    killed.expect("the server is ours");
    let log = std::fs::read_to_string(directory.join(LOG)).unwrap_or_default();
    Err(format!("port {port}: {log}"))
}

/// Runs redis-cli, and gives what it printed.
fn cli(port: u16, args: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(args)
        .output()
        .expect("redis-cli is missing: apt-get install -y redis-tools");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn spawn(brand: Brand, directory: &Path, settings: &[String]) -> Child {
    let (program, install) = brand.program();
    let log = std::fs::File::create(directory.join(LOG)).expect("the directory is ours");
    let started = Command::new(&program)
        .args(settings)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn();
    started.unwrap_or_else(|error| panic!("{} ({error}): run {install}", program.display()))
}

impl Brand {
    /// The program, and the command that installs it.
    fn program(self) -> (PathBuf, &'static str) {
        let newer = |name| {
            // Cargo gives tests a directory of their own in the target directory, `tmp`.
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
            let servers = target.expect("it is in target").join("tests/servers");
            (servers.join(name), "`./test tools`")
        };
        match self {
            Self::Redis => ("redis-server".into(), "`apt-get install -y redis-server`"),
            Self::NewestRedis => newer("redis-server"),
            Self::Valkey => newer("valkey-server"),
        }
    }
}

/// A port that nobody listens on. Not one that the system gives to outgoing connections: of those, any
/// could be taken before the server has it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS.len() {
        let next = std::process::id() * 97 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (next % PORTS.len() as u32) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no loopback port of {PORTS:?} is free");
}

fn new_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("cloakroom-redis-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).expect("the temporary directory is writable");
    directory
}

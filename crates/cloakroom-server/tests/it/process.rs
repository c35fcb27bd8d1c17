//! Starts real servers on free loopback ports, each with a data directory of its own, and stops
//! them by their own process id.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::stores::{On, Redis};

/// A directory that is removed at the end.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cloakroom-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with its test.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) banner: String,
    pub(crate) dir: TempDir,
    process: Process,
    client: Client,
    /// Its store, if it has one of its own beside it; ended after it.
    redis: Option<Redis>,
}

/// The binary, without settings from the environment of the test run.
pub(crate) fn cloakroom() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CLOAKROOM_") {
            command.env_remove(name);
        }
    }
    command
}

/// A server on these data, with these flags, and on free ports unless they name one.
pub(crate) fn serving(data: &Path, flags: &[&str]) -> Command {
    let mut command = cloakroom();
    command.arg("serve");
    for listener in ["--http", "--resp"] {
        if !flags.contains(&listener) {
            command.args([listener, "127.0.0.1:0"]);
        }
    }
    command.arg("--data").arg(data).args(flags);
    command
}

/// Runs a server that must not start, to its end. One that starts after all is ended and fails the
/// test, in place of letting it wait for ever.
pub(crate) fn refused(command: &mut Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process(piped.spawn().unwrap());
    let mut banner = String::new();
    let mut stdout = BufReader::new(process.0.stdout.take().unwrap());
    stdout.read_line(&mut banner).unwrap();
    assert_eq!(banner, "", "it started");
    let mut stderr = Vec::new();
    let mut said = process.0.stderr.take().unwrap();
    said.read_to_end(&mut stderr).unwrap();
    let status = process.0.wait().unwrap();
    assert!(!status.success());
    Output {
        status,
        stdout: Vec::new(),
        stderr,
    }
}

impl Server {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_in(TempDir::new(), flags)
    }

    /// Starts a server on this store.
    pub(crate) fn on(store: On, flags: &[&str]) -> Self {
        match store {
            On::Embedded => Self::start(flags),
            On::Redis => {
                let redis = Redis::start();
                let mut server = Self::beside(&redis, flags);
                server.redis = Some(redis);
                server
            }
        }
    }

    /// Starts a server on a Redis that others may use, too.
    pub(crate) fn beside(redis: &Redis, flags: &[&str]) -> Self {
        Self::start_with(TempDir::new(), flags, &[("CLOAKROOM_STORE", &redis.url())])
    }

    pub(crate) fn start_in(dir: TempDir, flags: &[&str]) -> Self {
        Self::start_with(dir, flags, &[])
    }

    fn start_with(dir: TempDir, flags: &[&str], env: &[(&str, &str)]) -> Self {
        let log = File::create(dir.path().join("log")).unwrap();
        let data = dir.path().join("data");
        let mut child = serving(&data, flags)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.ends_with("\n\n") || banner.lines().count() < 4 {
            if lines.read_line(&mut banner).unwrap() == 0 {
                let log = fs::read_to_string(dir.path().join("log")).unwrap();
                panic!("the server did not start: {log}");
            }
        }
        let first = banner.lines().next().unwrap();
        let url = first.split_whitespace().last().unwrap().to_owned();
        let shared = flags.iter().position(|flag| *flag == "--api-key-file");
        let shared = shared.map(|at| PathBuf::from(flags[at + 1]));
        let key = fs::read_to_string(shared.unwrap_or(data.join("api-key"))).unwrap();
        Self {
            url,
            key: key.trim().to_owned(),
            banner,
            dir,
            process: Process(child),
            client: Client::new(),
            redis: None,
        }
    }

    /// Ends it as a crash does, and keeps its directory.
    pub(crate) fn killed(mut self) -> TempDir {
        self.signal("KILL");
        self.wait();
        std::mem::replace(&mut self.dir, TempDir::new())
    }

    /// The same, and starts another in that directory.
    pub(crate) fn killed_and_started(self, flags: &[&str]) -> Self {
        Self::start_in(self.killed(), flags)
    }

    pub(crate) fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// Where it speaks the Redis protocol, by this scheme.
    pub(crate) fn resp(&self, scheme: &str) -> String {
        let mut rows = self.banner.lines().filter_map(|line| {
            let place = line.trim().strip_prefix("redis ")?.trim();
            place.strip_prefix(scheme)
        });
        rows.next().unwrap().to_owned()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Waits until the log says all of this, which a thread of the server writes in its own time, and
    /// returns what it says.
    pub(crate) fn heard(&self, words: &[&str]) -> String {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let log = self.log();
            let Some(missing) = words.iter().find(|words| !log.contains(**words)) else {
                return log;
            };
            assert!(Instant::now() < patience, "{missing:?} is not in {log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The log, once nothing more comes: for what must not be in it.
    pub(crate) fn quiet_log(&self) -> String {
        loop {
            let log = self.log();
            thread::sleep(Duration::from_millis(200));
            if log == self.log() {
                return log;
            }
        }
    }

    /// Waits until the log says so.
    pub(crate) async fn logged(&self, words: &str) {
        while !self.log().contains(words) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Lets no file of it grow beyond so many bytes.
    pub(crate) fn limit_files(&self, bytes: &str) {
        let pid = self.process.0.id().to_string();
        let limited = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--fsize={bytes}")])
            .status();
        let missing = "prlimit is there: apt-get install util-linux";
        assert!(limited.expect(missing).success());
    }

    /// Bytes of memory that it has in use.
    pub(crate) fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<usize>().unwrap() << 10
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.0.wait().unwrap()
    }

    /// A request with the API key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.open_request(method, path).bearer_auth(&self.key)
    }

    /// A request without it.
    pub(crate) fn open_request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Sends `body` about the session `id` and gives back status and answer.
    pub(crate) async fn about(
        &self,
        id: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = self.request(method, path).header("Cloakroom-Session", id);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub(crate) async fn read(&self, id: &str) -> (u16, Value) {
        self.about(id, Method::GET, "/v1/session", None).await
    }

    pub(crate) async fn patch(&self, id: &str, body: Value) -> (u16, Value) {
        self.about(id, Method::PATCH, "/v1/session", Some(body))
            .await
    }

    /// Creates a session and gives back its id and what was said of it.
    pub(crate) async fn create(&self, body: Value) -> (String, Value) {
        let request = self.request(Method::POST, "/v1/sessions").json(&body);
        let (status, body) = answer(request).await;
        assert_eq!(status, 201, "{body}");
        let id = body["id"].as_str().unwrap().to_owned();
        (id, body["session"].clone())
    }

    /// A session of `subject`, as its id.
    pub(crate) async fn login(&self, subject: &str) -> String {
        self.create(json!({ "subject": subject })).await.0
    }
}

/// Status and JSON answer of a request.
pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    (status, body)
}

/// A program of the system, or a failure that says how to get it.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = places
        .map(|place| place.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: apt-get install -y {package}"))
}

//! Two servers behind nginx, in front of one Redis, as `docs/operate/more-than-one.md` shows it: while
//! clients write, one server is killed, and servers are drained one after the other. The configuration
//! is the page's own.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::gateways;
use crate::process::{Process, Server, TempDir, program};
use crate::stores::{Redis, free_port};

const PAGE: &str = include_str!("../../../../docs/operate/more-than-one.md");
const CLIENTS: usize = 8;
/// How many requests each client makes before something happens, and after.
const MANY: usize = 50;

/// A killed server takes along what was in flight on it, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn one_is_killed_and_only_what_was_in_flight_on_it_may_fail() {
    let mut town = Town::start().await;
    let load = Load::start(&town);
    load.goes_on().await;
    let killed_from = Instant::now();
    town.servers[0].signal("KILL");
    town.servers[0].wait();
    let killed_until = Instant::now();
    load.goes_on().await;

    let mut failed = Vec::new();
    for visitor in load.stop().await {
        visitor.still_has_what_was_acknowledged(&town).await;
        failed.extend(visitor.failed);
    }
    for failure in &failed {
        let in_flight = failure.began <= killed_until && failure.ended >= killed_from;
        assert!(in_flight, "not in flight, and lost: {failure:?}");
        let repeated = failure.method == Method::GET;
        assert!(!repeated, "nginx asks the other server: {failure:?}");
        assert_eq!(failure.status, Some(502), "{failure:?}");
    }
    assert!(failed.len() <= CLIENTS, "{failed:?}");
}

/// Servers that are told to end lose nothing, however often.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_no_request() {
    let mut town = Town::start().await;
    let load = Load::start(&town);
    for round in 0..6 {
        let at = round % 2;
        load.goes_on().await;
        town.servers[at].signal("TERM");
        assert!(town.servers[at].wait().success());
        load.goes_on().await;
        town.restart(at);
        town.is_asked_again(at).await;
        // A request that found it ending waits for the connect timeout, and then needs the other one.
    }
    for visitor in load.stop().await {
        assert!(visitor.failed.is_empty(), "{:?}", visitor.failed);
        visitor.still_has_what_was_acknowledged(&town).await;
    }
}

/// What one server did, the other knows: they share sessions and the key, and nothing else is needed.
#[tokio::test]
async fn both_know_what_one_was_told() {
    let town = Town::start().await;
    let [one, other] = &town.servers;
    let id = one.login("ada").await;
    let patch = json!({"set": {"a": 1}});
    assert_eq!(other.patch(&id, patch).await.0, 200);
    assert_eq!(one.read(&id).await.1["fields"], json!({"a": 1}));
    let (_, rotated) = other
        .about(&id, Method::POST, "/v1/session/rotate", None)
        .await;
    let new = rotated["id"].as_str().unwrap();
    assert_eq!(one.read(&id).await.1["superseded"], true);
    let destroy = one.about(new, Method::DELETE, "/v1/session", None);
    assert_eq!(destroy.await.1, json!({"ended": true}));
    for server in [one, other] {
        assert_eq!(server.read(new).await.0, 410);
        let asked = server.open_request(Method::GET, "/v1/verify");
        let asked = asked.header("cookie", format!("__Host-id={new}"));
        assert_eq!(asked.send().await.unwrap().status(), 401);
    }
}

/// nginx, two servers, one Redis, one key.
struct Town {
    nginx: String,
    servers: [Server; 2],
    key_file: String,
    redis: Redis,
    _nginx: Process,
    _dir: TempDir,
}

impl Town {
    async fn start() -> Self {
        let (redis, dir) = (Redis::start(), TempDir::new());
        let key_file = dir.path().join("api-key");
        let made = Command::new("bash")
            .args(["-c", &block_with("> api-key")])
            .current_dir(dir.path())
            .status();
        assert!(made.unwrap().success(), "the page makes a key");
        let key_file = key_file.to_str().unwrap().to_owned();
        let start = || Server::beside(&redis, &["--api-key-file", &key_file]);
        let servers = [start(), start()];
        let address = format!("127.0.0.1:{}", free_port());
        let config = dir.write("nginx.conf", &nginx_conf(&address, &servers));
        let mut nginx = Command::new(program("nginx", "nginx-light"));
        nginx.arg("-p").arg(dir.path()).arg("-c").arg(config);
        nginx.args(["-g", "daemon off; master_process off;"]);
        let nginx = gateways::start(&mut nginx, &dir, &address).await;
        Self {
            nginx: format!("http://{address}"),
            servers,
            key_file,
            redis,
            _nginx: nginx,
            _dir: dir,
        }
    }

    fn restart(&mut self, at: usize) {
        let address = self.servers[at].address().to_owned();
        let flags = ["--api-key-file", &self.key_file, "--http", &address];
        self.servers[at] = Server::beside(&self.redis, &flags);
    }

    /// Waits until nginx sends requests to this server.
    async fn is_asked_again(&self, at: usize) {
        let asked = "http_requests_total{method=\"PATCH\"";
        loop {
            let page = self.servers[at].get("/metrics").await.text().await.unwrap();
            if page.contains(asked) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The page's first line of shell with these words.
fn block_with(words: &str) -> String {
    let line = PAGE.lines().find(|line| line.contains(words));
    line.expect("the page has it").to_owned()
}

/// The page's configuration, at the addresses of this test.
fn nginx_conf(address: &str, servers: &[Server; 2]) -> String {
    let (_, rest) = PAGE.split_once("cat > nginx.conf <<'END'\n").unwrap();
    let (config, _) = rest.split_once("\nEND\n").unwrap();
    config
        .replace("127.0.0.1:8080", address)
        .replace("127.0.0.1:8081", servers[0].address())
        .replace("127.0.0.1:8082", servers[1].address())
}

/// Clients that create, change and read sessions until they are told to stop.
struct Load {
    clients: Vec<JoinHandle<Visitor>>,
    stop: Arc<AtomicBool>,
    /// Of each client: how many requests are over.
    done: Vec<Arc<AtomicUsize>>,
}

/// What one client knows.
struct Visitor {
    client: Client,
    nginx: String,
    key: String,
    /// Every session that was acknowledged; and of each: increments that were acknowledged, and those
    /// that may have happened.
    sessions: Vec<(String, i64, i64)>,
    failed: Vec<Failed>,
}

/// A request that was not answered as it should.
#[derive(Debug)]
struct Failed {
    method: Method,
    status: Option<u16>,
    began: Instant,
    ended: Instant,
}

impl Load {
    fn start(town: &Town) -> Self {
        let stop = Arc::default();
        let done: Vec<Arc<AtomicUsize>> = (0..CLIENTS).map(|_| Arc::default()).collect();
        let clients = done.iter().map(|done| {
            let visitor = Visitor {
                client: Client::new(),
                nginx: town.nginx.clone(),
                key: town.servers[0].key.clone(),
                sessions: Vec::new(),
                failed: Vec::new(),
            };
            tokio::spawn(visitor.keep_busy(Arc::clone(&stop), Arc::clone(done)))
        });
        Self {
            clients: clients.collect(),
            stop,
            done,
        }
    }

    /// Waits until each client made many more requests: so none is in flight that began before, and
    /// waits for a server that had ended then.
    async fn goes_on(&self) {
        let now = || self.done.iter().map(|done| done.load(Ordering::Relaxed));
        let until: Vec<_> = now().map(|done| done + MANY).collect();
        while now().zip(&until).any(|(done, until)| done < *until) {
            let over = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!over, "a client gave up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) -> Vec<Visitor> {
        self.stop.store(true, Ordering::Relaxed);
        let mut visitors = Vec::new();
        for client in self.clients {
            visitors.push(client.await.unwrap());
        }
        visitors
    }
}

impl Visitor {
    async fn keep_busy(mut self, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let created = self
                .ask(Method::POST, "/v1/sessions", None, json!({}))
                .await;
            done.fetch_add(1, Ordering::Relaxed);
            let Some(created) = created else { continue };
            let id = created["id"].as_str().unwrap().to_owned();
            let (mut sure, mut perhaps) = (0, 0);
            for _ in 0..5 {
                let patch = json!({"increment": {"n": 1}});
                let patched = self.ask(Method::PATCH, "/v1/session", Some(&id), patch);
                match patched.await {
                    Some(_) => sure += 1,
                    None => perhaps += 1,
                }
                let read = self.ask(Method::GET, "/v1/session", Some(&id), Value::Null);
                if let Some(read) = read.await {
                    let n = read["fields"]["n"].as_i64().unwrap_or(0);
                    assert!((sure..=sure + perhaps).contains(&n), "{n} of {sure}");
                }
                done.fetch_add(2, Ordering::Relaxed);
            }
            self.sessions.push((id, sure, perhaps));
        }
        self
    }

    /// One request by nginx; nothing if it failed, which is noted.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        id: Option<&str>,
        body: Value,
    ) -> Option<Value> {
        let began = Instant::now();
        let url = format!("{}{path}", self.nginx);
        let mut request = self.client.request(method.clone(), url);
        request = request.bearer_auth(&self.key);
        if let Some(id) = id {
            request = request.header("cloakroom-session", id);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.ok();
        let status = answer.as_ref().map(|answer| answer.status().as_u16());
        if let (Some(200..=299), Some(answer)) = (status, answer) {
            return Some(answer.json().await.unwrap());
        }
        self.failed.push(Failed {
            method,
            status,
            began,
            ended: Instant::now(),
        });
        None
    }

    async fn still_has_what_was_acknowledged(&self, town: &Town) {
        let server = &town.servers[1];
        assert!(!self.sessions.is_empty());
        for (id, sure, perhaps) in &self.sessions {
            let (status, session) = server.read(id).await;
            assert_eq!(status, 200, "an acknowledged session is gone");
            let n = session["fields"]["n"].as_i64().unwrap_or(0);
            let right = *sure..=sure + perhaps;
            assert!(right.contains(&n), "{n} is not in {right:?}");
        }
    }
}

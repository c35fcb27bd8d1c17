//! An application of tower-sessions on our stores: it behaves as on its own, and keeps what ours
//! promise. Embedded, with a clock that can be moved; and Redis.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::get;
use cloakroom::Store;
use cloakroom::core::store::Cursor;
use cloakroom::core::testkit::ManualClock;
use cloakroom::tower_sessions::TowerSessionsStore;
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};
use cloakroom_redis::RedisStore;
use http::{Request, Response, StatusCode};
use tokio::sync::{Barrier, Notify};
use tower::ServiceExt as _;
use tower_sessions::cookie::time;
use tower_sessions::session::{Id, Record};
use tower_sessions::{
    ExpiredDeletion as _, Expiry, Session, SessionManagerLayer, SessionStore as _,
};

/// Where handlers meet each other.
#[derive(Clone)]
struct Meetings {
    both_have_read: Arc<Barrier>,
    slow_has_read: Arc<Notify>,
    slow_may_go_on: Arc<Notify>,
}

impl Default for Meetings {
    fn default() -> Self {
        Self {
            both_have_read: Arc::new(Barrier::new(2)),
            slow_has_read: Arc::default(),
            slow_may_go_on: Arc::default(),
        }
    }
}

/// The application, which knows tower-sessions alone.
fn routes(meetings: Meetings) -> Router {
    Router::new()
        .route("/", get(|_: Session| async { "nothing" }))
        .route("/login/{user}", get(login))
        .route("/who", get(who))
        .route("/set/{key}/{value}", get(set))
        .route("/get/{key}", get(read))
        .route("/remove/{key}", get(remove))
        .route(
            "/flush",
            get(|it: Session| async move { it.flush().await.unwrap() }),
        )
        .route("/clear", get(|it: Session| async move { it.clear().await }))
        .route("/again/{user}", get(flush_and_begin))
        .route("/together/{key}", get(together))
        .route("/slow", get(slow))
        .route("/live/{seconds}", get(live))
        .with_state(meetings)
}

async fn login(session: Session, Path(user): Path<String>) {
    session.cycle_id().await.unwrap();
    session.insert("user", user).await.unwrap();
}

async fn who(session: Session) -> String {
    let user: Option<String> = session.get("user").await.unwrap();
    user.unwrap_or_else(|| "nobody".to_owned())
}

async fn set(session: Session, Path((key, value)): Path<(String, String)>) {
    session.insert(&key, value).await.unwrap();
}

async fn read(session: Session, Path(key): Path<String>) -> String {
    format!("{:?}", session.get_value(&key).await.unwrap())
}

async fn remove(session: Session, Path(key): Path<String>) {
    session.remove_value(&key).await.unwrap();
}

async fn flush_and_begin(session: Session, Path(user): Path<String>) {
    session.flush().await.unwrap();
    session.insert("user", user).await.unwrap();
}

async fn together(State(meetings): State<Meetings>, session: Session, Path(key): Path<String>) {
    session.get_value("user").await.unwrap();
    meetings.both_have_read.wait().await;
    session.insert(&key, 1).await.unwrap();
}

async fn slow(State(meetings): State<Meetings>, session: Session) {
    session.insert("slow", 1).await.unwrap();
    meetings.slow_has_read.notify_one();
    meetings.slow_may_go_on.notified().await;
}

async fn live(session: Session, Path(seconds): Path<i64>) {
    let expiry = Expiry::OnInactivity(time::Duration::seconds(seconds));
    session.set_expiry(Some(expiry));
}

/// The application on a store, and a browser.
#[derive(Clone)]
struct Site {
    app: Router,
    store: Arc<dyn Store>,
    meetings: Meetings,
}

impl Site {
    fn on(store: Arc<dyn Store>) -> Self {
        let shim = TowerSessionsStore::shared(store.clone());
        Self::with(
            shim,
            store,
            Some(Expiry::OnInactivity(time::Duration::HOUR)),
        )
    }

    fn with(shim: TowerSessionsStore, store: Arc<dyn Store>, expiry: Option<Expiry>) -> Self {
        let mut layer = SessionManagerLayer::new(shim);
        if let Some(expiry) = expiry {
            layer = layer.with_expiry(expiry);
        }
        let meetings = Meetings::default();
        let app = routes(meetings.clone()).layer(layer);
        Self {
            app,
            store,
            meetings,
        }
    }

    async fn send(&self, path: &str, cookie: &str) -> Response<Body> {
        let mut request = Request::get(path);
        if !cookie.is_empty() {
            request = request.header("cookie", format!("id={cookie}"));
        }
        let request = request.body(Body::empty()).unwrap();
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// What a page shows.
    async fn page(&self, path: &str, cookie: &str) -> String {
        let response = self.send(path, cookie).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await;
        String::from_utf8(body.unwrap().to_vec()).unwrap()
    }

    /// The cookie that a page sets.
    async fn cookie(&self, path: &str, cookie: &str) -> String {
        let response = self.send(path, cookie).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        set_cookie(&response).unwrap()
    }

    async fn sessions(&self) -> usize {
        let page = self.store.scan(Cursor::default(), 1000).await.unwrap();
        page.sessions.len()
    }
}

fn set_cookie(response: &Response<Body>) -> Option<String> {
    let header = response.headers().get("set-cookie")?.to_str().unwrap();
    let (_, value) = header.split_once('=')?;
    Some(value.split(';').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn embedded() {
    let config = EmbeddedConfig::default();
    let store = Arc::new(EmbeddedStore::new(config).unwrap());
    check(store).await;
}

#[tokio::test]
async fn redis() {
    let server = Redis::start();
    for way in ["", "&layout=fields", "&scripts=never"] {
        let url = format!("redis://127.0.0.1:{}?timeout=30000{way}", server.port);
        let store = RedisStore::open(&url).await.unwrap();
        server.cli(&["FLUSHALL"]);
        check(Arc::new(store)).await;
    }
    // Nothing in the server opens a session.
    let site = Site::on(Arc::new(
        RedisStore::open(&format!("redis://127.0.0.1:{}", server.port))
            .await
            .unwrap(),
    ));
    let cookie = site.cookie("/set/a/1", "").await;
    let id: Id = cookie.parse().unwrap();
    let bytes: String =
        id.0.to_le_bytes()
            .map(|byte| format!("\\x{byte:02x}"))
            .concat();
    for key in server.cli(&["--scan"]).lines() {
        let value = server.cli(&["--no-raw", "GET", key]);
        for shown in [key, &value] {
            // In base64 its last two characters depend on what follows.
            let shows = shown.contains(&cookie[..20]) || shown.contains(&bytes);
            assert!(!shows, "{shown}");
        }
    }
}

/// All that must hold on any store.
async fn check(store: Arc<dyn Store>) {
    let site = Site::on(store);
    what_tower_sessions_does(&site).await;
    ids_are_never_adopted(&site).await;
    parallel_changes_are_kept(&site).await;
    an_ended_session_stays_ended(&site).await;
    limits_are_told(&site).await;
}

/// As its own tests have it.
async fn what_tower_sessions_does(site: &Site) {
    let untouched = site.send("/", "").await;
    assert_eq!(set_cookie(&untouched), None, "a session that is not used");
    let cookie = site.cookie("/set/foo/42", "").await;
    assert_eq!(site.page("/get/foo", &cookie).await, "Some(String(\"42\"))");
    assert_eq!(site.page("/get/bar", &cookie).await, "None");
    let read_only = site.send("/get/foo", &cookie).await;
    assert_eq!(set_cookie(&read_only), None, "reading sets no cookie");
    let other = site.cookie("/login/ada", &cookie).await;
    assert_ne!(other, cookie);
    assert_eq!(site.page("/who", &other).await, "ada");
    assert_eq!(site.page("/get/foo", &other).await, "Some(String(\"42\"))");
    assert_eq!(
        site.page("/who", &cookie).await,
        "nobody",
        "the old id is dead"
    );
    site.cookie("/remove/foo", &other).await;
    assert_eq!(site.page("/get/foo", &other).await, "None");
    assert_eq!(site.page("/who", &other).await, "ada");
    site.cookie("/clear", &other).await;
    assert_eq!(site.page("/who", &other).await, "nobody");
    site.cookie("/set/foo/1", &other).await;
    assert_eq!(site.page("/get/foo", &other).await, "Some(String(\"1\"))");
    let flushed = site.cookie("/flush", &other).await;
    assert_eq!(flushed, "", "the cookie is removed");
    assert_eq!(site.page("/get/foo", &other).await, "None");
    assert_eq!(site.sessions().await, 0);
}

/// Session fixation: what a visitor brings is not what they get.
async fn ids_are_never_adopted(site: &Site) {
    let planted = Id(0x0123_4567_89ab_cdef).to_string();
    for path in ["/set/a/1", "/login/eve", "/again/eve"] {
        let cookie = site.cookie(path, &planted).await;
        assert_ne!(cookie, planted, "{path}");
        assert_eq!(site.page("/get/a", &planted).await, "None");
        site.cookie("/flush", &cookie).await;
    }
    let cleared = site.send("/clear", &planted).await;
    assert_eq!(cleared.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(site.sessions().await, 0);
    // The same when an application makes the record.
    let shim = TowerSessionsStore::shared(site.store.clone());
    let mut record = Record {
        id: Id(7),
        data: Default::default(),
        expiry_date: time::OffsetDateTime::now_utc() + time::Duration::HOUR,
    };
    shim.create(&mut record).await.unwrap();
    assert_ne!(record.id, Id(7));
    shim.delete_expired().await.unwrap();
    assert!(shim.load(&record.id).await.unwrap().is_some());
    shim.delete(&record.id).await.unwrap();
    shim.save(&record).await.unwrap_err();
    assert!(shim.load(&record.id).await.unwrap().is_none());
}

async fn parallel_changes_are_kept(site: &Site) {
    for round in 0..10 {
        let cookie = site.cookie("/set/left/0", "").await;
        site.cookie("/set/right/0", &cookie).await;
        let [left, right] = ["left", "right"].map(|key| {
            let (site, cookie) = (site.clone(), cookie.clone());
            tokio::spawn(async move { site.cookie(&format!("/together/{key}"), &cookie).await })
        });
        left.await.unwrap();
        right.await.unwrap();
        for key in ["left", "right"] {
            let kept = site.page(&format!("/get/{key}"), &cookie).await;
            assert_eq!(kept, "Some(Number(1))", "{key}, round {round}");
        }
        site.cookie("/flush", &cookie).await;
    }
}

/// A logout or a login while a slow request is on its way.
async fn an_ended_session_stays_ended(site: &Site) {
    for path in ["/flush", "/login/ada"] {
        let cookie = site.cookie("/set/user/ada", "").await;
        let slow = tokio::spawn({
            let (site, cookie) = (site.clone(), cookie.clone());
            async move { site.send("/slow", &cookie).await }
        });
        site.meetings.slow_has_read.notified().await;
        let new = site.cookie(path, &cookie).await;
        site.meetings.slow_may_go_on.notify_one();
        let late = slow.await.unwrap();
        assert_eq!(late.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert_eq!(
            set_cookie(&late),
            None,
            "{path}: the browser may have a newer id"
        );
        assert_eq!(site.page("/who", &cookie).await, "nobody", "{path}");
        if !new.is_empty() {
            assert_eq!(site.page("/who", &new).await, "ada");
            site.cookie("/flush", &new).await;
        }
        assert_eq!(site.sessions().await, 0, "{path}");
    }
}

async fn limits_are_told(site: &Site) {
    let long = "k".repeat(65);
    let refused = site.send(&format!("/set/{long}/1"), "").await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let refused = site.send("/set/tower-sessions.life/1", "").await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(site.sessions().await, 0);
}

/// The store's clock decides, whatever the application's clock is.
#[tokio::test]
async fn expiry_is_by_the_clock_of_the_store() {
    let clock = ManualClock::new();
    let config = EmbeddedConfig::default().clock(Arc::new(clock.clone()));
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::new(config).unwrap());
    let seconds = |seconds| clock.advance(Duration::from_secs(seconds));
    let site = Site::on(store.clone());

    let cookie = site.cookie("/set/user/ada", "").await;
    seconds(3500);
    site.cookie("/set/a/1", &cookie).await;
    seconds(3500);
    assert_eq!(
        site.page("/who", &cookie).await,
        "ada",
        "a save prolongs it"
    );
    seconds(101);
    assert_eq!(
        site.page("/who", &cookie).await,
        "nobody",
        "a read does not"
    );

    let cookie = site.cookie("/set/user/ada", "").await;
    site.cookie("/live/60", &cookie).await;
    seconds(59);
    assert_eq!(site.page("/who", &cookie).await, "ada");
    seconds(2);
    assert_eq!(
        site.page("/who", &cookie).await,
        "nobody",
        "a shorter expiry holds"
    );

    let cookie = site.cookie("/set/user/ada", "").await;
    site.cookie("/live/7200", &cookie).await;
    seconds(3599);
    assert_eq!(site.page("/who", &cookie).await, "ada");
    seconds(2);
    assert_eq!(
        site.page("/who", &cookie).await,
        "nobody",
        "a longer one needs to be announced"
    );

    let shim = TowerSessionsStore::shared(store.clone()).longest_expiry(Duration::from_secs(9000));
    let hour = Expiry::OnInactivity(time::Duration::HOUR);
    let site = Site::with(shim, store.clone(), Some(hour));
    let cookie = site.cookie("/set/user/ada", "").await;
    let other = site.cookie("/set/user/bob", "").await;
    site.cookie("/live/7200", &cookie).await;
    seconds(7199);
    assert_eq!(site.page("/who", &cookie).await, "ada", "it was announced");
    assert_eq!(
        site.page("/who", &other).await,
        "nobody",
        "and is only for whom it is said"
    );

    let at = time::OffsetDateTime::now_utc() + time::Duration::seconds(600);
    let shim = TowerSessionsStore::shared(store.clone());
    let site = Site::with(shim, store, Some(Expiry::AtDateTime(at)));
    let cookie = site.cookie("/set/user/ada", "").await;
    seconds(601);
    assert_eq!(site.page("/who", &cookie).await, "nobody");
}

/// A redis-server of this test.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is missing: apt-get install -y redis-server");
        let server = Self { child, port };
        for _ in 0..500 {
            if server.cli(&["PING"]) == "PONG" {
                return server;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server on port {port} does not answer");
    }

    fn cli(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(args)
            .output()
            .expect("redis-cli is missing: apt-get install -y redis-tools");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It is gone already if this fails, and then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

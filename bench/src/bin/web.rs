//! What a session layer adds to a request of an axum application, in CPU time: Cloakroom with its
//! embedded store beside tower-sessions with its memory store, in one run, in interleaved rounds, so
//! that a machine that changes its mind does it to all of them.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin web -- [requests] [rounds] [sessions] [work]`
//!
//! With a `work` (`/read`, ...), Cloakroom alone does that and nothing is printed: for a profiler.
//!
//! Requests go through the `Router` in this very thread: no socket, no HTTP parser, no scheduler.
//! What is measured is the thread's own CPU time, so that waiting for the machine does not count.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use cloakroom::embedded::EmbeddedStore;
use cloakroom::{CookieKey, SessionLayer};
use tower::Service as _;
use tower_sessions::SessionManagerLayer;

/// What the handlers do with the session.
const WORKS: [&str; 4] = ["/untouched", "/read", "/write", "/read-write"];

#[derive(Clone, Copy, PartialEq)]
enum App {
    Bare,
    Cloakroom,
    CloakroomSigned,
    TowerSessions,
}

const APPS: [App; 4] = [
    App::Bare,
    App::Cloakroom,
    App::CloakroomSigned,
    App::TowerSessions,
];

fn main() {
    let number = |at, default| {
        let given = std::env::args().nth(at);
        given.map_or(default, |text| text.parse().expect("arguments are numbers"))
    };
    let (requests, rounds, sessions) = (number(1, 20_000), number(2, 30), number(3, 1_000));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    match std::env::args().nth(4) {
        Some(work) => runtime.block_on(profile(requests * rounds, sessions, &work)),
        None => runtime.block_on(measure(requests, rounds, sessions)),
    }
}

async fn profile(requests: usize, sessions: usize, work: &str) {
    let mut router = App::Cloakroom.router();
    let cookies = visitors(&mut router, sessions).await;
    run(&mut router, work, &cookies, requests).await;
}

/// The cookies of new sessions.
async fn visitors(router: &mut Router, sessions: usize) -> Vec<String> {
    let mut cookies = Vec::new();
    for _ in 0..sessions.max(1) {
        cookies.push(cookie_of(&send(router, "/write", "").await));
    }
    cookies
}

async fn measure(requests: usize, rounds: usize, sessions: usize) {
    let mut apps = Vec::new();
    for app in APPS {
        let mut router = app.router();
        let cookies = match app {
            App::Bare => Vec::new(),
            _ => visitors(&mut router, sessions).await,
        };
        apps.push((app, router, cookies, vec![Vec::new(); WORKS.len() * 2]));
    }
    // A bare application gets cookies of the same shape.
    apps[0].2 = apps[1].2.clone();
    for round in 0..=rounds {
        for (_, router, cookies, times) in &mut apps {
            for (at, work) in WORKS.iter().enumerate() {
                for (anonymous, column) in [(false, at), (true, WORKS.len() + at)] {
                    if anonymous && *work != "/untouched" && *work != "/read" {
                        continue;
                    }
                    let none = [String::new()];
                    let cookies = if anonymous { &none[..] } else { &cookies[..] };
                    let time = run(router, work, cookies, requests).await;
                    if round > 0 {
                        times[column].push(time);
                    }
                }
            }
        }
    }
    report(&apps, requests, rounds, sessions);
}

async fn run(router: &mut Router, work: &str, cookies: &[String], requests: usize) -> f64 {
    let requests = requests.max(1);
    let begin = cpu_time();
    for at in 0..requests {
        let response = send(router, work, &cookies[at % cookies.len()]).await;
        assert!(response.status().is_success());
    }
    (cpu_time() - begin).as_secs_f64() * 1e6 / requests as f64
}

/// What hyper does for a request on a kept connection: a fresh request, a clone of the service.
async fn send(router: &mut Router, work: &str, cookie: &str) -> Response<Body> {
    let mut request = Request::builder()
        .uri(work)
        .header("host", "shop.example")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101",
        )
        .header("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
    if !cookie.is_empty() {
        request = request.header("cookie", cookie);
    }
    let request = request.body(Body::empty()).expect("a request");
    router
        .clone()
        .call(request)
        .await
        .expect("routers do not fail")
}

fn cookie_of(response: &Response<Body>) -> String {
    let set = &response.headers()["set-cookie"];
    let set = set.to_str().expect("cookies are text");
    let pair = set.split(';').next().unwrap_or_default();
    format!("theme=dark; {pair}; consent=yes")
}

impl App {
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "no session layer",
            Self::Cloakroom => "cloakroom, embedded store",
            Self::CloakroomSigned => "the same, signed cookies",
            Self::TowerSessions => "tower-sessions 0.15, MemoryStore",
        }
    }

    fn router(self) -> Router {
        match self {
            Self::Bare => bare(),
            Self::Cloakroom => cloakroom().layer(SessionLayer::new(EmbeddedStore::default())),
            Self::CloakroomSigned => {
                let key: Vec<u8> = (0..32).map(|n: u8| n.wrapping_mul(41)).collect();
                let key = CookieKey::new(&key).expect("32 different bytes");
                let layer = SessionLayer::new(EmbeddedStore::default()).cookie_key(key);
                cloakroom().layer(layer)
            }
            Self::TowerSessions => {
                let store = tower_sessions::MemoryStore::default();
                tower_sessions().layer(SessionManagerLayer::new(store))
            }
        }
    }
}

fn bare() -> Router {
    let hello = get(|| async { "hello" });
    WORKS.iter().fold(Router::new(), |router, work| {
        router.route(work, hello.clone())
    })
}

fn cloakroom() -> Router {
    use cloakroom::{Result, Session};
    async fn read(session: Session) -> Result<&'static str> {
        let _: Option<u64> = session.get("n").await?;
        Ok("hello")
    }
    async fn write(session: Session) -> Result<&'static str> {
        session.set("n", &1_u64)?;
        Ok("hello")
    }
    async fn read_write(session: Session) -> Result<&'static str> {
        let n: Option<u64> = session.get("n").await?;
        session.set("n", &(n.unwrap_or(0) + 1))?;
        Ok("hello")
    }
    Router::new()
        .route("/untouched", get(|| async { "hello" }))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/read-write", get(read_write))
}

fn tower_sessions() -> Router {
    use axum::http::StatusCode;
    use tower_sessions::Session;
    type Result<T> = std::result::Result<T, StatusCode>;
    fn failed(_: tower_sessions::session::Error) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }
    async fn read(session: Session) -> Result<&'static str> {
        let _: Option<u64> = session.get("n").await.map_err(failed)?;
        Ok("hello")
    }
    async fn write(session: Session) -> Result<&'static str> {
        session.insert("n", 1_u64).await.map_err(failed)?;
        Ok("hello")
    }
    async fn read_write(session: Session) -> Result<&'static str> {
        let n: Option<u64> = session.get("n").await.map_err(failed)?;
        session
            .insert("n", n.unwrap_or(0) + 1)
            .await
            .map_err(failed)?;
        Ok("hello")
    }
    Router::new()
        .route("/untouched", get(|| async { "hello" }))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/read-write", get(read_write))
}

type Measured = (App, Router, Vec<String>, Vec<Vec<f64>>);

fn report(apps: &[Measured], requests: usize, rounds: usize, sessions: usize) {
    println!(
        "CPU time in us per request: the least of {rounds} rounds of {requests} requests over"
    );
    println!(
        "{sessions} sessions (in brackets: the median); what the layer adds to the bare application.\n"
    );
    println!(
        "| | no cookie, untouched | no cookie, read | untouched | read | write | read + write |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let columns = [WORKS.len(), WORKS.len() + 1, 0, 1, 2, 3];
    for (app, _, _, times) in apps {
        let cells = columns.map(|column| {
            let (least, median) = of(&times[column]);
            let (bare_least, bare_median) = of(&apps[0].3[column]);
            match app {
                App::Bare => format!("{least:.2} ({median:.2})"),
                _ => format!("+{:.2} (+{:.2})", least - bare_least, median - bare_median),
            }
        });
        println!("| {} | {} |", app.name(), cells.join(" | "));
    }
}

fn of(times: &[f64]) -> (f64, f64) {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

/// CPU time of this very thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).expect("below a second");
    Duration::new(time.tv_sec.unsigned_abs(), nanos)
}

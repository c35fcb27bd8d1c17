//! What a session layer adds to a request of an axum application, in CPU time: Cloakroom with its
//! embedded store beside tower-sessions with its memory store, in one run, in interleaved rounds, so
//! that a machine that changes its mind does it to all of them.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin web -- [requests] [rounds] [sessions] [work]`
//!
//! With a `work` (`/read`, ...), Cloakroom alone does that and nothing is printed: for a profiler.
//!
//! First table: requests go through the `Router` in this very thread, without socket, HTTP parser
//! and scheduler. Second table: the same applications behind `axum::serve`, each in a thread of its
//! own, asked over one kept loopback connection with a few requests on their way at a time. What is
//! measured is always the CPU time of the thread that answers, so that waiting does not count.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use cloakroom::embedded::EmbeddedStore;
use cloakroom::{CookieKey, SessionLayer};
use cloakroom_bench::thread_cpu;
use tower::Service as _;
use tower_sessions::SessionManagerLayer;

/// What the handlers do with the session.
const WORKS: [&str; 4] = ["/untouched", "/read", "/write", "/read-write"];

/// What is measured: the work, and whether the requests have no cookie.
const COLUMNS: [(&str, bool); 6] = [
    ("/untouched", true),
    ("/read", true),
    ("/untouched", false),
    ("/read", false),
    ("/write", false),
    ("/read-write", false),
];

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
        apps.push((app, router, cookies, vec![Vec::new(); COLUMNS.len()]));
    }
    // A bare application gets cookies of the same shape.
    apps[0].2 = apps[1].2.clone();
    for round in 0..=rounds {
        for (_, router, cookies, times) in &mut apps {
            for (column, (work, anonymous)) in COLUMNS.iter().enumerate() {
                let none = [String::new()];
                let cookies = if *anonymous { &none[..] } else { &cookies[..] };
                let time = run(router, work, cookies, requests).await;
                if round > 0 {
                    times[column].push(time);
                }
            }
        }
    }
    println!(
        "CPU time in us per request: the least of {rounds} rounds of {requests} requests over"
    );
    println!(
        "{sessions} sessions (in brackets: the median); what a layer adds to the bare application.\n"
    );
    println!("In this thread:\n");
    report(&apps);
    apps.iter_mut()
        .for_each(|app| app.3.iter_mut().for_each(Vec::clear));
    over_sockets(&mut apps, requests, rounds);
    println!("\nOver a loopback connection:\n");
    report(&apps);
}

async fn run(router: &mut Router, work: &str, cookies: &[String], requests: usize) -> f64 {
    let requests = requests.max(1);
    let begin = thread_cpu();
    for at in 0..requests {
        let response = send(router, work, &cookies[at % cookies.len()]).await;
        assert!(response.status().is_success());
    }
    (thread_cpu() - begin).as_secs_f64() * 1e6 / requests as f64
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

fn over_sockets(apps: &mut [Measured], requests: usize, rounds: usize) {
    let mut clients: Vec<_> = apps.iter().map(|app| Client::of(app.1.clone())).collect();
    for round in 0..=rounds {
        for ((_, _, cookies, times), client) in apps.iter_mut().zip(&mut clients) {
            for (column, (work, anonymous)) in COLUMNS.iter().enumerate() {
                let none = [String::new()];
                let cookies = if *anonymous { &none[..] } else { &cookies[..] };
                let time = client.run(work, cookies, requests);
                if round > 0 {
                    times[column].push(time);
                }
            }
        }
    }
}

/// A client that is connected to a server with this router.
struct Client(BufReader<TcpStream>);

impl Client {
    /// Requests that are on their way at a time.
    const DEPTH: usize = 8;

    fn of(router: Router) -> Self {
        let cpu = get(|| async { thread_cpu().as_nanos().to_string() });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("tokio wants it");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let listener = listener.tap_io(|io| io.set_nodelay(true).expect("a socket"));
                axum::serve(listener, router.route("/cpu", cpu))
                    .await
                    .expect("serving");
            });
        });
        let connection = TcpStream::connect(address).expect("the server listens");
        connection.set_nodelay(true).expect("a socket");
        Self(BufReader::new(connection))
    }

    fn run(&mut self, work: &str, cookies: &[String], requests: usize) -> f64 {
        let begin = self.cpu();
        let mut sent = 0;
        while sent < requests {
            let mut batch = String::new();
            let depth = Self::DEPTH.min(requests - sent);
            for at in sent..sent + depth {
                batch += &request_text(work, &cookies[at % cookies.len()]);
            }
            self.0
                .get_mut()
                .write_all(batch.as_bytes())
                .expect("the server reads");
            (0..depth).for_each(|_| drop(self.receive()));
            sent += depth;
        }
        (self.cpu() - begin) / 1e3 / requests.max(1) as f64
    }

    /// CPU time of the server's thread, in nanoseconds.
    fn cpu(&mut self) -> f64 {
        let request = request_text("/cpu", "");
        self.0
            .get_mut()
            .write_all(request.as_bytes())
            .expect("the server reads");
        self.receive().parse().expect("a number")
    }

    /// The body of the next response.
    fn receive(&mut self) -> String {
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            self.0.read_line(&mut line).expect("the server answers");
            assert!(
                !line.starts_with("HTTP/1.1") || line.contains(" 200 "),
                "{line}"
            );
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the server answers");
        String::from_utf8(body).expect("text")
    }
}

fn request_text(work: &str, cookie: &str) -> String {
    let cookie = match cookie {
        "" => String::new(),
        cookie => format!("cookie: {cookie}\r\n"),
    };
    format!(
        "GET {work} HTTP/1.1\r\nhost: shop.example\r\naccept: text/html,*/*;q=0.8\r\n\
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101\r\n{cookie}\r\n"
    )
}

type Measured = (App, Router, Vec<String>, Vec<Vec<f64>>);

fn report(apps: &[Measured]) {
    println!(
        "| | no cookie, untouched | no cookie, read | untouched | read | write | read + write |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (app, _, _, times) in apps {
        let cells: [String; COLUMNS.len()] = std::array::from_fn(|column| {
            let (least, median) = of(&times[column]);
            let (bare_least, bare_median) = of(&apps[0].3[column]);
            match app {
                App::Bare => format!("{least:.2} ({median:.2})"),
                _ => format!("{:+.2} ({:+.2})", least - bare_least, median - bare_median),
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

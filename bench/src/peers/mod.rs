//! One small application on every session layer: the same routes, the same fields, Redis behind all
//! of them, each set up as its own documentation shows, with sliding expiry of half an hour on.

mod actix;
mod axum_session;
mod cloakroom;
mod tower_sessions;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use tower::ServiceExt as _;

/// How long a session lives without activity, in seconds.
const IDLE: u64 = 1_800;
/// The field that is read and written.
const FIELD: &str = "fld03";

/// An application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// axum without a session layer.
    BareAxum,
    /// actix-web without one.
    BareActix,
    CloakroomPacked,
    CloakroomFields,
    TowerSessions,
    /// Every request asks Redis, as with the others.
    AxumSession,
    /// As its documentation shows it: what is in this process's memory is not asked for again.
    AxumSessionCached,
    ActixSession,
}

/// The names, and what the command line calls them.
const NAMES: [(App, &str, &str); 8] = [
    (App::BareAxum, "axum", "axum, no session layer"),
    (App::BareActix, "actix", "actix-web, no session layer"),
    (App::CloakroomPacked, "packed", "cloakroom, packed"),
    (App::CloakroomFields, "fields", "cloakroom, fields"),
    (
        App::TowerSessions,
        "tower-sessions",
        "tower-sessions 0.14, redis-store 0.16",
    ),
    (
        App::AxumSession,
        "axum-session",
        "axum_session 0.22, redispool, no memory",
    ),
    (
        App::AxumSessionCached,
        "axum-session-cached",
        "(axum_session 0.22 from its memory)",
    ),
    (
        App::ActixSession,
        "actix-session",
        "actix-session 0.11, redis-session",
    ),
];

impl App {
    /// All that keep sessions.
    pub const LAYERS: [Self; 6] = [
        Self::CloakroomPacked,
        Self::CloakroomFields,
        Self::TowerSessions,
        Self::AxumSession,
        Self::AxumSessionCached,
        Self::ActixSession,
    ];

    /// All, those that keep none first.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|row| row.0)
    }

    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// What the command line calls it.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// The application that the command line calls `word`.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        NAMES.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    /// The same without a session layer.
    #[must_use]
    pub fn bare(self) -> Self {
        match self {
            Self::ActixSession | Self::BareActix => Self::BareActix,
            _ => Self::BareAxum,
        }
    }

    fn row(self) -> &'static (Self, &'static str, &'static str) {
        let row = NAMES.iter().find(|row| row.0 == self);
        row.expect("every application has a row")
    }

    /// Serves on a loopback port, in this thread (actix-web: with one worker), until the process
    /// ends. Says the port once it listens.
    pub fn serve(self, redis: u16, say: impl FnOnce(u16) + 'static) {
        match self {
            Self::BareActix => actix::serve(None, say),
            Self::ActixSession => actix::serve(Some(redis), say),
            _ => runtime().block_on(async move {
                let router = self.router(redis).await;
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.expect("a port is free");
                say(listener.local_addr().expect("it is bound").port());
                let listener = listener.tap_io(|io| io.set_nodelay(true).expect("a socket"));
                axum::serve(listener, router).await.expect("serving");
            }),
        }
    }

    /// Calls `use_it` with the application as a function, without sockets and HTTP.
    pub fn in_process<F: Future<Output = ()>>(self, redis: u16, use_it: impl FnOnce(Call) -> F) {
        match self {
            Self::BareActix => actix::in_process(None, use_it),
            Self::ActixSession => actix::in_process(Some(redis), use_it),
            _ => tokio::task::LocalSet::new().block_on(&runtime(), async move {
                let router = self.router(redis).await;
                let call = move |path: &str, cookie: &str| {
                    let request = Request::builder()
                        .uri(path)
                        .header("cookie", cookie)
                        .body(Body::empty());
                    let request = request.expect("a request");
                    let router = router.clone();
                    Box::pin(async move {
                        let response = router.oneshot(request).await;
                        let response = response.expect("routers do not fail");
                        let cookies = response.headers().get_all("set-cookie").iter();
                        Answer {
                            status: response.status().as_u16(),
                            cookies: cookies.filter_map(|value| pair(value.as_bytes())).collect(),
                        }
                    }) as Answering
                };
                use_it(Rc::new(call)).await;
            }),
        }
    }

    async fn router(self, redis: u16) -> Router {
        match self {
            Self::CloakroomPacked => cloakroom::router(redis, "packed").await,
            Self::CloakroomFields => cloakroom::router(redis, "fields").await,
            Self::TowerSessions => tower_sessions::router(redis).await,
            Self::AxumSession => axum_session::router(redis, false).await,
            Self::AxumSessionCached => axum_session::router(redis, true).await,
            _ => Router::new().fallback(get(|| async { "hello" })),
        }
    }
}

/// A request by path and cookies, answered in this thread.
pub type Call = Rc<dyn Fn(&str, &str) -> Answering>;

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Answer>>>;

/// What the load looks at in a response.
pub struct Answer {
    pub status: u16,
    /// The pairs `name=value` that were set.
    pub cookies: Vec<String>,
}

/// The pair of a `Set-Cookie` header.
#[must_use]
pub fn pair(header: &[u8]) -> Option<String> {
    let text = str::from_utf8(header).ok()?;
    text.split(';').next().map(str::to_owned)
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

/// The eight fields of a new session: 50 bytes each with the name.
fn all_fields() -> impl Iterator<Item = (String, String)> {
    (0..crate::FIELDS).map(|at| (crate::field(at), text(at as u64)))
}

/// A value of 43 characters.
fn text(number: u64) -> String {
    let digits = format!("{:016x}", crate::mix(number));
    digits.chars().cycle().take(43).collect()
}

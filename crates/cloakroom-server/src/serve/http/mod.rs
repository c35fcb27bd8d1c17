//! The HTTP side: routes, what every request passes (timeout, body limit, measurement), and who may
//! ask what.

mod api;
mod error;
mod forward_auth;
mod health;
mod metrics;
mod metrics_table;
mod openapi;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod sick_disk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use cloakroom_core::{Entropy, Event, Observer, OsEntropy, Policy, Store};
use cloakroom_embedded::journal::Journal;
use cloakroom_embedded::{EmbeddedStore, WithForeign};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use error::problems_page;
pub(crate) use metrics::Metrics;
pub(crate) use metrics_table::metrics_page;
pub(crate) use openapi::openapi_json;

use super::auth::ApiKeys;
use super::shutdown::Shutdown;
use super::touches::Touches;
use crate::open::Opened;
use crate::settings::Settings;
use error::Problem;

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Shared>);

/// The insides of [`App`].
#[derive(Debug)]
pub(crate) struct Shared {
    store: Arc<dyn Store>,
    embedded: Option<EmbeddedStore>,
    observer: Arc<dyn Observer>,
    entropy: Arc<dyn Entropy>,
    touches: Touches,
    metrics: Arc<Metrics>,
    keys: ApiKeys,
    shutdown: Shutdown,
    policy: Policy,
    rotation_grace: Duration,
    cookie: String,
    subject_header: HeaderName,
    request_timeout: Duration,
    max_body: usize,
    /// Whether strangers can reach this server at all.
    beyond_loopback: bool,
    /// Sessions of other frameworks, if there can be any.
    foreign: Option<Arc<WithForeign>>,
}

impl App {
    /// The server's parts, put together.
    pub(crate) fn new(
        settings: &Settings,
        opened: Opened,
        observer: Arc<dyn Observer>,
        touches: Touches,
        metrics: Arc<Metrics>,
        keys: ApiKeys,
        shutdown: Shutdown,
    ) -> Self {
        Self(Arc::new(Shared {
            store: opened.store,
            embedded: opened.embedded,
            observer,
            entropy: Arc::new(OsEntropy),
            touches,
            metrics,
            keys,
            shutdown,
            policy: settings.policy,
            rotation_grace: settings.rotation_grace,
            cookie: settings.cookie.clone(),
            subject_header: settings.subject_header.clone(),
            request_timeout: settings.request_timeout,
            max_body: settings.max_body,
            beyond_loopback: !settings.http.ip().is_loopback(),
            foreign: opened.foreign,
        }))
    }

    /// The embedded store's journal, if there is one.
    fn journal(&self) -> Option<&Journal> {
        self.embedded.as_ref().and_then(EmbeddedStore::journal)
    }

    fn observe(&self, event: &Event) {
        self.observer.observe(event);
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// All routes, ready to serve.
pub(crate) fn router(app: App) -> Router {
    let (routes, _) = documented(Some(&app)).split_for_parts();
    routes
        .merge(forward_auth::routes())
        .fallback(async || Problem::new(&error::NOT_FOUND))
        .method_not_allowed_fallback(async || Problem::new(&error::METHOD_NOT_ALLOWED))
        .layer(DefaultBodyLimit::max(app.max_body))
        .layer(middleware::from_fn_with_state(app.clone(), in_time))
        .layer(middleware::from_fn_with_state(app.clone(), measured))
        .with_state(app)
}

/// The routes with their documentation. With an app, the API asks for its key, and so do the
/// numbers where strangers could read them: they tell how many visitors there are.
fn documented(app: Option<&App>) -> OpenApiRouter<App> {
    let mut api = api::routes();
    let mut metrics = OpenApiRouter::new().routes(routes!(health::metrics));
    if let Some(app) = app {
        let asks = middleware::from_fn_with_state(app.clone(), with_key);
        if app.beyond_loopback {
            metrics = metrics.route_layer(asks.clone());
        }
        api = api.route_layer(asks);
    }
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(api)
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .merge(metrics)
        .routes(routes!(openapi::openapi))
}

/// Lets only requests through that carry the API key.
async fn with_key(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut given = request.headers().get_all(header::AUTHORIZATION).iter();
    let presented = match (given.next(), given.next()) {
        (Some(value), None) => value.as_bytes().split_at_checked(BEARER.len()),
        _ => None,
    };
    let presented = presented.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(BEARER));
    match presented {
        Some((_, key)) if app.keys.has(key.trim_ascii()) => next.run(request).await,
        _ => Problem::new(&error::UNAUTHORIZED)
            .detail("send Authorization: Bearer with the key in the server's api-key file")
            .into_response(),
    }
}

const BEARER: &[u8] = b"Bearer ";

/// Ends a request that takes too long, be it for its body.
async fn in_time(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = tokio::time::timeout(app.request_timeout, next.run(request)).await;
    let mut response = match response {
        Ok(response) => response,
        Err(_) => {
            let mut response = Problem::new(&error::REQUEST_TIMEOUT).into_response();
            // The rest of the body may still come; it is nobody's request.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
    };
    if app.shutdown.is_draining() {
        // Whoever keeps the connection shall not send another request into its end.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    // Whatever is said here of a session is for the one who asked.
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// Counts and times a request under its route's template: a path may hold a subject.
async fn measured(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let (status, took) = (response.status().as_u16(), began.elapsed());
    app.metrics.request(method, route, status, took);
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(method, route, status, took_us, "request");
    response
}

/// A caller may invent methods; metrics and logs know these.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

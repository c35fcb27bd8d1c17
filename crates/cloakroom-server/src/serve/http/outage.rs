//! Tests of what callers see while the store does not answer: an error that says so in time, never
//! a hang, never a logout. In here, because no flag of the binary opens a store that hangs.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use cloakroom_core::id::{Handle, SlotTag, StoredKey};
use cloakroom_core::observe::Unobserved;
use cloakroom_core::record::{
    Changes, Condition, NewSession, Record, Rotation, SessionInfo, Subject,
};
use cloakroom_core::store::{Applied, Cursor, Lookup, Page, Rotated, Stats, Store};
use cloakroom_core::{Error, OsEntropy, SessionId};
use cloakroom_embedded::EmbeddedStore;
use tower::ServiceExt as _;

use super::{App, Metrics, router};
use crate::observed::Observed;
use crate::open::Opened;
use crate::serve::auth::ApiKeys;
use crate::serve::data_dir::DataDir;
use crate::serve::shutdown::Shutdown;
use crate::serve::touches::Touches;
use crate::settings::{LowSettings, Settings};

/// A store that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Store for Silent {
    async fn create(&self, _: &StoredKey, _: &NewSession) -> Result<Record, Error> {
        pending().await
    }
    async fn load(&self, _: &StoredKey) -> Result<Lookup, Error> {
        pending().await
    }
    async fn touch(&self, _: &[StoredKey]) -> Result<usize, Error> {
        pending().await
    }
    async fn apply(&self, _: &StoredKey, _: &Changes, _: &Condition) -> Result<Applied, Error> {
        pending().await
    }
    async fn rotate(&self, _: &StoredKey, _: &StoredKey, _: &Rotation) -> Result<Rotated, Error> {
        pending().await
    }
    async fn destroy(&self, _: &StoredKey) -> Result<bool, Error> {
        pending().await
    }
    async fn of_subject(&self, _: &Subject) -> Result<Vec<SessionInfo>, Error> {
        pending().await
    }
    async fn revoke(&self, _: &Subject, _: &Handle) -> Result<bool, Error> {
        pending().await
    }
    async fn revoke_subject(&self, _: &Subject, _: Option<&Handle>) -> Result<usize, Error> {
        pending().await
    }
    async fn revoke_all(&self) -> Result<(), Error> {
        pending().await
    }
    async fn scan(&self, _: Cursor, _: usize) -> Result<Page, Error> {
        pending().await
    }
    async fn stats(&self) -> Result<Stats, Error> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_of_the_api_is_a_503_that_may_be_tried_again() {
    let (router, key) = server();
    for (method, path, body) in [
        ("POST", "/v1/sessions", "{}"),
        ("GET", "/v1/sessions", ""),
        ("DELETE", "/v1/sessions?confirm=all", ""),
        ("GET", "/v1/session", ""),
        ("PATCH", "/v1/session", r#"{"set":{"a":1}}"#),
        ("DELETE", "/v1/session", ""),
        ("POST", "/v1/session/rotate", ""),
        ("POST", "/v1/session/login", r#"{"subject":"ada"}"#),
        ("GET", "/v1/subjects/ada/sessions", ""),
        ("DELETE", "/v1/subjects/ada/sessions", ""),
        ("DELETE", "/v1/subjects/ada/sessions/AAAAAAAAAAAAAAAA", ""),
        ("GET", "/v1/stats", ""),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header("cloakroom-session", id())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 503, "{method} {path}");
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let body = axum::body::to_bytes(response.into_body(), 4096).await;
        let problem: serde_json::Value = serde_json::from_slice(&body.unwrap()).unwrap();
        assert_eq!(problem["code"], "store_timeout", "{method} {path}");
        assert_eq!(problem["retryable"], true);
    }
}

#[tokio::test(start_paused = true)]
async fn verify_is_no_logout_and_readiness_says_no() {
    let (router, _) = server();
    for (path, expected) in [
        ("/v1/verify", StatusCode::SERVICE_UNAVAILABLE),
        ("/v1/verify-anonymous", StatusCode::SERVICE_UNAVAILABLE),
        ("/readyz", StatusCode::SERVICE_UNAVAILABLE),
        ("/healthz", StatusCode::OK),
        ("/metrics", StatusCode::OK),
    ] {
        let request = Request::builder()
            .uri(path)
            .header(header::COOKIE, format!("__Host-id={}", id()))
            .body(Body::empty())
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_loopback_metrics_ask_for_the_key() {
    for (address, expected) in [
        ("127.0.0.1:8080", StatusCode::OK),
        ("[::1]:8080", StatusCode::OK),
        ("0.0.0.0:8443", StatusCode::UNAUTHORIZED),
        ("[::]:8443", StatusCode::UNAUTHORIZED),
        ("192.0.2.1:8443", StatusCode::UNAUTHORIZED),
    ] {
        let (router, key) = server_at(address);
        let ask = |path: &str, given: Option<&str>| {
            let mut request = Request::builder().uri(path);
            if let Some(key) = given {
                request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
            }
            router.clone().oneshot(request.body(Body::empty()).unwrap())
        };
        for given in [None, Some("ck1_wrong")] {
            let response = ask("/metrics", given).await.unwrap();
            assert_eq!(response.status(), expected, "{address} {given:?}");
        }
        let response = ask("/metrics", Some(&key)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{address} with the key");
        for path in ["/healthz", "/openapi.json"] {
            let response = ask(path, None).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{address} {path}");
        }
    }
}

/// A server whose store never answers, and its key.
fn server() -> (Router, String) {
    server_at("127.0.0.1:8080")
}

fn server_at(address: &str) -> (Router, String) {
    server_of(address, Arc::new(Silent), None)
}

/// A server on a store, which may be an embedded one, and its key.
pub(super) fn server_of(
    address: &str,
    store: Arc<dyn Store>,
    embedded: Option<EmbeddedStore>,
) -> (Router, String) {
    let name = format!(
        "cloakroom-outage-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    );
    let path = std::env::temp_dir().join(name);
    let data = DataDir::take(&path).expect("the test's own set-up");
    let key = ApiKeys::open(&data).expect("the test's own set-up");
    let text = std::fs::read_to_string(key.file()).expect("the test's own set-up");
    std::fs::remove_dir_all(path).expect("the test's own set-up");
    let mut settings = Settings::from_low(&LowSettings::default()).expect("the test's own set-up");
    settings.http = address.parse().expect("the test's own set-up");
    let (metrics, observer) = (Arc::new(Metrics::new()), Arc::new(Unobserved));
    let store = Arc::new(Observed::new(
        store,
        "the test's".to_owned(),
        Duration::from_secs(1),
        Arc::clone(&metrics),
        observer.clone(),
    ));
    let (touches, _recording) = Touches::start(store.clone(), observer.clone());
    let shutdown = Shutdown::new();
    let opened = Opened {
        store,
        embedded,
        foreign: None,
    };
    let app = App::new(&settings, opened, observer, touches, metrics, key, shutdown);
    (router(app), text.trim().to_owned())
}

fn id() -> String {
    let tag = SlotTag::new(0).expect("the test's own set-up");
    let id = SessionId::generate(tag, &OsEntropy).expect("the test's own set-up");
    id.expose_secret().to_owned()
}

//! Tests of what callers and operators see while the disk of the embedded store is full or has
//! failed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use cloakroom_embedded::journal::JournalState;
use serde_json::Value;
use tower::ServiceExt as _;

use super::outage::server_of;
use crate::serve::sick::{FAILING, FULL, WELL, sick_store};

async fn ask(router: &Router, key: &str, method: &str, path: &str, id: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .header("cloakroom-session", id)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(if method == "POST" { "{}" } else { "" }))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    (status, String::from_utf8(body.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_full_disk_and_a_failed_one_refuse_writes_and_say_so() {
    let dir = std::env::temp_dir().join(format!("cloakroom-sick-{}", std::process::id()));
    let (store, illness) = sick_store(&dir);
    let journal = store.clone();
    let (router, key) = server_of("127.0.0.1:8080", Arc::new(store.clone()), Some(store));
    let (status, body) = ask(&router, &key, "POST", "/v1/sessions", "").await;
    assert_eq!(status, 201, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let id = body["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&router, &key, "GET", "/readyz", "").await.0, 200);
    let up = async |expected: &str| {
        let (_, page) = ask(&router, &key, "GET", "/metrics", "").await;
        let line = format!("cloakroom_journal_up {expected}\n");
        assert!(page.contains(&line), "{page}");
    };
    up("1").await;

    illness.store(FULL, Ordering::SeqCst);
    let (status, body) = ask(&router, &key, "POST", "/v1/sessions", "").await;
    assert!((500..600).contains(&status), "{status} {body}");
    let (status, body) = ask(&router, &key, "GET", "/readyz", "").await;
    assert!(status == 503 && body.contains("disk is full"), "{body}");
    up("0").await;
    assert_eq!(ask(&router, &key, "GET", "/v1/session", &id).await.0, 200);

    illness.store(WELL, Ordering::SeqCst);
    while journal.journal().unwrap().state() != JournalState::Open {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(ask(&router, &key, "POST", "/v1/sessions", "").await.0, 201);
    assert_eq!(ask(&router, &key, "GET", "/readyz", "").await.0, 200);

    illness.store(FAILING, Ordering::SeqCst);
    let (status, body) = ask(&router, &key, "POST", "/v1/sessions", "").await;
    assert_eq!(status, 503, "{body}");
    illness.store(WELL, Ordering::SeqCst);
    let (status, body) = ask(&router, &key, "GET", "/readyz", "").await;
    assert!(status == 503 && body.contains("journal failed"), "{body}");
    up("0").await;
    assert_eq!(ask(&router, &key, "POST", "/v1/sessions", "").await.0, 503);
    assert_eq!(ask(&router, &key, "GET", "/v1/session", &id).await.0, 200);
    std::fs::remove_dir_all(dir).unwrap();
}

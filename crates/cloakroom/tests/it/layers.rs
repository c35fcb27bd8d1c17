//! Without a layer there is no session: handlers fail, closed and with words.

use cloakroom::Session;
use http::Request;
use tower::ServiceExt as _;

const MISSING: &str = r#"{"error":"session_layer_missing","retryable":false}"#;

#[tokio::test]
async fn axum_handlers_without_a_layer_fail_closed() {
    async fn handler(_: Session) -> &'static str {
        panic!("no session, no handler");
    }
    let app = axum::Router::new().route("/", axum::routing::get(handler));
    let request = Request::get("/").body(axum::body::Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    let body = axum::body::to_bytes(response.into_body(), 1000)
        .await
        .unwrap();
    assert_eq!(body, MISSING);
}

#[test]
fn actix_handlers_without_a_middleware_fail_closed() {
    use actix_web::{App, test, web};
    async fn handler(_: Session) -> &'static str {
        panic!("no session, no handler");
    }
    actix_web::rt::System::new().block_on(async {
        let app = test::init_service(App::new().route("/", web::get().to(handler))).await;
        let response = test::call_service(&app, test::TestRequest::default().to_request()).await;
        assert_eq!(response.status(), 500);
        assert_eq!(test::read_body(response).await, MISSING);
    });
}

#[test]
fn services_without_a_layer_get_an_error_that_names_the_fix() {
    let error = Session::of(&http::Extensions::new()).unwrap_err();
    assert!(
        error.to_string().contains("SessionLayer::new(store)"),
        "{error}"
    );
    assert_eq!(error.status(), 500);
    assert!(!error.is_retryable());
}

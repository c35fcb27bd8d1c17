//! The two pages, and the headers that all of them have.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use cloakroom::{Result, Session};

const SIGN_IN: &str = include_str!("../static/sign_in.html");
const BOARD: &str = include_str!("../static/board.html");
const SCRIPT: &str = include_str!("../static/game.js");
const STYLE: &str = include_str!("../static/style.css");

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", get(page))
        .route(
            "/game.js",
            get(|| file("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route("/style.css", get(|| file("text/css; charset=utf-8", STYLE)))
}

/// Nothing but our own files, and no frame around them.
pub(crate) async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = "default-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

async fn page(session: Session) -> Result<Html<&'static str>> {
    let page = match session.subject().await? {
        Some(_) => BOARD,
        None => SIGN_IN,
    };
    Ok(Html(page))
}

async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

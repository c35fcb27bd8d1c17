//! How a service runs, and what a visitor sees when a page cannot be made.

use std::io;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use tokio::signal::unix::{SignalKind, signal};

/// A page could not be made.
#[derive(Debug)]
pub enum Fault {
    /// The session could not be read or changed: mostly a 503, because the store is away.
    Session(cloakroom::Error),
    /// The template failed.
    Page(askama::Error),
}

/// Serves `routes` at the address in the first argument, or at `address`, until SIGTERM or Ctrl-C;
/// then finishes what is in flight.
///
/// # Errors
/// If the address cannot be taken.
#[expect(clippy::print_stdout, reason = "the one line that tells where it is")]
pub async fn serve(name: &str, address: &str, routes: Router) -> io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter("info")
        .with_writer(io::stderr)
        .init();
    let given = std::env::args().nth(1);
    let address = given.as_deref().unwrap_or(address);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("{name}: http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    axum::serve(listener, routes)
        .with_graceful_shutdown(end)
        .await
}

impl From<cloakroom::core::Error> for Fault {
    fn from(error: cloakroom::core::Error) -> Self {
        Self::Session(error.into())
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Self {
        Self::Page(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Self::Session(error) => error.into_response(),
            Self::Page(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                Html("this page is broken"),
            )
                .into_response(),
        }
    }
}

//! The shop on a free port of this machine, in this process, with one route more: a handler that
//! is slow between reading the session and writing it.

use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::routing::post;
use cloakroom::Session;
use cloakroom::embedded::EmbeddedStore;
use tokio::sync::Notify;

/// A running shop.
pub(crate) struct Shop {
    pub url: String,
    /// Told when the slow handler has read the session and waits.
    pub slow_began: Arc<Notify>,
    /// Tells the slow handler to go on.
    pub slow_goes_on: Arc<Notify>,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let (slow_began, slow_goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (began, goes_on) = (Arc::clone(&slow_began), Arc::clone(&slow_goes_on));
        let slow = move |session: Session| async move {
            let before: Option<i64> = session.get("cart.coat").await.unwrap();
            began.notify_one();
            tokio::time::timeout(Duration::from_secs(60), goes_on.notified())
                .await
                .unwrap();
            session
                .set("cart.coat", &(before.unwrap_or(0) + 1))
                .unwrap();
            "added, slowly".into_response()
        };
        let layer = shop::session_layer(EmbeddedStore::default()).unwrap();
        let app = shop::routes().route("/slow", post(slow)).layer(layer);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            slow_began,
            slow_goes_on,
        }
    }
}

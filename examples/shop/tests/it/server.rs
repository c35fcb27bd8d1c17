//! The shop on a free port of this machine, in this process, with one route more: a handler that
//! is slow between reading the session and writing it. The store is as far away as one on another
//! machine, so that requests really overlap.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::response::IntoResponse;
use axum::routing::post;
use cloakroom::Session;
use cloakroom::core::observe::Operation;
use cloakroom::core::testkit::{Around, Wrapped};
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
        let layer =
            shop::session_layer(Wrapped::new(Arc::new(EmbeddedStore::default()), Distant)).unwrap();
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

/// Each operation takes a moment on the way and a moment back.
#[derive(Debug)]
struct Distant;

#[async_trait]
impl Around for Distant {
    async fn before(&self, _: Operation) -> Result<(), cloakroom::core::Error> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    }

    async fn after(&self, _: Operation) -> Result<(), cloakroom::core::Error> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    }
}

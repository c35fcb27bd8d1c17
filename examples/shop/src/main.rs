//! Runs the shop on http://127.0.0.1:3000, or the address given as the first argument.

use std::io;
use std::sync::Arc;

use cloakroom::embedded::EmbeddedStore;

#[tokio::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter("info,cloakroom=debug")
        .init();
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let layer =
        shop::session_layer(Arc::new(EmbeddedStore::default())).map_err(io::Error::other)?;
    let listener = tokio::net::TcpListener::bind(&address).await?;
    tracing_line(&format!(
        "the shop is open: http://{}",
        listener.local_addr()?
    ));
    axum::serve(listener, shop::routes().layer(layer))
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await
}

#[allow(clippy::print_stdout, reason = "the one line that tells where to look")]
fn tracing_line(line: &str) {
    println!("{line}");
}

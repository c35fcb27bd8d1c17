//! Runs one process of the game.

use std::future::IntoFuture as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use clap::Parser;
use game::Game;
use tokio::signal::unix::{SignalKind, signal};

/// A small game over WebSockets. Start it as often as you like, on the same store.
#[derive(Parser)]
struct Settings {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001")]
    http: SocketAddr,
    /// The store of the sessions, which is where the game is, too.
    #[arg(
        long,
        value_name = "URL",
        default_value = "redis://127.0.0.1:6379/0?layout=fields"
    )]
    store: String,
    /// Seconds after which a player who does nothing is sent away.
    #[arg(long, value_name = "SECONDS", default_value_t = 30 * 60)]
    idle: u64,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter("info")
        .with_writer(io::stderr)
        .init();
    let settings = Settings::parse();
    let idle = Duration::from_secs(settings.idle);
    let game = Game::join(&settings.store, idle).await;
    let game = game.map_err(io::Error::other)?;
    let listener = tokio::net::TcpListener::bind(settings.http).await?;
    announce(listener.local_addr()?);
    // A move is a small packet that must not wait for company.
    let listener = listener.tap_io(|tcp| {
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::warn!(%error, "moves may wait for each other");
        }
    });
    let mut terminated = signal(SignalKind::terminate())?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = axum::serve(listener, game.app())
        .with_graceful_shutdown(async { drop(stopped.await) })
        .into_future();
    // Sockets are no requests: nobody but us ends them.
    let ended = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        drop(stop);
        game.leave().await;
    };
    let (served, ()) = tokio::join!(served, ended);
    served
}

#[allow(clippy::print_stdout, reason = "the one line that tells where to look")]
fn announce(address: SocketAddr) {
    println!("the game is on: http://{address}");
}

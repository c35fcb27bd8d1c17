//! A small game over WebSockets: coins fall on a counter, whoever clicks first has them. Any number
//! of processes play it together on one Redis.
//!
//! What to look at first: `play`, where a socket lives as long as its session and no longer;
//! `world`, the part of the game that is no session (the coins, who is online) and lives beside them;
//! `origin`, without which any page on the web could play in a visitor's name.

#![forbid(unsafe_code)]

mod account;
mod origin;
mod page;
mod play;
mod world;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use cloakroom::core::Error;
use cloakroom::redis::RedisStore;
use cloakroom::{CookieConfig, Lifetimes, Policy, SameSite, SessionConfig, SessionLayer};

use play::Table;
use world::World;

/// One process of the game.
#[derive(Debug)]
pub struct Game {
    sessions: SessionConfig,
    table: Arc<Table>,
}

impl Game {
    /// Joins the game in the Redis at `store`, a store URL of `cloakroom-redis`. `idle`: how long a
    /// player may do nothing.
    ///
    /// # Errors
    /// If there is no such Redis, with what to try.
    pub async fn join(store: &str, idle: Duration) -> Result<Self, Error> {
        let sessions = SessionConfig::shared(Arc::new(RedisStore::open(store).await?));
        let day = Duration::from_secs(24 * 60 * 60);
        let cookie = CookieConfig::insecure_for_development()
            .and_then(|cookie| cookie.same_site(SameSite::Strict))
            .map_err(cloakroom::Error::into_inner)?;
        let sessions = sessions
            .policy(Policy::new(Lifetimes::new(idle, day)?))
            .cookie(cookie);
        let table = Arc::new(Table::new(World::enter(store)?));
        Ok(Self { sessions, table })
    }

    /// The whole application.
    pub fn app(&self) -> Router {
        Router::new()
            .merge(page::routes())
            .merge(account::routes())
            .merge(play::routes(&self.table))
            .layer(SessionLayer::from(self.sessions.clone()))
            .layer(from_fn(origin::own_pages_only))
            .layer(from_fn(page::with_headers))
    }

    /// Sends every player away with a 1001, so that they go to another process, and waits for their
    /// sockets to be closed, but not for ever.
    pub async fn leave(&self) {
        self.table.close().await;
        self.sessions.flush().await;
    }
}

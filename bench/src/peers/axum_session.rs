//! The application on axum_session. Its documented set-up answers from this process's memory for an
//! hour, whatever other processes do; without that memory it asks Redis as the others do.

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum_session::{SessionConfig, SessionLayer, SessionStore};
use axum_session_redispool::{SessionRedisPool, SessionRedisSession as Session};
use redis_pool::SingleRedisPool;
use tower_sessions_0_14::cookie::time::Duration;

use super::{FIELD, all_fields, text};

pub(super) async fn router(redis: u16, memory: bool) -> Router {
    let database = if memory { 3 } else { 2 };
    let client = redis::Client::open(format!("redis://127.0.0.1:{redis}/{database}"));
    let pool = SingleRedisPool::from(client.expect("a URL"));
    let idle = Duration::seconds(super::IDLE.cast_signed());
    let mut config = SessionConfig::default().with_lifetime(idle);
    if !memory {
        config = config.with_memory_lifetime(Duration::ZERO);
    }
    let pool = SessionRedisPool::from(pool);
    let store = SessionStore::new(Some(pool), config).await;
    let layer = SessionLayer::new(store.expect("Redis runs"));
    Router::new()
        .route("/untouched", get(|| async { "hello" }))
        .route("/fill", get(fill))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/read-write", get(read_write))
        .route("/login/{user}", get(login))
        .route("/rotate", get(rotate))
        .route("/logout", get(logout))
        .layer(layer)
}

async fn fill(session: Session) -> &'static str {
    for (name, value) in all_fields() {
        session.set(&name, value);
    }
    "filled"
}

async fn read(session: Session) -> Result<String, StatusCode> {
    session.get(FIELD).ok_or(StatusCode::NOT_FOUND)
}

async fn write(session: Session) -> &'static str {
    session.set(FIELD, text(7));
    "written"
}

async fn read_write(session: Session) -> Result<String, StatusCode> {
    let value: String = session.get(FIELD).ok_or(StatusCode::NOT_FOUND)?;
    session.set(FIELD, text(value.len() as u64));
    Ok(value)
}

async fn login(Path(user): Path<String>, session: Session) -> &'static str {
    session.renew();
    session.set("user", user);
    "signed in"
}

async fn rotate(session: Session) -> &'static str {
    session.renew();
    "rotated"
}

async fn logout(session: Session) -> &'static str {
    session.destroy();
    "signed out"
}

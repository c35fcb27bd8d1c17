//! The application on tower-sessions. Sliding on reads is `with_always_save`, its only way to.

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use tower_sessions_0_14::cookie::time::Duration;
use tower_sessions_0_14::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};

use super::{FIELD, all_fields, text};

type Result<T> = std::result::Result<T, StatusCode>;

pub(super) async fn router(redis: u16) -> Router {
    let config = Config::from_url(&format!("redis://127.0.0.1:{redis}/1")).expect("a URL");
    let pool = Pool::new(config, None, None, None, 6).expect("a pool");
    drop(pool.connect());
    pool.wait_for_connect().await.expect("Redis runs");
    let idle = Duration::seconds(super::IDLE.cast_signed());
    let layer = SessionManagerLayer::new(RedisStore::new(pool))
        .with_always_save(true)
        .with_expiry(Expiry::OnInactivity(idle));
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

fn failed(_: tower_sessions_0_14::session::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn fill(session: Session) -> Result<&'static str> {
    for (name, value) in all_fields() {
        session.insert(&name, value).await.map_err(failed)?;
    }
    Ok("filled")
}

async fn read(session: Session) -> Result<String> {
    let value = session.get(FIELD).await.map_err(failed)?;
    value.ok_or(StatusCode::NOT_FOUND)
}

async fn write(session: Session) -> Result<&'static str> {
    session.insert(FIELD, text(7)).await.map_err(failed)?;
    Ok("written")
}

async fn read_write(session: Session) -> Result<String> {
    let value: String = read(session.clone()).await?;
    let next = text(value.len() as u64);
    session.insert(FIELD, next).await.map_err(failed)?;
    Ok(value)
}

async fn login(Path(user): Path<String>, session: Session) -> Result<&'static str> {
    session.cycle_id().await.map_err(failed)?;
    session.insert("user", user).await.map_err(failed)?;
    Ok("signed in")
}

async fn rotate(session: Session) -> Result<&'static str> {
    session.cycle_id().await.map_err(failed)?;
    Ok("rotated")
}

async fn logout(session: Session) -> Result<&'static str> {
    session.flush().await.map_err(failed)?;
    Ok("signed out")
}

//! The application on Cloakroom.

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use cloakroom::{Error, Result, Session, SessionLayer};
use cloakroom_core::ErrorKind;

use super::{FIELD, all_fields, text};

pub(super) async fn router(redis: u16, layout: &str) -> Router {
    let url = format!("redis://127.0.0.1:{redis}/0?layout={layout}");
    let store = cloakroom::redis::RedisStore::open(&url).await;
    let layer = SessionLayer::new(store.expect("Redis runs")).policy(policy());
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

fn policy() -> cloakroom::Policy {
    let lifetimes = cloakroom_core::Lifetimes::new(
        std::time::Duration::from_secs(super::IDLE),
        std::time::Duration::from_secs(86_400),
    );
    cloakroom::Policy::new(lifetimes.expect("within the limits"))
}

async fn fill(session: Session) -> Result<&'static str> {
    for (name, value) in all_fields() {
        session.set(&name, &value)?;
    }
    Ok("filled")
}

async fn read(session: Session) -> Result<String> {
    session.get(FIELD).await?.ok_or_else(missing)
}

async fn write(session: Session) -> Result<&'static str> {
    session.set(FIELD, &text(7))?;
    Ok("written")
}

async fn read_write(session: Session) -> Result<String> {
    let value: String = session.get(FIELD).await?.ok_or_else(missing)?;
    session.set(FIELD, &text(value.len() as u64))?;
    Ok(value)
}

async fn login(Path(user): Path<String>, session: Session) -> Result<&'static str> {
    session.login(&user).await?;
    Ok("signed in")
}

async fn rotate(session: Session) -> Result<&'static str> {
    session.rotate()?;
    Ok("rotated")
}

async fn logout(session: Session) -> Result<&'static str> {
    session.logout().await?;
    Ok("signed out")
}

fn missing() -> Error {
    Error::from(cloakroom_core::Error::from(ErrorKind::SessionEnded))
}

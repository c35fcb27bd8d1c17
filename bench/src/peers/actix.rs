//! The application on actix-session, and on actix-web alone.

use std::future::Future;
use std::rc::Rc;

use actix_session::config::{PersistentSession, TtlExtensionPolicy};
use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::cookie::time::Duration;
use actix_web::dev::{Service as _, ServiceResponse};
use actix_web::http::header::SET_COOKIE;
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{App, Error, HttpServer, error, test};

use super::{Answer, Answering, Call, FIELD, all_fields, pair, text};

/// Connections wait for their turn while other applications are measured.
const KEPT: std::time::Duration = std::time::Duration::from_secs(3_600);

type Result<T> = std::result::Result<T, Error>;

pub(super) fn serve(redis: Option<u16>, say: impl FnOnce(u16)) {
    actix_web::rt::System::new().block_on(async move {
        // One worker beside this thread, which has nothing to do then.
        let address = ("127.0.0.1", 0);
        let (port, server) = match redis {
            None => {
                let make = || App::new().default_service(web::to(|| async { "hello" }));
                let server = HttpServer::new(make)
                    .workers(1)
                    .keep_alive(KEPT)
                    .bind(address);
                let server = server.expect("a port is free");
                (server.addrs()[0].port(), server.run())
            }
            Some(redis) => {
                let store = store(redis).await;
                let make = move || App::new().wrap(layer(store.clone())).configure(routes);
                let server = HttpServer::new(make)
                    .workers(1)
                    .keep_alive(KEPT)
                    .bind(address);
                let server = server.expect("a port is free");
                (server.addrs()[0].port(), server.run())
            }
        };
        say(port);
        server.await.expect("serving");
    });
}

pub(super) fn in_process<F: Future<Output = ()>>(
    redis: Option<u16>,
    use_it: impl FnOnce(Call) -> F,
) {
    actix_web::rt::System::new().block_on(async move {
        // The two services are of different types, so each makes its own function.
        match redis {
            None => {
                let app = App::new().default_service(web::to(|| async { "hello" }));
                let app = Rc::new(test::init_service(app).await);
                let call = move |path: &str, cookie: &str| {
                    let (app, request) = (Rc::clone(&app), request(path, cookie));
                    Box::pin(async move { answer(&app.call(request).await) }) as Answering
                };
                use_it(Rc::new(call)).await;
            }
            Some(redis) => {
                let app = App::new().wrap(layer(store(redis).await)).configure(routes);
                let app = Rc::new(test::init_service(app).await);
                let call = move |path: &str, cookie: &str| {
                    let (app, request) = (Rc::clone(&app), request(path, cookie));
                    Box::pin(async move { answer(&app.call(request).await) }) as Answering
                };
                use_it(Rc::new(call)).await;
            }
        }
    });
}

fn request(path: &str, cookie: &str) -> actix_http::Request {
    let request = test::TestRequest::with_uri(path);
    request.insert_header(("cookie", cookie)).to_request()
}

fn answer<B>(response: &Result<ServiceResponse<B>>) -> Answer {
    match response {
        Ok(response) => Answer {
            status: response.status().as_u16(),
            cookies: response
                .headers()
                .get_all(SET_COOKIE)
                .filter_map(|value| pair(value.as_bytes()))
                .collect(),
        },
        Err(error) => Answer {
            status: error.as_response_error().status_code().as_u16(),
            cookies: Vec::new(),
        },
    }
}

async fn store(redis: u16) -> RedisSessionStore {
    let store = RedisSessionStore::new(format!("redis://127.0.0.1:{redis}/4")).await;
    store.expect("Redis runs")
}

fn layer(store: RedisSessionStore) -> SessionMiddleware<RedisSessionStore> {
    let idle = Duration::seconds(super::IDLE.cast_signed());
    let lifecycle = PersistentSession::default()
        .session_ttl(idle)
        .session_ttl_extension_policy(TtlExtensionPolicy::OnEveryRequest);
    SessionMiddleware::builder(store, Key::from(&[7; 64]))
        .session_lifecycle(lifecycle)
        .build()
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/untouched", web::get().to(|| async { "hello" }))
        .route("/fill", web::get().to(fill))
        .route("/read", web::get().to(read))
        .route("/write", web::get().to(write))
        .route("/read-write", web::get().to(read_write))
        .route("/login/{user}", web::get().to(login))
        .route("/rotate", web::get().to(rotate))
        .route("/logout", web::get().to(logout));
}

async fn fill(session: Session) -> Result<&'static str> {
    for (name, value) in all_fields() {
        session.insert(name, value)?;
    }
    Ok("filled")
}

async fn read(session: Session) -> Result<String> {
    let value = session.get(FIELD)?;
    value.ok_or_else(|| error::ErrorNotFound("no field"))
}

async fn write(session: Session) -> Result<&'static str> {
    session.insert(FIELD, text(7))?;
    Ok("written")
}

async fn read_write(session: Session) -> Result<String> {
    let value: Option<String> = session.get(FIELD)?;
    let value = value.ok_or_else(|| error::ErrorNotFound("no field"))?;
    session.insert(FIELD, text(value.len() as u64))?;
    Ok(value)
}

async fn login(user: Path<String>, session: Session) -> Result<&'static str> {
    session.renew();
    session.insert("user", user.into_inner())?;
    Ok("signed in")
}

async fn rotate(session: Session) -> &'static str {
    session.renew();
    "rotated"
}

async fn logout(session: Session) -> &'static str {
    session.purge();
    "signed out"
}

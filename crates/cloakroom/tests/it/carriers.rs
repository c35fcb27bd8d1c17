//! The three carriers, each driven through its own framework, all with the same request in and the
//! same response out.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use cloakroom::actix::SessionMiddleware;
use cloakroom::{Error, Session, SessionConfig, SessionLayer};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _};

use crate::script::{Reply, Script};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Carrier {
    Tower,
    Axum,
    Actix,
}

pub(crate) const CARRIERS: [Carrier; 3] = [Carrier::Tower, Carrier::Axum, Carrier::Actix];

#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.headers.iter().filter(|(known, _)| known == name);
        headers.map(|(_, value)| value.as_str()).collect()
    }
}

/// Sends a request with these `Cookie` lines to an application that runs `script`.
pub(crate) async fn send(
    carrier: Carrier,
    config: &SessionConfig,
    host: &str,
    cookies: &[String],
    script: Script,
) -> Received {
    let (config, script) = (config.clone(), Arc::new(script));
    if matches!(carrier, Carrier::Actix) {
        return actix(config, host, cookies, script).await;
    }
    let mut request = Request::get("/").header("host", host);
    for line in cookies {
        request = request.header("cookie", line);
    }
    let layer = SessionLayer::from(config);
    if matches!(carrier, Carrier::Tower) {
        let handler = tower::service_fn(move |request: Request<()>| {
            let script = Arc::clone(&script);
            async move { Ok::<_, Infallible>(plain(&script, request).await) }
        });
        let response = layer
            .layer(handler)
            .oneshot(request.body(()).unwrap())
            .await;
        receive(response.unwrap()).await
    } else {
        let handler = axum::routing::get(move |session: Session| async move {
            let reply = script.run(session).await?;
            Ok::<_, Error>(of_reply(reply, axum::body::Body::from))
        });
        let app = axum::Router::new().route("/", handler).layer(layer);
        let request = request.body(axum::body::Body::empty()).unwrap();
        receive(app.oneshot(request).await.unwrap()).await
    }
}

async fn plain(script: &Script, request: Request<()>) -> Response<Full<Bytes>> {
    let session = match Session::of(request.extensions()) {
        Ok(session) => session,
        Err(error) => return error.response(),
    };
    match script.run(session).await {
        Ok(reply) => of_reply(reply, Full::from),
        Err(error) => error.response(),
    }
}

fn of_reply<B>(reply: Reply, body: impl FnOnce(String) -> B) -> Response<B> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(body(reply.body)).unwrap()
}

async fn receive<B>(response: Response<B>) -> Received
where
    B: axum::body::HttpBody<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
    let (status, headers) = (response.status().as_u16(), headers.collect());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Received {
        status,
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

async fn actix(
    config: SessionConfig,
    host: &str,
    cookies: &[String],
    script: Arc<Script>,
) -> Received {
    use actix_web::{App, HttpResponse, http::StatusCode, test, web};
    let handler = move |session: Session| {
        let script = Arc::clone(&script);
        async move {
            let reply = script.run(session).await?;
            let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).unwrap());
            for header in reply.headers {
                response.append_header(header);
            }
            Ok::<_, Error>(response.body(reply.body))
        }
    };
    let app = App::new()
        .route("/", web::get().to(handler))
        .wrap(SessionMiddleware::from(config));
    let app = test::init_service(app).await;
    let mut request = test::TestRequest::get()
        .uri("/")
        .insert_header(("host", host));
    for line in cookies {
        request = request.append_header(("cookie", line.as_str()));
    }
    let response = test::call_service(&app, request.to_request()).await;
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
    let (status, headers) = (response.status().as_u16(), headers.collect());
    let body = test::read_body(response).await;
    Received {
        status,
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

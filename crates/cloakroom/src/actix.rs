//! Sessions for actix-web 4: the middleware, the extractor, errors as responses. Thin: what they say
//! is decided in `lifecycle`.

use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, ready as ready_or_return};

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, COOKIE, HOST, HeaderMap, HeaderValue, SET_COOKIE, VARY,
};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError};
use pin_project_lite::pin_project;

use crate::config::{SessionConfig, delegate_to_config};
use crate::error::{Answer, Error};
use crate::lifecycle::{ResponsePlan, Visit, must_forbid_storing, must_vary};
use crate::session::Session;

/// Gives every request a [`Session`], and finishes it before the response: what was set is saved,
/// and the cookie follows.
///
/// Make one before `HttpServer::new` and clone it into each worker's application, so that all share
/// one store.
///
/// ```
/// use actix_web::{App, web};
/// use cloakroom::actix::SessionMiddleware;
/// use cloakroom::{Result, Session};
///
/// async fn count(session: Session) -> Result<String> {
///     let visits: u32 = session.update("visits", |n| n.unwrap_or(0) + 1).await?;
///     Ok(format!("visit {visits}"))
/// }
///
/// # fn make(store: impl cloakroom::Store) {
/// let sessions = SessionMiddleware::new(store);
/// let app = move || App::new().route("/", web::get().to(count)).wrap(sessions.clone());
/// # let _ = app;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SessionMiddleware(SessionConfig);

delegate_to_config!(SessionMiddleware);

impl<S, B> Transform<S, ServiceRequest> for SessionMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Transform = SessionService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(SessionService {
            inner,
            config: self.0.clone(),
        }))
    }
}

/// The service that [`SessionMiddleware`] makes.
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    config: SessionConfig,
}

impl<S, B> Service<ServiceRequest> for SessionService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Future = SessionFuture<S::Future, B>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), actix_web::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let visit = {
            let cookies = request.headers().get_all(COOKIE).map(HeaderValue::as_bytes);
            self.config.visit(cookies, || host_of(&request))
        };
        request.extensions_mut().insert(visit.session());
        SessionFuture {
            handler: self.inner.call(request),
            stage: Stage::Handling(visit),
        }
    }
}

pin_project! {
    /// The future of a [`SessionService`]: the handler's, then the session's end.
    pub struct SessionFuture<F, B> {
        #[pin]
        handler: F,
        stage: Stage<B>,
    }
}

enum Stage<B> {
    Handling(Visit),
    Saving(Pin<Box<dyn Future<Output = ServiceResponse<EitherBody<B>>>>>),
    Over,
}

impl<F, B> Future for SessionFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, actix_web::Error>>,
    B: MessageBody + 'static,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, actix_web::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Stage::Handling(visit) = this.stage {
            let result = ready_or_return!(this.handler.poll(cx));
            let plan = visit.finish();
            let Stage::Handling(visit) = std::mem::replace(this.stage, Stage::Over) else {
                return Poll::Pending;
            };
            let response = result?;
            if let Some(plan) = plan {
                return Poll::Ready(Ok(carry_out(plan, response)));
            }
            *this.stage =
                Stage::Saving(Box::pin(
                    async move { carry_out(visit.save().await, response) },
                ));
        }
        let Stage::Saving(saving) = this.stage else {
            return Poll::Pending;
        };
        let response = ready_or_return!(saving.as_mut().poll(cx));
        *this.stage = Stage::Over;
        Poll::Ready(Ok(response))
    }
}

impl<F, B> fmt::Debug for SessionFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionFuture")
    }
}

/// Without a middleware around the handler this is refused with a 500: never a session that
/// forgets.
impl FromRequest for Session {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let session = request.extensions().get::<Self>().cloned();
        ready(session.ok_or_else(Error::no_layer))
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).expect("answers have real status codes")
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        respond(self.answer())
    }
}

fn respond(answer: &Answer) -> HttpResponse<BoxBody> {
    let mut response = HttpResponse::build(
        StatusCode::from_u16(answer.status).expect("answers have real status codes"),
    );
    for (name, value) in answer.headers {
        response.insert_header((*name, *value));
    }
    response.body(answer.body)
}

fn carry_out<B>(
    plan: ResponsePlan,
    response: ServiceResponse<B>,
) -> ServiceResponse<EitherBody<B>> {
    let mut response = match plan.instead {
        Some(answer) => response.into_response(respond(answer).map_into_right_body()),
        None => response.map_into_left_body(),
    };
    if plan.vary {
        add_vary(response.headers_mut());
    }
    if let Some(cookie) = plan.set_cookie {
        set_cookie(response.headers_mut(), cookie);
    }
    response
}

fn add_vary(headers: &mut HeaderMap) {
    if must_vary(headers.get_all(VARY).map(HeaderValue::as_bytes)) {
        headers.append(VARY, HeaderValue::from_static("cookie"));
    }
}

fn set_cookie(headers: &mut HeaderMap, cookie: String) {
    let mut cookie = HeaderValue::try_from(cookie).expect("a cookie is written in ASCII");
    cookie.set_sensitive(true);
    headers.append(SET_COOKIE, cookie);
    if must_forbid_storing(headers.get_all(CACHE_CONTROL).map(HeaderValue::as_bytes)) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The host that the request was sent to: its header, or in HTTP/2 its `:authority`.
fn host_of(request: &ServiceRequest) -> Option<&[u8]> {
    let header = request.headers().get(HOST).map(HeaderValue::as_bytes);
    header.or_else(|| Some(request.uri().authority()?.as_str().as_bytes()))
}

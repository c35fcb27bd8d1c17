//! Sessions for any `tower::Service` that speaks `http` 1.x. Thin: requests become visits, and plans
//! become headers; what they say is decided in `lifecycle`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::{CACHE_CONTROL, COOKIE, HOST, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::config::{SessionConfig, delegate_to_config};
use crate::error::Answer;
use crate::lifecycle::{ResponsePlan, Visit, must_forbid_storing, must_vary};

/// Gives every request a [`Session`](crate::Session), in its extensions, and finishes it before the
/// response: what was set is saved, and the cookie follows.
///
/// Responses are saved whatever their status is; a handler that wants its changes undone does not
/// make them. An inner service that fails without a response saves nothing.
#[derive(Clone, Debug)]
pub struct SessionLayer(SessionConfig);

delegate_to_config!(SessionLayer);

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService {
            inner,
            config: self.0.clone(),
        }
    }
}

/// The service that [`SessionLayer`] makes. Its response's body can be made of text, for the
/// answers that take the place of a response that could not be saved.
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    config: SessionConfig,
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<&'static str> + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = SessionFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let visit = {
            let headers = request.headers();
            let cookies = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
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
    /// The future of a [`SessionService`]: the handler's, then the session's end. Allocates only if
    /// something has to be written.
    pub struct SessionFuture<F, R> {
        #[pin]
        handler: F,
        stage: Stage<R>,
    }
}

enum Stage<R> {
    Handling(Visit),
    Saving(Pin<Box<dyn Future<Output = Response<R>> + Send>>),
    Over,
}

impl<F, R, E> Future for SessionFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<&'static str> + Send + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Stage::Handling(visit) = this.stage {
            let mut result = ready!(this.handler.poll(cx));
            let Ok(response) = &mut result else {
                *this.stage = Stage::Over;
                return Poll::Ready(result);
            };
            if let Some(plan) = visit.finish() {
                carry_out(plan, response);
                *this.stage = Stage::Over;
                return Poll::Ready(result);
            }
            let stage = std::mem::replace(this.stage, Stage::Over);
            if let (Stage::Handling(visit), Ok(mut response)) = (stage, result) {
                *this.stage = Stage::Saving(Box::pin(async move {
                    carry_out(visit.save().await, &mut response);
                    response
                }));
            }
        }
        let Stage::Saving(saving) = this.stage else {
            return Poll::Pending;
        };
        let response = ready!(saving.as_mut().poll(cx));
        *this.stage = Stage::Over;
        Poll::Ready(Ok(response))
    }
}

impl<F, R> fmt::Debug for SessionFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionFuture")
    }
}

/// A whole response with this answer.
pub(crate) fn respond<R: From<&'static str>>(answer: &Answer) -> Response<R> {
    let mut response = Response::new(R::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).expect("answers have real status codes");
    for (name, value) in answer.headers {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn carry_out<R: From<&'static str>>(plan: ResponsePlan, response: &mut Response<R>) {
    if let Some(answer) = plan.instead {
        *response = respond(answer);
    }
    if plan.vary {
        add_vary(response.headers_mut());
    }
    if let Some(cookie) = plan.set_cookie {
        set_cookie(response.headers_mut(), cookie);
    }
}

fn add_vary(headers: &mut HeaderMap) {
    if must_vary(headers.get_all(VARY).iter().map(HeaderValue::as_bytes)) {
        headers.append(VARY, HeaderValue::from_static("cookie"));
    }
}

fn set_cookie(headers: &mut HeaderMap, cookie: String) {
    let mut cookie = HeaderValue::try_from(cookie).expect("a cookie is written in ASCII");
    cookie.set_sensitive(true);
    headers.append(SET_COOKIE, cookie);
    if must_forbid_storing(
        headers
            .get_all(CACHE_CONTROL)
            .iter()
            .map(HeaderValue::as_bytes),
    ) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The host that the request was sent to: its header, or in HTTP/2 its `:authority`.
fn host_of<B>(request: &Request<B>) -> Option<&[u8]> {
    let header = request.headers().get(HOST).map(HeaderValue::as_bytes);
    header.or_else(|| Some(request.uri().authority()?.as_str().as_bytes()))
}

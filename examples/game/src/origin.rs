//! Whose page asks. Browsers let any page open a web socket to anywhere, with the visitor's cookies:
//! only the `Origin` header tells (cross-site WebSocket hijacking; OWASP WebSocket Security Cheat
//! Sheet). The same check guards the forms. `SameSite=Strict` holds where it is known, and a sibling
//! subdomain is the same site; this holds there too.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses what another page sends: upgrades, and everything that changes something.
pub(crate) async fn own_pages_only(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if (!reads || headers.contains_key(header::UPGRADE)) && !is_own(headers) {
        return (StatusCode::FORBIDDEN, "this came from another page").into_response();
    }
    next.run(request).await
}

/// Whether the page has the host that it now speaks to. No `Origin` is a no: browsers send it with
/// every upgrade and every POST.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else {
        return false;
    };
    let scheme = ["http://", "https://"];
    let own = scheme.iter().find_map(|scheme| origin.strip_prefix(scheme));
    own.is_some_and(|own| own.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_same_host_and_port_is_own() {
        let cases = [
            (Some("http://127.0.0.1:3001"), true),
            (Some("https://127.0.0.1:3001"), true),
            (None, false),
            (Some("null"), false),
            (Some("http://127.0.0.1:3002"), false),
            (Some("http://127.0.0.1:3001.evil.example"), false),
            (Some("http://evil.example/127.0.0.1:3001"), false),
            (Some("http://user@127.0.0.1:3001"), false),
            (Some("file://127.0.0.1:3001"), false),
        ];
        for (origin, own) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:3001"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_own(&headers), own, "{origin:?}");
        }
    }
}

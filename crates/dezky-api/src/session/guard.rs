//! Whether a request that a cookie authenticates was made by a page of ours.

use axum::body::Body;
use axum::extract::Request;
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq as _;

use super::Session;
use crate::problem::{Code, Problem};

/// The field of a form that carries the session's token.
const CSRF_FIELD: &str = "csrf";
/// The header in which scripts send it.
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The most bytes of a form.
const MAX_FORM_BYTES: usize = 64 << 10;

/// The request again, if it comes from a page of ours. `GET` and `HEAD` change nothing and are let through.
///
/// # Errors
/// `Forbidden` for what another site sent, and where the session's token is missing or another.
pub(crate) async fn guarded(request: Request, session: &Session) -> Result<Request, Problem> {
    if request.method().is_safe() {
        return Ok(request);
    }
    same_origin(request.headers())?;
    let expected = session.csrf.as_bytes();
    if let Some(token) = request.headers().get(CSRF_HEADER) {
        return if bool::from(token.as_bytes().ct_eq(expected)) { Ok(request) } else { Err(foreign()) };
    }
    let is_form =
        request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if !is_form {
        return Err(foreign());
    }
    let (parts, body) = request.into_parts();
    let too_large = |_| Problem::new(Code::TooLarge, format!("a form has at most {MAX_FORM_BYTES} bytes"));
    let body = axum::body::to_bytes(body, MAX_FORM_BYTES).await.map_err(too_large)?;
    let prefix = format!("{CSRF_FIELD}=");
    let mut fields = body.split(|byte| *byte == b'&').filter_map(|pair| str::from_utf8(pair).ok()?.strip_prefix(&prefix));
    let (token, again) = (fields.next().unwrap_or_default(), fields.next());
    let token = percent_decode_str(token).collect::<Vec<u8>>();
    if again.is_some() || !bool::from(token.as_slice().ct_eq(expected)) {
        return Err(foreign());
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// # Errors
/// `Forbidden` for what a browser says that another site made it send.
pub(crate) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(site) = headers.get(FETCH_SITE) {
        return if matches!(site.as_bytes(), b"same-origin" | b"none") { Ok(()) } else { Err(foreign()) };
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if authority.is_some() && authority == host { Ok(()) } else { Err(foreign()) }
}

fn foreign() -> Problem {
    Problem::new(Code::Forbidden, "this request does not come from a page of this session")
        .hint("load the page again, and send it from there")
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};

    use super::*;
    use crate::caller::Principal;

    fn session() -> Session {
        Session { principal: Principal::operator(), issued: 0, expires: 0, id: "1".to_owned(), csrf: "to-ken".to_owned() }
    }

    async fn admits(method: Method, headers: &[(&'static str, &'static str)], body: &'static str) -> bool {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        guarded(request, &session()).await.is_ok()
    }

    #[tokio::test]
    async fn only_pages_of_the_session_may_change_anything() {
        const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
        assert!(admits(Method::GET, &[], "").await);
        assert!(admits(Method::POST, &[FORM], "a=1&csrf=to%2Dken").await);
        assert!(admits(Method::POST, &[("x-csrf-token", "to-ken")], "anything").await);
        assert!(admits(Method::POST, &[FORM, ("sec-fetch-site", "same-origin")], "csrf=to-ken").await);
        assert!(admits(Method::POST, &[FORM, ("origin", "http://a:1"), ("host", "a:1")], "csrf=to-ken").await);
        assert!(!admits(Method::POST, &[FORM, ("sec-fetch-site", "cross-site")], "csrf=to-ken").await);
        assert!(!admits(Method::POST, &[FORM, ("sec-fetch-site", "same-site")], "csrf=to-ken").await);
        assert!(!admits(Method::POST, &[FORM, ("origin", "http://b:1"), ("host", "a:1")], "csrf=to-ken").await);
        assert!(!admits(Method::POST, &[FORM, ("origin", "null"), ("host", "a:1")], "csrf=to-ken").await);
        assert!(!admits(Method::POST, &[FORM], "a=1").await);
        assert!(!admits(Method::POST, &[FORM], "csrf=to-ken&csrf=x").await);
        assert!(!admits(Method::POST, &[("x-csrf-token", "other")], "csrf=to-ken").await);
        assert!(!admits(Method::POST, &[("content-type", "text/plain")], "csrf=to-ken").await);
        assert!(!admits(Method::DELETE, &[], "").await);
    }
}
